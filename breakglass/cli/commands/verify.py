"""Check a log against the rules for events, line by line."""

import os
import re
from argparse import Namespace
from collections.abc import Iterator
from itertools import chain

from breakglass import verify
from breakglass.cli import screen
from breakglass.cli.command import LAST_SESSION, Command, Option
from breakglass.config import Config
from breakglass.errors import BadInput, NotFound
from breakglass.store import degraded, log, pictures, sessions
from breakglass.store.sessions import Session
from breakglass.text import one_line, plural
from breakglass.verify.finding import Finding

MAX_SHOWN = 20
"""Broken rules and notes shown for one log: a log with another file appended would fill the screen."""
BUFFER = 1 << 20
BATCH = 1 << 18
"""Bytes of lines that are checked at a time."""


def run(config: Config, args: Namespace) -> int:
    """Check one log or all logs. Returns 0 if no rule is broken, else 1. Changes nothing."""
    witnessed = _witnessed(args.against)
    if not args.all:
        return 0 if _check(sessions.find(config.data, *args.words), witnessed) else 1
    if witnessed:
        raise BadInput("--against is about one log: leave out --all")
    if args.words:
        raise BadInput("--all checks every session: leave out the id, or leave out --all")
    if not config.data.is_dir():
        raise NotFound(f"there is no data directory {config.data.absolute()}; name it with --data")
    found = [Session(config.data, session_id) for session_id in sorted(sessions.ids(config.data))]
    are_valid = [_check(session) for session in found if _has_log(session)]
    print(f"{plural(len(are_valid), 'log')}, {are_valid.count(False):,} of them broken")
    return 0 if all(are_valid) else 1


def _witnessed(text: str | None) -> tuple[int, str] | None:
    """Return a seal that was kept elsewhere, from LINES:HEX. Raises BadInput."""
    if text is None:
        return None
    match = re.fullmatch("0*([1-9][0-9]{0,17}):([0-9a-fA-F]{16,64})", text)
    if not match:
        raise BadInput(
            f"--against: expected LINES:HEX, with 16 to 64 hex digits, got {one_line(text, 100)!r}"
        )
    return int(match[1]), match[2].lower()


def _has_log(session: Session) -> bool:
    """Return whether the session has a log. If not, print a note."""
    path = f"{session.directory}/{log.NAME}"
    is_there = os.path.lexists(path)
    if not is_there:
        print(f"{path}: note: there is no log; creating the session was interrupted, or the file was deleted")
    return is_there


def _check(session: Session, witnessed: tuple[int, str] | None = None) -> bool:
    """Print the findings in one log and a summary. Returns whether no rule is broken. Raises NotFound."""
    path = f"{session.directory}/{log.NAME}"
    lines = _LogReader(session)
    counts = {True: 0, False: 0}
    verifier = verify.Verifier(witnessed)
    for finding in chain(verify.findings_in_batches(lines, verifier), _pictures(session.directory, verifier)):
        counts[finding.is_note] += 1
        if counts[finding.is_note] <= MAX_SHOWN:
            lines.progress.erase()
            print(f"{path}:{finding.line}: {_describe(finding)}")
    lines.progress.erase()
    for is_note, what in ((False, "broken rules"), (True, "notes")):
        if counts[is_note] > MAX_SHOWN:
            print(f"{path}: {counts[is_note] - MAX_SHOWN:,} more {what}")
    if degraded.is_degraded(session.directory):
        print(
            f"{path}: note: the disk failed while this log was written; the session takes no turn ({degraded.NAME})"
        )
    result = plural(counts[False], "broken rule") if counts[False] else "ok"
    newest = verifier.seals.newest
    seal = f", seal {newest.lines}:{newest.sha256}" if newest and not counts[False] else ""
    print(f"{path}: {result}, {lines.number:,} lines{seal}", flush=True)
    return not counts[False]


def _pictures(directory: str, verifier: verify.Verifier) -> Iterator[Finding]:
    """Yield what is wrong with the pictures beside the log, once it was read. A copy of the log may have none."""
    for path, line in verifier.pictures.items():
        try:
            if not pictures.is_unchanged(directory, path):
                yield Finding(line, f"its picture was changed: {path}")
        except (NotFound, OSError):
            yield Finding(line, f"its picture is not beside the log: {path}", is_note=True)


def _describe(finding: Finding) -> str:
    return one_line(f"{'note: ' if finding.is_note else ''}{finding.what}")


class _LogReader:
    """Reads the lines of a log in batches. On a terminal it shows the progress."""

    def __init__(self, session: Session) -> None:
        self.number = 0
        self._name = session.id[:8]
        self._fd = log.open_reader(session.directory)
        self._size = max(1, log.size(self._fd))
        self.progress = screen.ProgressLine()

    def __iter__(self) -> Iterator[list[bytes]]:
        read = 0
        with os.fdopen(self._fd, "rb", BUFFER) as file:
            while lines := file.readlines(BATCH):
                yield lines
                self.number += len(lines) - (not lines[-1].endswith(b"\n"))
                read += sum(map(len, lines))
                if self.progress.is_due:
                    percent = min(99, read * 100 // self._size)
                    self.progress.show(f"{self._name}: {percent} %, {self.number:,} lines")


COMMAND = Command(
    run,
    reads_hosts=True,
    words=(LAST_SESSION,),
    options=(
        Option("--all", "check every session"),
        Option("--against LINES:HEX", "compare with a seal of this log that was kept elsewhere"),
    ),
    output="PATH:LINE: WHY for each broken rule, with note: before WHY where no rule is broken; "
    "last the newest seal as LINES:HEX",
    examples="""\
  breakglass verify            the session written to last
  breakglass verify 3f2a
  breakglass verify --all      every session
  breakglass verify 3f2a --against 40:5c1b0a63f1d2e49877aa01b2c3d4e5f6""",
    notes="""\
It reads and changes nothing. A note is about something that breaks no rule: a foreign line, an incomplete last
line, a turn that runs.

Each turn ends with a seal: a hash of all lines before it. Changed, missing and added lines are found by their seals.
Lines that were cut off the end, or a log that was written anew with new seals, are found only with --against: a seal
that another machine or a person has kept. 16 digits of it are enough.""",
    exits={0: "no rule is broken", 1: "a rule is broken, or it failed"},
)
