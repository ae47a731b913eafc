"""Follow a log: replay and tail are one loop over the file, and the file is the only buffer.

A follower keeps a position and nothing else. It takes whole lines from there, framed for its kind of
client, and waits at the end. Pieces of a log never change, so followers at the same place share one read
and one framed piece, whether they stand at the end together or replay the beginning one after the other.
"""

import asyncio
import os
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from enum import Enum, auto
from typing import NamedTuple, TypeVar

from aiofiles.os import wrap

from breakglass import events
from breakglass.store import log, memory, seek
from breakglass.store.seek import Position
from breakglass.store.watch import Topic, Watch

PIECE = 128 << 10
"""Bytes of log read, framed and sent at a time: a chunk costs 15 µs, and what a stalled client holds grows with it."""
LIVE = 8 << 10
"""Bytes that were just appended are read at once: they are in memory, and a thread costs 60 µs (2026-11-23)."""
AHEAD_SECONDS = 0.002
"""How long a thread goes on reading: a hop there and back costs as much as half a piece."""
KEPT = 48 << 20
"""Bytes of framed pieces that one process keeps, a 32nd of its memory at most."""
IDLE_SOURCES = 16
"""Logs kept open that nobody follows at the moment."""

T = TypeVar("T")

Frame = Callable[[bytes, int], bytes]
"""Turns whole lines, the first of them of the given number, into what a client is sent."""


class Piece(NamedTuple):
    """Some whole lines of a log, framed."""

    begin: Position
    end: Position
    body: bytes
    is_busy: bool | None
    """Whether more is expected soon after its last line, None where it does not tell."""


class Mark(Enum):
    """What a follower learns besides pieces."""

    CAUGHT_UP = auto()
    """Everything that was there has been sent; what comes now is live."""
    RESET = auto()
    """The log is not the one the client knew: it starts afresh from line 1."""
    QUIET = auto()
    """Woken, and nothing new: time to say that we are still here."""
    GONE = auto()
    """The log was deleted, cut short or replaced. The last mark of a stream."""


class Source:
    """One log as all its followers in this process that want the same frames read it."""

    def __init__(self, directory: str, frame: Frame, kept: "Kept") -> None:
        self.fd = log.open_reader(directory)
        self.users = 0
        """Followers, and reads in threads: such a read goes on when the follower that asked for it has left."""
        self._path = os.path.join(directory, log.NAME)
        self._frame = frame
        self._kept = kept
        self._is_retired = False
        self.size = 0
        """Bytes of the log when last looked at."""
        self._mark = seek.START, b""
        """A position that was read to, and the log's mark there."""
        self._newest: Piece | None = None
        self._since: object = None
        self._reading: dict[int, asyncio.Task[Piece | None]] = {}

    def retire(self) -> None:
        """Close the descriptor and forget what was kept, as soon as nobody uses it."""
        self._is_retired = True
        if not self.users:
            self._kept.forget(self)
            os.close(self.fd)

    def let_go(self) -> None:
        """Count one user less."""
        self.users -= 1
        if self._is_retired:
            self.retire()

    def is_gone(self, position: Position = seek.START) -> bool:
        """Return whether the path leads to another file now, or this one was cut or is another up to `position`."""
        try:
            there, ours = os.stat(self._path, follow_symlinks=False), os.fstat(self.fd)
        except OSError:
            return True
        is_cut = ours.st_size < self.size
        return there.st_ino != ours.st_ino or is_cut or not self._is_same(position)

    def _is_same(self, position: Position) -> bool:
        """Return whether the log is still what was read of it, and a line ends at `position`."""
        end, mark = self._mark
        return seek.mark(self.fd, end) == mark and seek.is_line_end(self.fd, position)

    async def _aside(self, call: Callable[..., T], *arguments: object) -> T:
        """Return what `call` returns in a thread, the descriptor kept open until it does."""
        self.users += 1
        task = asyncio.ensure_future(wrap(call)(*arguments))
        task.add_done_callback(lambda _: self.let_go())
        found: T = await asyncio.shield(task)
        return found

    async def locate(self, number: int) -> Position | None:
        """Return the position after line `number`, None where the log has no such line."""
        return await self._aside(self._locate, number)

    def _locate(self, number: int) -> Position | None:
        end = seek.last(self.fd, log.size(self.fd))
        return seek.after(self.fd, number, end) if number <= end.number else None

    async def read(self, begin: Position, since: object) -> Piece | None:
        """Return the piece that begins there, None while no whole line does.

        Whoever gives the same `since`, a moment before now, is content with what somebody has found since then.
        """
        newest = self._newest
        if newest and newest.begin == begin and self._since is since:
            return newest
        self._since, self.size = since, log.size(self.fd)
        if self.size <= begin.offset:
            return None
        if newest and newest.begin == begin and newest.end.offset == self.size:
            return newest
        if piece := self._kept.get(self, begin):
            await asyncio.sleep(0)  # it needs no wait, and one replay must not starve the loop
            return piece
        if self.size - begin.offset <= LIVE:
            self._newest = self._read(begin)
            return self._newest
        task = self._reading.get(begin.offset)
        if task is None:
            task = self._reading[begin.offset] = asyncio.ensure_future(self._read_aside(begin))
            task.add_done_callback(lambda _: self._reading.pop(begin.offset, None))
        return await asyncio.shield(task)  # shared: one follower leaving must not stop the others' read

    async def _read_aside(self, begin: Position) -> Piece | None:
        pieces = await self._aside(self._read_ahead, begin)
        for piece in pieces:
            if piece.end.offset - piece.begin.offset > PIECE // 2:
                if -piece.begin.offset % PIECE <= LIVE:  # where others will begin a piece, too
                    self._kept.put(self, piece)
            else:
                self._newest = piece
        return pieces[0] if pieces else None

    def _read_ahead(self, begin: Position) -> list[Piece]:
        """Return the piece from there on, and for `AHEAD_SECONDS` those after it that are not kept yet."""
        pieces: list[Piece] = []
        until = time.perf_counter() + AHEAD_SECONDS
        while not pieces or time.perf_counter() < until:
            piece = self._read(begin)
            if piece is None:
                break
            pieces.append(piece)
            begin = piece.end
            if self._kept.has(self, begin):
                break
        return pieces

    def _read(self, begin: Position) -> Piece | None:
        if not self._is_same(begin):  # cut short or written over, and grown again since
            return None
        lines, end = seek.lines(self.fd, begin, log.size(self.fd), _reach(begin.offset))
        if not lines:
            return None
        if end > self._mark[0]:
            self._mark = end, seek.mark(self.fd, end)
        return Piece(begin, end, self._frame(lines, begin.number + 1), _expects_more(lines))

    async def ends_busy(self) -> bool:
        """Return whether more is expected soon after the last line there is."""
        return await self._aside(self._ends_busy)

    def _ends_busy(self) -> bool:
        return _ends_busy(self.fd)


def _reach(offset: int) -> int:
    """Return the bytes to read from there: to a multiple of `PIECE`, where followers from anywhere meet."""
    return ((offset + PIECE // 2) // PIECE + 1) * PIECE - offset


def ends_busy(directory: str) -> bool:
    """Return whether more was expected soon when a log was last written to: one small read. Raises NotFound."""
    fd = log.open_reader(directory)
    try:
        return _ends_busy(fd)
    finally:
        os.close(fd)


def _ends_busy(fd: int) -> bool:
    size = log.size(fd)
    block = os.pread(fd, seek.TAIL, max(0, size - seek.TAIL))
    return _expects_more(block[: block.rfind(b"\n") + 1]) is not False  # a line longer than that: it may be


def _expects_more(lines: bytes) -> bool | None:
    end = len(lines) - 1
    while end > 0:
        begin = lines.rfind(b"\n", 0, end) + 1
        found = events.head(lines[begin:end])
        if found and found[1] not in events.ANYWHERE:
            return found[1] not in events.ENDS_ACTIVITY
        end = begin - 1
    return None


class Kept:
    """The framed pieces this process keeps, the least recently used of them dropped first."""

    def __init__(self, limit: int | None = None) -> None:
        self.size = 0
        """Bytes kept."""
        self._limit = min(KEPT, memory.limit() // 32) if limit is None else limit
        self._pieces: OrderedDict[tuple[Source, Position], Piece] = OrderedDict()

    def get(self, source: Source, begin: Position) -> Piece | None:
        """Return the piece of `source` that begins there, if it was kept."""
        piece = self._pieces.get((source, begin))
        if piece:
            self._pieces.move_to_end((source, begin))
        return piece

    def has(self, source: Source, begin: Position) -> bool:
        """Return whether that piece is kept. From any thread."""
        return (source, begin) in self._pieces

    def put(self, source: Source, piece: Piece) -> None:
        """Keep a piece."""
        self.size += len(piece.body) - len(self._drop((source, piece.begin)))
        self._pieces[source, piece.begin] = piece
        while self.size > self._limit:
            self.size -= len(self._pieces.popitem(last=False)[1].body)

    def forget(self, source: Source) -> None:
        """Drop all pieces of a source."""
        for key in [key for key in self._pieces if key[0] is source]:
            self.size -= len(self._drop(key))

    def _drop(self, key: tuple[Source, Position]) -> bytes:
        piece = self._pieces.pop(key, None)
        return piece.body if piece else b""


class Hub:
    """Everybody in this process who follows a log. Lives on one event loop."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._kept = Kept()
        self._sources: OrderedDict[tuple[str, Frame], Source] = OrderedDict()
        self._closing = asyncio.Event()

    async def follow(self, directory: str, after: int, frame: Frame) -> AsyncGenerator[Piece | Mark, None]:
        """Yield the lines after line `after`, framed: those that are there, `CAUGHT_UP`, then those to come.

        Where the log has no line `after`, `RESET` comes first and then everything from line 1. Ends only
        after `GONE` or `close`. Raises NotFound.
        """
        source = self._source(directory, frame)
        source.users += 1
        try:
            position = await source.locate(after)
            if position is None:
                yield Mark.RESET
                position = seek.START
            if self._closing.is_set():
                return
            with self._watch.topic(directory) as topic:
                async for step in self._run(source, topic, position):
                    yield step
        finally:
            source.let_go()
            self._trim()

    async def _run(self, source: Source, topic: Topic, position: Position) -> AsyncIterator[Piece | Mark]:
        caught_up = False
        while not self._closing.is_set():
            changed = topic.changed  # armed before the read: what is appended from here on will set it
            newest = None
            while not self._closing.is_set() and (piece := await source.read(position, changed)):
                newest, position = piece, piece.end
                yield piece
                if position.offset == source.size:
                    break  # what came since then has set `changed`
            if self._closing.is_set():
                return
            if newest and newest.is_busy is not None:
                self._watch.set_busy(topic, newest.is_busy)
            if not caught_up:
                if not newest:  # a turn may run, or be lost, of which this client knows all there is
                    self._watch.set_busy(topic, await source.ends_busy())
                caught_up = True
                yield Mark.CAUGHT_UP
            elif not newest:
                if source.is_gone(position):
                    yield Mark.GONE
                    return
                yield Mark.QUIET
            await changed.wait()

    def _source(self, directory: str, frame: Frame) -> Source:
        source = self._sources.get((directory, frame))
        if source and source.is_gone():
            self._sources.pop((directory, frame)).retire()
            source = None
        if source is None:
            source = self._sources[directory, frame] = Source(directory, frame, self._kept)
        self._sources.move_to_end((directory, frame))
        return source

    def _trim(self) -> None:
        """Keep a few sources that nobody follows: a client that reconnects finds its frames made."""
        idle = [key for key, source in self._sources.items() if not source.users]
        for key in idle[: max(0, len(idle) - IDLE_SOURCES)]:
            self._sources.pop(key).retire()

    def is_followed(self) -> bool:
        """Return whether anybody follows anything."""
        return bool(self._watch.followed())

    def busy(self) -> list[str]:
        """Return the directories of the followed sessions whose log ended, when last read, within a turn."""
        return [directory for directory, topic in self._watch.followed().items() if topic.busy]

    async def close(self) -> None:
        """End every `follow` promptly and close the files."""
        self._closing.set()
        await self._watch.close()
        while self._sources:
            self._sources.popitem()[1].retire()


async def read_raw(directory: str, after: int) -> tuple[int, AsyncIterator[bytes]]:
    """Return how many bytes of whole lines follow line `after`, and those bytes, piece by piece. Raises NotFound."""
    fd = log.open_reader(directory)
    try:
        end = await wrap(seek.last)(fd, log.size(fd))
        begin = await wrap(seek.after)(fd, after, end)
    except BaseException:
        os.close(fd)
        raise
    return end.offset - begin.offset, _raw_pieces(fd, begin.offset, end.offset)


async def _raw_pieces(fd: int, offset: int, stop: int) -> AsyncIterator[bytes]:
    try:
        while offset < stop and (piece := await wrap(os.pread)(fd, min(PIECE, stop - offset), offset)):
            offset += len(piece)
            yield piece
    finally:
        os.close(fd)
