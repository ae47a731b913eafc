"""Enroll a host or an operator on this hub, and print the credentials."""

from argparse import Namespace
from typing import TYPE_CHECKING

from breakglass.cli import screen
from breakglass.cli.command import Command, Option, Word
from breakglass.config import Config
from breakglass.errors import BadInput
from breakglass.store import root

if TYPE_CHECKING:  # the keys of the engine need the package's extra
    from breakglass.relay.enroll import Hub


def run(config: Config, args: Namespace) -> int:
    """Enroll, revoke or retire. The credentials go to standard output, and what to do next to standard error."""
    from breakglass.relay.enroll import Hub

    (name,) = args.words
    if args.revoke and args.retire:
        raise BadInput("expected --revoke or --retire, not both")
    root.prepare(config.data)
    root.refuse_read_only(config.data)
    hub = Hub(config.data)
    if args.operator:
        _operator(hub, name, remove=args.revoke or args.retire)
    else:
        _host(hub, name, args)
    files = hub.files
    if hub.reload():
        screen.say("the engine has been told to read its configuration again")
    else:
        screen.say(f"start the engine: nats-server -c {files[0]}")
    if len(files) > 1:
        screen.say(
            f"the other {len(files) - 1} machines need their files, and {hub.directory}/accounts.conf after each"
            " enrolment: docs/fleet.md"
        )
    return 0


def _host(hub: "Hub", host: str, args: Namespace) -> None:
    from breakglass.relay import credentials

    if args.revoke or args.retire:
        (hub.revoke if args.revoke else hub.retire)(host)
        stays = " its record in the engine and" if args.revoke else ""
        screen.say(f"host {host} can ship nothing any more;{stays} the copies of its sessions stay")
        return
    hub.prepare(args.url)
    screen.write(credentials.write(hub.enroll(host)))
    screen.say(f"give this to {host} only, as the file {credentials.NAME_OF_FILE} in its data root, mode 600")


def _operator(hub: "Hub", name: str, *, remove: bool) -> None:
    from breakglass.relay import credentials

    if remove:
        hub.revoke_operator(name)
        screen.say(f"operator {name} reaches no host any more; what was signed stays")
        return
    screen.write(credentials.write(hub.enroll_operator(name)))
    screen.say(
        f"give this to {name} only, as the file {credentials.OPERATOR_FILE} in the data root of the other machine,"
        " mode 600"
    )


COMMAND = Command(
    run,
    words=(
        Word("NAME", "the name of the host or operator here: letters, digits, dots, hyphens and underscores"),
    ),
    options=(
        Option(
            "--url URL",
            "the address at which hosts reach the engine, such as tls://hub.example.com:4222, or the addresses"
            " of three servers with commas between them; only the first time",
            default=None,
        ),
        Option(
            "--operator",
            "NAME is a person: the credentials let their machine send signed commands to all hosts, and read"
            " nothing",
        ),
        Option("--revoke", "take the key away; a host's account stays, and it can be enrolled again"),
        Option("--retire", "remove the account; the copies of a host's sessions stay"),
    ),
    output="the credentials, a secret; nothing with --revoke and --retire",
    examples="""\
  breakglass enroll db1 --url tls://hub.example.com:4222 >db1.creds
  breakglass enroll db2 >db2.creds
  breakglass enroll alice --operator >operator.creds     for breakglass --on db1 … on her laptop
  breakglass enroll db1 --url tls://h1.example.com,tls://h2.example.com,tls://h3.example.com >db1.creds
  breakglass enroll db1 --revoke        its credentials were lost or stolen""",
    notes="""\
It writes the engine's configuration below engine/ in the data root: an account for each host, so that no host reaches
the record of another one. With tls:// it makes a certificate with openssl; the credentials contain it.
With three servers each record is kept three times, so one of them may fail: docs/fleet.md.""",
    exits={1: "the host or operator is enrolled already or not at all, or it failed"},
)
