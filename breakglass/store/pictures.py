"""Pictures that tools returned: each is a file beside the log, named by its hash, and an event names it.

The runner imports this module, so it imports nothing slow.
"""

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

from breakglass.errors import NotFound
from breakglass.plain_file import open_plain_file
from breakglass.uploads import LEFT_FREE, media_type

FOLDER = "pictures"
"""The directory beside the log."""
MAX_BYTES = 8 << 20
"""Bytes of one picture."""
MAX_TOTAL = 256 << 20
"""Bytes of all pictures of one session."""
SUFFIXES = {"image/png": "png", "image/jpeg": "jpg", "image/gif": "gif", "image/webp": "webp"}
"""The types that are kept. Browsers run nothing in them."""
_NAME = re.compile("[0-9a-f]{64}\\.(?:png|jpg|gif|webp)")


def is_picture(path: object) -> bool:
    """Return whether `path` is one that an event of ours can name, relative to the directory of the session."""
    folder, _, name = path.partition("/") if isinstance(path, str) else ("", "", "")
    return folder == FOLDER and _NAME.fullmatch(name) is not None


def store(directory: int, pictures: Sequence[bytes]) -> list[dict[str, Any]]:
    """Write pictures into the open directory of a session. Return what the event says about each.

    One that is too large, of another type, or that the disk does not take, is left out: the log goes on without it.
    """
    kept: list[dict[str, Any]] = []
    with contextlib.suppress(OSError), _folder(directory) as folder:
        for data in pictures:
            found = media_type(data)
            if len(data) > MAX_BYTES or found not in SUFFIXES:
                continue
            name = f"{_digest(data)}.{SUFFIXES[found]}"
            if _write(folder, name, data):
                kept.append({"file": f"{FOLDER}/{name}", "type": found, "bytes": len(data)})
    return kept


def store_given(directory: int, fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of an event after the pictures among them were stored."""
    if not (given := fields.get("pictures")):
        return fields
    kept = store(directory, given)
    rest = {key: value for key, value in fields.items() if key != "pictures"}
    return rest | ({"pictures": kept} if kept else {})


def open_picture(directory: str, name: str) -> int:
    """Return a descriptor of a picture of a session, by its name in the folder. Raises NotFound."""
    try:
        if not _NAME.fullmatch(name):
            raise NotFound(f"there is no picture {name[:80]!r}")
        return open_plain_file(f"{directory}/{FOLDER}/{name}", os.O_RDONLY)
    except OSError as error:
        raise NotFound(f"the picture {name} is not beside the log") from error


def is_unchanged(directory: str, path: str) -> bool:
    """Return whether a picture has the hash that its name says. Raises NotFound."""
    name = path.rpartition("/")[2]
    with os.fdopen(open_picture(directory, name), "rb") as file:
        return _digest(file.read(MAX_BYTES + 1)) == name.partition(".")[0]


@contextlib.contextmanager
def _folder(directory: int) -> Iterator[int]:
    with contextlib.suppress(FileExistsError):
        os.mkdir(FOLDER, 0o700, dir_fd=directory)
        os.fsync(directory)
    fd = os.open(FOLDER, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        yield fd
    finally:
        os.close(fd)


def _write(folder: int, name: str, data: bytes) -> bool:
    """Write a picture, unless it is there. Returns whether it is. No reader ever sees a part of it."""
    sizes = {entry.name: entry.stat(follow_symlinks=False).st_size for entry in os.scandir(folder)}
    if sizes.get(name) == len(data):
        return True
    free = os.fstatvfs(folder)
    if sum(sizes.values()) + len(data) > MAX_TOTAL or free.f_bavail * free.f_frsize < len(data) + LEFT_FREE:
        return False
    unfinished = f"{name}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(unfinished, flags, 0o600, dir_fd=folder), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(unfinished, name, src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(unfinished, dir_fd=folder)
        return False
    return True


def _digest(data: bytes) -> str:
    from hashlib import sha256  # slow to import, and few tools return pictures

    return sha256(data).hexdigest()
