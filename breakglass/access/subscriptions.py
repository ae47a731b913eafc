"""The browsers that take notifications. Each subscription belongs to a login, and ends with it.

The subscriptions are lines of logins.jsonl. So the process that sends needs no server to know whether a login is valid.
"""

import contextlib
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from breakglass.access.credentials import Access, Credential
from breakglass.access.logins import (
    FILE,
    Configured,
    Login,
    Logins,
    Push,
    Subscribed,
    Unsubscribed,
    append,
    fingerprint,
    fold,
)
from breakglass.access.tokens import TOKEN_FILES, read_token
from breakglass.access.watched_file import WatchedFile
from breakglass.errors import CannotRecord, Conflict
from breakglass.plain_file import open_plain_file

NO_LOGIN = (
    "notifications belong to a login, and end with it: log in with the token on the login page. A token in a header"
    " and a user named by a proxy have no login"
)
_CONFIGURED = msgspec.json.Decoder(Configured)


def subscribe(access: Access, credential: Credential | None, push: Push) -> None:
    """Let the browser of a login take notifications. Raises Conflict for a caller without login, and CannotRecord."""
    login = access.login_of(credential) if credential else None
    if login is None:
        raise Conflict(NO_LOGIN)
    if login.push is None or msgspec.structs.replace(login.push, at=push.at) != push:
        _append(access.root, Subscribed(login.id, push))


def unsubscribe(access: Access, credential: Credential, at: int) -> None:
    """End the notifications of the caller's login, if it takes some. Raises CannotRecord."""
    login = access.login_of(credential)
    if login and login.push:
        drop(access.root, login, at)


def drop(root: Path, login: Login, at: int) -> None:
    """End the notifications of a login, unless its browser has subscribed again meanwhile. Raises CannotRecord."""
    if login.push:
        _append(root, Unsubscribed(login.id, login.push.endpoint, at))


def _append(root: Path, row: Subscribed | Unsubscribed) -> None:
    try:
        append(root / FILE, msgspec.json.encode(row) + b"\n")
    except OSError as error:
        raise CannotRecord(f"{root / FILE} cannot be written: {error.strerror}") from error


def note_token(root: Path, token: str | None) -> None:
    """Note the token of a server that starts, if it has changed: the old one's logins take no more notifications.

    If the disk is full, the next start notes it.
    """
    noted = _fingerprint(token)
    with contextlib.suppress(OSError):
        if _parse(_read(root / FILE)).configured != noted:
            append(root / FILE, msgspec.json.encode(Configured(noted)) + b"\n")


def _fingerprint(token: str | None) -> str:
    """Return what a login keeps of its token, "" without a token."""
    return fingerprint(hashlib.sha256(token.encode()).digest()) if token else ""


class _Content(NamedTuple):
    """What the file says."""

    logins: Logins
    configured: str
    """The fingerprint of the token in the settings of the latest server, "" if its token is in the file."""


class Subscribers:
    """The logins that take notifications, for a process that has no server's settings."""

    def __init__(self, root: Path, now: Callable[[], float] = time.time) -> None:
        self._root = root
        self._now = now
        self._file = WatchedFile(root / FILE, _parse, _Content({}, ""))

    def all(self) -> list[Login]:
        """Return the valid logins that take notifications, the oldest first."""
        content = self._file.read()
        found = [each for each in content.logins.values() if each.push and each.expires > self._now()]
        if not found:
            return []
        valid = {may_act: read_token(self._root, may_act=may_act) for may_act in TOKEN_FILES}
        tokens = {may_act: _fingerprint(token) for may_act, token in valid.items()}
        tokens[True] = content.configured or tokens[True]
        return [each for each in found if each.token == tokens[each.may_act]]


def _parse(data: bytes) -> _Content:
    configured = ""
    for line in data.split(b"\n"):
        if b'"configured"' in line:
            with contextlib.suppress(msgspec.DecodeError):
                configured = _CONFIGURED.decode(line).token
    return _Content(fold(data, {}), configured)


def _read(path: Path) -> bytes:
    try:
        with open(open_plain_file(path, os.O_RDONLY), "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""
