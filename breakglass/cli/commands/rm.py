"""Delete a session for good: its log, its other files and its workspace."""

from argparse import Namespace

from breakglass.cli import screen
from breakglass.cli.command import SESSION, Command, Option
from breakglass.config import Config
from breakglass.errors import BadInput, BreakglassError, NotFound, TurnRunning
from breakglass.store import root, sessions, space
from breakglass.store.sessions import Session
from breakglass.text import heading, size
from breakglass.turns.delete import delete_session
from breakglass.turns.end import has_runner


def run(config: Config, args: Namespace) -> int:
    """Delete a session, after a question. Returns 1 if the user says no."""
    root.refuse_read_only(config.data)
    session = sessions.find_directory(config.data, *args.words)
    if has_runner(session):  # before the question: the answer could change nothing
        raise TurnRunning(
            f"a turn is running in session {session.id[:8]}; to stop it: breakglass cancel {session.id[:8]}"
        )
    if not args.yes:
        if not screen.can_ask():
            raise BadInput("rm asks before it deletes, and there is no terminal; to delete without: --yes")
        screen.say(f"{_described(session)}\nNothing can bring it back. {_kept_instead(session)}")
        if screen.ask("Delete it? [y/N] ").strip().lower() not in ("y", "yes"):
            raise BreakglassError("nothing was deleted")
    freed = delete_session(session)
    print(f"Deleted session {session.id}: {size(freed)} freed.")
    return 0


def _described(session: Session) -> str:
    try:
        state = session.state()
    except NotFound:
        return f"Session {session.id} has no log. It uses {size(space.disk_use(session))}."
    name = heading(state.title, state.first_prompt)
    named = f"Session {session.id}" + (f", {name!r}" if name else "")
    return f"{named}: {state.last_id:,} lines. It uses {size(space.disk_use(session))}, with its workspace."


def _kept_instead(session: Session) -> str:
    return f"To only hide it from the lists: breakglass archive {session.id[:8]}"


COMMAND = Command(
    run,
    writes=True,
    words=(SESSION,),
    options=(Option("--yes", "delete it without a question"),),
    advice="breakglass ls lists the ids",
    output="what was deleted, and the disk space that it used",
    examples="""\
  breakglass rm 3f2a               asks first
  breakglass rm 3f2a --yes         for scripts""",
    notes="""\
It asks on a terminal. Without a terminal it needs --yes. A session in which a turn runs is not deleted.
To delete every old session: breakglass prune.""",
    exits={1: "you said no, or it failed", 3: "a turn is running in it"},
)
