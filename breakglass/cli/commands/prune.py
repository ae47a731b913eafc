"""Delete every session without an event for a long time."""

import re
from argparse import Namespace
from datetime import UTC, datetime, timedelta

from breakglass.cli import screen
from breakglass.cli.command import Command, Option
from breakglass.config import Config
from breakglass.errors import BadInput, BreakglassError
from breakglass.state import SessionState
from breakglass.store import log, root, sessions, space
from breakglass.text import age, heading, plural, size
from breakglass.turns.delete import delete_session

_AGE = re.compile(r"([0-9]{1,5})(h|d|w)")
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


def run(config: Config, args: Namespace) -> int:
    """Delete the old sessions in which no turn runs, or list them with --dry-run. Returns 1 if one is left."""
    if args.older_than is None:
        raise BadInput(
            "prune: expected --older-than AGE, such as --older-than 90d; see: breakglass prune --help"
        )
    if not args.dry_run:
        root.refuse_read_only(config.data)
    now = log.now()
    before = datetime.fromisoformat(now) - args.older_than
    count = freed = failed = 0
    for session, state in reversed(sessions.list_sessions(config.data)):
        if not _is_due(state, before, only_archived=args.archived):
            continue
        try:
            used = space.disk_use(session) if args.dry_run else delete_session(session)
        except BreakglassError as error:
            screen.say(f"breakglass: {error}")
            failed += 1
            continue
        count, freed = count + 1, freed + used
        print(f"{session.id}  {age(state.updated, now):>6}  {size(used):>8}  {_name(state)}")
    print(_summary(count, freed, is_dry_run=args.dry_run))
    return 1 if failed else 0


def _is_due(state: SessionState, before: datetime, *, only_archived: bool) -> bool:
    """Return whether to delete a session of this state: its last event is old, and no turn runs."""
    if state.turn is not None or (only_archived and not state.archived):
        return False
    try:
        updated = datetime.fromisoformat(state.updated)
    except ValueError:  # a user edited the log
        return False
    return (updated if updated.tzinfo else updated.replace(tzinfo=UTC)) <= before


def _name(state: SessionState) -> str:
    mark = "[archived] " if state.archived else ""
    return f"{mark}{heading(state.title, state.first_prompt) or '-'}"


def _summary(count: int, freed: int, *, is_dry_run: bool) -> str:
    what = plural(count, "session")
    if is_dry_run:
        return f"{what} would be deleted, {size(freed)} freed. Nothing was deleted."
    return f"{what} deleted, {size(freed)} freed."


def parse_age(text: str) -> timedelta:
    """Return the age in an option. Raises BadInput."""
    if not (found := _AGE.fullmatch(text)):
        raise BadInput(f"expected an age in hours, days or weeks, such as 12h, 90d or 8w, got {text!r}")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


COMMAND = Command(
    run,
    writes=True,
    options=(
        Option("--older-than AGE", "the least time since the last event: 12h, 90d or 8w", parse_age),
        Option("--archived", "delete only archived sessions"),
        Option("--dry-run", "only print what would be deleted"),
    ),
    output="for each session its id, the time since its last event, the disk space and the title; then the sum",
    examples="""\
  breakglass prune --older-than 90d --dry-run      look at it first
  breakglass prune --older-than 90d --archived     delete archived sessions, as a timer may do""",
    notes="""\
It asks nothing. A session in which a turn runs is kept, and so is one whose last turn has no end yet. A log that is
deleted cannot be brought back: docs/operate.md shows a backup.""",
    exits={1: "a session could not be deleted, or it failed"},
)
