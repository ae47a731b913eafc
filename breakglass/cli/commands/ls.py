"""List the sessions, latest first."""

from argparse import Namespace
from pathlib import Path

from breakglass.cli import screen
from breakglass.cli.command import Command, Option
from breakglass.cli.style import paint, status_style
from breakglass.config import Config
from breakglass.errors import BadInput
from breakglass.state import SessionState, describe
from breakglass.store import hosts, log, root, sessions, space
from breakglass.store.sessions import Session
from breakglass.text import age, cut, heading, one_line, size, status_sign
from breakglass.turns.end import current_state


def run(config: Config, args: Namespace) -> int:
    """List the sessions. Ends each lost turn that it finds, except in a read-only data root."""
    if args.all_hosts and args.host is not None:
        raise BadInput("--all-hosts lists every host: leave out --host")
    copies = [hosts.root_of(config.data, name) for name in hosts.names(config.data)] if args.all_hosts else []
    found = _listed([config.data, *copies], archived=args.archived)
    names = {each: hosts.host_of(each) for each in {session.root for session, _ in found}}
    if has_host := args.all_hosts or any(names.values()):
        names = {each: name or config.this_machine for each, name in names.items()}
    uses = [space.disk_use(session) if args.long else None for session, _ in found]
    if args.json:
        rows = zip(found, uses, strict=True)
        screen.print_json(
            ({"host": names[session.root]} if has_host else {})
            | describe(session.id, state)
            | ({} if use is None else {"disk_bytes": use})
            for (session, state), use in rows
        )
        return 0
    if not found:
        advice = "" if hosts.host_of(config.data) else "; to create one: breakglass new"
        screen.say(f"no sessions in {config.data.absolute()}{advice}")
    digits = _distinguishing_digits([session.id for session, _ in found])
    now, columns = log.now(), screen.columns()
    colours = screen.has_colours(config.environ)
    width = max((len(name) for name in names.values()), default=0) if has_host else 0
    for (session, state), use in zip(found, uses, strict=True):
        long = f"{names[session.root]:<{width}}  " if has_host else ""
        long += f"{size(use):>8}  " if use is not None else ""
        print(_row(session.id[:digits], state, now, columns, long, colours=colours))
    return 0


def _listed(roots: list[Path], *, archived: bool) -> list[tuple[Session, SessionState]]:
    """Return the sessions to list, the latest change first. Tells the user where a running turn may have ended."""
    found = []
    for each in roots:
        own = [(session, current_state(session, state)) for session, state in sessions.list_sessions(each)]
        own = [(session, state) for session, state in own if archived or state.is_shown]
        if any(state.turn is not None for _, state in own) and (message := root.read_only_message(each)):
            screen.say(f"note: {message}; a turn shown as running may have ended")
        found += own
    return sorted(found, key=lambda pair: pair[1].updated, reverse=True)


def _distinguishing_digits(ids: list[str]) -> int:
    """Return how many characters make all ids different, at least 8. Two hosts may have copies of one session."""
    different = set(ids)
    return next(n for n in range(8, 37) if len({id_[:n] for id_ in different}) == len(different))


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
    reads_hosts=True,
    writes=True,
    options=(
        Option("--json", "print one JSON object a session, one a line"),
        Option("--archived", "list archived sessions too"),
        Option("--all-hosts", "the sessions of this machine and of every host whose copy is here"),
        Option("--long", "also the disk space of the log and the workspace; with --json as disk_bytes"),
    ),
    output="id, status, age, the host if it is not this machine, with --long disk space, agent, title;\n"
    "  with --json the session object of the HTTP API, for another host with host",
    examples="""\
  breakglass ls
  breakglass ls --long --archived                          what the disk space is used for
  breakglass ls --host db1                                 the copy of the sessions of db1
  breakglass ls --json | jq -r 'select(.turn_active).id'""",
)
