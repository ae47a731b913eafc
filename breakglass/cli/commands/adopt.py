"""List the agent's own sessions of this user, or continue one of them here."""

import re
from argparse import Namespace

from breakglass.cli import screen
from breakglass.cli.command import Command, Option, Word
from breakglass.cli.user import user_name
from breakglass.config import Config
from breakglass.errors import BadInput
from breakglass.store import log, sessions
from breakglass.text import age, cut, one_line
from breakglass.turns.adopt import OwnSession, adopt, agent_to_adopt_from, own_sessions

_ACP_ID = re.compile(r"[!-.0-~]{1,200}")
"""An ACP agent chooses the ids of its sessions."""


def run(config: Config, args: Namespace) -> int:
    """List the sessions, or with an id make one of ours that resumes it."""
    name, session_id = _read_words(config, args.words)
    agent = agent_to_adopt_from(config, name)
    if session_id is not None:
        session = adopt(config, agent, session_id, by=user_name())
        if args.json:
            screen.print_json([{"session": session.id}])
        else:
            print(session.id)
        if screen.is_terminal():
            screen.say(f"To go on with it: breakglass send {session.id[:8]} PROMPT")
        return 0
    found = own_sessions(config, agent)
    if args.json:
        screen.print_json(_described(agent.name, each) for each in found)
        return 0
    if not found:
        screen.say(f"{agent.name} has no sessions of this user besides those of this data root")
    now, columns = log.now(), screen.columns()
    for each in found:
        mark = "[in use] " if each.pid else f"[session {each.session[:8]}] " if each.session else ""
        print(
            cut(
                f"{each.id}  {age(each.updated, now):>6}  {mark}{each.title}  in {one_line(each.directory)}",
                columns,
            )
        )
    return 0


def _read_words(config: Config, words: list[str]) -> tuple[str | None, str | None]:
    """Return the agent and the id that the words name, None for what they do not name. Raises BadInput."""
    names = words[:1] if words and (len(words) > 1 or words[0] in config.agents) else []
    ids = words[len(names) :]
    for each in ids:
        is_acp = bool(names) and names[0] in config.agents and config.agents[names[0]].protocol == "acp"
        if not (_ACP_ID.fullmatch(each) if is_acp else each and set(each.lower()) <= sessions.ID_CHARACTERS):
            raise BadInput(
                f"{each!r} is neither an agent ({', '.join(sorted(config.agents))}) nor a session's id"
            )
    return next(iter(names), None), next(iter(ids), None)


def _described(agent: str, own: OwnSession) -> dict[str, object]:
    return {
        "agent": agent,
        "session_id": own.id,
        "title": own.title,
        "directory": own.directory,
        "updated": own.updated or None,
        "in_use": bool(own.pid),
        "session": own.session,
    }


COMMAND = Command(
    run,
    writes=True,
    words=(
        Word("[AGENT]", "the agent whose sessions are meant (default the first one that is Claude Code)"),
        Word("[UUID]", "the id of one of its sessions, or the beginning of it; without it they are listed"),
    ),
    options=(Option("--json", "print one JSON object a session, one a line; with an id {session}"),),
    output="id, age, title and directory of each of them, latest first; with an id the id of our session",
    examples="""\
  breakglass adopt                            what was begun in a terminal
  breakglass adopt claude 61ff635c            go on with it here; prints the session's id
  breakglass send $(breakglass adopt 61ff635c) "and now restart it"
  breakglass adopt --json | jq -r 'select(.in_use | not).session_id'""",
    notes="""\
The agent knows what was said before, and works in the directory where its session was begun. A session that a program
has open is refused: close that program first. If a session is adopted again, its id here is the same.
An ACP agent is started to list its sessions (session/list). It does not say whether a program has one open: close it.
With --json: agent, session_id, title, directory, updated, in_use, session (ours, or null).""",
    exits={1: "there is none, the agent lists none, it is in use, or it failed"},
)
