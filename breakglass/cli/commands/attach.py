"""Show a session from its beginning and follow it as it grows."""

from argparse import Namespace

from breakglass.cli.command import LAST_SESSION, Command, Option
from breakglass.cli.follow import print_log, show_session
from breakglass.cli.user import whole_number
from breakglass.config import Config
from breakglass.store import sessions


def run(config: Config, args: Namespace) -> int:
    """Show a session until Ctrl-C."""
    session = sessions.find(config.data, *args.words)
    if args.json:
        return print_log(session, args.after, follow=True)
    return show_session(config, session, args.after)


COMMAND = Command(
    run,
    writes=True,
    words=(LAST_SESSION,),
    options=(
        Option("--after N", "leave out lines 1 to N", whole_number, 0),
        Option(
            "--json",
            "print the events as JSON, one a line, as the log has them, but directional characters escaped",
        ),
    ),
    examples="""\
  breakglass attach                      the session written to last
  breakglass attach 3f2a --after 120     the lines after line 120
  breakglass attach --json | jq -r 'select(.kind == "text").text'""",
    notes="""\
Ctrl-C detaches and stops nothing. The numbers in the margin are lines of the log: sed -n 12p events.jsonl
On a terminal the output of an agent's tools is cut; the log has all of it.""",
    exits={0: "you pressed Ctrl-C", 1: "there is no such session, or it was deleted meanwhile"},
)
