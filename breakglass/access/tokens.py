"""The access tokens of a data root: created once, kept in files that only their owner may read, and replaced.

Owns the files `token` and `token.readonly`, and needs no server: the command line works on the files alone.
"""

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from breakglass.access.login_codes import delete_codes
from breakglass.errors import BadConfig, CannotRecord, ReadOnly
from breakglass.plain_file import open_plain_file
from breakglass.settings import parse_token

TOKEN_FILES = {True: "token", False: "token.readonly"}
"""The name of a token's file in the data root. The key is whether the token allows changes."""


def open_token(root: Path, *, may_act: bool = True, read_only: str = "") -> str:
    """Return the token in the data root. Create it if it is missing.

    Raises BadConfig for a file that holds no token, is a link, or can be read by others. Raises CannotRecord if a new
    token cannot be written. In a read-only root, whose sentence `read_only` is, raises ReadOnly for all of these.
    """
    path = root / TOKEN_FILES[may_act]
    try:
        token = _read_secret(path)
    except (FileNotFoundError, BadConfig) as error:
        if read_only:
            why = f"no token is made in {path}" if isinstance(error, FileNotFoundError) else str(error)
            raise ReadOnly(f"{read_only}; {why}{'; set BREAKGLASS_TOKEN' if may_act else ''}") from error
        if isinstance(error, BadConfig):
            raise
        write_secret(path, secrets.token_urlsafe(32), os.link)
        token = _read_secret(path)  # if two processes make one at the same time, the first one counts
    return parse_token(str(path), token)


def rotate_token(root: Path, *, may_act: bool = True) -> str:
    """Replace the token and return the new one. Logins and streams of the old one end within 15 s.

    Unused login codes are deleted before: a code that is used meanwhile opens a login of the old token.
    """
    token = secrets.token_urlsafe(32)
    delete_codes(root)
    write_secret(root / TOKEN_FILES[may_act], token, os.replace)
    return token


def is_private(status: os.stat_result) -> bool:
    """Return whether a token's file belongs to root or to this user, and no one else has rights on it."""
    return not status.st_mode & 0o077 and status.st_uid in (0, os.geteuid())


def readable_tokens(root: Path) -> list[str]:
    """Return the tokens in a data root that this process can read, unchecked: no output may contain them."""
    found = (read_token(root, may_act=may_act) for may_act in TOKEN_FILES)
    return [token for token in found if token is not None]


def read_token(root: Path, *, may_act: bool) -> str | None:
    """Return a token in a data root, unchecked; None if this process cannot read it."""
    path = root / TOKEN_FILES[may_act]
    with contextlib.suppress(OSError), open(open_plain_file(path, os.O_RDONLY), "rb") as file:
        return file.read(1024).decode("ascii", "replace").strip()
    return None


def _read_secret(path: Path) -> str:
    try:
        fd = open_plain_file(path, os.O_RDONLY)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BadConfig(f"{path} cannot be read as a token: {error.strerror}") from error
    with open(fd, "rb") as file:
        if not is_private(os.fstat(fd)):
            raise BadConfig(f"{path} may be read by others: `chmod 600` it, and rotate the token")
        return file.read(1024).decode("ascii", "replace").removesuffix("\n")


def write_secret(path: Path, token: str, move: Callable[[Path, Path], None]) -> None:
    """Write a complete file beside `path`, then `move` it there: `path` never holds a partial token.

    `os.link` as `move` keeps a file that another process made first; `os.replace` overwrites it. Raises CannotRecord.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(temporary, flags, 0o600)
        with open(fd, "wb") as file:
            file.write(token.encode() + b"\n")
            file.flush()
            os.fsync(fd)
        move(temporary, path)
    except FileExistsError:
        pass
    except OSError as error:
        raise CannotRecord(f"the token cannot be kept in {path}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)
