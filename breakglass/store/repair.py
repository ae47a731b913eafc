"""A torn last line: its bytes are saved beside the log, and an event that says so is put in their place.

Whatever moment of this a crash hits, it leaves a torn last line again. The lock is the caller's.
"""

import fcntl
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from breakglass import events
from breakglass.store import disk, seek
from breakglass.store.seek import Position

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def mend(fd: int, path: str, end: Position, torn: int, ts: str, sync: Callable[[], object]) -> Position:
    """Save the `torn` bytes behind `end`, put a `repaired` event of the time `ts` in their place, return the new end.

    `path` is the log's, `sync` puts on disk what was written to it. The file never shrinks: `tail -f` would begin
    again at the top. Raises OSError, and what `sync` raises.
    """
    name = _free_name(f"{path}.torn-{end.offset}")
    fields = {"offset": end.offset, "bytes": torn, "saved_as": os.path.basename(name)}
    line = events.encode(end.number + 1, ts, "repaired", fields)[:-1]
    length = max(len(line) + 1, torn)
    _save_aside(fd, end.offset, torn, name, room=length)
    with _writing_anywhere(fd):
        _overwrite(fd, end.offset, line, end.offset + length - 1, sync)
    return Position(end.number + 1, end.offset + length)


def _free_name(name: str) -> str:
    """Return `name`, with a number behind it where that is taken: what a repair saved that was cut off stays."""
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(1)))
    return next(each for each in names if not os.path.lexists(each))


def _save_aside(fd: int, offset: int, torn: int, name: str, *, room: int) -> None:
    """Copy the torn bytes to a new file, on disk when this returns, and have `room` bytes to write in their place.

    Raises OSError, and then no file is left: on a full disk there would be one for each append.
    """
    with open(os.open(name, _NEW, 0o600), "wb") as aside:
        try:
            aside.writelines(seek.blocks(fd, offset, offset + torn))
            aside.flush()
            os.fsync(aside.fileno())
            disk.sync_names(os.path.dirname(name))
            disk.have(fd, offset, room)
        except OSError:
            os.unlink(name)
            raise


@contextmanager
def _writing_anywhere(fd: int) -> Iterator[None]:
    """Linux appends on pwrite to an O_APPEND descriptor, whatever the offset (pwrite(2), BUGS)."""
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    fcntl.fcntl(fd, fcntl.F_SETFL, flags & ~os.O_APPEND)
    try:
        yield
    finally:
        fcntl.fcntl(fd, fcntl.F_SETFL, flags)


def _overwrite(fd: int, offset: int, line: bytes, newline: int, sync: Callable[[], object]) -> None:
    """Write `line` over what is torn, spaces up to the offset `newline`, and only then that, all of it on disk.

    Readers take no lock: one that met the newline with the line half written would show a line that never was.
    """
    while offset < newline:
        piece = line.ljust(min(newline - offset, seek.COUNT_BLOCK))
        written = os.pwrite(fd, piece, offset)
        line, offset = line[written:], offset + written
    sync()
    os.pwrite(fd, b"\n", newline)
    sync()
