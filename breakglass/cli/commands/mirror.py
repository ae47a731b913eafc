"""Copy the sessions of all enrolled hosts to this hub, as they grow."""

import time
from argparse import Namespace

from breakglass.cli import screen
from breakglass.cli.command import Command, Option
from breakglass.cli.user import whole_number
from breakglass.config import Config
from breakglass.errors import BadInput
from breakglass.store import root


def run(config: Config, args: Namespace) -> int:
    """Mirror until a signal, or once."""
    import asyncio

    from breakglass.relay.check_copies import verify
    from breakglass.relay.run import mirror

    if [args.once, args.verify is not None, args.prune is not None].count(True) > 1:
        raise BadInput("expected one of --once, --verify and --prune")
    if args.verify is not None:
        return asyncio.run(verify(config.data, args.verify, print))
    if args.prune is not None:
        return _prune(config, args.prune)
    root.prepare(config.data)
    root.refuse_read_only(config.data)
    return asyncio.run(mirror(config.data, screen.say, once=args.once))


def _prune(config: Config, days: int) -> int:
    """Remove the copies whose host has written nothing for so many days. Their record stays in the engine."""
    from breakglass.relay.prune import prune_copies

    if days < 1:
        raise BadInput("--prune: expected at least 1 day")
    root.refuse_read_only(config.data)
    for session in prune_copies(config.data, time.time() - days * 86400):
        print(f"removed {session.root.name}/{session.id}")
    return 0


COMMAND = Command(
    run,
    options=(
        Option("--once", "copy what the engine has, and end when it is on disk"),
        Option("--verify HOST", "copy nothing: compare the copies of a host with what the host has signed"),
        Option(
            "--prune DAYS",
            "copy nothing: remove the copies that did not change for so many days",
            whole_number,
        ),
    ),
    output="with --verify each difference, with --prune each removed copy, else nothing",
    examples="""\
  breakglass mirror                until it is stopped; under systemd
  breakglass mirror --once         from a timer
  breakglass mirror --verify db1   was a copy changed, or taken back to an older state?
  breakglass mirror --prune 400    remove what did not change for 400 days
  breakglass ls --all-hosts        what it has copied""",
    notes="""\
It writes hosts/HOST/sessions/ID/events.jsonl in the data root, byte for byte the file of the host. Hosts that are
enrolled while it runs are copied too. It needs the package's extra: pip install 'breakglass[relay]'.""",
    exits={
        1: "it failed; a copy is not what its host has signed (--verify); another mirror runs on the data root",
        5: "the disk is full, or refuses to write",
        6: "the engine refuses the credentials of the hub, or is too old",
    },
)
