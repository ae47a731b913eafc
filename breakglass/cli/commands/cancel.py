"""Stop the running turn and wait for its end."""

from argparse import Namespace

from breakglass.cli import screen
from breakglass.cli.command import LAST_SESSION, Command
from breakglass.cli.user import user_name
from breakglass.config import Config
from breakglass.errors import NotFound
from breakglass.store import sessions
from breakglass.turns.end import cancel_turn, wait_for_stop


def run(config: Config, args: Namespace) -> int:
    """Stop the running turn and wait for its end."""
    session = sessions.find(config.data, *args.words)
    waiting = len(session.state().queued)
    if not cancel_turn(session, by=user_name(), warn=screen.say):
        raise NotFound(f"no turn is running in session {session.id[:8]}")
    wait_for_stop(session, warn=screen.say)
    withdrawn = f" and withdrew {waiting} queued {'prompt' if waiting == 1 else 'prompts'}" if waiting else ""
    print(f"stopped the turn in session {session.id[:8]}{withdrawn}")
    return 0


COMMAND = Command(
    run,
    writes=True,
    words=(LAST_SESSION,),
    examples="""\
  breakglass cancel          in the session written to last
  breakglass cancel 3f2a""",
    notes="Queued prompts of the session are withdrawn too.",
    exits={0: "the turn was stopped", 1: "no turn was running"},
)
