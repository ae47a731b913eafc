"""Who may come in: the token, its login address as a QR code, the logins; and what `serve` prints when it begins."""

import os
import sys
from argparse import Namespace
from datetime import UTC, datetime
from typing import Any

from breakglass.cli import screen
from breakglass.config import Config
from breakglass.errors import BadInput, NotFound
from breakglass.store import root
from breakglass.text import one_line


def announce(at: str, login: str | None) -> None:
    """Say where the server is, and, where the token is ours to print, how to log in: to a terminal as QR code too."""
    print(f"Breakglass is at {at}", flush=True)
    if login is not None:
        print(f"Log in at {login}", flush=True)
        if screen.is_terminal():
            show_qr(login)


def show_qr(text: str) -> None:
    """Print a QR code, for a phone to read off the screen."""
    import segno

    segno.make(text, error="l", micro=False).terminal(out=sys.stdout, border=2, compact=True)
    sys.stdout.flush()


def token(config: Config, args: Namespace) -> int:
    """Show the token or change it."""
    from breakglass.access import tokens
    from breakglass.web.http import addresses

    if args.words not in (["show"], ["rotate"]):
        raise BadInput("expected breakglass token show or breakglass token rotate")
    for warning in root.prepare(config.data):
        screen.say(f"breakglass: {warning}")
    may_act, is_set = not args.read_only, config.token is not None and not args.read_only
    if args.words == ["rotate"]:
        if is_set:
            raise BadInput("the token is set by BREAKGLASS_TOKEN: change it there, and restart the server")
        secret = tokens.rotate_token(config.data, may_act=may_act)
    elif is_set:
        secret = tokens.check_token(str(config.token), "BREAKGLASS_TOKEN")
    else:
        secret = tokens.open_token(config.data, may_act=may_act)
    print(secret)
    if args.qr:
        login = addresses.login_address(config, config.port, secret)
        print(login)
        show_qr(login)
    return 0


def logins(config: Config, args: Namespace) -> int:
    """List the logins, or end one."""
    from breakglass.access.credentials import Access

    root.prepare(config.data)
    access = Access(config.data, token=config.token)
    if args.revoke is None:
        _list(access.logins(), access.logins_of_other_tokens())
    elif access.revoke(args.revoke):
        print(f"ended the login {args.revoke}; what it has open ends within 15 seconds")
    else:
        raise NotFound(f"there is no login {args.revoke[:40]!r}; breakglass logins lists them")
    return 0


def _list(holding: list[Any], void: list[Any]) -> None:
    for login in (*holding, *void):
        since, expires = (
            f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}" for at in (login.since, login.expires)
        )
        may = "void, by another token" if login in void else "acts" if login.may_act else "watches"
        who = f"{one_line(login.by):<10} {may:<7} {one_line(login.address):<15} {one_line(login.agent, 80)}"
        print(f"{one_line(login.id)}  {since} to {expires} UTC  {who}".rstrip())
    if not holding and not void and os.isatty(2):
        screen.say("nobody is logged in")
