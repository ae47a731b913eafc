"""The process's one watcher: tells followers that a session's files have changed.

One `awatch` at a time, over the directories of the sessions that somebody follows and none while nobody
does. (One awatch a client would stall at the 41st: each holds one of anyio's 40 threads. Watching all of
10,000 sessions takes 0.3 s to arm; 200 followed ones 3 ms. 2026-11-23.)

A wake is a hint to read the log, never news in itself: one may be lost or come for nothing. So every
follower is also woken each `tick`, and reads.
"""

import asyncio
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from watchfiles import awatch

QUICK_MS = 1
"""Pace while a followed session is busy: 2.3 ms from append to wake, 3 % of a core."""
SLOW_MS = 50
"""Pace while none is: 53 ms and 0.2 %."""
SETTLE_SECONDS = 0.005
"""How long a change of what is watched waits: a new follower has a replay to read, and others may come with it."""
LINGER_SECONDS = 1.0
"""How long what nobody follows any more is still watched: whoever reconnects finds the watcher armed."""
POLL_SECONDS = 0.25
"""How often to look where the kernel will not watch for us."""

_log = logging.getLogger(__name__)


def warm(directory: str) -> None:
    """Watch a directory for a moment, before any loop runs: the first `awatch` loads 20 ms of modules (2026-11-23)."""
    asyncio.run(_glance(directory))


async def _glance(directory: str) -> None:
    stop = asyncio.Event()
    stop.set()
    with suppress(OSError, RuntimeError):
        async for _ in awatch(directory, step=QUICK_MS, stop_event=stop, recursive=False):
            pass


class Topic:
    """One session's files, as its followers in this process wait for them."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        """Set at the next change, once. Take it before reading, await it after: then no change slips between."""
        self.followers = 0
        self.busy = False
        self.leaving: asyncio.TimerHandle | None = None
        """What will end the watch, where nobody follows any more."""

    def wake(self) -> None:
        """Wake everybody who waits for the current `changed`."""
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


class Watch:
    """Watches whatever directories are followed. Lives on one event loop."""

    def __init__(self, tick: float = 2.0) -> None:
        self._topics: dict[str, Topic] = {}
        self._tick = tick
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._armed: tuple[frozenset[str], int] = (frozenset(), SLOW_MS)
        self._arming: asyncio.TimerHandle | None = None

    @contextmanager
    def topic(self, directory: str) -> Iterator[Topic]:
        """Follow the changes of a session's directory while in the context."""
        directory = os.path.abspath(directory)  # so are the paths that watchfiles reports
        topic = self._topics.setdefault(directory, Topic())
        topic.followers += 1
        if topic.leaving:
            topic.leaving.cancel()
        self._rearm()
        try:
            yield topic
        finally:
            topic.followers -= 1
            if not topic.followers:
                loop = asyncio.get_running_loop()
                topic.leaving = loop.call_later(LINGER_SECONDS, self._forget, directory)

    def _forget(self, directory: str) -> None:
        if self._topics.pop(directory, None):
            self._rearm()

    def followed(self) -> dict[str, Topic]:
        """Return the directories that somebody follows, with their topics."""
        return {directory: topic for directory, topic in self._topics.items() if topic.followers}

    def set_busy(self, topic: Topic, busy: bool) -> None:
        """Say whether a session is busy, and so is to be watched at the quick pace."""
        if topic.busy != busy:
            topic.busy = busy
            self._rearm()

    @property
    def pace(self) -> int:
        """Milliseconds between two looks of the watcher that is armed."""
        return self._armed[1]

    def _rearm(self) -> None:
        """Watch, in a moment, what is then followed, at the pace that it then needs.

        What changes before that is not missed: whoever is armed is woken.
        """
        if self._arming is None:
            self._arming = asyncio.get_running_loop().call_later(SETTLE_SECONDS, self._arm)

    def _arm(self) -> None:
        self._arming = None
        step = QUICK_MS if any(topic.busy for topic in self._topics.values()) else SLOW_MS
        wanted = frozenset(self._topics), step
        if wanted == self._armed:
            return
        self._armed = wanted
        retired, self._stop = self._stop, asyncio.Event()
        if self._topics:
            for run in (self._watch(*wanted, self._stop), self._ticks(self._stop)):
                task = asyncio.ensure_future(run)
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        # By the time this runs, the new watcher has been armed: awatch arms before it first waits.
        asyncio.get_running_loop().call_soon(self._retire, retired)

    def _retire(self, stop: asyncio.Event) -> None:
        stop.set()
        self._wake_all()

    def _wake_all(self) -> None:
        for topic in list(self._topics.values()):
            topic.wake()

    async def _watch(self, directories: frozenset[str], step: int, stop: asyncio.Event) -> None:
        there = [path for path in directories if os.path.isdir(path)]
        try:
            async for changes in awatch(
                *there, watch_filter=None, step=step, stop_event=stop, recursive=False
            ):
                for directory in {os.path.dirname(path) for _, path in changes}:
                    if topic := self._topics.get(directory):
                        topic.wake()
        except (OSError, RuntimeError) as error:
            if not all(map(os.path.isdir, there)):  # one was deleted between the look and the arming
                return await self._watch(directories, step, stop)
            # Out of watches, instances or descriptors.
            _log.warning(
                "files cannot be watched (%s); looking at them every %s s instead", error, POLL_SECONDS
            )
            await self._ticks(stop, POLL_SECONDS)

    async def _ticks(self, stop: asyncio.Event, seconds: float | None = None) -> None:
        while not stop.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds or self._tick):
                    await stop.wait()
            self._wake_all()

    async def close(self) -> None:
        """Stop watching and wake everybody one last time."""
        self._wake_all()
        self._topics.clear()
        self._stop.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)
