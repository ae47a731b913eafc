"""The log: one append-only file of event lines. The one place that opens and writes it.

Any number of processes write to a log at once. Each append holds an exclusive `flock` from looking at the
end of the file to the end of the write, so the `id` in a line is the number of the line. Readers take no
lock: they see whole lines only, for a line is there when its newline is.
"""

import contextlib
import errno
import fcntl
import functools
import os
import stat
import time
from collections.abc import Callable, Iterator
from typing import Any, Self

from breakglass import events
from breakglass.errors import CannotRecord, Degraded, NotFound
from breakglass.events import Draft
from breakglass.store import disk, repair, seek
from breakglass.store.seek import Position

NAME = "events.jsonl"
DEGRADED = "degraded"
"""The file beside a log that says that the disk failed under it. Whoever has mended the disk deletes it."""
GROUP_BYTES = 1 << 20
"""Unsynced bytes at which an append syncs by itself."""
ROOM = 16 << 10
"""Bytes that stay free behind the log of a running turn, so that its end can be written on a full disk."""
OTHERS_ROOM = 8 << 10
"""Bytes that other writers leave of those: on a full disk a stop finds place there, a long prompt does not."""
_BLOCK = 4096
"""Bytes that may be allocated behind any file's end."""
ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)
"""How an open fails where there is no session."""
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""How it fails where the process or the machine has no more of something: that says nothing about the session."""


class Log:
    """One writer's open log. Not for use by several threads at once."""

    def __init__(self, fd: int, directory: str, end: Position, patience: float | None = None) -> None:
        self.fd = fd
        self.unsynced = 0
        """Bytes written since the last sync."""
        self._directory = directory
        self._end = end
        self._patience = patience
        self._gaps: list[tuple[Position, Position]] = []
        self._held = 0
        self._failed = False
        self._keeps_room = False
        self._finds_room = False
        self._says_last = False
        self._room = 0
        self._size_limit = 0

    def close(self) -> None:
        """Close the descriptor; what was written stays written, synced or not."""
        os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def end(self) -> Position:
        """Where this writer believes the last whole line to end."""
        return self._end

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep every other writer out, so that what is read and then appended belongs together."""
        self._lock()
        try:
            yield
        finally:
            self._unlock()

    def _lock(self) -> None:
        if not self._held:
            try:
                self._wait_for_lock()
            except OSError as error:
                raise CannotRecord(f"the log could not be locked: {error.strerror}") from error
        self._held += 1

    def _wait_for_lock(self) -> None:
        if self._patience is None:
            return fcntl.flock(self.fd, fcntl.LOCK_EX)
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise CannotRecord(
                        f"another process has had the log locked for {self._patience:g} s"
                    ) from None
            time.sleep(0.001)

    def _unlock(self) -> None:
        self._held -= 1
        if not self._held:
            fcntl.flock(self.fd, fcntl.LOCK_UN)

    def append(self, kind: str, /, **fields: Any) -> int:
        """Append one event and return its id. What must be durable is synced before this returns.

        `turn` of a `user` event is its own id and need not be given. Raises CannotRecord where the line
        could not be written whole (nothing of it stays) and Degraded on an I/O error, from then on always.
        """
        self._check()
        return self._append(kind, fields)

    def _check(self) -> None:
        if self._failed:
            raise Degraded("the disk failed under this log; it takes no more events")

    def _append(self, kind: str, fields: dict[str, Any]) -> int:
        self._lock()
        try:
            self._catch_up()
            number = self._end.number + 1
            if kind == "user":
                fields["turn"] = number
            self._write(events.encode(number, now(), kind, fields))
        finally:
            self._unlock()
        if kind in events.SYNCED or self.unsynced >= GROUP_BYTES:
            self.sync()
        return number

    def append_together(self, *drafts: Draft) -> list[int]:
        """Append several events in one write and return their ids: no reader finds the first without the last.

        Synced, and raises, as `append`.
        """
        self._check()
        with self.exclusive():
            self._catch_up()
            numbers = list(range(self._end.number + 1, self._end.number + 1 + len(drafts)))
            lines = [
                events.encode(number, now(), kind, {**fields, "turn": number} if kind == "user" else fields)
                for number, (kind, fields) in zip(numbers, drafts, strict=True)
            ]
            self._write(b"".join(lines), len(lines))
        self.sync()
        return numbers

    def last_words(self, *drafts: Draft) -> None:
        """Append what ends a turn: into the room kept for it where the disk is full, and unsynced where it failed.

        Each is tried whatever became of those before. Raises CannotRecord where there is no place for the last.
        """
        self._keeps_room, self._says_last = False, True
        refusal: CannotRecord | None = None
        for kind, fields in drafts:
            refusal = None
            try:
                self._append(kind, fields)
            except Degraded:
                pass  # from now on nothing else is taken
            except CannotRecord as error:
                refusal = error
        if refusal:
            raise refusal

    def keep_room(self) -> None:
        """From now on have `ROOM` free behind the log, or append nothing. Raises CannotRecord where there is none."""
        self._keeps_room, self._size_limit = True, disk.size_limit()
        self._make_room(0)

    def _make_room(self, length: int) -> None:
        wanted = self._end.offset + length + ROOM
        if wanted > self._size_limit:
            raise CannotRecord("an event could not be written: the limit on a file's size is reached")
        if wanted <= self._room:
            return
        ahead = max(ROOM, min(self._end.offset >> 4, 1 << 20))  # 10 µs and a place in the journal each time
        try:
            self._keeps_room = disk.keep(self.fd, self._end.offset, length + ROOM + ahead)
        except OSError as error:
            raise self._refusal("an event could not be written", error) from error
        self._room = wanted + ahead

    def sync(self) -> None:
        """Put everything written so far on disk. Raises Degraded where the disk fails."""
        self.unsynced = 0
        try:
            os.fdatasync(self.fd)
        except OSError as error:
            self._degrade()
            raise Degraded(f"the log could not be synced: {error.strerror}") from error

    def _refusal(self, what: str, error: OSError) -> CannotRecord:
        if error.errno != errno.EIO:
            return CannotRecord(f"{what}: {error.strerror}")
        self._degrade()
        return Degraded(f"{what}: the disk failed ({error.strerror})")

    def _degrade(self) -> None:
        """Take nothing more, and say so to others as far as a failing disk lets us."""
        self._failed = True
        with contextlib.suppress(OSError):
            flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(os.path.join(self._directory, DEGRADED), flags, 0o600))

    def others(self) -> list[events.Event]:
        """Return, once each, the events that other writers added since this one first looked."""
        with self.exclusive():
            self._catch_up()
        gaps, self._gaps = self._gaps, []
        return [event for begin, end in gaps for event in read(self.fd, begin, end)]

    def _catch_up(self) -> None:
        """Under the lock: account for what others wrote, and mend a torn tail. Leaves `_end` at the file's end."""
        status = os.fstat(self.fd)
        self._finds_room = status.st_blocks * 512 > status.st_size + _BLOCK
        if status.st_nlink == 0:
            raise CannotRecord("the log was deleted")
        if status.st_size == self._end.offset:
            return
        if status.st_size < self._end.offset:
            raise CannotRecord("the log was cut short by somebody")
        before, self._end = self._end, seek.count(self.fd, self._end, status.st_size)
        if before != self._end:
            self._gaps.append((before, self._end))
        if self._end.offset < status.st_size:
            try:
                path, torn = os.path.join(self._directory, NAME), status.st_size - self._end.offset
                self._end = repair.mend(self.fd, path, self._end, torn, now(), self.sync)
            except OSError as error:
                raise self._refusal("the log's torn last line could not be repaired", error) from error

    def _write(self, line: bytes, lines: int = 1) -> None:
        if self._keeps_room:
            if self._end.offset + len(line) + ROOM > min(self._room, self._size_limit):
                self._make_room(len(line))
        elif self._finds_room and not self._says_last:  # a runner keeps it, or did
            try:
                disk.have(self.fd, self._end.offset, len(line) + OTHERS_ROOM)
            except OSError as error:
                raise self._refusal("an event could not be written", error) from error
        try:
            written = os.write(self.fd, line)
        except OSError as error:
            raise self._refusal("an event could not be written", error) from error
        if written < len(line):
            os.ftruncate(self.fd, self._end.offset)
            raise CannotRecord("an event could not be written: the disk is full")
        self.unsynced += written
        self._end = Position(self._end.number + lines, self._end.offset + written)


def create(directory: str) -> Log:
    """Make the log of a new session and return it open. Raises FileExistsError where there is one."""
    path = os.path.join(directory, NAME)
    return Log(
        os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600),
        directory,
        seek.START,
    )


def counted(fd: int) -> Position:
    """Return the position after the last whole line, by counting: a claim may lie, and a wrong id stays for ever."""
    return seek.count(fd, seek.START, size(fd))


def open_log(
    directory: str, find_end: Callable[[int], Position] = counted, patience: float | None = None
) -> Log:
    """Return the log of an existing session, open for appending. Raises NotFound and CannotRecord.

    `find_end` gives, of its descriptor, a position that the caller knows: what stands behind it counts as added by
    others. Whoever has `patience` waits for the lock so many seconds and then raises CannotRecord.
    """
    try:
        fd = _open(directory, os.O_RDWR | os.O_APPEND)
        try:
            return Log(fd, directory, find_end(fd), patience)
        except BaseException:
            os.close(fd)
            raise
    except OSError as error:
        if error.errno in EXHAUSTED:
            raise
        raise CannotRecord(f"the log could not be opened: {error.strerror}") from error


def open_reader(directory: str) -> int:
    """Return a read-only descriptor of a session's log. Raises NotFound where there is none."""
    return _open(directory, os.O_RDONLY)


def is_degraded(directory: str) -> bool:
    """Return whether the disk failed under the log there."""
    return os.path.lexists(os.path.join(directory, DEGRADED))


def _open(directory: str, flags: int) -> int:
    """Neither the log nor its directory may be a link, which could lead out of the data root; nor may it be a pipe."""
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
    """Return the size in bytes of the log behind `fd`."""
    return os.fstat(fd).st_size


def read(fd: int, begin: Position, end: Position) -> Iterator[events.Event]:
    """Yield the events between two positions, a bounded piece in memory at a time."""
    while begin.offset < end.offset:
        block, following = seek.lines(fd, begin, end.offset)
        if not block:  # the file was cut short meanwhile
            return
        for number, line in enumerate(block[:-1].split(b"\n"), begin.number + 1):
            yield events.decode(line, number)
        begin = following


def read_one(fd: int, number: int) -> events.Event:
    """Return the event on line `number`. Raises NotFound where the log has no such line."""
    end = seek.last(fd, size(fd))
    if not 0 < number <= end.number:
        raise NotFound(f"the log has no line {number}")
    return next(read(fd, seek.after(fd, number - 1, end), end))


def now() -> str:
    """Return the time as RFC 3339 in UTC with milliseconds."""
    return _rfc3339(time.time_ns() // 1_000_000)


def timestamp(seconds: float) -> str:
    """Return a time, in seconds since 1970, as `now` would."""
    return _rfc3339(int(seconds * 1000))


def _rfc3339(milliseconds: int) -> str:
    return f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03d}Z"


@functools.lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
