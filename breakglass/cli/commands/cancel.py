"""Stop the running turn and wait for its end."""

import contextlib
from argparse import Namespace

from breakglass.cli import on_host, screen
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


def run_on_host(config: Config, args: Namespace) -> int:
    """Stop the turn that runs on another host. If the copy shows one, only that turn is stopped."""
    session = on_host.find(on_host.copy_of(config, args.on), args.words)
    turn = None
    with contextlib.suppress(NotFound):  # there is no copy
        turn = session.state().turn
    done = on_host.act(config, args, "cancel", session.id, {"turn": turn})
    print(f"stopped the turn in session {on_host.session_in(done)[:8]} on {args.on}")
    return 0


COMMAND = Command(
    run,
    writes=True,
    on_host=run_on_host,
    words=(LAST_SESSION,),
    examples="""\
  breakglass cancel          in the session written to last
  breakglass cancel 3f2a
  breakglass --on db1 cancel 3f2a          on the host db1: docs/fleet.md""",
    notes="Queued prompts of the session are withdrawn too.",
    exits={0: "the turn was stopped", 1: "no turn was running"},
)
