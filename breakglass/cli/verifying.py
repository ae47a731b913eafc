"""`breakglass verify`: logs held against the contract's rules, which are in `verify`."""

import os
import sys
import time
from argparse import Namespace
from collections.abc import Iterator

from breakglass import verify
from breakglass.cli import screen
from breakglass.config import Config
from breakglass.errors import BadInput, NotFound
from breakglass.store import log, sessions
from breakglass.store.sessions import Session
from breakglass.text import one_line
from breakglass.verify import Finding

SHOWN = 20
"""Broken rules, and notes, that are told of one log: a stranger's file appended to it would fill the screen."""
PROGRESS_SECONDS = 0.2
BUFFER = 1 << 20


def run(config: Config, args: Namespace) -> int:
    """Check one log, or all, and return 0 where no rule is broken, 1 where one is. Changes nothing."""
    if not args.all:
        return 0 if _is_sound(sessions.find(config.data, *args.words)) else 1
    if args.words:
        raise BadInput("--all checks every session: leave out the id, or it")
    if not config.data.is_dir():
        raise NotFound(f"there is no data folder {config.data.absolute()}; --data says where it is")
    found = [Session(config.data, session_id) for session_id in sorted(sessions.ids(config.data))]
    sound = [_is_sound(session) for session in found if _has_log(session)]
    print(f"{len(sound):,} {'log' if len(sound) == 1 else 'logs'}, {sound.count(False):,} of them broken")
    return 0 if all(sound) else 1


def _has_log(session: Session) -> bool:
    """Return whether there is a log to look at, having said so where there is none."""
    path = f"{session.directory}/{log.NAME}"
    there = os.path.lexists(path)
    if not there:
        print(f"{path}: note: there is none: the session's making was cut off, or somebody took it away")
    return there


def _is_sound(session: Session) -> bool:
    """Print what is found in one log, as `path:line: what`, and how it stands. Raises NotFound."""
    path = f"{session.directory}/{log.NAME}"
    lines = _Lines(session)
    counts = {True: 0, False: 0}
    for finding in verify.findings(lines):
        counts[finding.is_note] += 1
        if counts[finding.is_note] <= SHOWN:
            lines.clear()
            print(f"{path}:{finding.line}: {_told(finding)}")
    lines.clear()
    for is_note, what in ((False, "broken rules"), (True, "notes")):
        if counts[is_note] > SHOWN:
            print(f"{path}: {counts[is_note] - SHOWN:,} more {what}")
    if log.is_degraded(session.directory):
        print(f"{path}: note: the disk failed under this log; the session takes no turn ({log.DEGRADED})")
    broken = f"{counts[False]:,} broken rules" if counts[False] else "ok"
    print(f"{path}: {broken}, {lines.number:,} lines", flush=True)
    return not counts[False]


def _told(finding: Finding) -> str:
    return one_line(f"{'note: ' if finding.is_note else ''}{finding.what}")


class _Lines:
    """A log's lines, and on a terminal how far they have been read."""

    def __init__(self, session: Session) -> None:
        self.number = 0
        self._name = session.id[:8]
        self._fd = log.open_reader(session.directory)
        self._size = max(1, log.size(self._fd))
        self._tells = sys.stderr.isatty()
        self._told_at = time.monotonic()
        self._shows = False

    def __iter__(self) -> Iterator[bytes]:
        read = 0
        with os.fdopen(self._fd, "rb", BUFFER) as file:
            for line in file:
                yield line
                self.number += line.endswith(b"\n")
                read += len(line)
                if self._tells and self.number % 1000 == 0:
                    self._tell(read)

    def _tell(self, read: int) -> None:
        if time.monotonic() - self._told_at < PROGRESS_SECONDS:
            return
        self._told_at, self._shows = time.monotonic(), True
        percent = min(99, read * 100 // self._size)
        screen.say_over(f"{self._name}: {percent} %, {self.number:,} lines")

    def clear(self) -> None:
        """Wipe the progress away: what is printed next takes its place."""
        if self._shows:
            screen.say_over("")
            self._shows = False
