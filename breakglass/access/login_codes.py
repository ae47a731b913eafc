"""One-time codes: a new login address carries one instead of the token. Each opens one login, within ten minutes.

Owns the directory `login-codes`, which has one file for each unused code. The file's name is the SHA-256 of the code,
so the directory gives no access. To use a code is to delete its file. Only one process can delete it, so no lock is
needed.
"""

import hashlib
import json
import os
import secrets
import time
from contextlib import suppress
from pathlib import Path

from breakglass.errors import CannotRecord
from breakglass.plain_file import open_plain_file

CODE_SECONDS = 600
"""How long a code can be used."""

DIRECTORY = "login-codes"


def make_code(root: Path, *, may_act: bool = True, now: float | None = None) -> str:
    """Return a new code. Raises CannotRecord if it cannot be kept; the root must be writable."""
    now = time.time() if now is None else now
    code = secrets.token_urlsafe(24)
    path = _path(root, code)
    try:
        path.parent.mkdir(0o700, exist_ok=True)
        _delete_expired(path.parent, now)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as file:
            file.write(json.dumps({"may_act": may_act, "expires": int(now) + CODE_SECONDS}).encode() + b"\n")
    except OSError as error:
        with suppress(OSError):
            path.unlink()
        raise CannotRecord(
            f"a login code cannot be kept in {path.parent}: {error.strerror}; "
            "log in with the token: breakglass token show"
        ) from error
    return code


def use_code(root: Path, code: str, now: float) -> bool | None:
    """Use up a code. Return whether its login may act; None if the code is unknown, used or expired.

    Raises CannotRecord if it cannot be deleted. Then it opens no login, because it could be used again.
    """
    path = _path(root, code)
    found = _read(path)
    try:
        path.unlink()
        _sync(path.parent)  # else a power failure could bring a used code back
    except FileNotFoundError:
        return None  # unknown, or another request was first
    except OSError as error:
        raise CannotRecord(
            f"the login code cannot be used up: {error.strerror}; log in with the token"
        ) from error
    if found is None or not _is_valid(found[1], now):
        return None
    return found[0]


def delete_codes(root: Path) -> None:
    """Delete all codes: none of them may open a login for a token that replaces the present one."""
    for path in _files(root / DIRECTORY):
        path.unlink(missing_ok=True)


def _path(root: Path, code: str) -> Path:
    return root / DIRECTORY / hashlib.sha256(code.encode(errors="replace")).hexdigest()


def _read(path: Path) -> tuple[bool, int] | None:
    """Return whether the code of a file may act, and when it expires; None if that cannot be read."""
    try:
        with open(open_plain_file(path, os.O_RDONLY), "rb") as file:
            row = json.loads(file.read(1024))
        return row["may_act"] is True, int(row["expires"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _is_valid(expires: int, now: float) -> bool:
    """Return whether a code has not expired. If the clock was set back by more than its time, it has."""
    return now < expires <= now + CODE_SECONDS


def _delete_expired(directory: Path, now: float) -> None:
    for path in _files(directory):
        found = _read(path)
        if found is None or not _is_valid(found[1], now):
            path.unlink(missing_ok=True)


def _files(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except FileNotFoundError:
        return []


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
