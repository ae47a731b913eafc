"""Let the agent continue after a lost turn, one that took too long, or a restart."""

from argparse import Namespace

from breakglass.cli.command import LAST_SESSION, Command, Option
from breakglass.cli.commands.send import report
from breakglass.cli.user import user_name
from breakglass.config import Config
from breakglass.errors import Conflict, TurnRunning
from breakglass.store import sessions
from breakglass.turns.begin import submit_prompt
from breakglass.turns.end import end_if_lost
from breakglass.turns.go_on import prompt_to_go_on


def run(config: Config, args: Namespace) -> int:
    """Send the prompt that says what happened."""
    session = sessions.find(config.data, *args.words)
    state = end_if_lost(session)
    if state.turn is not None:
        raise TurnRunning(f"a turn is running in session {session.id[:8]}: nothing was cut short")
    if not (prompt := prompt_to_go_on(config, state)):
        raise Conflict(
            f"nothing to continue in session {session.id[:8]}: its last turn was not lost and did not take too long,"
            f" and the machine has not restarted since; to say what to do: breakglass send {session.id[:8]} PROMPT"
        )
    accepted = submit_prompt(config, session, prompt, by=user_name(), over_budget=args.over_budget)
    return report(config, session, accepted, wait=args.wait)


COMMAND = Command(
    run,
    writes=True,
    words=(LAST_SESSION,),
    options=(
        Option("--wait", "show the turn and return when it has ended"),
        Option("--over-budget", "send it although the day's budget is spent (max_cost_usd_per_day)"),
    ),
    output="the session's id and the number of the turn; with --wait the turn",
    examples="""\
  breakglass continue              in the session written to last
  breakglass continue 3f2a --wait""",
    notes="The agent gets a prompt that says what happened. Nothing continues by itself.",
    exits={
        1: "there is nothing to continue, or it failed; with --wait also: the turn ended with error, timeout or lost",
        3: "a turn is running already",
        130: "with --wait: the turn was cancelled, or you pressed Ctrl-C",
    },
)
