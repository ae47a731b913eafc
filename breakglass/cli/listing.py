"""What there is: the sessions, and the agents that are configured here."""

import json
import os
from argparse import Namespace
from collections.abc import Iterable
from typing import Any

from breakglass.cli import screen
from breakglass.cli.examine import examine
from breakglass.cli.style import STATUS_STYLES, paint
from breakglass.config import Config
from breakglass.state import OpenQuestion, SessionState, describe
from breakglass.store import log, sessions
from breakglass.store.sessions import Session
from breakglass.text import age, cut, one_line, plain, status_sign
from breakglass.turns.end import current_state


def ls(config: Config, args: Namespace) -> int:
    """List the sessions, latest first. A turn that was lost is ended on the way."""
    found = [
        (session, current_state(session, state)) for session, state in sessions.list_sessions(config.data)
    ]
    if not args.archived:
        found = [(session, state) for session, state in found if state.is_shown]
    if args.json:
        _print_json(describe(session.id, state) for session, state in found)
        return 0
    if not found:
        screen.say(f"there are no sessions in {config.data.absolute()}; make one with: breakglass new")
    digits = _digits([session.id for session, _ in found])
    columns = screen.columns()
    now = log.now()
    for session, state in found:
        print(
            _row(
                session.id[:digits],
                state,
                now,
                columns,
                colours=screen.has_colours(config.environ),
            )
        )
    return 0


def _digits(ids: list[str]) -> int:
    """Return how much of an id tells all of them apart, 8 at least."""
    return next(n for n in range(8, 37) if len({id_[:n] for id_ in ids}) == len(ids))


def _row(name: str, state: SessionState, now: str, columns: int, *, colours: bool) -> str:
    status = "asking" if state.asking else state.status
    sign, style = status_sign(status).sign, STATUS_STYLES.get(status, "wrong")
    shown = paint(f"{sign} {one_line(status):<9}", style, colours=colours)
    rest = f"{age(state.updated, now):>6}  {one_line(state.agent, 12):<8}  {headline(state)}"
    return f"{name}  {shown}  {cut(rest, columns - len(name) - 15)}"


def headline(state: SessionState) -> str:
    """Return what a session is called: its title, else the beginning of its first prompt."""
    return one_line(state.title or state.first_prompt, 80) or "-"


def questions(session: Session, asking: Iterable[OpenQuestion]) -> None:
    """Print the open questions of a session: the name of each, its tool, and all that the tool would be given."""
    fd = log.open_reader(session.directory)
    try:
        for question in asking:
            asked = log.read_one(fd, question.id)
            print(
                f"{one_line(question.request)}  {one_line(question.name)}  until {one_line(question.expires)}"
            )
            print(plain(json.dumps(asked.get("input"), ensure_ascii=False, indent=2)))
    finally:
        os.close(fd)


# --- agents -------------------------------------------------------------------------------------


def agents(config: Config, args: Namespace) -> int:
    """List the agents, and for one that cannot start what to do about it."""
    found = [examine(config, agent) for agent in config.agents.values()]
    if args.json:
        _print_json(found)
        return 0
    for agent in found:
        status = "error" if agent["problem"] else "ok"
        sign, style = status_sign(status).sign, STATUS_STYLES.get(status, "wrong")
        default = " (default)" if agent["default"] else ""
        sign = paint(sign, style, colours=screen.has_colours(config.environ))
        about = " · ".join(
            one_line(str(agent[key])) for key in ("protocol", "permissions", "version") if agent[key]
        )
        print(f"{sign} {agent['name']}{default}: {about}")
        print(f"  {one_line(agent['problem'] or agent['program'])}")
    return 0


def _print_json(rows: Iterable[dict[str, Any]]) -> None:
    for row in rows:
        print(json.dumps(row, ensure_ascii=False))
