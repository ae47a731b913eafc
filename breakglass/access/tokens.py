"""The token of a data root: made, kept in a file that only we may read, and changed.

Owns `token` and `token.readonly`. Works on the files alone, so that the command line needs no server.
"""

import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path

from breakglass.errors import BadConfig, CannotRecord

SHORTEST = 32
"""Characters. A shorter one could be guessed (claudecodeui, CVE-2026-31975: a default secret)."""

TOKEN = re.compile(rf"[A-Za-z0-9._~+/=-]{{{SHORTEST},512}}")
"""What RFC 6750 lets a header carry."""

FILES = {True: "token", False: "token.readonly"}
"""Whether its bearer may act, to the file's name in the data root."""


def check_token(token: str, name: str) -> str:
    """Return `token` if it may be one. Raises BadConfig, which names the setting and never the value."""
    if not TOKEN.fullmatch(token):
        raise BadConfig(
            f"{name} is no token ({len(token)} characters): expected {SHORTEST} to 512 of "
            "A-Z a-z 0-9 . _ ~ + / = -. Leave it out, and one is made."
        )
    return token


def open_token(root: Path, *, may_act: bool = True) -> str:
    """Return the token kept in the data root, made now where there is none.

    Raises BadConfig for a file that is no token, is a link, or that others may read, and CannotRecord
    where it cannot be kept.
    """
    path = root / FILES[may_act]
    try:
        token = _read_secret(path)
    except FileNotFoundError:
        _write_secret(path, secrets.token_urlsafe(32), os.link)
        token = _read_secret(path)  # of two that make one at a time the first wins
    return check_token(token, str(path))


def rotate_token(root: Path, *, may_act: bool = True) -> str:
    """Return a new token, kept in place of the old. Logins and streams of the old one end within 15 s."""
    token = secrets.token_urlsafe(32)
    _write_secret(root / FILES[may_act], token, os.replace)
    return token


def _read_secret(path: Path) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BadConfig(f"{path} cannot be read as a token: {error.strerror}") from error
    with open(fd, "rb") as file:
        state = os.fstat(fd)
        if state.st_mode & 0o077 or state.st_uid not in (0, os.geteuid()):
            raise BadConfig(f"{path} may be read by others: `chmod 600` it, and rotate the token")
        return file.read(1024).decode("ascii", "replace").removesuffix("\n")


def _write_secret(path: Path, token: str, put: Callable[[Path, Path], None]) -> None:
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as file:
            file.write(token.encode() + b"\n")
            file.flush()
            os.fsync(fd)
        put(fresh, path)
    except FileExistsError:
        pass
    except OSError as error:
        raise CannotRecord(f"the token cannot be kept in {path}: {error.strerror}") from error
    finally:
        fresh.unlink(missing_ok=True)
