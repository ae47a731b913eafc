"""Tells systemd that the server can be used: the protocol of sd_notify(3), for a unit with Type=notify."""

import socket
from collections.abc import Mapping
from contextlib import suppress


def notify_ready(environ: Mapping[str, str]) -> None:
    """Tell the service manager that clients can connect. Without one, nothing happens."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect(f"\0{address[1:]}" if address.startswith("@") else address)
        sock.sendall(b"READY=1")
