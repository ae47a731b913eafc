"""The process's one file watcher: it wakes followers when the files of their session change.

How this works
--------------
Each followed session has a `Topic`, and the kernel watches its directory from the first follower to the last
(inotify.py). When the descriptor of inotify is readable, the event loop wakes the followers of what has changed. No
thread and no polling are needed. A watch is armed before its first follower reads, so no change is missed.

A wake only asks a follower to read the log; it contains no data. A wake may be lost, for example when the kernel's
queue overflows or another machine writes to a network file system. It may also occur without a change. So every
follower is also woken once a `tick`, and more often while the kernel refuses to watch its directory.

Workspaces are not watched: an agent's checkout can be large.

Rules for editors:

1. Arm a directory before anything in it is read. Any other order misses changes.
2. After a wake, wait for `PAUSE_SECONDS`: else a program that writes single lines could take a whole core.
"""

import asyncio
import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from breakglass.store.inotify import Inotify

PAUSE_SECONDS = 0.002
"""Seconds between two wakes at least."""
POLL_SECONDS = 0.25
"""How often followers are woken while the kernel refuses to watch."""
GONE = (errno.ENOENT, errno.ENOTDIR)
"""Errors that mean that the directory was deleted. Its followers learn that from the log."""
_REFUSED = (
    "files cannot be watched ({}); clients get events up to {} s later. The limits are the settings"
    " fs.inotify.max_user_instances and max_user_watches of the kernel, and ulimit -n"
)

_log = logging.getLogger(__name__)


def find_refusal(directory: str) -> str:
    """Return the sentence that tells a user that the kernel refuses to watch, "" if it does not."""
    try:
        with Inotify() as inotify:
            inotify.add(directory)
    except OSError as error:
        return first_refusal(error)
    return ""


_refused = False
"""Whether this process, or the one from which it was forked, has said that files cannot be watched."""


def first_refusal(error: OSError) -> str:
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
        self.watch: int | None = None
        """The number of the kernel's watch, None while there is none."""

    def wake(self) -> None:
        """Wake all followers that wait for the current `changed`."""
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


class Watch:
    """Watches the directories that are followed. Use it on one event loop only."""

    def __init__(self, tick: float = 2.0) -> None:
        self._topics: dict[str, Topic] = {}
        self._by_watch: dict[int, Topic] = {}
        self._inotify: Inotify | None = None
        self._tick = tick
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def topic(self, directory: str) -> Iterator[Topic]:
        """Follow the changes in a session's directory while in the context."""
        topic = self._topics.setdefault(directory, Topic())
        topic.followers += 1
        if topic.watch is None:
            self._arm(directory, topic)
        if self._timer is None or topic.watch is None:
            self._tick_later()
        try:
            yield topic
        finally:
            topic.followers -= 1
            if not topic.followers:
                self._forget(directory, topic)

    def followed(self) -> dict[str, Topic]:
        """Return the directories that have followers, with their topics."""
        return dict(self._topics)

    def _arm(self, directory: str, topic: Topic) -> None:
        try:
            if self._inotify is None:
                self._inotify = Inotify()
                self._listen()
            topic.watch = self._inotify.add(directory)
            self._by_watch[topic.watch] = topic
        except OSError as error:
            # Otherwise this process gets no more inotify watches, inotify instances or descriptors.
            if error.errno not in GONE and (message := first_refusal(error)):
                _log.warning(message)

    def _forget(self, directory: str, topic: Topic) -> None:
        self._topics.pop(directory, None)
        if topic.watch is not None and self._inotify is not None:
            self._by_watch.pop(topic.watch, None)
            self._inotify.remove(topic.watch)
        if not self._topics and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _listen(self) -> None:
        if self._inotify is not None:
            asyncio.get_running_loop().add_reader(self._inotify.fd, self._on_change)

    def _on_change(self) -> None:
        assert self._inotify is not None
        for change in self._inotify.read():
            if change.watch is None:
                self._wake_all()
            elif topic := self._by_watch.get(change.watch):
                topic.wake()
                if change.is_end:
                    topic.watch = None
                    del self._by_watch[change.watch]
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._inotify.fd)
        loop.call_later(PAUSE_SECONDS, self._listen)

    def _tick_later(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        is_refused = any(topic.watch is None for topic in self._topics.values())
        seconds = min(POLL_SECONDS, self._tick) if is_refused else self._tick
        self._timer = asyncio.get_running_loop().call_later(seconds, self._on_tick)

    def _on_tick(self) -> None:
        self._wake_all()
        self._tick_later()

    def _wake_all(self) -> None:
        for topic in list(self._topics.values()):
            topic.wake()

    def close(self) -> None:
        """Stop watching and wake all followers one last time."""
        self._wake_all()
        self._topics.clear()
        if self._timer is not None:
            self._timer.cancel()
        if self._inotify is not None:
            asyncio.get_running_loop().remove_reader(self._inotify.fd)
            self._inotify.close()
            self._inotify = None
