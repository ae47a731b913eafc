"""Follow a log: replay what is there, then deliver what is appended, in one loop over the file.

How this works
--------------
A follower keeps a position in the log and nothing else. `Followers.follow` repeats four steps:

1. take the event that the watcher will set at the next change (`topic.changed`);
2. read pieces from the position up to the end of the file, and yield each;
3. at the end of the file, yield `CAUGHT_UP` the first time, and later `QUIET` or `GONE` if there was nothing new;
4. wait for the event from step 1.

Invariant: a line that is appended after step 1 sets that event, and a line that is appended before is read in step 2.
So no line is missed. A lost wake only delays a line: the watcher also wakes every follower once a tick (watch.py).

There is no queue between writer and client. The file is the buffer: a slow client reads later and needs no
memory. Followers of the same log and frame share a `PieceReader` (pieces.py), which is kept for a while after
the last one has left.

Rules for editors:

1. Take `changed` before the read, and wait for it after the read. Any other order loses lines.
2. Yield only what is in the file. A fact that only this process knows is a `FollowSignal`.
3. `follow` must end promptly after `close`, in every step: the shutdown of the server waits for it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator
from enum import Enum, auto

from breakglass.store import seek
from breakglass.store.pieces import Frame, Piece, PieceCache, PieceReader
from breakglass.store.seek import Position
from breakglass.store.watch import Topic, Watch

IDLE_READERS = 16
"""Readers without a follower that are kept: a client that reconnects finds its pieces still cached."""


class FollowSignal(Enum):
    """What `follow` yields besides pieces."""

    CAUGHT_UP = auto()
    """All existing lines have been delivered. Every later line is delivered when it is appended."""
    RESET = auto()
    """The log has no line with the number that the client gave. Delivery starts again from line 1."""
    QUIET = auto()
    """The follower was woken and found nothing new. A server can send a keepalive comment now."""
    GONE = auto()
    """The log was deleted, cut short or replaced. `follow` ends."""


class Followers:
    """All followers of logs in this process. Use it on one event loop only."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._cache = PieceCache()
        self._readers: OrderedDict[tuple[str, Frame], PieceReader] = OrderedDict()
        self._closing = asyncio.Event()

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(reader.users for reader in self._readers.values())

    async def follow(
        self, directory: str, after: int, frame: Frame
    ) -> AsyncGenerator[Piece | FollowSignal, None]:
        """Yield the lines after line `after`, framed: the existing lines, `CAUGHT_UP`, then new lines.

        If the log has no line `after`, yields `RESET` first and then everything from line 1. Ends only after `GONE`
        or `close`. Raises NotFound.
        """
        reader = self._reader(directory, frame)
        reader.users += 1
        try:
            position = await reader.find_position(after)
            if position is None:
                yield FollowSignal.RESET
                position = seek.START
            if self._closing.is_set():
                return
            with self._watch.topic(directory) as topic:
                async for step in self._deliver(reader, topic, position):
                    yield step
        finally:
            reader.release()
            self._retire_idle_readers()

    async def _deliver(
        self, reader: PieceReader, topic: Topic, position: Position
    ) -> AsyncIterator[Piece | FollowSignal]:
        is_caught_up = False
        while not self._closing.is_set():
            changed = topic.changed
            newest = None
            while not self._closing.is_set() and (piece := await reader.read(position, changed)):
                newest, position = piece, piece.end
                yield piece
                if position.offset == reader.size:
                    break  # lines that were appended later have set `changed`
            if self._closing.is_set():
                return
            if newest and newest.is_busy is not None:
                self._watch.set_busy(topic, is_busy=newest.is_busy)
            if not is_caught_up:
                if not newest:  # the client missed nothing, but a turn may still be running, or lost
                    self._watch.set_busy(topic, is_busy=await reader.is_busy())
                is_caught_up = True
                yield FollowSignal.CAUGHT_UP
            elif not newest:
                if reader.is_gone(position):
                    yield FollowSignal.GONE
                    return
                yield FollowSignal.QUIET
            await changed.wait()

    def _reader(self, directory: str, frame: Frame) -> PieceReader:
        reader = self._readers.get((directory, frame))
        if reader and reader.is_gone():
            self._readers.pop((directory, frame)).retire()
            reader = None
        if reader is None:
            reader = self._readers[directory, frame] = PieceReader(directory, frame, self._cache)
        self._readers.move_to_end((directory, frame))
        return reader

    def _retire_idle_readers(self) -> None:
        idle = [key for key, reader in self._readers.items() if not reader.users]
        kept = 0 if self._closing.is_set() else IDLE_READERS
        for key in idle[: max(0, len(idle) - kept)]:
            self._readers.pop(key).retire()

    def is_followed(self) -> bool:
        """Return whether any log has a follower."""
        return bool(self._watch.followed())

    def directories(self) -> list[str]:
        """Return the directories of all followed sessions."""
        return [*self._watch.followed()]

    def busy_directories(self) -> list[str]:
        """Return the directories of followed sessions whose log, when last read, expected more lines soon."""
        return [directory for directory, topic in self._watch.followed().items() if topic.is_busy]

    async def close(self) -> None:
        """End every `follow` promptly and close the files."""
        self._closing.set()
        await self._watch.close()
        while self._readers:
            self._readers.popitem()[1].retire()
