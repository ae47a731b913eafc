"""Disk space after the log of a running turn, reserved so that the turn's end can be written on a full disk.

The runner reserves blocks after the end of its log (`fallocate`; the size of the file stays). Before each append it
makes sure that `RESERVED` bytes will be free after the new line. If they will not, the append fails, and the end of the
turn fits into the space that is still reserved. Other writers of the log leave `LEFT_BY_OTHERS` of it untouched.
"""

import errno
import os
from typing import Literal

from breakglass.store import disk

RESERVED = 16 << 10
"""Bytes after the log of a running turn that only the end of the turn may use."""
LEFT_BY_OTHERS = 8 << 10
"""Bytes of `RESERVED` that other writers leave. So on a full disk a stop still fits, but a long prompt does not."""
_FILE_SYSTEM_BLOCK = 4096
"""Bytes that a file system may allocate after the end of any file. If more is allocated, a runner has reserved it."""


class ReservedSpace:
    """The space after a log, as one writer of this log uses it."""

    def __init__(self, fd: int) -> None:
        self._use: Literal["shares", "reserves", "ending"] = "shares"
        """What this writer does with the space.

        shares: it leaves what another writer may have reserved. reserves: it keeps space free for the end of its own
        turn. ending: it ends a turn and may use all space.
        """
        self._fd = fd
        self._reserved_to = 0
        """The offset up to which blocks are allocated and a file may grow."""

    def reserve(self, end: int) -> None:
        """From now on keep `RESERVED` bytes free after the end of the log. Raises OSError if there is no space."""
        self._use = "reserves"
        if end + RESERVED > self._reserved_to:
            self._extend(end, 0)

    def allow_end(self) -> None:
        """Let the following appends, which end a turn, use the reserved space."""
        self._use = "ending"

    def prepare(self, file: os.stat_result, end: int, length: int) -> None:
        """Make sure that an append of `length` bytes at the offset `end` leaves what must stay reserved.

        `file` is the status of the log before the append. Raises OSError if there is not enough space.
        """
        if self._use == "reserves":
            if end + length + RESERVED > self._reserved_to:
                self._extend(end, length)
        elif self._use == "shares" and file.st_blocks * 512 > file.st_size + _FILE_SYSTEM_BLOCK:
            disk.ensure_space(self._fd, end, length + LEFT_BY_OTHERS)

    def _extend(self, end: int, length: int) -> None:
        wanted, size_limit = end + length + RESERVED, disk.file_size_limit()
        if wanted > size_limit:
            raise OSError(errno.EFBIG, "the limit on a file's size is reached")
        # Reserve some more at once: each call costs time and an entry in the file system's journal.
        ahead = max(RESERVED, min(end >> 4, 1 << 20))
        if not disk.preallocate(self._fd, end, length + RESERVED + ahead):
            self._use = "shares"  # this file system cannot reserve space
        self._reserved_to = min(wanted + ahead, size_limit)
