"""Show a session from its beginning and follow it as it grows."""

from argparse import Namespace

from breakglass.cli.command import LAST_SESSION, Command, Option
from breakglass.cli.follow import new_transcript, print_log, show_session, tell_copy
from breakglass.cli.replay import parse_speed, show_past
from breakglass.cli.user import whole_number
from breakglass.config import Config
from breakglass.errors import BadInput
from breakglass.store import sessions


def run(config: Config, args: Namespace) -> int:
    """Show a session until Ctrl-C, or its past to the end."""
    first: int = getattr(args, "from")
    if first and args.after:
        raise BadInput("--from N shows line N and --after N leaves it out: use one of them")
    if args.json and args.speed:
        raise BadInput("--json prints a log without pauses: leave out --speed")
    session = sessions.find(config.data, *args.words)
    after = max(args.after, first - 1)
    if args.speed:
        tell_copy(session)
        return show_past(session, new_transcript(config, session), after + 1, args.speed)
    if args.json:
        return print_log(session, after, follow=True)
    return show_session(config, session, after)


COMMAND = Command(
    run,
    reads_hosts=True,
    writes=True,
    words=(LAST_SESSION,),
    options=(
        Option("--after N", "leave out lines 1 to N", whole_number, 0),
        Option("--from N", "begin with line N", whole_number, 0),
        Option("--speed X", "show the past as it happened, X times faster, and end", parse_speed),
        Option(
            "--json",
            "print the events as JSON, one a line, as the log has them, but directional characters escaped",
        ),
    ),
    examples="""\
  breakglass attach                      the session written to last
  breakglass attach 3f2a --after 120     the lines after line 120
  breakglass attach 3f2a --speed 4 --from 1200   as it happened from line 1200 on, four times faster
  breakglass attach --json | jq -r 'select(.kind == "text").text'""",
    notes="""\
With --speed a pause takes three seconds at most. Ctrl-C detaches and stops nothing.
The numbers in the margin are lines of the log: sed -n 12p events.jsonl
On a terminal the output of an agent's tools is cut; the log has all of it.""",
    exits={
        0: "you pressed Ctrl-C, or --speed has reached the end",
        1: "there is no such session, or it was deleted meanwhile",
    },
)
