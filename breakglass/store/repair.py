"""Repair a torn last line: save its bytes beside the log, then put a `repaired` event in their place.

A crash at any moment of a repair leaves a torn last line again. The caller holds the log's lock.
"""

import fcntl
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
    The file never shrinks: a smaller file makes `tail -f` start again at the top. Raises OSError, and as `sync` does.
    """
    saved_as = _free_name(f"{path}.torn-{end.offset}")
    fields = {"offset": end.offset, "bytes": torn, "saved_as": os.path.basename(saved_as)}
    line = events.encode(end.number + 1, ts, "repaired", fields)[:-1]
    length = max(len(line) + 1, torn)
    _save_torn_bytes(fd, end.offset, torn, saved_as, needed=length)
    with _without_append_mode(fd):
        _overwrite(fd, end.offset, line, end.offset + length - 1, sync)
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
def _without_append_mode(fd: int) -> Iterator[None]:
    """Clear O_APPEND for a while: with it, Linux ignores the offset of a pwrite and appends (pwrite(2), BUGS)."""
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    fcntl.fcntl(fd, fcntl.F_SETFL, flags & ~os.O_APPEND)
    try:
        yield
    finally:
        fcntl.fcntl(fd, fcntl.F_SETFL, flags)


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
