"""Print a login address, good for one login within ten minutes."""

from argparse import Namespace

from breakglass.cli.command import Command, Option
from breakglass.config import Config
from breakglass.errors import NotFound, ReadOnly
from breakglass.store import root


def run(config: Config, args: Namespace) -> int:
    """Print the login address of each server that runs on the data root."""
    # Imported only here: they delay other commands.
    from breakglass.access import login_codes, tokens
    from breakglass.cli import login_address
    from breakglass.store.servers import running_servers

    if message := root.read_only_message(config.data):
        raise ReadOnly(f"{message}; log in with the token: breakglass token show")
    root.prepare(config.data)
    servers = running_servers(config.data)
    if not servers:
        raise NotFound(f"no server runs on {config.data.absolute()}; start one: breakglass serve")
    reachable = [server for server in servers if server.login_page is not None]
    if not reachable:
        raise NotFound(
            f"no browser can open the socket {servers[0].address}: name the public address in the setting origins, "
            "then restart the server"
        )
    if args.read_only:
        tokens.open_token(config.data, may_act=False)  # a login belongs to a token, so this one must exist
    code = login_codes.make_code(config.data, may_act=not args.read_only)
    for server in reachable:
        print(login_address.with_code(str(server.login_page), code), flush=True)
        if args.qr:
            login_address.show_code(server, code)
        else:
            login_address.warn_if_loopback(server)
    return 0


COMMAND = Command(
    run,
    options=(
        Option("--read-only", "for view-only access: the login can watch and cannot change anything"),
        Option("--qr", "also print the address as a QR code"),
    ),
    output="the login address of each server that runs on the data root; with --qr also as a QR code",
    examples="""\
  breakglass login                          open the address in a browser
  breakglass login --qr                     scan the code with a phone
  breakglass login --read-only --qr         the same for view-only access""",
    notes="""\
The address carries a one-time code instead of the token. It opens one login, at one of the servers. The login then
lasts as long as one with the token; breakglass logins lists it.""",
    exits={1: "no server runs on the data root, or no browser can open its socket, or it failed"},
)
