"""Print a session from its beginning to its end so far."""

from argparse import Namespace

from breakglass.cli.command import LAST_SESSION, Command, Option
from breakglass.cli.follow import print_log, print_transcript
from breakglass.cli.user import whole_number
from breakglass.config import Config
from breakglass.errors import BadInput
from breakglass.store import sessions


def run(config: Config, args: Namespace) -> int:
    """Print a session once. Reads only: a lost turn is shown as its log has it."""
    if args.json and args.plain:
        raise BadInput("expected --json or --plain, not both")
    session = sessions.find(config.data, *args.words)
    if args.json:
        return print_log(session, args.after, follow=False)
    return print_transcript(config, session, args.after, plain=args.plain)


COMMAND = Command(
    run,
    reads_hosts=True,
    words=(LAST_SESSION,),
    options=(
        Option(
            "--plain", "print everything whole and without colours, also on a terminal: for less and grep"
        ),
        Option("--after N", "leave out lines 1 to N", whole_number, 0),
        Option("--json", "print the events as JSON, one a line, as `breakglass attach --json`"),
    ),
    examples="""\
  breakglass log                         the session written to last
  breakglass log 3f2a --plain | less
  breakglass log --json | jq -r 'select(.kind == "error").error'""",
    notes="""\
No character of an agent controls the terminal: escapes are removed, invisible and directional characters are marked.
The file itself is read by cat and jq without that protection.""",
    exits={1: "there is no such session"},
)
