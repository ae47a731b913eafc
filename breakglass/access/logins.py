"""The logins of a data root: which cookies were issued, to which credential, and until when.

Owns the file `logins.jsonl`, which is only appended to. So several servers on one data root agree without
communicating with each other. The file holds the SHA-256 of a cookie, never the cookie.
"""

import errno
import fcntl
import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from breakglass.access.watched_file import WatchedFile
from breakglass.errors import CannotRecord, ReadOnly
from breakglass.plain_file import open_plain_file

FILE = "logins.jsonl"


class Push(msgspec.Struct, frozen=True):
    """Where the browser of a login takes notifications (Web Push, RFC 8030 and RFC 8291)."""

    endpoint: str
    """The address at the browser's push service."""
    p256dh: str
    """The browser's public key, in base64url."""
    auth: str
    """The secret that the browser shares with the sender, in base64url."""
    at: int
    """When the user turned notifications on. What happened before is not sent."""


class Login(msgspec.Struct, frozen=True, tag_field="kind", tag="login"):
    """An issued cookie: one line of logins.jsonl."""

    id: str
    by: str
    may_act: bool
    digest: str
    """SHA-256 of the cookie, in hex."""
    token: str
    """The token that opened the login: SHA-256 of its SHA-256, in hex. For any other token the login is invalid."""
    since: int
    expires: int
    address: str
    user_agent: str = msgspec.field(name="agent")
    """The browser's User-Agent header."""
    idle: int = 0
    """Seconds without use after which the login ends, also before `expires`. 0: only `expires` ends it."""
    csrf: str = ""
    """SHA-256 of the CSRF token that the page chose and keeps, in hex; "" if it follows from the cookie."""
    push: Push | None = None
    """Not in this line: `Subscribed` sets it and `Unsubscribed` removes it. It ends with the login."""


class Revoked(msgspec.Struct, frozen=True, tag_field="kind", tag="revoked"):
    """The end of a login: one line of logins.jsonl."""

    id: str
    at: int


class Renewed(msgspec.Struct, frozen=True, tag_field="kind", tag="renewed"):
    """A later end of a login that is in use: one line of logins.jsonl."""

    id: str
    expires: int


class Subscribed(msgspec.Struct, frozen=True, tag_field="kind", tag="subscribed"):
    """The browser of a login takes notifications from now on: one line of logins.jsonl."""

    id: str
    push: Push


class Unsubscribed(msgspec.Struct, frozen=True, tag_field="kind", tag="unsubscribed"):
    """The browser of a login takes no more notifications: one line of logins.jsonl."""

    id: str
    endpoint: str
    """The subscription that ends. A newer one of the same login stays."""
    at: int


class Configured(msgspec.Struct, frozen=True, tag_field="kind", tag="configured"):
    """A server started with another BREAKGLASS_TOKEN than the one before: one line of logins.jsonl."""

    token: str
    """As `Login.token`; "" if the token is in its file."""


Row = Login | Revoked | Renewed | Subscribed | Unsubscribed
_ROW = msgspec.json.Decoder(Row)
Logins = dict[str, Login]
"""By `Login.digest`, the oldest first."""


def fold(data: bytes, before: Logins) -> Logins:
    """Return the logins after the lines of `data`. Malformed lines are skipped."""
    logins = dict(before)
    for line in data.split(b"\n"):
        try:
            row = _ROW.decode(line)
        except msgspec.DecodeError:
            continue
        if isinstance(row, Login):
            logins[row.digest] = row
        elif isinstance(row, Revoked):
            logins = {digest: login for digest, login in logins.items() if login.id != row.id}
        else:
            for digest, login in logins.items():
                if login.id == row.id:
                    logins[digest] = _changed(login, row)
    return logins


def _changed(login: Login, row: Renewed | Subscribed | Unsubscribed) -> Login:
    if isinstance(row, Renewed):
        return msgspec.structs.replace(login, expires=row.expires)
    if isinstance(row, Subscribed):
        return msgspec.structs.replace(login, push=row.push)
    is_last = login.push is not None and login.push.endpoint == row.endpoint
    return msgspec.structs.replace(login, push=None) if is_last else login


def fingerprint(digest: bytes) -> str:
    """Return what a login keeps of its token (`Login.token`): the SHA-256 of the token's SHA-256, in hex."""
    return hashlib.sha256(digest).hexdigest()


def append(path: Path, data: bytes) -> None:
    """Append whole lines; they are on disk when this returns. Raises OSError, and then nothing was appended."""
    with open(open_plain_file(path, os.O_RDWR | os.O_APPEND | os.O_CREAT), "rb+", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        size = os.fstat(file.fileno()).st_size
        is_torn = size > 0 and os.pread(file.fileno(), 1, size - 1) != b"\n"
        data = b"\n" + data if is_torn else data
        if file.write(data) != len(data):
            os.ftruncate(file.fileno(), size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fdatasync(file.fileno())


def append_told(path: Path, cause: str, to: str, **outcome: object) -> None:
    """Record that a login was told, or could not be told. Raises OSError. Other readers skip such a line."""
    kind, _, about = cause.partition(":")
    row = {"kind": "notified", "cause": kind, "about": int(about), "to": to, **outcome}
    append(path, msgspec.json.encode(row) + b"\n")


def told_logins(lines: Iterable[bytes]) -> Iterator[tuple[str, str]]:
    """Yield the causes, and the destinations, that `append_told` recorded in the lines."""
    for line in lines:
        if b'"notified"' in line:
            try:
                row = msgspec.json.decode(line)
            except msgspec.DecodeError:
                continue
            if isinstance(row, dict):
                yield f"{row.get('cause')}:{row.get('about')}", str(row.get("to"))


class LoginFile:
    """The logins of `logins.jsonl`, and those that could not be written to it and are only in memory."""

    def __init__(self, path: Path, read_only: Callable[[], str]) -> None:
        """`read_only` returns why the root is read-only, "" if it is not. In such a root nothing is written."""
        self.path = path
        self._read_only = read_only
        self._written: WatchedFile[Logins] = WatchedFile(path, lambda data: fold(data, {}), {})
        self._unwritten = b""
        self._recording = threading.Lock()

    def record(self, row: Row) -> bool:
        """Count a line from now on. Return whether it is on disk; otherwise it is written with the next one."""
        with self._recording:  # several threads log in at the same time
            self._unwritten += msgspec.json.encode(row) + b"\n"
            if self._read_only():
                return False
            try:
                append(self.path, self._unwritten)
            except OSError:
                return False
            self._unwritten = b""
            return True

    def revoke(self, login_id: str, at: int) -> bool:
        """End a login and return whether it existed. Raises CannotRecord and ReadOnly as `Access.revoke`."""
        if login_id not in {login.id for login in self.all().values()}:
            return False
        was_written = self.is_written(login_id)
        if not self.record(Revoked(login_id, at)):
            if message := self._read_only():
                if was_written:
                    raise ReadOnly(message)
                return True
            raise CannotRecord(f"{self.path} cannot be written: the login is valid again after a restart")
        return True

    def all(self) -> Logins:
        """Return the logins that were not revoked, also those that have expired."""
        written = self._written.read()
        return fold(self._unwritten, written) if self._unwritten else written

    def is_written(self, login_id: str) -> bool:
        """Return whether the login of that id is in the file, and not revoked there."""
        return any(login.id == login_id for login in self._written.read().values())
