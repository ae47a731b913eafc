"""Archive a session: lists leave it out, and nothing is deleted."""

from argparse import Namespace

from breakglass.cli.command import SESSION, Command, Option
from breakglass.cli.user import user_name
from breakglass.config import Config
from breakglass.store import sessions


def run(config: Config, args: Namespace) -> int:
    """Archive a session, or take it out of the archive."""
    (session_id,) = args.words
    sessions.change(sessions.find(config.data, session_id), archived=not args.undo, by=user_name())
    return 0


COMMAND = Command(
    run,
    writes=True,
    words=(SESSION,),
    options=(Option("--undo", "take it out of the archive"),),
    advice="breakglass ls lists the ids",
    output="nothing",
    examples="""\
  breakglass archive 3f2a
  breakglass archive 3f2a --undo
  breakglass ls --archived            list the archived ones too""",
    notes="To delete a session: breakglass rm ID",
)
