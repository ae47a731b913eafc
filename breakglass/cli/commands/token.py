"""Show the access token, or replace it."""

from argparse import Namespace

from breakglass.cli.command import Command, Option, Word
from breakglass.config import Config
from breakglass.errors import BadInput
from breakglass.store import root

ACTIONS = ("show", "rotate")


def run(config: Config, args: Namespace) -> int:
    """Show the token or replace it."""
    from breakglass.access import tokens  # imported only here: it delays other commands

    (action,) = args.words
    if action not in ACTIONS:
        raise BadInput(f"expected breakglass token show or breakglass token rotate, got {action!r}")
    # Reading a token needs no write, so only a failure names the reason.
    read_only = root.prepare(config.data)
    may_act, is_set = not args.read_only, config.token is not None and not args.read_only
    if action == "rotate":
        root.refuse_read_only(config.data)
        if is_set:
            raise BadInput(
                "the token is set by BREAKGLASS_TOKEN: change the variable, then restart the server"
            )
        secret = tokens.rotate_token(config.data, may_act=may_act)
    elif is_set:
        secret = str(config.token)
    else:
        secret = tokens.open_token(config.data, may_act=may_act, read_only=read_only)
    print(secret)
    return 0


COMMAND = Command(
    run,
    words=(
        Word(
            "show|rotate",
            "show: print the token, created if there is none; rotate: replace it and end its logins",
        ),
    ),
    options=(Option("--read-only", "the read-only token: its user can watch and cannot change anything"),),
    advice="breakglass token show prints the token",
    output="the token and nothing else",
    examples="""\
  curl -H "Authorization: Bearer $(breakglass token show)" http://127.0.0.1:8420/api/sessions
  breakglass token show --read-only         the token for view-only access
  breakglass token rotate                   after the token became known: its logins end within 15 seconds""",
    notes="breakglass login prints an address for a browser.\n\n"
    "A token that is set by BREAKGLASS_TOKEN is shown, and cannot be replaced here.",
)
