"""Event lines for measurements: all of one size, the last one of a log marked, live ones with a time stamp."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from breakglass import events

SIZE = 300
"""Bytes of a line, with its newline."""
MARK = b"the-last-of-them"
"""A text in the last line of a log, so that a client recognizes the end."""
STAMP = b'"text":"@'
"""The text before the 20 digits of `time.monotonic_ns` in a live event."""
SESSION = "00000000-0000-4000-8000-{:012x}"
TS = "2026-11-23T06:00:00.000Z"
_BATCH = 1000


def line(number: int, text: str = "", size: int = SIZE) -> bytes:
    """Return a line of `size` bytes, or more if `text` is longer."""
    bare = events.encode(number, TS, "text", {"turn": 1, "text": text})
    return events.encode(number, TS, "text", {"turn": 1, "text": text + "x" * (size - len(bare))})


def stamped(number: int) -> bytes:
    """Return a line that holds the time at which it was made."""
    return line(number, f"@{time.monotonic_ns():020d} ")


def created() -> bytes:
    """Return line 1 of a session."""
    fields = {"schema": 1, "agent": "shell", "model": None, "title": "bench", "by": "bench", "host": "bench"}
    return events.encode(1, TS, "created", fields)


def ended(number: int) -> bytes:
    """Return a line that ends the turn."""
    return events.encode(number, TS, "turn_end", {"turn": 1, "status": "ok", "duration_ms": 1})


def lines(count: int, *, idle: bool = False) -> Iterator[bytes]:
    """Yield `count` lines in batches of complete lines: `created`, then texts, the last line marked.

    With `idle` the last line is the end of the turn. Lines whose ids have equally many digits share their rest:
    encoding each of five million lines is too slow.
    """
    yield created()
    number = 2
    while number < count:
        stop = min(count, 10 ** len(str(number)), number + _BATCH)
        head = b'{"id":%d' % number
        rest = line(number)[len(head) :]
        yield b"".join([b'{"id":%d%b' % (each, rest) for each in range(number, stop)])
        number = stop
    yield ended(count)[:-2] + b',"mark":"%b"}\n' % MARK if idle else line(count, MARK.decode())


def write(data: Path, count: int, index: int = 0, *, idle: bool = False) -> str:
    """Create session number `index` with a log of `count` lines, and return its id."""
    session = SESSION.format(index)
    directory = _make_private(data / "sessions" / session)
    _make_private(data / "workspaces" / session)
    with open(directory / "events.jsonl", "wb", opener=_open_private) as file:
        file.writelines(lines(count, idle=idle))
    return session


def write_idle(data: Path, index: int) -> str:
    """Create session number `index` with a short log whose turn has ended, and return its id."""
    session = SESSION.format(index)
    directory = _make_private(data / "sessions" / session)
    with open(directory / "events.jsonl", "wb", opener=_open_private) as file:
        file.write(created() + line(2, MARK.decode()) + ended(3))
    return session


def framed(batch: bytes, first: int) -> bytes:
    """Return complete lines as server-sent events. `first` is the id of the first."""
    each = batch[:-1].split(b"\n")
    return b"".join([b"id: %d\ndata: %b\n\n" % pair for pair in enumerate(each, first)])


def _make_private(directory: Path) -> Path:
    """Create a folder and its two parents for this user only: the server refuses folders open to others."""
    for folder in (*reversed(directory.parents[:2]), directory):
        folder.mkdir(exist_ok=True, mode=0o700)
    return directory


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
