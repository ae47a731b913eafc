"""The access log: one JSON object a line for every response, refusals included.

Owns the format of a line and the file. Must not know requests, only the values of an `Entry`.
Hypercorn's own log is off: it decodes the path, so `/%0a127.0.0.1 - …` would forge a line.
"""

import json
import os
import re
import select
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from breakglass.plain_file import open_plain_file

MAX_PATH = 300
"""Characters of a path that are kept, so that every line stays small."""
_SECRET = re.compile(
    rb"(?<![\w-])(?![0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?![\w-]))[\w~+-]{32,}", re.ASCII
)
"""A token, or the code of a login address, but not the id of a session."""


class Entry(NamedTuple):
    """The recorded values of one request. It has no field for a query string, a header or a secret."""

    by: str | None
    """The credential's name, None without a credential."""
    address: str
    method: str
    path: bytes
    """As received: percent-encoded, without the query."""
    status: int | None
    """None if the client disconnected before the response began."""
    ms: float


def format_line(entry: Entry, now: datetime) -> bytes:
    """Return the line with its newline. It is printable ASCII, so no value in it can begin another line."""
    fields = {
        "ts": f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z",
        "by": entry.by,
        "from": entry.address,
        "method": entry.method[:20],
        "path": _masked(entry.path)[:MAX_PATH].decode("latin-1"),
        "status": entry.status,
        "ms": round(entry.ms, 1),
    }
    return json.dumps(fields, separators=(",", ":")).replace("\x7f", "\\u007f").encode() + b"\n"


def _masked(path: bytes) -> bytes:
    """Return a path in which what looks like a token or a login code is masked: a user may paste one into the address.

    The paths of this server have no such part, except the name of a file, which stays, and the long name of a host,
    which is masked.
    """
    own, files, name = path.partition(b"/files/")
    return _SECRET.sub(b"[masked]", own) + files + name


class AccessLog:
    """Appends entries to a file, or to standard error if `path` is None.

    A file that was moved away (logrotate) is created again. An entry that cannot be written at once is dropped:
    requests must succeed on a full disk, and while the reader of a pipe is stopped.
    """

    def __init__(self, path: Path | None = None, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)):
        self._path = path
        self._now = now
        self._fd = 2
        self._inode = 0

    def __call__(self, entry: Entry) -> None:
        try:
            if self._path is not None:
                self._reopen_if_moved(self._path)
            if _has_room(self._fd):
                os.write(self._fd, format_line(entry, self._now()))
        except OSError:
            pass

    def problem(self) -> str:
        """Open the file, and return why that is not possible, "" if it is."""
        try:
            if self._path is not None:
                self._reopen_if_moved(self._path)
        except OSError as error:
            return f"access_log: {self._path} cannot be written: {error.strerror}"
        return ""

    def close(self) -> None:
        """Close the file. The next entry opens it again."""
        if self._inode:
            os.close(self._fd)
        self._fd, self._inode = 2, 0

    def _reopen_if_moved(self, path: Path) -> None:
        try:
            inode = os.stat(path, follow_symlinks=False).st_ino
        except FileNotFoundError:
            inode = 0
        if not inode or inode != self._inode:
            self.close()
            self._fd = open_plain_file(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            self._inode = os.fstat(self._fd).st_ino


def _has_room(fd: int) -> bool:
    """Return whether a write of a line does not wait. A pipe has room for a line (PIPE_BUF) if it has any (pipe(7))."""
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return any(flags & select.POLLOUT for _, flags in poll.poll(0))


def open_access_log(target: str | None, warn: Callable[[str], object]) -> AccessLog | None:
    """Return the access log: `target` is a path, `-` for standard error, or None for no log.

    `warn` gets one line if the file cannot be written. Its entries are dropped until it can be.
    """
    if target is None:
        return None
    log = AccessLog(None if target == "-" else Path(target))
    if problem := log.problem():
        warn(problem)
    return log


def drop(entry: Entry) -> None:
    """Do nothing with an entry: for a server without an access log."""
