"""List the logins by browser, or end one."""

import os
from argparse import Namespace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from breakglass.cli import screen
from breakglass.cli.command import Command, Option
from breakglass.config import Config
from breakglass.errors import NotFound
from breakglass.store import root
from breakglass.text import one_line

if TYPE_CHECKING:
    from breakglass.access.logins import Login


def run(config: Config, args: Namespace) -> int:
    """List the logins, or end one."""
    from breakglass.access.credentials import Access  # imported only here: it delays other commands

    root.prepare(config.data)
    access = Access(config.data, token=config.token, read_only=lambda: root.read_only_message(config.data))
    if args.revoke is None:
        _list(access.logins(), access.logins_of_other_tokens())
    elif access.revoke(args.revoke):
        print(f"ended the login {one_line(args.revoke)}; its open pages end within 15 seconds")
    else:
        raise NotFound(f"there is no login {args.revoke[:40]!r}; breakglass logins lists them")
    return 0


def _list(valid: list["Login"], void: list["Login"]) -> None:
    """Print the logins, for a terminal with a heading. A void one belongs to a token that was replaced."""
    if (valid or void) and screen.is_terminal():
        print(
            f"{'login':<8}  {'begin':<16} to {'end':<16} UTC  {'user':<10} {'access':<9} {'address':<15} browser"
        )
    for login in (*valid, *void):
        since, expires = (
            f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}" for at in (login.since, login.expires)
        )
        access = "void, by another token" if login in void else "full" if login.may_act else "read-only"
        client = f"{one_line(login.by):<10} {access:<9} {one_line(login.address):<15} {one_line(login.user_agent, 80)}"
        print(f"{one_line(login.id)}  {since} to {expires} UTC  {client}".rstrip())
    if not valid and not void and os.isatty(2):
        screen.say("no logins")


COMMAND = Command(
    run,
    options=(Option("--revoke LOGIN", "end this login"),),
    output="id, begin and end, user, access, address and browser, latest first; on a terminal with a heading",
    examples="""\
  breakglass logins
  breakglass logins --revoke 3f2a91c0""",
    exits={1: "there is no such login"},
)
