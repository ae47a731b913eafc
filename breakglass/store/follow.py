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

To wake a task for each client costs more than to write to its socket. So in step 4, a follower with a `Take` joins the
`_SharedDelivery` of its reader, and its own task sleeps. One task takes the four steps for all members, and calls the
`Take` of each. If that returns False, the client lags: the member is released, and its own task goes on from there.

Invariant of a shared delivery: all its members stand at its position. So the next piece is the next one of each.

Rules for editors:

1. Take `changed` before the read, and wait for it after the read. Any other order loses lines.
2. Yield only what is in the file. A fact that only this process knows is a `FollowSignal`.
3. `follow` must end promptly after `close`, in every step: the shutdown of the server waits for it.
4. A shared delivery never waits between two members: all get a piece before any of them can join or leave.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import suppress
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


Take = Callable[[Piece | FollowSignal], bool]
"""Delivers a piece or QUIET to a client at once. Returns False, and delivers nothing, if the client lags."""


class _SharedDelivery:
    """The followers of one reader that stand at the end of its log, and the task that delivers to all of them."""

    def __init__(
        self,
        position: Position,
        steps: AsyncIterator[Piece | FollowSignal],
        on_end: Callable[[], object],
    ) -> None:
        """`steps` are those of a follower at `position`. `on_end` is called once: then nobody can join any more."""
        self._position = position
        self._steps = steps
        self._on_end = on_end
        self._members: dict[asyncio.Future[Position], Take] = {}
        self._task = asyncio.ensure_future(self._run())

    def stands_at(self, position: Position) -> bool:
        """Return whether a follower at that position can join."""
        return position == self._position

    async def deliver(self, take: Take) -> Position:
        """Join, and return the position from which the follower must go on alone."""
        released: asyncio.Future[Position] = asyncio.get_running_loop().create_future()
        self._members[released] = take
        try:
            return await released
        finally:
            self._members.pop(released, None)
            if not self._members:
                self._end()

    async def _run(self) -> None:
        try:
            with suppress(OSError):  # each released follower meets the error itself
                async for step in self._steps:
                    if step is not FollowSignal.GONE:
                        self._deliver(step)
        finally:
            self._end()

    def _deliver(self, step: Piece | FollowSignal) -> None:
        for released, take in list(self._members.items()):
            if not take(step):
                self._release(released)
        if isinstance(step, Piece):
            self._position = step.end

    def _release(self, released: asyncio.Future[Position]) -> None:
        del self._members[released]
        if not released.done():  # its task may have been cancelled a moment ago
            released.set_result(self._position)

    def _end(self) -> None:
        on_end, self._on_end = self._on_end, lambda: None
        on_end()
        for released in list(self._members):
            self._release(released)
        self._task.cancel()


class Followers:
    """All followers of logs in this process. Use it on one event loop only."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._cache = PieceCache()
        self._readers: OrderedDict[tuple[str, Frame], PieceReader] = OrderedDict()
        self._shared: dict[PieceReader, _SharedDelivery] = {}
        self._closing = asyncio.Event()

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(reader.users for reader in self._readers.values())

    async def follow(
        self, directory: str, after: int, frame: Frame, take: Take | None = None
    ) -> AsyncGenerator[Piece | FollowSignal, None]:
        """Yield the lines after line `after`, framed: the existing lines, `CAUGHT_UP`, then new lines.

        With `take`, new lines are delivered by it, and yielded only to a client that lags.

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
                async for step in self._deliver(reader, topic, position, take):
                    yield step
        finally:
            reader.release()
            self._retire_idle_readers()

    async def _deliver(
        self,
        reader: PieceReader,
        topic: Topic,
        position: Position,
        take: Take | None,
        *,
        is_caught_up: bool = False,
    ) -> AsyncIterator[Piece | FollowSignal]:
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
            if not is_caught_up:
                is_caught_up = True
                yield FollowSignal.CAUGHT_UP
            elif not newest:
                if reader.is_gone(position):
                    yield FollowSignal.GONE
                    return
                yield FollowSignal.QUIET
            position = await self._wait(reader, topic, position, take, changed)

    async def _wait(
        self,
        reader: PieceReader,
        topic: Topic,
        position: Position,
        take: Take | None,
        changed: asyncio.Event,
    ) -> Position:
        """Wait for a change, and return the position of the follower, which `take` has moved on if there is one.

        A follower waits alone if the shared delivery stands elsewhere: at the next change, both come to the same end.
        """
        shared = self._shared.get(reader)
        if take and not shared:
            steps = self._deliver(reader, topic, position, None, is_caught_up=True)
            shared = self._shared[reader] = _SharedDelivery(position, steps, lambda: self._shared.pop(reader))
        if take and shared and shared.stands_at(position):
            return await shared.deliver(take)
        await changed.wait()
        return position

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

    async def close(self) -> None:
        """End every `follow` promptly and close the files."""
        self._closing.set()
        self._watch.close()
        while self._readers:
            self._readers.popitem()[1].retire()
