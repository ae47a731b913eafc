"""Run the web server. On a terminal it prints a login address, good for one login."""

import shlex
from argparse import Namespace
from typing import TYPE_CHECKING

from breakglass.cli import screen
from breakglass.cli.command import Command, Option
from breakglass.cli.notify import notify_ready
from breakglass.cli.settings_help import settings_help
from breakglass.cli.user import whole_number
from breakglass.config import SETTINGS, Config
from breakglass.config.agents import PREFERRED_AGENT
from breakglass.errors import BadInput, CannotRecord
from breakglass.store.root import read_only_message

if TYPE_CHECKING:
    from breakglass.store.servers import RunningServer


def run(config: Config, args: Namespace) -> int:
    """Serve until the process is told to stop."""
    if args.workers < 1:
        raise BadInput(f"--workers: expected 1 or more, got {args.workers}")
    from breakglass.turns import processes

    processes.hide()  # before the slow import: an agent of the last start may be waiting for our environment
    from breakglass.web import serve as server  # imported only here: no other command needs the web

    def announce(server: "RunningServer") -> None:
        print(f"Breakglass is at {server.address}", flush=True)
        _show_login(config, server, args)
        screen.say(f"Sessions are in {config.data.absolute()}. New ones use {config.agent}{_reason(config)}")
        notify_ready(config.environ)

    return server.run(config, workers=args.workers, announce=announce)


def _show_login(config: Config, server: "RunningServer", args: Namespace) -> None:
    """Show a login address on a terminal. Otherwise the output may be a log, which must hold no secret."""
    if server.login_page is None:
        print("No browser can open the socket: name the public address in the setting origins.", flush=True)
    elif message := read_only_message(config.data):
        print(f"To log in: breakglass token show{_data_option(args)} ({message})", flush=True)
    elif not screen.is_terminal():
        print(f"To log in: breakglass login{_data_option(args)}", flush=True)
    else:
        from breakglass.access.login_codes import make_code  # imported only here: the help needs neither
        from breakglass.cli import login_address

        try:
            code = make_code(config.data)
        except CannotRecord as error:
            screen.say(f"breakglass: {error}")
            return
        print(f"Log in at {login_address.with_code(server.login_page, code)}", flush=True)
        login_address.show_code(server, code)
        screen.say("It works once, within ten minutes. breakglass login makes another one.")


def _data_option(args: Namespace) -> str:
    """Return the options that another command needs to use the same data root and settings."""
    given = {"--data": args.data, "--config": args.config}
    return "".join(f" {option} {shlex.quote(value)}" for option, value in given.items() if value is not None)


def _reason(config: Config) -> str:
    """Return why the agent is not the preferred one; "" if the user chose the agent."""
    if config.is_agent_chosen or config.agent == PREFERRED_AGENT:
        return ""
    return f", because {PREFERRED_AGENT} was not found"


COMMAND = Command(
    run,
    settings=tuple(name for name, row in SETTINGS.items() if row.option and name != "data"),
    options=(Option("--workers N", "the number of processes that serve", whole_number, 1),),
    output="the address; on a terminal also a login address, else how to get one",
    examples="""\
  breakglass serve                                      at http://127.0.0.1:8420/
  breakglass serve --host 0.0.0.0 --port 443 --tls-cert cert.pem --tls-key key.pem
  breakglass serve --socket /run/breakglass/socket      behind a proxy, which the settings name""",
    notes=f"""\
Turns do not depend on the server: it can be stopped, restarted or killed while they run.

{settings_help()}""",
)
