"""The access log: one JSON object a line for every answer, refusals too.

Owns the line and the file it goes to. Knows nothing of requests beyond the values of an `Entry`.
Written here and not by Hypercorn, whose log decodes the path: there `/%0a127.0.0.1 - …` forges a line.
"""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

LONGEST_PATH = 300
"""Characters of a path that are kept: a line stays small, whatever is asked for."""


class Entry(NamedTuple):
    """What is remembered of one request. There is no place for a query string, a header or a secret."""

    by: str | None
    """The credential's name, None where there was none."""
    address: str
    method: str
    path: bytes
    """The path as it came, still percent-encoded, without the query."""
    status: int | None
    """None where the client left before it was answered."""
    ms: float


def line(entry: Entry, now: datetime) -> bytes:
    """Return the whole line of ASCII, its newline included: nothing in it can begin another line."""
    fields = {
        "ts": f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z",
        "by": entry.by,
        "from": entry.address,
        "method": entry.method[:20],
        "path": entry.path[:LONGEST_PATH].decode("latin-1"),
        "status": entry.status,
        "ms": round(entry.ms, 1),
    }
    return json.dumps(fields, separators=(",", ":")).replace("\x7f", "\\u007f").encode() + b"\n"


class AccessLog:
    """Appends entries to a file, or to standard error where `path` is None.

    A file that was moved away (logrotate) is made anew. An entry that cannot be written is dropped:
    on a full disk people must still get in.
    """

    def __init__(self, path: Path | None = None, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)):
        self._path = path
        self._now = now
        self._fd = 2
        self._inode = 0

    def __call__(self, entry: Entry) -> None:
        try:
            if self._path is not None:
                self._follow(self._path)
            os.write(self._fd, line(entry, self._now()))
        except OSError:
            pass

    def close(self) -> None:
        """Close the file. The log may still be written to: it is then opened again."""
        if self._inode:
            os.close(self._fd)
        self._fd, self._inode = 2, 0

    def _follow(self, path: Path) -> None:
        try:
            inode = os.stat(path, follow_symlinks=False).st_ino
        except FileNotFoundError:
            inode = 0
        if not inode or inode != self._inode:
            self.close()
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._fd = os.open(path, flags, 0o600)
            self._inode = os.fstat(self._fd).st_ino


def opened(place: str | None) -> Callable[[Entry], None]:
    """Return what takes the entries: for a path a file, for `-` standard error, for None nothing."""
    if place is None:
        return lambda entry: None
    return AccessLog(None if place == "-" else Path(place))
