"""Pictures that tools returned: each is a file beside the log, named by its hash, and an event names it.

The runner imports this module, so it imports nothing slow.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

from breakglass.errors import NotFound
from breakglass.plain_file import open_plain_file
from breakglass.uploads import LEFT_FREE, PICTURE_FOLDER, PICTURES, is_picture, media_type

MAX_BYTES = 8 << 20
"""Bytes of one picture."""
MAX_TOTAL = 256 << 20
"""Bytes of all pictures of one session."""


def store(directory: int, pictures: Sequence[bytes]) -> list[dict[str, Any]]:
    """Write pictures into the open directory of a session. Return what the event says about each.

    One that is too large, of another type, or that the disk does not take, is left out: the log goes on without it.
    """
    kept: list[dict[str, Any]] = []
    with contextlib.suppress(OSError), _folder(directory) as folder:
        for data in pictures:
            found = media_type(data)
            if len(data) > MAX_BYTES or found not in PICTURES:
                continue
            name = f"{_digest(data)}.{PICTURES[found]}"
            if _write(folder, name, data):
                kept.append({"file": f"{PICTURE_FOLDER}/{name}", "type": found, "bytes": len(data)})
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
        if not is_picture(f"{PICTURE_FOLDER}/{name}"):
            raise NotFound(f"there is no picture {name[:80]!r}")
        return open_plain_file(f"{directory}/{PICTURE_FOLDER}/{name}", os.O_RDONLY)
    except OSError as error:
        raise NotFound(f"the picture {name} is not beside the log") from error


def has_any(directory: str) -> bool:
    """Return whether pictures are beside the log of a session."""
    return os.path.isdir(f"{directory}/{PICTURE_FOLDER}")


def named_in(event: dict[str, Any]) -> list[str]:
    """Return the paths of the pictures that a `tool_result` names. Any program can write into a log."""
    given = event.get("pictures") if event.get("kind") == "tool_result" else None
    paths = [each.get("file") for each in given if isinstance(each, dict)] if isinstance(given, list) else []
    return [path for path in paths if is_picture(path)]


def read(directory: str, path: str) -> bytes:
    """Return a picture by the path that an event names, b"" if it is missing or was changed."""
    with (
        contextlib.suppress(NotFound),
        os.fdopen(open_picture(directory, path.rpartition("/")[2]), "rb") as file,
    ):
        data = file.read(MAX_BYTES + 1)
        return data if _has_name(data, path) else b""
    return b""


def is_unchanged(directory: str, path: str) -> bool:
    """Return whether a picture has the hash that its name says. Raises NotFound."""
    with os.fdopen(open_picture(directory, path.rpartition("/")[2]), "rb") as file:
        return _has_name(file.read(MAX_BYTES + 1), path)


def _has_name(data: bytes, path: str) -> bool:
    return f"/{_digest(data)}." in path


@contextlib.contextmanager
def _folder(directory: int) -> Iterator[int]:
    with contextlib.suppress(FileExistsError):
        os.mkdir(PICTURE_FOLDER, 0o700, dir_fd=directory)
        os.fsync(directory)
    fd = os.open(
        PICTURE_FOLDER, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory
    )
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
    return hashlib.sha256(data).hexdigest()
