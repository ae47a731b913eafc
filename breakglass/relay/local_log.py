"""A log on this host, read for shipping: what of it is final, and whether it is still the log that was shipped."""

import fcntl
import os
from typing import NamedTuple

from breakglass import events
from breakglass.errors import NotFound
from breakglass.relay.piece import NOTHING, Head, chain, next_generation
from breakglass.store import log
from breakglass.store.sessions import Session

WINDOW = 1 << 20
"""Bytes that are read at once."""
_BLOCK = 64 << 10


class Part(NamedTuple):
    """What comes next of a log."""

    head: Head
    """What it follows: the head that the caller knows, or the beginning of a new generation."""
    data: bytes
    rest: int
    """The bytes of whole lines after it."""


def read_part(session: Session, known: Head | None) -> Part | None:
    """Return the bytes after a head, at most `WINDOW`. Blocks.

    None if a writer has the log locked: what it has written may be taken back. Raises NotFound, and OSError if the log
    cannot be read.
    """
    fd = log.open_reader(session.directory)
    try:
        size = _settled_size(fd)
        if size is None:
            return None
        head = known or NOTHING
        if known is None and stays_here(fd):
            return Part(head, b"", 0)
        if not _is_still(fd, size, head):
            head = next_generation(head)
        end = last_newline(fd, head.offset, size)
        data = os.pread(fd, min(WINDOW, end - head.offset), head.offset)
        if head.offset + len(data) < end and (whole := data.rfind(b"\n") + 1):
            data = data[:whole]
        return Part(head, data, end - head.offset - len(data))
    finally:
        os.close(fd)


def stays_here(fd: int) -> bool:
    """Return whether a log was begun by `breakglass new --local`: it is never shipped."""
    line, newline, _ = os.pread(fd, _BLOCK, 0).partition(b"\n")
    created = events.decode(line, 1)
    return bool(newline) and created["kind"] == "created" and created.get("local") is True


def count_lines(session: Session, offset: int, size: int) -> int:
    """Return the number of lines in `size` bytes of a log after an offset. Blocks."""
    lines, end = 0, offset + size
    try:
        fd = log.open_reader(session.directory)
    except (NotFound, OSError):
        return 0
    try:
        while offset < end and (data := os.pread(fd, min(WINDOW, end - offset), offset)):
            lines += data.count(b"\n")
            offset += len(data)
    except OSError:  # the relay says it when it reads the log
        pass
    finally:
        os.close(fd)
    return lines


def sync(session: Session) -> None:
    """Put the log on disk, so that a power loss here takes nothing that was shipped. Errors are the writers' matter."""
    try:
        fd = log.open_reader(session.directory)
    except (NotFound, OSError):
        return
    try:
        os.fdatasync(fd)
    except OSError:
        pass
    finally:
        os.close(fd)


def _settled_size(fd: int) -> int | None:
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    try:
        return log.size(fd)
    finally:
        fcntl.flock(fd, fcntl.LOCK_UN)


def _is_still(fd: int, size: int, head: Head) -> bool:
    """Return whether the log has the last piece that was shipped, where it was."""
    if size < head.offset:
        return False
    return (
        not head.size or chain(head.previous, os.pread(fd, head.size, head.offset - head.size)) == head.chain
    )


def last_newline(fd: int, begin: int, size: int) -> int:
    """Return the offset after the last newline of a log of `size` bytes, `begin` if there is none after it."""
    end = size
    while end > begin:
        start = max(begin, end - _BLOCK)
        found = os.pread(fd, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return begin
