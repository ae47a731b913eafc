"""One session whose notifications are watched: what its log says, and what was tried (store/untold.py)."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from breakglass import events
from breakglass.access import logins
from breakglass.errors import BreakglassError, NotFound
from breakglass.notify.causes import KINDS, Cause, SessionCauses, find_new_places
from breakglass.store import degraded, log, seek, untold
from breakglass.store.sessions import Session
from breakglass.store.untold import Attempt
from breakglass.turns.end import end_if_lost

MAX_TRIES = 2
"""How often something is told to one destination: once more if the first try failed, or was killed."""
MAX_BEGUN = 6
"""How often a try begins. One that is killed before it left this machine was not heard, so it is not counted above."""
RETRY_SECONDS = 30.0
MAX_AGE_SECONDS = 86_400.0
"""What is older is not told: nobody waits for it any more."""


class Told(NamedTuple):
    """The tries to tell one cause to one destination."""

    begun: int = 0
    tries: int = 0
    """How many of them the service may have got, or refused."""
    is_counted: bool = False
    """Whether the last one that began is among `tries`."""
    last: float = 0.0
    outcome: Attempt | None = None

    def add(self, attempt: Attempt) -> "Told":
        """Return them with one more line of the file."""
        if attempt.sent is None and not attempt.is_out:
            return self._replace(begun=self.begun + 1, is_counted=False, last=attempt.at, outcome=None)
        tries = self.tries + (not self.is_counted)
        outcome = None if attempt.sent is None else attempt
        return self._replace(tries=tries, is_counted=True, last=attempt.at, outcome=outcome)

    @property
    def is_final(self) -> bool:
        """Whether it is not tried again, unless a try runs now."""
        is_sent = bool(self.outcome and self.outcome.sent)
        return is_sent or self.tries >= MAX_TRIES or self.begun >= MAX_BEGUN

    def is_due(self, now: float) -> bool:
        """Return whether it is time for the first or the next try. A try without outcome was killed."""
        return not self.is_final and (self.outcome is None or now >= self.last + RETRY_SECONDS)


def tries_of(attempts: tuple[Attempt, ...]) -> dict[tuple[str, str], Told]:
    """Return the tries, by cause and destination."""
    found: dict[tuple[str, str], Told] = {}
    for each in attempts:
        key = each.cause, each.to
        found[key] = found.get(key, Told()).add(each)
    return found


class Watched(Protocol):
    """What the process watches: a session, or the logins."""

    name: str
    is_read: bool
    """Whether all of it was read at least once, so that `causes` is complete."""

    def read(self) -> bool:
        """Read what is new. Return False if it exists no more."""

    def causes(self) -> list[Cause]:
        """Return what exists now and must be told."""

    def recorded(self) -> set[tuple[str, str]]:
        """Return the causes and destinations whose outcome is recorded."""

    def record(self, cause: str, to: str, told: Told) -> None:
        """Record the outcome of a cause for one destination."""

    def release(self) -> bool:
        """Delete its file if nothing more can come. Return whether it is gone."""


class WatchedSession:
    """A session that has a file in `notify`."""

    def __init__(self, root: Path, name: str, marked: untold.Marked) -> None:
        self.name = name
        self.is_read = False
        self.session = Session(root, name)
        self._root = root
        self._position = marked.begin
        self._causes = SessionCauses(is_first=marked.is_first)

    def read(self) -> bool:
        """Read the new lines of the log, and end the turn if its runner is dead. Return False without a log."""
        try:
            size = self._read_lines()
            self.is_read = True
            if self._causes.is_open and size == self._position.offset:
                end_if_lost(self.session)
        except NotFound:
            return False
        except (BreakglassError, OSError):
            pass  # the disk fails; that is told too
        return True

    def _read_lines(self) -> int:
        fd = log.open_reader(self.session.directory)
        try:
            size = log.size(fd)
            for number, line in self._lines(fd, size):
                head = events.head(line)
                if head and head[1] in KINDS:
                    self._causes.add(events.decode(line, number))
            return size
        finally:
            os.close(fd)

    def _lines(self, fd: int, size: int) -> Iterator[tuple[int, bytes]]:
        while self._position.offset < size:
            block, following = seek.read_lines(fd, self._position, size)
            if not block:
                return
            yield from enumerate(block[:-1].split(b"\n"), self._position.number + 1)
            self._position = following

    def causes(self) -> list[Cause]:
        """Return the causes in the log, and that of a failed disk."""
        found = self._causes.all()
        if not degraded.is_degraded(self.session.directory):
            untold.forget_told(self._root, self.name)
        elif not untold.is_told(self._root, self.name):
            found.append(Cause("degraded", 0, 0.0))
        return found

    def recorded(self) -> set[tuple[str, str]]:
        """Return what the log says."""
        return self._causes.recorded

    def record(self, cause: str, to: str, told: Told) -> None:
        """Append a `notified` event. If the disk refuses, the tries in the file are the only record."""
        self._causes.recorded.add((cause, to))
        kind, _, about = cause.partition(":")
        with contextlib.suppress(BreakglassError, OSError), self.session.open_log() as opened:
            opened.append("notified", cause=kind, about=int(about), to=to, **_outcome(told))

    def release(self) -> bool:
        """Delete the file if no turn runs and every line was read."""
        if degraded.is_degraded(self.session.directory):  # the log may never get the end of its turn
            return untold.keep_told(self._root, self.name)
        if self._causes.is_open:
            return False
        try:
            with self.session.open_log() as opened, opened.exclusive():
                is_read = log.size(opened.fd) == self._position.offset
                return is_read and untold.unmark(self._root, self.name)
        except (BreakglassError, OSError):
            return untold.unmark(self._root, self.name)


class WatchedLogins:
    """The logins of a data root."""

    name = untold.LOGINS
    is_read = True

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lines: list[bytes] = []
        self._causes: list[Cause] = []
        self._recorded: set[tuple[str, str]] = set()

    def read(self) -> bool:
        """Read the logins, if there are more."""
        if untold.has_new_logins(self._root):
            marked = untold.read(self._root, self.name)
            self._lines = untold.read_logins(self._root)
            begin = marked.begin.number if marked else 0
            self._causes = [each for each in find_new_places(self._lines) if each.about > begin]
            self._recorded = set(logins.told_logins(self._lines))
        return True

    def causes(self) -> list[Cause]:
        """Return the logins from new addresses that were not looked at before."""
        return self._causes

    def recorded(self) -> set[tuple[str, str]]:
        """Return what logins.jsonl says."""
        return self._recorded

    def record(self, cause: str, to: str, told: Told) -> None:
        """Append a line to logins.jsonl."""
        self._recorded.add((cause, to))
        with contextlib.suppress(OSError):
            logins.append_told(self._root / logins.FILE, cause, to, **_outcome(told))

    def release(self) -> bool:
        """Note that every line was looked at."""
        if not self._lines:
            return True
        size = sum(map(len, self._lines)) + len(self._lines)
        with contextlib.suppress(OSError):
            untold.replace(self._root, self.name, {"number": len(self._lines), "offset": size})
        self._lines, self._causes = [], []
        return not untold.has_new_logins(self._root)


def _outcome(told: Told) -> dict[str, object]:
    if told.outcome is None:
        return {"sent": False, "error": "the process that told it was killed, or the service did not answer"}
    return {"sent": bool(told.outcome.sent), "error": told.outcome.error or None}
