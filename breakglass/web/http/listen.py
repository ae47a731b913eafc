"""The listening sockets. Hypercorn's own would keep a client that reads nothing forever.

Decides where the server listens, who may connect, and what a stalled client costs in the kernel. Must not know
HTTP.
"""

import errno
import ipaddress
import os
import socket
import stat
from pathlib import Path
from typing import Any

from breakglass.errors import BadConfig
from breakglass.web.http.stalls import STALL_SECONDS

SEND_BUFFER = 128 << 10
"""Bytes requested for a socket's send buffer. Linux doubles the value for its own bookkeeping (socket(7))."""


def refuse_exposed(host: str, *, tls: bool, proxied: bool, allow_plain: bool) -> None:
    """Raise BadConfig for a bind beyond loopback if the token would cross the network unencrypted."""
    if tls or proxied or allow_plain or all(_is_loopback(found[4][0]) for found in _resolve(host, 0)):
        return
    raise BadConfig(
        f"host {host!r} can be reached from other machines, and anyone on the network could read the token. "
        "Serve TLS (--tls-cert, --tls-key), name the proxy in front (proxies), or allow it with --allow-plain."
    )


def open_tcp(host: str, port: int) -> list[socket.socket]:
    """Return one bound socket for each address of `host`. `localhost` can have two, IPv4 and IPv6.

    With port 0 all get the same free port. Accepted sockets inherit the options. Raises BadConfig.
    """
    sockets: list[socket.socket] = []
    for family, _, _, _, address in _resolve(host, port):
        actual_port = sockets[0].getsockname()[1] if sockets else port
        try:
            sockets.append(_bind(family, (address[0], actual_port, *address[2:])))
        except OSError as error:
            if sockets and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                continue  # /etc/hosts may name ::1 on a machine without IPv6
            for sock in sockets:
                sock.close()
            raise BadConfig(f"cannot listen on {host} port {actual_port}: {_advice(error)}") from error
    return sockets


def open_unix(path: Path) -> socket.socket:
    """Return a socket bound to a path, open to this user alone from its creation. Raises BadConfig.

    In a setgid directory, whose group new files inherit, that group may connect too: this admits a proxy that
    runs as another user. The socket of a dead server is replaced. A live socket or any other file is not replaced.
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
    except UnicodeError as error:
        why = "a part of it is empty, or longer than 63 characters"
        raise BadConfig(f"host {host!r}: expected a name or an IP address ({why})") from error


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _bind(family: int, address: tuple[Any, ...]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALL_SECONDS * 1000)
        if family == socket.AF_INET6:  # `::` includes IPv4, but `::1` does not: 127.0.0.1 has its own socket
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
    errno.EADDRINUSE: "it is in use already: stop the other program, or choose another port (--port)",
    errno.EACCES: "permission denied: ports below 1024 need root, choose a higher one (--port)",
    errno.EADDRNOTAVAIL: "this machine does not have that address (--host)",
}


def _advice(error: OSError) -> str:
    return _ADVICE.get(error.errno or 0, str(error.strerror or error))
