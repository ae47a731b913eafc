"""Where the server is, worked out from the settings: its sockets, its door, and the address that people type."""

import socket
from urllib.parse import quote

from breakglass.config import Config
from breakglass.web.guard.request import Door, sites_of
from breakglass.web.http import listen

ANY = frozenset({"0.0.0.0", "::"})  # nosec B104 - compared with, never bound to
HTTP = 80
"""The port that a Host without one means: what a client of a Unix socket sends."""


def open_sockets(config: Config) -> list[socket.socket]:
    """Return the bound sockets. Raises BadConfig, also where the token would cross a network in clear."""
    if config.socket:
        return [listen.open_unix(config.socket)]
    listen.refuse_exposed(
        config.host,
        tls=config.tls_cert is not None,
        proxied=bool(config.proxies - {"unix"}),
        allow_plain=config.allow_plain,
    )
    return listen.open_tcp(config.host, config.port)


def port_of(sock: socket.socket) -> int:
    """Return the port that a Host names: a socket's own."""
    return HTTP if sock.family == socket.AF_UNIX else int(sock.getsockname()[1])


def door(config: Config, port: int) -> Door:
    """Return the settings of the guard. Raises BadConfig for an origin that is none."""
    user, address = config.proxy_user_header, config.proxy_address_header
    return Door(
        sites=sites_of("" if config.socket else config.host, port, scheme(config), config.origins),
        any_address=not config.socket and config.host in ANY,
        scheme=scheme(config),
        prefix=config.prefix,
        proxies=config.proxies,
        user_header=user.lower().encode() if user else None,
        address_header=address.lower().encode() if address else None,
    )


def scheme(config: Config) -> str:
    """Return what the listening socket speaks."""
    return "https" if config.tls_cert else "http"


def own_address(config: Config, port: int) -> str:
    """Return where the socket itself is: an address with a slash at its end, or a path."""
    if config.socket:
        return str(config.socket)
    host = _reached_at(config.host)
    return f"{scheme(config)}://{f'[{host}]' if ':' in host else host}:{port}{config.prefix}/"


def address(config: Config, port: int) -> str:
    """Return the address that people open, with a slash at its end: the first public one, else the socket's own."""
    if config.origins:
        return f"{config.origins[0]}{config.prefix}/"
    return f"http://localhost{config.prefix}/" if config.socket else own_address(config, port)


def login_address(config: Config, port: int, token: str) -> str:
    """Return the address that logs in. The token stands behind `#`: a browser sends that to nobody."""
    return f"{address(config, port)}login#{quote(token)}"


def doubts(config: Config) -> list[str]:
    """Return what is allowed and yet worth a warning, a line each."""
    here = {"127.0.0.1", "::1", "unix"} & config.proxies
    if config.proxy_user_header and here:
        doubt = (
            f"proxies: {', '.join(sorted(here))} is this machine: whatever runs here and can connect, the agent"
            f" too, can name any user in {config.proxy_user_header}; see docs/security.md"
        )
        return [doubt]
    return []


def _reached_at(host: str) -> str:
    """Return an address of this machine for one that stands for all: the one by which it reaches others."""
    if host not in ANY:
        return host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(
                ("192.0.2.1", 9)
            )  # of a datagram socket this asks the routing table and sends nothing
            return str(probe.getsockname()[0])
        except OSError:
            return "localhost"
