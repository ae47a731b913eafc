"""Copy the sessions of all enrolled hosts to this hub, as they grow."""

from argparse import Namespace

from breakglass.cli import screen
from breakglass.cli.command import Command, Option
from breakglass.config import Config
from breakglass.store import root


def run(config: Config, args: Namespace) -> int:
    """Mirror until a signal, or once."""
    import asyncio

    from breakglass.relay.run import mirror

    root.prepare(config.data)
    root.refuse_read_only(config.data)
    return asyncio.run(mirror(config.data, screen.say, once=args.once))


COMMAND = Command(
    run,
    options=(Option("--once", "copy what the engine has, and end when it is on disk"),),
    output="nothing; what it does and what is wrong goes to standard error",
    examples="""\
  breakglass mirror            until it is stopped; under systemd
  breakglass mirror --once     from a timer
  breakglass ls --all-hosts    what it has copied""",
    notes="""\
It writes hosts/HOST/sessions/ID/events.jsonl in the data root, byte for byte the file of the host. Hosts that are
enrolled while it runs are copied too. It needs the package's extra: pip install 'breakglass[relay]'.""",
    exits={
        1: "it failed, or another mirror runs on the data root",
        5: "the disk is full, or refuses to write",
        6: "the engine refuses the credentials of the hub, or is too old",
    },
)
