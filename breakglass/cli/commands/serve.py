"""Run the web server and print its login address."""

from argparse import Namespace

from breakglass.cli import screen
from breakglass.cli.command import Command, Option
from breakglass.cli.qr import show_qr
from breakglass.cli.settings_help import settings_help
from breakglass.cli.user import whole_number
from breakglass.config import PREFERRED_AGENT, SETTINGS, Config
from breakglass.errors import BadInput


def run(config: Config, args: Namespace) -> int:
    """Serve until the process is told to stop."""
    if args.workers < 1:
        raise BadInput(f"--workers: expected 1 or more, got {args.workers}")
    from breakglass.web import serve as server  # imported only here: no other command needs the web

    def announce(address: str, login: str | None) -> None:
        print(f"Breakglass is at {address}", flush=True)
        if login is not None:  # None: the user chose the token, so it is not printed
            print(f"Log in at {login}", flush=True)
            if screen.is_terminal():
                show_qr(login)
        screen.say(f"Sessions are in {config.data.absolute()}. New ones use {config.agent}{_reason(config)}")

    return server.run(config, workers=args.workers, announce=announce)


def _reason(config: Config) -> str:
    """Return why the agent is not the preferred one; "" if the user chose the agent."""
    if config.is_agent_chosen or config.agent == PREFERRED_AGENT:
        return ""
    return f", because {PREFERRED_AGENT} was not found"


COMMAND = Command(
    run,
    settings=tuple(name for name, row in SETTINGS.items() if row.option and name != "data"),
    options=(Option("--workers N", "the number of processes that serve", whole_number, 1),),
    output="the address, and the login address unless BREAKGLASS_TOKEN is set",
    examples="""\
  breakglass serve                                      at http://127.0.0.1:8420/
  breakglass serve --host 0.0.0.0 --port 443 --tls-cert cert.pem --tls-key key.pem
  breakglass serve --socket /run/breakglass/socket      behind a proxy, which the settings name""",
    notes=f"""\
Turns do not depend on the server: it can be stopped, restarted or killed while they run.

{settings_help()}""",
)
