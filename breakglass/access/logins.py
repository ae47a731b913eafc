"""The logins of a data root: which cookies were given out, to whom, until when.

Owns `logins.jsonl`, which is only appended to: several servers on one root agree without speaking to
each other. A cookie itself is nowhere in it, only its SHA-256.
"""

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import msgspec


class Login(msgspec.Struct, frozen=True, tag_field="kind", tag="login"):
    """A cookie that was given out: a line of logins.jsonl."""

    id: str
    by: str
    may_act: bool
    digest: str
    """SHA-256 of the cookie, in hex."""
    token: str
    """Which token opened it: the SHA-256 of that token's SHA-256. Another token, and the login is over."""
    since: int
    expires: int
    address: str
    agent: str
    """The browser's word for itself."""


class Revoked(msgspec.Struct, frozen=True, tag_field="kind", tag="revoked"):
    id: str
    at: int


_ROW = msgspec.json.Decoder(Login | Revoked)
Logins = dict[str, Login]


def fold(data: bytes, before: Logins) -> Logins:
    """Return the logins, by digest, after the lines of `data`. A line that is none is passed over."""
    logins = dict(before)
    for line in data.split(b"\n"):
        try:
            row = _ROW.decode(line)
        except msgspec.DecodeError:
            continue
        if isinstance(row, Login):
            logins[row.digest] = row
        else:
            logins = {digest: login for digest, login in logins.items() if login.id != row.id}
    return logins


def append(path: Path, data: bytes) -> None:
    """Append whole lines, on disk when this returns. Raises OSError, and then nothing was appended."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(path, flags, 0o600), "rb+", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        size = os.fstat(file.fileno()).st_size
        torn = size > 0 and os.pread(file.fileno(), 1, size - 1) != b"\n"
        data = b"\n" + data if torn else data
        if file.write(data) != len(data):
            os.ftruncate(file.fileno(), size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fdatasync(file.fileno())


_T = TypeVar("_T")


class Watched(Generic[_T]):
    """What a file says, read again when the file is another or has changed; `missing` where there is none."""

    def __init__(self, path: Path, parse: Callable[[bytes], _T], missing: _T):
        self._path = path
        self._parse = parse
        self._missing = missing
        self._value = missing
        self._mark: tuple[int, int, int] | None = None

    def __call__(self) -> _T:
        try:
            state = os.stat(self._path, follow_symlinks=False)  # 1.5 us on 2026-11-23
            mark = (state.st_ino, state.st_size, state.st_mtime_ns)
            if mark != self._mark:
                with open(os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
                    self._value = self._parse(file.read())
                self._mark = mark
        except OSError:
            self._value, self._mark = self._missing, None
        return self._value
