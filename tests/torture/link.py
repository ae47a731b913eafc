"""A remote host for tests: a network namespace behind a link that is slow and can be cut. Needs root."""

import ctypes
import http.client
import os
import socket
from typing import Any

from tests.help.servers import Server
from tests.help.waiting import DEADLINE
from tests.torture.faults import run_command

LOCAL_ADDRESS, REMOTE_ADDRESS = "10.213.7.1", "10.213.7.2"
_CLONE_NEWNET = 0x40000000
"""setns(2)."""


class Link:
    """The link. It exists inside the context. `rate` is in tc's notation and holds both ways.

    Packets that do not fit into the queue are dropped.
    """

    def __init__(self, rate: str) -> None:
        self._rate = rate
        self._namespace = f"breakglass-{os.getpid()}"
        self._local, self._remote = f"bg{os.getpid()}a", f"bg{os.getpid()}b"

    def __enter__(self) -> "Link":
        run_command("ip", "netns", "add", self._namespace)
        try:
            run_command("ip", "link", "add", self._local, "type", "veth", "peer", "name", self._remote)
            run_command("ip", "link", "set", self._remote, "netns", self._namespace)
            ends: list[tuple[list[str], str, str]] = [
                ([], self._local, LOCAL_ADDRESS),
                (self._in_namespace(), self._remote, REMOTE_ADDRESS),
            ]
            for prefix, device, address in ends:
                run_command(*prefix, "ip", "address", "add", f"{address}/24", "dev", device)
                run_command(*prefix, "ip", "link", "set", device, "up")
                limit = ("rate", self._rate, "burst", "4kb", "latency", "200ms")
                run_command(*prefix, "tc", "qdisc", "add", "dev", device, "root", "tbf", *limit)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        run_command("ip", "netns", "delete", self._namespace)  # removes both ends of the veth pair

    def _in_namespace(self) -> list[str]:
        return ["ip", "netns", "exec", self._namespace]

    def cut(self) -> None:
        """Lose every packet from now on. Neither side is notified."""
        run_command(*self._in_namespace(), "ip", "link", "set", self._remote, "down")

    def restore(self) -> None:
        """Transport packets again."""
        run_command(*self._in_namespace(), "ip", "link", "set", self._remote, "up")

    def socket(self) -> socket.socket:
        """Return a socket of the remote host. It stays there although this thread returns."""
        libc = ctypes.CDLL(None, use_errno=True)
        namespace = f"/run/netns/{self._namespace}"
        with open("/proc/thread-self/ns/net", "rb") as local, open(namespace, "rb") as remote:
            if libc.setns(remote.fileno(), _CLONE_NEWNET):  # moves this thread only
                raise OSError(ctypes.get_errno(), "setns")
            try:
                return socket.socket()
            finally:
                libc.setns(local.fileno(), _CLONE_NEWNET)


class RemoteHost(Server):
    """A running server as seen from the remote host: its connections go through the link."""

    def __init__(self, server: Server, link: Link) -> None:  # Server.__init__ would start another server
        self.port, self.clients, self._link = server.port, server.clients, link

    def connection(self, timeout: float = DEADLINE) -> http.client.HTTPConnection:
        """Return a connection through the link."""
        made = http.client.HTTPConnection(LOCAL_ADDRESS, self.port, timeout=timeout)
        setattr(made, "_create_connection", self._connect)  # noqa: B010 - http.client calls it for a socket
        return made

    def _connect(self, address: tuple[str, int], timeout: float, *_: Any) -> socket.socket:
        made = self._link.socket()
        made.settimeout(timeout)
        try:
            made.connect(address)
        except OSError:
            made.close()
            raise
        return made
