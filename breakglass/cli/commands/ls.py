"""List the sessions, latest first."""

from argparse import Namespace

from breakglass.cli import screen
from breakglass.cli.command import Command, Option
from breakglass.cli.style import paint, status_style
from breakglass.config import Config
from breakglass.state import SessionState, describe
from breakglass.store import log, root, sessions, space
from breakglass.text import age, cut, heading, one_line, size, status_sign
from breakglass.turns.end import current_state


def run(config: Config, args: Namespace) -> int:
    """List the sessions. Ends each lost turn that it finds, except in a read-only data root."""
    found = [
        (session, current_state(session, state)) for session, state in sessions.list_sessions(config.data)
    ]
    if not args.archived:
        found = [(session, state) for session, state in found if state.is_shown]
    if any(state.turn is not None for _, state in found) and (message := root.read_only_message(config.data)):
        screen.say(f"note: {message}; a turn shown as running may have ended")
    uses = [space.disk_use(session) if args.long else None for session, _ in found]
    if args.json:
        rows = zip(found, uses, strict=True)
        screen.print_json(
            describe(session.id, state) | ({} if use is None else {"disk_bytes": use})
            for (session, state), use in rows
        )
        return 0
    if not found:
        screen.say(f"no sessions in {config.data.absolute()}; to create one: breakglass new")
    digits = _distinguishing_digits([session.id for session, _ in found])
    now, columns = log.now(), screen.columns()
    colours = screen.has_colours(config.environ)
    for (session, state), use in zip(found, uses, strict=True):
        long = f"{size(use):>8}  " if use is not None else ""
        print(_row(session.id[:digits], state, now, columns, long, colours=colours))
    return 0


def _distinguishing_digits(ids: list[str]) -> int:
    """Return how many characters make all ids different, at least 8."""
    return next(n for n in range(8, 37) if len({id_[:n] for id_ in ids}) == len(ids))


def _row(name: str, state: SessionState, now: str, columns: int, long: str, *, colours: bool) -> str:
    status = "asking" if state.asking else state.status
    shown = paint(f"{status_sign(status).sign} {one_line(status):<9}", status_style(status), colours=colours)
    name_shown = heading(state.title, state.first_prompt) or "-"
    rest = f"{age(state.updated, now):>6}  {long}{one_line(state.agent, 12):<8}  {_marks(state)}{name_shown}"
    return f"{name}  {shown}  {cut(rest, columns - len(name) - 15)}"


def _marks(state: SessionState) -> str:
    """Return what is special about a session, such as `[2 queued, archived] `, else ""."""
    facts = [f"target {one_line(state.target)}"] if state.target else []
    facts += [f"{len(state.queued)} queued"] if state.queued else []
    facts += ["archived"] if state.archived else []
    return f"[{', '.join(facts)}] " if facts else ""


COMMAND = Command(
    run,
    writes=True,
    options=(
        Option("--json", "print one JSON object a session, one a line"),
        Option("--archived", "list archived sessions too"),
        Option("--long", "also the disk space of the log and the workspace; with --json as disk_bytes"),
    ),
    output="id, status, age, with --long disk space, agent, title; with --json the session object of section 3",
    examples="""\
  breakglass ls
  breakglass ls --long --archived                          what the disk space is used for
  breakglass ls --json | jq -r 'select(.turn_active).id'""",
)
