"""Repair a torn last line: save its bytes beside the log, then put a `repaired` event in their place.

A crash at any moment of a repair leaves a torn last line again. The caller holds the log's lock.
"""

import errno
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from breakglass import events
from breakglass.store import disk, seek
from breakglass.store.seek import Position

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def repair_tail(
    fd: int, path: str, end: Position, torn: int, ts: str, sync: Callable[[], object]
) -> Position:
    """Replace the `torn` bytes after `end` by a `repaired` event and return the new end of the log.

    `path` is the path of the log, `ts` the time of the event. `sync` puts on disk what was written to the log.
    The file never shrinks: a smaller file makes `tail -f` start again at the top. Only a torn first line is removed,
    because a log begins with `created`. Raises OSError, and as `sync` does.
    """
    saved_as = _free_name(f"{path}.torn-{end.offset}")
    if not end.number:
        _save_torn_bytes(fd, 0, torn, saved_as, needed=torn)
        os.ftruncate(fd, 0)
        return end
    fields = {"offset": end.offset, "bytes": torn, "saved_as": os.path.basename(saved_as)}
    line = events.encode(end.number + 1, ts, "repaired", fields)[:-1]
    length = max(len(line) + 1, torn)
    _save_torn_bytes(fd, end.offset, torn, saved_as, needed=length)
    with _opened_without_append_mode(fd, path) as second:
        _overwrite(second, end.offset, line, end.offset + length - 1, sync)
    return Position(end.number + 1, end.offset + length)


def _free_name(name: str) -> str:
    """Return `name`, or `name-1`, `name-2` … if it is taken: an interrupted repair has saved bytes there."""
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(1)))
    return next(each for each in names if not os.path.lexists(each))


def _save_torn_bytes(fd: int, offset: int, torn: int, name: str, *, needed: int) -> None:
    """Copy the torn bytes to a new file, on disk when this returns. Make sure that `needed` bytes can replace them.

    Raises OSError and removes the file then: on a full disk each append would leave one more.
    """
    with open(os.open(name, _NEW_FILE, 0o600), "wb") as copy:
        try:
            copy.writelines(seek.read_blocks(fd, offset, offset + torn))
            copy.flush()
            os.fsync(copy.fileno())
            disk.sync_directory(os.path.dirname(name))
            disk.ensure_space(fd, offset, needed)
        except OSError:
            os.unlink(name)
            raise


@contextmanager
def _opened_without_append_mode(fd: int, path: str) -> Iterator[int]:
    """Open the file of `fd` once more: with O_APPEND, Linux ignores the offset of a pwrite (pwrite(2), BUGS).

    The flag of `fd` itself is not cleared: a FUSE file system may know only the flags of the open. The path in /proc
    leads to the same file even if its name changed (proc_pid_fd(5)). Without /proc there is only the name.
    """
    try:
        second = os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        second = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not os.path.samestat(os.fstat(fd), os.fstat(second)):
            raise FileNotFoundError(
                errno.ENOENT, "/proc is missing, and the log's name leads to another file"
            )
        yield second
    finally:
        os.close(second)


def _overwrite(fd: int, offset: int, line: bytes, newline: int, sync: Callable[[], object]) -> None:
    """Write `line` at `offset`, then spaces up to the offset `newline`, then the newline, all of it on disk.

    The newline is written last, after a sync. Readers take no lock, so an earlier newline would show them half a line.
    """
    while offset < newline:
        block = line.ljust(min(newline - offset, seek.COUNT_BLOCK))
        written = os.pwrite(fd, block, offset)
        line, offset = line[written:], offset + written
    sync()
    os.pwrite(fd, b"\n", newline)
    sync()
