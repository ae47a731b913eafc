"""Change the title of a session."""

from argparse import Namespace

from breakglass.cli.command import SESSION, Command, Word
from breakglass.cli.user import check_text, user_name
from breakglass.config import Config
from breakglass.store import sessions


def run(config: Config, args: Namespace) -> int:
    """Change the title of a session."""
    session_id, title = args.words
    session = sessions.find(config.data, session_id)
    sessions.change(session, title=check_text("TITLE", title), by=user_name())
    return 0


COMMAND = Command(
    run,
    writes=True,
    words=(SESSION, Word("TITLE", 'the new title; "" removes it')),
    advice="put a title of several words in quotes",
    output="nothing",
    examples="""\
  breakglass rename 3f2a "disk full on db1"
  breakglass rename 3f2a ""              lists show its first prompt again""",
)
