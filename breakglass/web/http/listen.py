"""The listening sockets, opened by ourselves: Hypercorn's would keep a client that reads nothing for ever.

Owns where is listened, who may, and what a stalled reader costs in the kernel. Knows nothing of HTTP.
"""

import errno
import ipaddress
import os
import socket
import stat
from pathlib import Path
from typing import Any

from breakglass.errors import BadConfig

STALL_SECONDS = 30
"""How long a client may read nothing, or be gone, while something is there for it."""

SEND_BUFFER = 128 << 10
"""Bytes asked for; Linux counts its own book-keeping and doubles it."""


def refuse_exposed(host: str, *, tls: bool, proxied: bool, allow_plain: bool) -> None:
    """Raise BadConfig for a bind beyond loopback where the token would cross the network in clear."""
    if tls or proxied or allow_plain or all(_is_loopback(found[4][0]) for found in _resolve(host, 0)):
        return
    raise BadConfig(
        f"host {host!r} is reached from other machines, and whoever listens there reads the token. "
        "Serve TLS (--tls-cert, --tls-key), or name the proxy in front (proxies), or say --allow-plain."
    )


def open_tcp(host: str, port: int) -> list[socket.socket]:
    """Return sockets bound to every address of `host`: `localhost` is two where a machine has both families.

    With port 0 all get the same free one. Raises BadConfig. What these are set to, the sockets that they
    accept inherit.
    """
    sockets: list[socket.socket] = []
    for family, _, _, _, address in _resolve(host, port):
        at = sockets[0].getsockname()[1] if sockets else port
        try:
            sockets.append(_bound(family, (address[0], at, *address[2:])))
        except OSError as error:
            if sockets and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                continue  # a machine without IPv6 may still name ::1
            for sock in sockets:
                sock.close()
            raise BadConfig(f"cannot listen on {host} port {at}: {_advice(error)}") from error
    return sockets


def open_unix(path: Path) -> socket.socket:
    """Return a socket bound to a path, for us alone from the first moment. Raises BadConfig.

    In a directory whose group the files in it inherit (setgid), that group may connect as well: so a proxy
    that runs as another user is let in. A socket that a dead server left there is replaced; a living one, or
    anything else, is not.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        if os.stat(path.parent).st_mode & stat.S_ISGID:
            os.umask(0o117)
        if _is_abandoned(path):
            path.unlink()
        sock.bind(str(path))
    except OSError as error:
        sock.close()
        raise BadConfig(f"cannot listen on {path}: {_advice(error)}") from error
    finally:
        os.umask(before)
    return sock


def _resolve(host: str, port: int) -> list[tuple[Any, ...]]:
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise BadConfig(f"host {host!r}: expected a name or an IP address ({error.strerror})") from error


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _bound(family: int, address: tuple[Any, ...]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALL_SECONDS * 1000)
        if family == socket.AF_INET6:  # `::` means IPv4 as well, `::1` beside 127.0.0.1 means itself
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address[0] != "::"))
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock


def _is_abandoned(path: Path) -> bool:
    try:
        if not stat.S_ISSOCK(os.stat(path, follow_symlinks=False).st_mode):
            return False
    except FileNotFoundError:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(path)) == errno.ECONNREFUSED


_ADVICE = {
    errno.EADDRINUSE: "something is there already: stop it, or choose another place (--port)",
    errno.EACCES: "no right to: ports below 1024 are root's, choose a higher one (--port)",
    errno.EADDRNOTAVAIL: "this machine does not have that address (--host)",
}


def _advice(error: OSError) -> str:
    return _ADVICE.get(error.errno or 0, str(error.strerror or error))
