"""The process that sends notifications. It is started when a turn begins, and exits when nothing more can come.

How this works
--------------
* `store/untold.py` says which sessions may have something to tell. This process reads their logs twice a second, and
  ends a turn whose runner died. It holds a lock, so there is one such process for a data root.
* What must be told comes from the log alone (`notify/causes.py`). What was told is in the log too, as `notified`.
* For each destination a forked child sends what is due in all sessions, one cause after the other, questions first. So
  the slow library is loaded once for many causes. A service that hangs delays only its own child, which an alarm ends.
  The child inherits the lock: nothing is told by another process while it lives.
* The child notes when a try begins, when its first byte leaves this machine, and its outcome. A try that was killed
  before a byte left was not heard, so it is made again. One that was killed later may have been heard. So a cause is
  told once more only then or after a failure: two tries may be heard at most.

Invariant: a session's file is deleted only when each of its causes has an outcome in the log.
"""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from breakglass.access import tokens
from breakglass.access.subscriptions import Subscribers
from breakglass.config import Config
from breakglass.errors import BreakglassError
from breakglass.load_config import load_config
from breakglass.masking import Masker, fingerprints
from breakglass.notifier.child import Parcel, fork_sender
from breakglass.notifier.destinations import Destination, find_destinations
from breakglass.notifier.subjects import path_of, subject_of
from breakglass.notifier.watched import (
    MAX_AGE_SECONDS,
    Told,
    Watched,
    WatchedLogins,
    WatchedSession,
    tries_of,
)
from breakglass.notify import Notify
from breakglass.notify.causes import Cause
from breakglass.notify.message import write
from breakglass.store import untold

TICK_SECONDS = 0.5
BROKEN_SECONDS = 60.0
"""How long the process goes on doing nothing after an error, so that it is not started again at once."""


def main() -> None:
    """Send what must be told, until nothing more can come."""
    root, file = Path(sys.argv[1]), sys.argv[2]
    while True:
        with untold.sender_lock(root) as lock:
            if lock is None:
                return
            try:
                config = load_config(os.environ, file or None, {"data": str(root)})
                Notifier(config).run()
            except Exception as error:  # noqa: BLE001 — `breakglass doctor` shows it
                untold.note_result(root, "", time.time(), f"{type(error).__name__}: {error}")
                time.sleep(BROKEN_SECONDS)
                return
        # After the lock is free, a turn that begins starts another process. One that began before is seen here.
        if not untold.is_pending(root):
            return


class Notifier:
    """Everything that one process knows."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._root = config.data
        self._watched: dict[str, Watched] = {}
        self._children: dict[str, int] = {}
        """The pid of the child that sends, by destination."""
        self._due: dict[str, list[tuple[Watched, Cause]]] = {}
        """What can be sent now, by destination. Filled by each step, unless a child sends to the destination."""
        self._subscribers = Subscribers(config.data)
        self._destinations: list[Destination] = []
        self._masker = Masker(fingerprints(tokens.readable_tokens(config.data), config.environ))

    def run(self) -> None:
        """Send until nothing more can come."""
        if "" in untold.results(self._root):
            untold.note_result(self._root, "", time.time(), "")
        while True:
            self._reap()
            self._find_sessions()
            self._destinations = find_destinations(self._config, self._subscribers)
            self._due = {each.name: [] for each in self._destinations if each.name not in self._children}
            self._watched = {name: each for name, each in self._watched.items() if not self._step(each)}
            self._send_due()
            if not self._watched and not self._children:
                return
            time.sleep(TICK_SECONDS)

    def _find_sessions(self) -> None:
        for name in untold.names(self._root):
            if name not in self._watched and (marked := untold.read(self._root, name)):
                self._watched[name] = WatchedSession(self._root, name, marked)
        if untold.LOGINS not in self._watched and untold.has_new_logins(self._root):
            self._watched[untold.LOGINS] = WatchedLogins(self._root)

    def _step(self, watched: Watched) -> bool:
        """Read one session, find what is due, and record what was told. Return whether it is watched no more."""
        if not watched.read():
            untold.unmark(self._root, watched.name)
            return True
        now = time.time()
        marked = untold.read(self._root, watched.name)
        tries = tries_of(marked.attempts if marked else ())
        is_busy = False
        wanted = {
            (cause.key, each.name): cause
            for cause in watched.causes()
            if now - cause.at < MAX_AGE_SECONDS or not cause.at
            for each in self._destinations
            if each.wants(cause)
        }
        for each in self._destinations:
            is_busy |= self._find_due(watched, each, wanted, tries, now)
        for (cause, to), told in tries.items():
            # A cause may end after a try that was killed: the question is answered, or the browser is logged out.
            is_over = told.is_final or (watched.is_read and (cause, to) not in wanted)
            if (cause, to) in watched.recorded():
                continue
            if is_over and to not in self._children:
                watched.record(cause, to, told)
            else:
                is_busy = True
        return not is_busy and watched.release()

    def _find_due(
        self,
        watched: Watched,
        to: Destination,
        wanted: dict[tuple[str, str], Cause],
        tries: dict[tuple[str, str], Told],
        now: float,
    ) -> bool:
        """Find what is due to one destination. Return whether something is left to send."""
        own = [cause for (_, name), cause in wanted.items() if name == to.name]
        left = [
            cause
            for cause in own
            if (cause.key, to.name) not in watched.recorded()
            and not tries.get((cause.key, to.name), Told()).is_final
        ]
        if to.name in self._due:
            self._due[to.name] += [
                (watched, cause)
                for cause in left
                if now >= max(cause.at, _end_of_quiet(to.notify, cause, now))
                and tries.get((cause.key, to.name), Told()).is_due(now)
            ]
        return bool(left)

    def _send_due(self) -> None:
        """Start a child for each destination to which something is due."""
        for to in self._destinations:
            if due := self._due.get(to.name):
                due.sort(key=lambda pair: (pair[1].setting != "question", pair[1].at))
                self._children[to.name] = fork_sender(self._config, to, self._pack_all(to.notify, due))

    def _pack_all(self, notify: Notify, due: list[tuple[Watched, Cause]]) -> Iterator[Parcel]:
        """Yield the notifications. The child packs each just before it is sent."""
        for watched, cause in due:
            yield self._pack(watched, notify, cause)

    def _pack(self, watched: Watched, notify: Notify, cause: Cause) -> Parcel:
        message = write(cause, subject_of(self._config, watched), notify.detail)
        message = message._replace(body=self._masker.text(message.body))
        return Parcel(watched.name, cause.key, message, path_of(self._config, watched))

    def _reap(self) -> None:
        """Forget the children that have exited, and keep the latest result of their destinations for `doctor`."""
        for to, pid in list(self._children.items()):
            done, status = os.waitpid(pid, os.WNOHANG)
            if not done:
                continue
            del self._children[to]
            if os.WIFEXITED(status) and status:  # a mistake in this program: it would fail again at once
                raise BreakglassError(f"the process that sends to {to} failed")
            error = "" if not status else "it did not answer in time, or the process was killed"
            found = [
                each
                for name in self._watched
                if (marked := untold.read(self._root, name))
                for each in marked.attempts
                if each.to == to and each.sent is not None
            ]
            if found and not error:
                error = max(found, key=lambda each: each.at).error
            untold.note_result(self._root, to, time.time(), error)


def _end_of_quiet(notify: Notify, cause: Cause, now: float) -> float:
    """Return when a cause may be told; 0 if now is no quiet hour for it."""
    if notify.quiet_hours is None or cause.setting == "question":
        return 0.0
    local = time.localtime(now)
    left = notify.quiet_hours.seconds_left(local.tm_hour * 60 + local.tm_min, local.tm_sec)
    return now + left if left else 0.0
