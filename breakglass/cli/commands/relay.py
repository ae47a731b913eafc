"""Ship the sessions of this host to a hub, as they grow."""

from argparse import Namespace

from breakglass.cli import screen
from breakglass.cli.command import Command, Option
from breakglass.config import Config
from breakglass.errors import BadInput


def run(config: Config, args: Namespace) -> int:
    """Ship until a signal, or once, or compare."""
    import asyncio

    from breakglass.turns import processes

    processes.hide()  # an agent of this host may run as the same user
    from breakglass.relay.run import check, relay

    if args.once and args.check:
        raise BadInput("expected --once or --check, not both")
    if args.check:
        return asyncio.run(check(config, screen.say))
    return asyncio.run(relay(config, screen.say, once=args.once))


COMMAND = Command(
    run,
    options=(
        Option("--once", "ship what there is, and end when all of it is stored"),
        Option("--check", "ship nothing: compare every log with the stream, byte by byte"),
    ),
    output="nothing; what it does and what is wrong goes to standard error",
    examples="""\
  breakglass relay             until it is stopped; under systemd
  breakglass relay --once      before a maintenance
  breakglass relay --check     has the hub all of it?""",
    notes="""\
It needs the credentials that `breakglass enroll` on the hub has printed, in the file relay.creds of the data root,
and the package's extra: pip install 'breakglass[relay]'. Without the engine it waits. It changes no session, except by
signed commands of other machines: the table [relay] of the settings says which and by whom, by default none.""",
    exits={
        0: "stopped; with --once all is stored; with --check all is there",
        1: "it failed; with --check something differs or is missing",
        4: "another relay with the same credentials has taken over",
        5: "the engine's storage for this host is full",
        6: "the engine refuses the credentials, or is too old",
    },
)
