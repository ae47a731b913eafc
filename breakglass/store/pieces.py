"""Read a log in framed pieces that all followers in this process share.

How this works
--------------
* A `Piece` is some whole lines, about `PIECE_BYTES` long, in the format of one kind of client. A `Frame` produces that
  format, for example server-sent events.
* A `PieceReader` reads one log with one frame. All followers of the same log and frame share it, so they share
  each read. This holds for those at the end, and for those that replay the same part one after the other.
* A `PieceCache` holds the pieces of all readers of the process within a limit. The least recently used
  are dropped first.

A piece comes from one of four sources, the cheapest first:

1. the newest piece, if this follower waits at the same offset as others;
2. the cache;
3. a read on the event loop, if at most `LOOP_BYTES` are new: they are in memory, and a thread costs more;
4. a read in a thread. The thread also reads later pieces for `AHEAD_SECONDS`, because to start it costs as much as to
   read half a piece.

Pieces end near multiples of `PIECE_BYTES`, so followers that begin at different lines soon read the same pieces. Only
such pieces are cached: otherwise each client that reconnects would leave its own copy of the whole log.

Invariant: bytes are only appended to a log, so the piece at an offset never changes. A reader remembers the last
bytes before the furthest position it has read. If these bytes have changed, the log was replaced or written over.
Then it counts as gone, and the pieces of its reader are dropped.

Rules for editors:

1. A piece holds whole lines only. A reader keeps positions, never a part of a line.
2. Close the descriptor only while `users` is 0. A thread continues to read after the follower that started it has left.
3. `_find_position` and `_read_ahead` run in threads. They may not touch the event loop.
"""

import asyncio
import os
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple, TypeVar

from aiofiles.os import wrap

from breakglass import events, kinds
from breakglass.store import log, memory, seek
from breakglass.store.seek import Position

PIECE_BYTES = 128 << 10
"""Bytes of a log that are read, framed and sent at a time. Each piece has a fixed cost. A stalled client holds one."""
LOOP_BYTES = 8 << 10
"""The largest number of new bytes that are read on the event loop."""
AHEAD_SECONDS = 0.002
"""How long a thread continues to read."""
CACHE_BYTES = 48 << 20
"""Bytes of framed pieces that one process caches. It caches at most a 32nd of its memory."""

T = TypeVar("T")

Frame = Callable[[bytes, int], bytes]
"""Returns whole lines in the format that is sent to a client. The number is that of the first line."""


class Piece(NamedTuple):
    """Some whole lines of a log, framed."""

    begin: Position
    end: Position
    body: bytes


class PieceReader:
    """Reads one log with one frame, for all followers in this process that need both."""

    def __init__(self, directory: str, frame: Frame, cache: "PieceCache") -> None:
        self.fd = log.open_reader(directory)
        self.users = 0
        """Followers, and reads that are running in threads."""
        self.size = 0
        """The size of the log in bytes when it was last checked."""
        self._path = os.path.join(directory, log.NAME)
        self._frame = frame
        self._cache = cache
        self._is_retired = False
        self._furthest = seek.START, b""
        """The furthest position that was read, and the bytes before it (`seek.tail_sample`)."""
        self._newest: Piece | None = None
        self._checked_since: object = None
        self._running: dict[int, asyncio.Task[Piece | None]] = {}
        """The reads in threads, by the offset at which they begin."""

    def retire(self) -> None:
        """Close the descriptor and drop the cached pieces as soon as there are no users."""
        self._is_retired = True
        if not self.users:
            self._cache.drop(self)
            os.close(self.fd)

    def release(self) -> None:
        """Count one user less."""
        self.users -= 1
        if self._is_retired:
            self.retire()

    def is_gone(self, position: Position = seek.START) -> bool:
        """Return whether the log was deleted, replaced, cut short, or written over before `position`."""
        try:
            there, ours = os.stat(self._path, follow_symlinks=False), os.fstat(self.fd)
        except OSError:
            return True
        is_cut = ours.st_size < self.size
        return there.st_ino != ours.st_ino or is_cut or not self._is_unchanged(position)

    def _is_unchanged(self, position: Position) -> bool:
        """Return whether the log still has the bytes that were read, and a line ends at `position`."""
        end, sample = self._furthest
        return seek.tail_sample(self.fd, end) == sample and seek.is_line_end(self.fd, position)

    async def _run_in_thread(self, call: Callable[..., T], *arguments: object) -> T:
        """Return what `call` returns in a thread. The descriptor stays open until then."""
        self.users += 1
        task = asyncio.ensure_future(wrap(call)(*arguments))
        task.add_done_callback(lambda _: self.release())
        found: T = await asyncio.shield(task)
        return found

    async def find_position(self, number: int) -> Position | None:
        """Return the position after line `number`, None if the log has no such line."""
        return await self._run_in_thread(self._find_position, number)

    def _find_position(self, number: int) -> Position | None:
        end = seek.find_end(self.fd, log.size(self.fd))
        return seek.find_after(self.fd, number, end) if number <= end.number else None

    async def read(self, begin: Position, since: object) -> Piece | None:
        """Return the piece that begins at `begin`, None if no whole line follows yet.

        `since` identifies a moment before now. Calls with the same `since` may share one result.
        """
        newest = self._newest
        if newest and newest.begin == begin and self._checked_since is since:
            return newest
        self._checked_since, self.size = since, log.size(self.fd)
        if self.size <= begin.offset:
            return None
        if newest and newest.begin == begin and newest.end.offset == self.size:
            return newest
        if piece := self._cache.get(self, begin):
            await asyncio.sleep(0)  # a replay from the cache never waits otherwise, and would block the loop
            return piece
        if self.size - begin.offset <= LOOP_BYTES:
            self._newest = self._read(begin)
            return self._newest
        task = self._running.get(begin.offset)
        if task is None:
            task = self._running[begin.offset] = asyncio.ensure_future(self._read_in_thread(begin))
            task.add_done_callback(lambda _: self._running.pop(begin.offset, None))
        return await asyncio.shield(task)  # one follower that leaves must not cancel the read of the others

    async def _read_in_thread(self, begin: Position) -> Piece | None:
        pieces = await self._run_in_thread(self._read_ahead, begin)
        for piece in pieces:
            length = piece.end.offset - piece.begin.offset
            if length > PIECE_BYTES // 2:
                # Near a multiple, so others read it too. Or one very long line: to read it again takes seconds.
                if -piece.begin.offset % PIECE_BYTES <= LOOP_BYTES or length > seek.MAX_LINE:
                    self._cache.put(self, piece)
            else:
                self._newest = piece
        return pieces[0] if pieces else None

    def _read_ahead(self, begin: Position) -> list[Piece]:
        """Return the piece that begins at `begin`, and for `AHEAD_SECONDS` those after it that are not cached."""
        pieces: list[Piece] = []
        until = time.perf_counter() + AHEAD_SECONDS
        while not pieces or time.perf_counter() < until:
            piece = self._read(begin)
            if piece is None:
                break
            pieces.append(piece)
            begin = piece.end
            if self._cache.has(self, begin):
                break
        return pieces

    def _read(self, begin: Position) -> Piece | None:
        if not self._is_unchanged(begin):
            return None
        lines, end = seek.read_lines(self.fd, begin, log.size(self.fd), _bytes_to_read(begin.offset))
        if not lines:
            return None
        if end > self._furthest[0]:
            self._furthest = end, seek.tail_sample(self.fd, end)
        return Piece(begin, end, self._frame(lines, begin.number + 1))


def _bytes_to_read(offset: int) -> int:
    """Return the bytes from `offset` to the multiple of `PIECE_BYTES` at which the piece ends."""
    return ((offset + PIECE_BYTES // 2) // PIECE_BYTES + 1) * PIECE_BYTES - offset


class PieceCache:
    """The framed pieces that this process keeps. The least recently used are dropped first."""

    def __init__(self, limit: int | None = None) -> None:
        self.size = 0
        """Bytes in the cache."""
        self._limit = min(CACHE_BYTES, memory.limit() // 32) if limit is None else limit
        self._pieces: OrderedDict[tuple[PieceReader, Position], Piece] = OrderedDict()

    def get(self, reader: PieceReader, begin: Position) -> Piece | None:
        """Return the reader's piece that begins at `begin`, None if it is not cached."""
        piece = self._pieces.get((reader, begin))
        if piece:
            self._pieces.move_to_end((reader, begin))
        return piece

    def has(self, reader: PieceReader, begin: Position) -> bool:
        """Return whether that piece is cached. May be called from any thread."""
        return (reader, begin) in self._pieces

    def put(self, reader: PieceReader, piece: Piece) -> None:
        """Add a piece."""
        self.size += len(piece.body) - len(self._remove((reader, piece.begin)))
        self._pieces[reader, piece.begin] = piece
        while self.size > self._limit:
            self.size -= len(self._pieces.popitem(last=False)[1].body)

    def drop(self, reader: PieceReader) -> None:
        """Remove all pieces of a reader."""
        for key in [key for key in self._pieces if key[0] is reader]:
            self.size -= len(self._remove(key))

    def _remove(self, key: tuple[PieceReader, Position]) -> bytes:
        piece = self._pieces.pop(key, None)
        return piece.body if piece else b""


# --- without a reader ---------------------------------------------------------------------------


def is_busy(directory: str) -> bool:
    """Return whether more lines are expected soon after the last line of a log: one small read. Raises NotFound."""
    fd = log.open_reader(directory)
    try:
        size = log.size(fd)
        block = os.pread(fd, seek.TAIL_BLOCK, max(0, size - seek.TAIL_BLOCK))
    finally:
        os.close(fd)
    # None: one line fills the block. A turn may be writing such lines.
    return _is_busy_after(block[: block.rfind(b"\n") + 1]) is not False


def _is_busy_after(lines: bytes) -> bool | None:
    """Return whether more lines are expected soon after these lines. None if their kinds of events do not show it."""
    end = len(lines) - 1
    while end > 0:
        begin = lines.rfind(b"\n", 0, end) + 1
        head = events.head(lines[begin:end])
        if head and head[1] not in kinds.ANYWHERE:
            return head[1] not in kinds.ENDS_ACTIVITY
        end = begin - 1
    return None


async def read_raw(directory: str, after: int) -> tuple[int, AsyncIterator[bytes]]:
    """Return how many bytes of whole lines follow line `after`, and these bytes in pieces. Raises NotFound."""
    fd = log.open_reader(directory)
    try:
        end = await wrap(seek.find_end)(fd, log.size(fd))
        begin = await wrap(seek.find_after)(fd, after, end)
    except BaseException:
        os.close(fd)
        raise
    return end.offset - begin.offset, _read_raw_pieces(fd, begin.offset, end.offset)


async def _read_raw_pieces(fd: int, offset: int, stop: int) -> AsyncIterator[bytes]:
    try:
        while offset < stop and (piece := await wrap(os.pread)(fd, min(PIECE_BYTES, stop - offset), offset)):
            offset += len(piece)
            yield piece
    finally:
        os.close(fd)
