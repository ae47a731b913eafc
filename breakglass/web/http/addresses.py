"""The server's addresses, made from the settings: its sockets, and the URLs that users open."""

import socket

from breakglass.config import Config
from breakglass.web.http import listen

ALL_ADDRESSES = frozenset({"0.0.0.0", "::"})  # nosec B104 # compared with, never bound to
HTTP_PORT = 80
"""The port of a Host without one, which is what a client of a Unix socket sends."""


def open_sockets(config: Config) -> list[socket.socket]:
    """Return the bound sockets. Raises BadConfig, also if the token would cross a network unencrypted."""
    if config.socket:
        return [listen.open_unix(config.socket)]
    listen.refuse_exposed(
        config.host,
        tls=config.tls_cert is not None,
        proxied=any(not each.startswith("unix") for each in config.proxies),
        allow_plain=config.allow_plain,
    )
    return listen.open_tcp(config.host, config.port)


def port_of(sock: socket.socket) -> int:
    """Return the port that a Host header names for this socket."""
    return HTTP_PORT if sock.family == socket.AF_UNIX else int(sock.getsockname()[1])


def scheme(config: Config) -> str:
    """Return the scheme of the listening socket, `http` or `https`."""
    return "https" if config.tls_cert else "http"


def own_address(config: Config, port: int) -> str:
    """Return the address of the socket itself: a URL with a slash at its end, or a path."""
    if config.socket:
        return str(config.socket.absolute())
    host = _reachable_host(config.host)
    return f"{scheme(config)}://{f'[{host}]' if ':' in host else host}:{port}{config.prefix}/"


def login_page(config: Config, port: int) -> str | None:
    """Return the URL of the login page: at the first public origin, else at the socket's own address.

    None for a Unix socket without a public origin: no browser can open that.
    """
    if config.origins:
        return f"{config.origins[0]}{config.prefix}/login"
    return None if config.socket else f"{own_address(config, port)}login"


def proxy_warnings(config: Config) -> list[str]:
    """Return a warning for each allowed setting that weakens protection, one line each."""
    header = config.proxy_user_header
    if header is None:
        return []
    warnings = []
    if addresses := sorted({"127.0.0.1", "::1"} & config.proxies):
        warnings.append(
            f"proxies: {', '.join(addresses)} is this machine: every program here, the agent included, can name any"
            f" user in {header}; see docs/security.md"
        )
    if "unix" in config.proxies:
        warnings.append(
            f"proxies: unix lets every user who may open the socket name any user in {header}; list the user of the"
            " proxy instead, as unix:www-data"
        )
    return warnings


def _reachable_host(host: str) -> str:
    """Return `host`, or for a bind to all addresses the address that this machine uses towards others."""
    if host not in ALL_ADDRESSES:
        return host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # For a datagram socket this only asks the routing table; nothing is sent.
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "localhost"
