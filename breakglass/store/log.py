"""The log: one append-only file of event lines. Only this module opens a log.

How this works
--------------
A log is the file `events.jsonl` in a session's directory. Any number of processes append to it and read it.

* Append. A writer takes an exclusive `flock` on the file and catches up: `fstat` says whether the file still ends where
  this writer left it. If it does not, the writer counts the lines that others added. The new line gets the next number
  as its `id` and is written with one `os.write` to an O_APPEND descriptor.
* Short write. A full disk may take only a part of a line. The writer removes that part before it releases the lock,
  and the caller gets CannotRecord.
* Torn line. After a power loss, bytes may follow the last newline. No reader has seen them. The next writer that
  catches up saves them and puts a `repaired` event in their place (repair.py).
* Full disk. The writer of a running turn reserves space, so that it can still record the turn's end
  (reserved_space.py).
* Failing disk. After the first I/O error a writer accepts only the end of its turn. A file `degraded` beside the log
  informs other processes (degraded.py).

Invariant: the `id` in a line of ours is the line's number, counted from 1. The position decides, not the `id`: any
program may append a foreign line, which may claim any number.

Rules for editors:

1. Write only under the lock and after `_catch_up`. Write whole lines, in one `os.write`.
2. Write a newline last. Readers take no lock: a line exists for them as soon as its newline does.
3. `append` runs for every event of an agent. Measure it before you add a system call.
"""

import errno
import functools
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

from breakglass import events, kinds
from breakglass.errors import CannotRecord, Degraded, NotFound, ReadOnly
from breakglass.events import Draft
from breakglass.seals import Seal
from breakglass.store import degraded, disk, repair, sealer, seek
from breakglass.store.degraded import DiskFailure
from breakglass.store.loglock import LogLock
from breakglass.store.reserved_space import ReservedSpace
from breakglass.store.sealer import Sealer
from breakglass.store.seek import Position

NAME = "events.jsonl"
GROUP_BYTES = 1 << 20
"""Unsynced bytes after which an append syncs, for every kind of event."""
ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)
"""Errors of `open` that mean that the session does not exist."""
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""Errors of `open` that do not concern the session: the process or the machine has no free descriptor or memory."""


class _LogFile:
    """The file of a log, open for one writer: whole lines are written to its end and synced. Knows no other writers."""

    def __init__(self, fd: int, directory: str, end: Position) -> None:
        self.fd = fd
        self.end = end
        """The end of the last whole line that this writer knows."""
        self.unsynced = 0
        """Bytes written since the last sync."""
        self._directory = directory
        self._space = ReservedSpace(fd)
        self._failure = DiskFailure(directory)

    def close(self) -> None:
        """Close the descriptor. Nothing is synced."""
        os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def reserve_space(self) -> None:
        """From now on, append only while space for the turn's end stays free. Raises CannotRecord if it is not."""
        try:
            self._space.reserve(self.end.offset)
        except OSError as error:
            raise self._failure.refusal("an event could not be written", error) from error

    def sync(self) -> None:
        """Put everything written so far on disk. Raises Degraded if the disk fails."""
        self.unsynced = 0
        try:
            os.fdatasync(self.fd)
        except OSError as error:
            self._failure.note()
            raise Degraded(f"the log could not be synced: {error.strerror}") from error

    def _write(self, data: bytes, lines: int, file: os.stat_result) -> None:
        try:
            self._space.prepare(file, self.end.offset, len(data))
            written = os.write(self.fd, data)
        except OSError as error:
            raise self._failure.refusal("an event could not be written", error) from error
        if written < len(data):
            os.ftruncate(self.fd, self.end.offset)
            raise CannotRecord("an event could not be written: the disk is full")
        self.unsynced += written
        self.end = Position(self.end.number + lines, self.end.offset + written)


class Log(_LogFile):
    """One writer's open log. Not for use by several threads at once."""

    def __init__(
        self,
        fd: int,
        directory: str,
        end: Position,
        seal: Seal | None = None,
        lock_timeout: float | None = None,
    ) -> None:
        super().__init__(fd, directory, end)
        self._lock = LogLock(fd, lock_timeout)
        self._seals = Sealer(fd, seal)
        self._unread: list[tuple[Position, Position]] = []
        """The ranges of lines that others added and `read_others` has not returned yet."""

    def exclusive(self) -> LogLock:
        """Return the log's lock. `with log.exclusive():` keeps other writers out between a read and an append."""
        return self._lock

    def append(self, kind: str, /, **fields: Any) -> int:
        """Append one event and return its id. Kinds in `kinds.SYNCED` are on disk when this returns.

        A `user` event gets its own id as `turn`. Raises CannotRecord if the line could not be written: no part of it
        stays. Raises Degraded on an I/O error and at every later append.
        """
        self._failure.check()
        return self._append(kind, fields)

    def _append(self, kind: str, fields: dict[str, Any]) -> int:
        with self._lock:
            file = self._catch_up()
            number = self.end.number + 1
            if kind == "turn_end" or number >= self._seals.due_at:
                self._write_events(((kind, fields),), file)
            else:
                own = {**fields, "turn": number} if kind == "user" else fields
                self._write(events.encode(number, now(), kind, own), 1, file)
        is_group = self.unsynced >= GROUP_BYTES
        if is_group or kind in kinds.SYNCED:
            self.sync()
        if is_group:
            self._seals.read_ahead(self.end)
        return number

    def append_together(self, *drafts: Draft) -> list[int]:
        """Append several events in one synced write and return their ids. Readers see all or none. Raises as append."""
        self._failure.check()
        with self._lock:
            numbers = self._write_events(drafts, self._catch_up())
        self.sync()
        return numbers

    def append_end(self, *drafts: Draft) -> None:
        """Append the events that end a turn. They may use the reserved space, and a failed disk does not stop them.

        Each event is tried, whether or not those before it were written. Raises CannotRecord if the last does not fit.
        """
        self._space.allow_end()
        refusal: CannotRecord | None = None
        for kind, fields in drafts:
            refusal = None
            try:
                self._append(kind, fields)
            except Degraded:
                pass  # the event was tried, and `append` now refuses every later one
            except CannotRecord as error:
                refusal = error
        if refusal:
            raise refusal

    def confirm(self) -> None:
        """Put on disk what others have written, before a caller is told that it is recorded. Call it under the lock.

        Its writer may have been killed before its sync, or its sync may have failed. Raises Degraded then, and always
        if the disk failed under this log.
        """
        self.sync()
        degraded.refuse_degraded(self._directory)

    def read_others(self) -> list[events.Event]:
        """Return the events that other writers have added since the log was opened or since the last call."""
        with self._lock:
            self._catch_up()
        unread, self._unread = self._unread, []
        return [event for begin, end in unread for event in read(self.fd, begin, end)]

    def _catch_up(self) -> os.stat_result:
        """Under the lock, count what others added and repair a torn line. Return the file's status from before."""
        file = os.fstat(self.fd)
        if file.st_nlink == 0:
            raise CannotRecord("the log was deleted")
        if file.st_size == self.end.offset:
            return file
        if file.st_size < self.end.offset:
            raise CannotRecord("the log was cut short by another program")
        before, self.end = self.end, seek.count_lines(self.fd, self.end, file.st_size)
        if before != self.end:
            self._unread.append((before, self.end))
        if self.end.offset < file.st_size:
            try:
                path, torn = os.path.join(self._directory, NAME), file.st_size - self.end.offset
                self.end = repair.repair_tail(self.fd, path, self.end, torn, now(), self.sync)
            except OSError as error:
                raise self._failure.refusal(
                    "the log's torn last line could not be repaired", error
                ) from error
        return file

    def _write_events(self, drafts: Sequence[Draft], file: os.stat_result) -> list[int]:
        """Under the lock, write events in one write, with a seal if one is due. Return the ids of the events.

        A seal that does not fit on the disk is left out.
        """
        batch = sealer.encode(self.end, drafts, now, self._seals)
        try:
            self._write(b"".join(batch.lines), len(batch.lines), file)
        except CannotRecord:
            if self._failure.has_failed or not batch.seal:
                raise
            batch = sealer.encode(self.end, drafts, now)
            self._write(b"".join(batch.lines), len(batch.lines), file)
        if batch.seal:
            self._seals.accept(batch.seal)
        return batch.ids


def create(directory: str) -> Log:
    """Create the log of a new session and return it open. Raises FileExistsError if there is one."""
    path = os.path.join(directory, NAME)
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    return Log(os.open(path, flags, 0o600), directory, seek.START)


def count_all(fd: int) -> tuple[Position, None]:
    """Return the end of the last whole line, found by counting. A claimed id may be wrong, and a wrong id stays."""
    return seek.count_lines(fd, seek.START, size(fd)), None


def open_log(
    directory: str,
    known: Callable[[int], tuple[Position, Seal | None]] = count_all,
    lock_timeout: float | None = None,
) -> Log:
    """Return the log of an existing session, open for appending. Raises NotFound, ReadOnly and CannotRecord.

    `known` returns, for the log's descriptor, a position that the caller knows and the newest seal before it. Lines
    after it count as added by others. Without the seal, the first new one needs to read the whole log. With a
    `lock_timeout` in seconds, an append that waits longer for the lock raises CannotRecord.
    """
    try:
        fd = _open(directory, os.O_RDWR | os.O_APPEND)
        try:
            return Log(fd, directory, *known(fd), lock_timeout)
        except BaseException:
            os.close(fd)
            raise
    except OSError as error:
        if error.errno in EXHAUSTED:
            raise
        if error.errno in disk.READ_ONLY:
            raise ReadOnly(f"this session is read-only: {error.strerror}") from error
        raise CannotRecord(f"the log could not be opened: {error.strerror}") from error


def open_reader(directory: str) -> int:
    """Return a read-only descriptor of a session's log. Raises NotFound if there is none."""
    return _open(directory, os.O_RDONLY)


def _open(directory: str, flags: int) -> int:
    """Open the log of a session. Raises NotFound unless it is a plain file.

    Neither the log nor its directory may be a symbolic link, which could lead out of the data root.
    O_NONBLOCK: without it, an open of a named pipe waits for the other end.
    """
    try:
        parent = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fd = os.open(NAME, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
        finally:
            os.close(parent)
        if stat.S_ISREG(os.fstat(fd).st_mode):
            return fd
        os.close(fd)
    except OSError as error:
        if error.errno not in (*ABSENT, errno.EISDIR):
            raise
    raise NotFound(f"there is no session {os.path.basename(directory)}")


def size(fd: int) -> int:
    """Return the size in bytes of the log that is open as `fd`."""
    return os.fstat(fd).st_size


def read(fd: int, begin: Position, end: Position) -> Iterator[events.Event]:
    """Yield the events between two positions. Only a bounded part of the log is in memory at a time."""
    while begin.offset < end.offset:
        block, following = seek.read_lines(fd, begin, end.offset)
        if not block:  # the file was cut short in the meantime
            return
        for number, line in enumerate(block[:-1].split(b"\n"), begin.number + 1):
            yield events.decode(line, number)
        begin = following


def read_one(fd: int, number: int) -> events.Event:
    """Return the event on line `number`. Raises NotFound if the log has no such line."""
    end = seek.find_end(fd, size(fd))
    if not 0 < number <= end.number:
        raise NotFound(f"the log has no line {number}")
    return next(read(fd, seek.find_after(fd, number - 1, end), end))


def now() -> str:
    """Return the current time in the format of events: RFC 3339, UTC, milliseconds."""
    return _rfc3339(time.time_ns() // 1_000_000)


def timestamp(seconds: float) -> str:
    """Return a time, in seconds since 1970, in the format of `now`."""
    return _rfc3339(int(seconds * 1000))


def _rfc3339(milliseconds: int) -> str:
    return f"{_format_second(milliseconds // 1000)}.{milliseconds % 1000:03d}Z"


@functools.lru_cache(maxsize=2)
def _format_second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
