"""inotify(7): the kernel tells which watched directories have changed. No thread waits for it, only a descriptor.

The numbers are those of <sys/inotify.h>, and `_HEAD` is its `struct inotify_event`. They are part of the kernel's
interface, and the same on all architectures.
"""

import ctypes
import os
import struct
from contextlib import suppress
from typing import NamedTuple, Self

_CHANGES = 0x2 | 0x40 | 0x80 | 0x100 | 0x200
"""IN_MODIFY, IN_MOVED_FROM, IN_MOVED_TO, IN_CREATE and IN_DELETE: of the files in a directory."""
_ENDS = 0x400 | 0x800
"""IN_DELETE_SELF and IN_MOVE_SELF: the directory itself is no longer where it was."""
_ONLY_DIRECTORIES = 0x01000000
_OVERFLOW = 0x4000
_IGNORED = 0x8000
"""The watch has ended."""
_HEAD = struct.Struct("iIII")
"""Watch, mask, cookie, and the length of the name that follows."""
_BUFFER = 64 << 10

_libc = ctypes.CDLL(None, use_errno=True)


class Change(NamedTuple):
    """A change that the kernel reports."""

    watch: int | None
    """The number of the watch, None if the kernel dropped reports: any directory may have changed."""
    name: str
    """The name of the changed file, "" for the directory itself."""
    is_end: bool
    """Whether the watch has ended, because the directory was deleted or moved."""


class Inotify:
    """One inotify instance. Its descriptor `fd` is readable when there are changes."""

    def __init__(self) -> None:
        """Raises OSError if the kernel grants no instance."""
        self.fd = _checked(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))

    def add(self, directory: str) -> int:
        """Watch a directory, and return the number of the watch. Raises OSError."""
        mask = _CHANGES | _ENDS | _ONLY_DIRECTORIES
        return _checked(_libc.inotify_add_watch(self.fd, os.fsencode(directory), mask))

    def remove(self, watch: int) -> None:
        """End a watch, if it has not ended."""
        _libc.inotify_rm_watch(self.fd, watch)

    def read(self) -> list[Change]:
        """Return the next changes, none if there are none. Does not wait."""
        found, data, at = [], b"", 0
        with suppress(BlockingIOError):
            data = os.read(self.fd, _BUFFER)
        while at < len(data):
            watch, mask, _, length = _HEAD.unpack_from(data, at)
            at += _HEAD.size + length
            if mask & _ENDS:
                self.remove(watch)  # the kernel then reports its end
            name = os.fsdecode(data[at - length : at].rstrip(b"\0"))
            found.append(Change(None if mask & _OVERFLOW else watch, name, bool(mask & _IGNORED)))
        return found

    def close(self) -> None:
        """End all watches."""
        os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
