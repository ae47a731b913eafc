"""Another host, in a network namespace of its own, behind a link that is slow and can be cut. Needs root."""

import ctypes
import http.client
import os
import socket
from typing import Any

from tests.help.servers import Server
from tests.help.waiting import DEADLINE
from tests.torture.faults import do

HERE, THERE = "10.213.7.1", "10.213.7.2"
_NEW_NET = 0x40000000
"""CLONE_NEWNET, setns(2)."""


class Link:
    """The link, up while in the context. `rate` as tc has it, both ways; what the queue cannot hold is dropped."""

    def __init__(self, rate: str) -> None:
        self._rate = rate
        self._name = f"breakglass-{os.getpid()}"
        self._here, self._there = f"bg{os.getpid()}a", f"bg{os.getpid()}b"

    def __enter__(self) -> "Link":
        do("ip", "netns", "add", self._name)
        try:
            do("ip", "link", "add", self._here, "type", "veth", "peer", "name", self._there)
            do("ip", "link", "set", self._there, "netns", self._name)
            for prefix, name, address in (([], self._here, HERE), (self._in(), self._there, THERE)):
                do(*prefix, "ip", "address", "add", f"{address}/24", "dev", name)
                do(*prefix, "ip", "link", "set", name, "up")
                slow = ("rate", self._rate, "burst", "4kb", "latency", "200ms")
                do(*prefix, "tc", "qdisc", "add", "dev", name, "root", "tbf", *slow)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        do("ip", "netns", "delete", self._name)  # its end of the pair goes with it, and so does ours

    def _in(self) -> list[str]:
        return ["ip", "netns", "exec", self._name]

    def cut(self) -> None:
        """Let nothing through: what is sent is lost, and nobody is told."""
        do(*self._in(), "ip", "link", "set", self._there, "down")

    def mend(self) -> None:
        """Let everything through again."""
        do(*self._in(), "ip", "link", "set", self._there, "up")

    def socket(self) -> socket.socket:
        """Return a socket of the host on the other side."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/thread-self/ns/net", "rb") as ours, open(f"/run/netns/{self._name}", "rb") as theirs:
            if libc.setns(theirs.fileno(), _NEW_NET):  # of this thread alone
                raise OSError(ctypes.get_errno(), "setns")
            try:
                return socket.socket()
            finally:
                libc.setns(ours.fileno(), _NEW_NET)


class Far(Server):
    """A running server as the host behind the link reaches it."""

    def __init__(self, server: Server, link: Link) -> None:  # not Server's: it runs already
        self.port, self._link = server.port, link

    def connection(self, timeout: float = DEADLINE) -> http.client.HTTPConnection:
        """Return a connection through the link."""
        made = http.client.HTTPConnection(HERE, self.port, timeout=timeout)
        setattr(made, "_create_connection", self._connect)  # noqa: B010 - where http.client asks for a socket
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
