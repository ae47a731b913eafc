"""Enroll a host on this hub, and print its credentials."""

from argparse import Namespace

from breakglass.cli import screen
from breakglass.cli.command import Command, Option, Word
from breakglass.config import Config
from breakglass.errors import BadInput
from breakglass.store import root


def run(config: Config, args: Namespace) -> int:
    """Enroll, revoke or retire a host. The credentials go to standard output, and what to do next to standard error."""
    from breakglass.relay import credentials
    from breakglass.relay.enroll import Hub

    (host,) = args.words
    if args.revoke and args.retire:
        raise BadInput("expected --revoke or --retire, not both")
    root.prepare(config.data)
    root.refuse_read_only(config.data)
    hub = Hub(config.data)
    if args.revoke or args.retire:
        (hub.revoke if args.revoke else hub.retire)(host)
        stays = "its record in the engine and" if args.revoke else ""
        screen.say(
            f"host {host} can ship nothing any more; {stays} the copies of its sessions stay".replace(
                "  ", " "
            )
        )
    else:
        hub.prepare(args.url)
        screen.write(credentials.write(hub.enroll(host)))
        screen.say(
            f"give this to {host} only, as the file {credentials.NAME_OF_FILE} in its data root, mode 600"
        )
    if hub.reload():
        screen.say("the engine has been told to read its configuration again")
    else:
        screen.say(f"start the engine: nats-server -c {hub.directory}/nats-server.conf")
    return 0


COMMAND = Command(
    run,
    words=(Word("HOST", "the name of the host here: letters, digits, dots, hyphens and underscores"),),
    options=(
        Option(
            "--url URL",
            "the address at which hosts reach the engine, such as tls://hub.example.com:4222; only the"
            " first time",
            default=None,
        ),
        Option("--revoke", "take the host's key away; its account stays, and it can be enrolled again"),
        Option("--retire", "remove the host's account; the copies of its sessions stay"),
    ),
    output="the credentials of the host, a secret; nothing with --revoke and --retire",
    examples="""\
  breakglass enroll db1 --url tls://hub.example.com:4222 >db1.creds
  breakglass enroll db2 >db2.creds
  breakglass enroll db1 --revoke        its credentials were lost or stolen""",
    notes="""\
It writes the engine's configuration below engine/ in the data root: an account for each host, so that no host reaches
the record of another one. With tls:// it makes a certificate with openssl; the credentials contain it.""",
    exits={1: "the host is enrolled already or not at all, or it failed"},
)
