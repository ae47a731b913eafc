"""The process's one file watcher: it wakes followers when the files of their session change.

One `awatch` runs at a time, over the directories of the followed sessions. None runs while no session is followed.
Three other designs are worse:

* One `awatch` for each client: each needs one of anyio's 40 threads, so the 41st client would stall.
* One over all sessions: to arm a watcher for thousands of directories takes long, and most of them are not followed.
* One over the workspaces: an agent's checkout can be large.

A wake only asks a follower to read the log; it contains no data. A wake may be lost, for example when the watchfiles
queue overflows. It may also occur without a change. So every follower is also woken once a `tick`.
"""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from watchfiles import awatch

QUICK_MS = 1
"""Milliseconds between two checks of the watcher while a followed session is busy. This costs some CPU time."""
SLOW_MS = 50
"""Milliseconds between two checks while no followed session is busy."""
SETTLE_SECONDS = 0.005
"""How long a change of the followed directories waits. More changes often follow, and a new client replays first."""
LINGER_SECONDS = 1.0
"""How long a directory stays watched after its last follower: a client that reconnects finds the watcher armed."""
POLL_SECONDS = 0.25
"""How often followers are woken while the kernel refuses to watch."""
ALL_STEP_MS = 20
"""Milliseconds between two checks of the watcher of all sessions."""
ALL_SECONDS = 30.0
"""How often all sessions count as changed, because a change may be missed."""
_REFUSED = (
    "files cannot be watched ({}); clients get events up to {} s later. The limits are the settings"
    " fs.inotify.max_user_instances and max_user_watches of the kernel, and ulimit -n"
)

_log = logging.getLogger(__name__)


def preload(directory: str) -> str:
    """Watch a directory for a moment, before any event loop runs: the first `awatch` imports slow modules.

    Returns the sentence that tells a user that the kernel refuses to watch, "" if it does not.
    """
    return asyncio.run(_watch_once(directory))


async def _watch_once(directory: str) -> str:
    stop = asyncio.Event()
    stop.set()
    try:
        async for _ in awatch(directory, step=QUICK_MS, stop_event=stop, recursive=False):
            pass
    except (OSError, RuntimeError) as error:
        return _first_refusal(error)
    return ""


_refused = False
"""Whether this process, or the one from which it was forked, has said that files cannot be watched."""


def _first_refusal(error: Exception) -> str:
    """Return the sentence about files that cannot be watched, "" if it was returned before."""
    global _refused
    before, _refused = _refused, True
    return "" if before else _REFUSED.format(error, POLL_SECONDS)


class Topic:
    """The changes of one session's files, for which its followers in this process wait."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        """Set at the next change, then replaced. Take it before a read and wait for it after, to miss no change."""
        self.followers = 0
        self.is_busy = False
        """Whether the log expects more lines soon."""
        self.expiry: asyncio.TimerHandle | None = None
        """The timer that ends the watch after the last follower has left."""

    def wake(self) -> None:
        """Wake all followers that wait for the current `changed`."""
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


class Watch:
    """Watches the directories that are followed. Use it on one event loop only."""

    def __init__(self, tick: float = 2.0) -> None:
        self._topics: dict[str, Topic] = {}
        self._tick = tick
        self._stop = asyncio.Event()
        """Ends the watcher that is armed."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._armed: tuple[frozenset[str], int] = (frozenset(), SLOW_MS)
        """What the watcher that is armed watches, and its pace."""
        self._rearming: asyncio.TimerHandle | None = None

    @contextmanager
    def topic(self, directory: str) -> Iterator[Topic]:
        """Follow the changes in a session's directory while in the context."""
        directory = os.path.abspath(directory)  # watchfiles reports absolute paths
        topic = self._topics.setdefault(directory, Topic())
        topic.followers += 1
        if topic.expiry:
            topic.expiry.cancel()
        self._rearm_soon()
        try:
            yield topic
        finally:
            topic.followers -= 1
            if not topic.followers:
                loop = asyncio.get_running_loop()
                topic.expiry = loop.call_later(LINGER_SECONDS, self._forget, directory)

    def _forget(self, directory: str) -> None:
        if self._topics.pop(directory, None):
            self._rearm_soon()

    def followed(self) -> dict[str, Topic]:
        """Return the directories that have followers, with their topics."""
        return {directory: topic for directory, topic in self._topics.items() if topic.followers}

    def set_busy(self, topic: Topic, *, is_busy: bool) -> None:
        """Record whether a session is busy and therefore needs the quick pace."""
        if topic.is_busy != is_busy:
            topic.is_busy = is_busy
            self._rearm_soon()

    @property
    def pace(self) -> int:
        """Milliseconds between two checks of the watcher that is armed."""
        return self._armed[1]

    def _rearm_soon(self) -> None:
        """Replace the watcher after `SETTLE_SECONDS`. No change before that is missed: arming wakes all followers."""
        if self._rearming is None:
            self._rearming = asyncio.get_running_loop().call_later(SETTLE_SECONDS, self._rearm)

    def _rearm(self) -> None:
        self._rearming = None
        step = QUICK_MS if any(topic.is_busy for topic in self._topics.values()) else SLOW_MS
        wanted = frozenset(self._topics), step
        if wanted == self._armed:
            return
        self._armed = wanted
        retired, self._stop = self._stop, asyncio.Event()
        if self._topics:
            for run in (self._watch(*wanted, self._stop), self._wake_every(self._tick, self._stop)):
                task = asyncio.ensure_future(run)
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        # The new watcher is armed by the time this callback runs: awatch arms before it first waits.
        asyncio.get_running_loop().call_soon(self._retire, retired)

    def _retire(self, stop: asyncio.Event) -> None:
        stop.set()
        self._wake_all()

    def _wake_all(self) -> None:
        for topic in list(self._topics.values()):
            topic.wake()

    async def _watch(self, directories: frozenset[str], step: int, stop: asyncio.Event) -> None:
        existing = [path for path in directories if os.path.isdir(path)]
        try:
            async for changes in awatch(
                *existing, watch_filter=None, step=step, stop_event=stop, recursive=False
            ):
                for directory in {os.path.dirname(path) for _, path in changes}:
                    if topic := self._topics.get(directory):
                        topic.wake()
        except (OSError, RuntimeError) as error:
            if not all(map(os.path.isdir, existing)):  # one was deleted between the check and the arming
                return await self._watch(directories, step, stop)
            # This process gets no more inotify watches, inotify instances or descriptors.
            if message := _first_refusal(error):
                _log.warning(message)
            await self._wake_every(POLL_SECONDS, stop)

    async def _wake_every(self, seconds: float, stop: asyncio.Event) -> None:
        while not stop.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await stop.wait()
            self._wake_all()

    async def close(self) -> None:
        """Stop watching and wake all followers one last time."""
        self._wake_all()
        self._topics.clear()
        self._stop.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def changed_sessions(root: Path, *, until: asyncio.Event) -> AsyncIterator[set[str] | None]:
    """Yield the names of the sessions whose files have changed, until an event is set. None stands for all sessions.

    One watcher over all sessions is slow to arm and wakes for each change. It is for a program that wants each.
    """
    directory, all_at = f"{root}/sessions", time.monotonic() + ALL_SECONDS
    yield None  # what changed before the watcher is armed
    try:
        async for changes in awatch(
            directory,
            watch_filter=None,
            step=ALL_STEP_MS,
            stop_event=until,
            rust_timeout=1000,
            yield_on_timeout=True,
        ):
            if time.monotonic() > all_at:
                all_at = time.monotonic() + ALL_SECONDS
                yield None
            elif changes:
                yield {os.path.relpath(path, directory).partition("/")[0] for _, path in changes}
    except (OSError, RuntimeError) as error:
        if message := _first_refusal(error):
            _log.warning(message)
    while not until.is_set():
        yield None
        with suppress(TimeoutError):
            async with asyncio.timeout(ALL_SECONDS / 10):
                await until.wait()
