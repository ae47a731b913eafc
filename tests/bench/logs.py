"""Event lines to measure with: of one size, quickly made, the last of them marked, live ones stamped."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from breakglass import events

SIZE = 300
"""Bytes of a line, its newline included."""
MARK = b"the-last-of-them"
"""Stands in the last line of a log: a client that has seen it has seen all."""
STAMP = b'"text":"@'
"""What comes before the 20 digits of `time.monotonic_ns` in a live event."""
SESSION = "00000000-0000-4000-8000-{:012x}"
_TS = "2026-11-23T06:00:00.000Z"
_BATCH = 1000


def line(number: int, text: str = "", size: int = SIZE) -> bytes:
    """Return a line of `size` bytes, or of more where `text` needs it."""
    bare = events.encode(number, _TS, "text", {"turn": 1, "text": text})
    return events.encode(number, _TS, "text", {"turn": 1, "text": text + "x" * (size - len(bare))})


def stamped(number: int) -> bytes:
    """Return a live line that says when it was made."""
    return line(number, f"@{time.monotonic_ns():020d} ")


def created() -> bytes:
    """Return line 1 of a session."""
    fields = {"schema": 1, "agent": "shell", "model": None, "title": "bench", "by": "bench", "host": "bench"}
    return events.encode(1, _TS, "created", fields)


def ended(number: int) -> bytes:
    """Return a line after which a session rests."""
    return events.encode(number, _TS, "turn_end", {"turn": 1, "status": "ok", "duration_ms": 1})


def lines(count: int, *, resting: bool = False) -> Iterator[bytes]:
    """Yield `count` lines in batches, each a whole number of lines: `created`, then text, the last one marked.

    With `resting` that is the end of a turn.

    Made from one line a number of digits: encoding each would take 20 s for five million.
    """
    yield created()
    number = 2
    while number < count:
        stop = min(count, 10 ** len(str(number)), number + _BATCH)
        head = b'{"id":%d' % number
        rest = line(number)[len(head) :]
        yield b"".join([b'{"id":%d%b' % (each, rest) for each in range(number, stop)])
        number = stop
    yield ended(count)[:-2] + b',"mark":"%b"}\n' % MARK if resting else line(count, MARK.decode())


def write(data: Path, count: int, index: int = 0, *, resting: bool = False) -> str:
    """Make session number `index` with a log of `count` lines and return its id."""
    session = SESSION.format(index)
    directory = _make(data / "sessions" / session)
    _make(data / "workspaces" / session)
    with open(directory / "events.jsonl", "wb", opener=_private) as file:
        file.writelines(lines(count, resting=resting))
    return session


def write_resting(data: Path, index: int) -> str:
    """Make a small session that rests: `created` and the end of a turn."""
    session = SESSION.format(index)
    directory = _make(data / "sessions" / session)
    with open(directory / "events.jsonl", "wb", opener=_private) as file:
        file.write(created() + line(2, MARK.decode()) + ended(3))
    return session


def framed(batch: bytes, first: int) -> bytes:
    """Return whole lines as server-sent events, the first with the id `first`."""
    each = batch[:-1].split(b"\n")
    return b"".join([b"id: %d\ndata: %b\n\n" % pair for pair in enumerate(each, first)])


def _make(directory: Path) -> Path:
    """Make a session's folder and what it lies in, closed to others: the server refuses what is not."""
    for folder in (*reversed(directory.parents[:2]), directory):
        folder.mkdir(exist_ok=True, mode=0o700)
    return directory


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
