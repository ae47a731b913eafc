"""The files in a workspace: stored for users, listed and opened.

An agent owns its workspace and can put links into it at any time. So each directory of a path is opened by itself,
relative to the one before, and no link is followed. Nothing outside the workspace is read or written. The runner
imports this module, so it imports nothing slow.
"""

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from breakglass.errors import BadInput, CannotRecord, Conflict, NotFound
from breakglass.events import Event
from breakglass.plain_file import open_plain_file
from breakglass.store.log import timestamp
from breakglass.uploads import FOLDER, LEFT_FREE, MAX_BYTES, MAX_FILES, MAX_TOTAL, is_relative, numbered

MAX_LISTED = 1000
"""Files that a listing has at most."""
MAX_SEEN = 20_000
"""Entries of directories that are looked at for a listing: a workspace may hold a million files."""
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Entry(NamedTuple):
    """A plain file in a workspace."""

    path: str
    bytes: int
    modified: str
    """The time in the format of events."""


class Listing(NamedTuple):
    """The files of a workspace, those of the upper directories first."""

    files: list[Entry]
    is_complete: bool


def open_file(workspace: str, path: str) -> int:
    """Return a descriptor of a plain file in the workspace. Raises NotFound for everything else."""
    if not is_relative(path):
        raise NotFound(f"there is no file {path[:80]!r} in the workspace")
    *directories, name = path.split("/")
    try:
        with _directory(workspace, directories) as directory:
            return open_plain_file(name, os.O_RDONLY, directory)
    except (OSError, ValueError) as error:
        raise NotFound(f"there is no plain file {path[:80]!r} in the workspace") from error


@contextlib.contextmanager
def _directory(workspace: str, names: list[str]) -> Iterator[int]:
    """Yield a descriptor of a directory in the workspace. Raises OSError."""
    fd = os.open(workspace, _DIRECTORY)
    try:
        for name in names:
            below = os.open(name, _DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = below
        yield fd
    finally:
        os.close(fd)


def read_recorded(workspace: str, event: Event) -> bytes:
    """Return the bytes of a file that a `file` event recorded, b"" if they are not there or were changed since."""
    try:
        with os.fdopen(open_file(workspace, str(event.get("path"))), "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (NotFound, OSError):
        return b""
    return data if hashlib.sha256(data).hexdigest() == event.get("sha256") else b""


def check_files(workspace: str, paths: list[str]) -> None:
    """Raise BadInput unless each path names a plain file in the workspace."""
    for path in paths:
        try:
            os.close(open_file(workspace, path))
        except NotFound as error:
            raise BadInput(f"files: {error}") from error


def list_files(workspace: str) -> Listing:
    """Return the plain files of the workspace. Links, sockets, unreadable directories and names that are not UTF-8 are
    left out.
    """
    found: list[Entry] = []
    waiting, seen = [""], 0
    while waiting and len(found) < MAX_LISTED and seen < MAX_SEEN:
        folder = waiting.pop(0)
        below = []
        for name, status in _entries(workspace, folder):
            seen += 1
            if stat.S_ISDIR(status.st_mode):
                below.append(f"{folder}{name}/")
            elif stat.S_ISREG(status.st_mode):
                found.append(Entry(f"{folder}{name}", status.st_size, timestamp(status.st_mtime)))
        waiting += sorted(below)
    return Listing(found[:MAX_LISTED], not waiting and len(found) <= MAX_LISTED)


def _entries(workspace: str, folder: str) -> list[tuple[str, os.stat_result]]:
    """Return the entries of a directory with their status, by name. One that cannot be read has none."""
    found = []
    with (
        contextlib.suppress(OSError),
        _directory(workspace, folder.split("/")[:-1]) as directory,
        os.scandir(directory) as entries,
    ):
        for entry in islice(entries, MAX_SEEN):
            with contextlib.suppress(OSError, UnicodeEncodeError):  # no address can name what is not UTF-8
                entry.name.encode()
                found.append((entry.name, entry.stat(follow_symlinks=False)))
    return sorted(found)


def store(workspace: str, name: str, data: bytes) -> str:
    """Write a user's file into the workspace, under a name that is not taken. Return its path.

    The file is on disk then, and belongs to the workspace's user. Raises Conflict if the session has too many files,
    and CannotRecord if the disk is full or refuses.
    """
    try:
        os.makedirs(workspace, 0o700, exist_ok=True)
        with _directory(workspace, []) as top:
            owner = os.fstat(top)
            with contextlib.suppress(FileExistsError):
                os.mkdir(FOLDER, 0o700, dir_fd=top)
                os.chown(FOLDER, owner.st_uid, owner.st_gid, dir_fd=top, follow_symlinks=False)
        with _directory(workspace, [FOLDER]) as folder:
            _check_limits(folder, len(data))
            return f"{FOLDER}/{_write_new(folder, name, data, owner)}"
    except OSError as error:
        raise CannotRecord(f"the file could not be stored: {error.strerror}") from error


def discard(workspace: str, path: str) -> None:
    """Delete a file that was stored and is not recorded."""
    *directories, name = path.split("/")
    with contextlib.suppress(OSError), _directory(workspace, directories) as directory:
        os.unlink(name, dir_fd=directory)


def _check_limits(folder: int, size: int) -> None:
    with os.scandir(folder) as entries:
        sizes = [entry.stat(follow_symlinks=False).st_size for entry in entries]
    if len(sizes) >= MAX_FILES:
        raise Conflict(f"this session has {MAX_FILES} files already; delete some in its {FOLDER}")
    if sum(sizes) + size > MAX_TOTAL:
        raise Conflict(
            f"the files of this session have at most {MAX_TOTAL >> 20} MiB; delete some in its {FOLDER}"
        )
    free = os.fstatvfs(folder)
    if free.f_bavail * free.f_frsize < size + LEFT_FREE:
        raise CannotRecord(f"the disk is nearly full: a file must leave {LEFT_FREE >> 20} MiB free")


def _write_new(folder: int, name: str, data: bytes, owner: os.stat_result) -> str:
    """Write a new file in an open directory. Return its name. Raises OSError; then nothing stays."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    for number in range(1, MAX_FILES + 2):
        chosen = name if number == 1 else numbered(name, number)
        with contextlib.suppress(FileExistsError):
            fd = os.open(chosen, flags, 0o600, dir_fd=folder)
            break
    else:
        raise FileExistsError(errno.EEXIST, "every name like it is taken")
    try:
        with os.fdopen(fd, "wb") as file:
            os.fchown(fd, owner.st_uid, owner.st_gid)
            file.write(data)
            file.flush()
            os.fsync(fd)
        os.fsync(folder)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(chosen, dir_fd=folder)
        raise
    return chosen
