"""The disk space of a session: how much its two directories use, and deleting them.

Deleting follows no symbolic link and enters no mount. The log goes last: until then the session is listed, so a delete
that was interrupted can be repeated.
"""

import os
import shutil
import stat
from collections.abc import Iterator

from breakglass.errors import CannotRecord, Conflict
from breakglass.store import disk, log, state_cache
from breakglass.store.sessions import Session

BLOCK = 512
"""Bytes of a block in `st_blocks`, on every file system (stat(3type))."""


def disk_use(session: Session) -> int:
    """Return the bytes that a session's directories use on disk, as `du` counts them. Unreadable parts do not count."""
    inodes: dict[tuple[int, int], int] = {}  # a file with two names counts once
    for path in (session.directory, session.workspace):
        for status in _statuses(path):
            inodes[status.st_dev, status.st_ino] = status.st_blocks * BLOCK
    return sum(inodes.values())


def _statuses(top: str) -> Iterator[os.stat_result]:
    """Yield the status of `top` and of everything below it. Skips what disappears meanwhile."""
    try:
        yield os.lstat(top)
    except OSError:
        return
    waiting = [top]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except OSError:
                        continue
                    yield status
                    if stat.S_ISDIR(status.st_mode):
                        waiting.append(entry.path)
        except OSError:
            continue


def delete_files(session: Session) -> int:
    """Delete the workspace and then the session's directory. Return the bytes that they used.

    The caller holds the turn lock, or the session has no log. Raises Conflict for a mount in one of them, and
    CannotRecord if the disk refuses; the session is then still listed.
    """
    used = disk_use(session)
    for path in (session.workspace, session.directory):
        if mounts := disk.mounts_in(path):
            raise Conflict(f"{mounts[0]} is a mount; nothing was deleted. First do: umount {mounts[0]}")
    try:
        _delete_tree(session.workspace)
        for name in os.listdir(session.directory):
            if name != log.NAME:
                _delete_tree(f"{session.directory}/{name}")
        _delete_tree(session.directory)
        disk.sync_directory(session.root / "sessions")
    except OSError as error:
        reason = ": ".join(filter(None, (error.filename, error.strerror))) or str(error)
        raise CannotRecord(f"session {session.id[:8]} could not be deleted completely: {reason}") from error
    state_cache.forget(session.directory)
    return used


def _delete_tree(path: str) -> None:
    """Delete a directory with its content, or a file. One that does not exist is no error. Raises OSError."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(status.st_mode):
        os.unlink(path)
        return
    # A Go module cache, for example, has directories in which its owner may delete nothing.
    os.chmod(path, 0o700)
    for _, names, _, fd in os.fwalk(path):
        for name in names:
            if stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                os.chmod(name, 0o700, dir_fd=fd)
    shutil.rmtree(path)
