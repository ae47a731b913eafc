"""Machines for tests: network namespaces, each with a link to the first one only. Needs root."""

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.help.waiting import DEADLINE, wait_until

_SUBNET = "10.213.{number}"
_FIRST_SUBNET = 81


class Machines:
    """A hub and hosts, which exist inside the context. A name of a machine is resolved as in a small network.

    A host reaches only the hub, and the hub each host. They share the files of this machine.
    """

    def __init__(self, hub: str, hosts: Sequence[str]) -> None:
        """`hub` is the name by which the hosts know the hub, as of a server on the internet."""
        self._hub = hub
        self._hosts = tuple(hosts)

    def __enter__(self) -> "Machines":
        try:
            for name in ("hub", *self._hosts):
                _run("ip", "netns", "add", self.namespace(name))
                self._in(name, "ip", "link", "set", "lo", "up")
            near = ["127.0.0.1 localhost", f"127.0.0.1 {self._hub}"]
            for number, name in enumerate(self._hosts):
                subnet = _SUBNET.format(number=_FIRST_SUBNET + number)
                self._link(name, number, subnet)
                self._resolve(name, ["127.0.0.1 localhost", f"{subnet}.1 {self._hub}"])
                near.append(f"{subnet}.2 {name}")
            self._resolve("hub", near)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in ("hub", *self._hosts):
            self._kill_all(name)
            subprocess.run(["ip", "netns", "delete", self.namespace(name)], check=False)  # and its links
            shutil.rmtree(f"/etc/netns/{self.namespace(name)}", ignore_errors=True)
        with suppress(OSError):
            os.rmdir("/etc/netns")  # unless others use it

    def namespace(self, name: str) -> str:
        """Return the name of the network namespace of a machine."""
        return f"breakglass-{os.getpid()}-{name}"

    def command(self, name: str, *words: str | Path) -> list[str]:
        """Return the command that runs a program on a machine."""
        return ["ip", "netns", "exec", self.namespace(name), *map(str, words)]

    def cut(self, name: str) -> None:
        """Lose every packet between a host and the hub from now on. Neither side is notified."""
        self._in("hub", "ip", "link", "set", self._device(name, "a"), "down")

    def restore(self, name: str) -> None:
        """Transport packets again."""
        self._in("hub", "ip", "link", "set", self._device(name, "a"), "up")

    def processes(self, name: str) -> list[int]:
        """Return the processes that run on a machine."""
        command = ["ip", "netns", "pids", self.namespace(name)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return [*map(int, done.stdout.split())]

    def _device(self, name: str, end: str) -> str:
        return f"bg{os.getpid()}{self._hosts.index(name)}{end}"

    def _link(self, name: str, number: int, subnet: str) -> None:
        near, far = self._device(name, "a"), self._device(name, "b")
        _run("ip", "link", "add", near, "type", "veth", "peer", "name", far)
        for machine, device, address in (("hub", near, 1), (name, far, 2)):
            _run("ip", "link", "set", device, "netns", self.namespace(machine))
            self._in(machine, "ip", "address", "add", f"{subnet}.{address}/24", "dev", device)
            self._in(machine, "ip", "link", "set", device, "up")

    def _resolve(self, name: str, rows: list[str]) -> None:
        """Give a machine an /etc/hosts of its own: `ip netns exec` puts it there."""
        directory = Path("/etc/netns", self.namespace(name))
        directory.mkdir(parents=True)
        (directory / "hosts").write_text("".join(f"{row}\n" for row in rows))

    def _in(self, name: str, *words: str) -> None:
        _run(*self.command(name, *words))

    def _kill_all(self, name: str) -> None:
        def are_gone() -> bool:
            for pid in (found := self.processes(name)):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not found

        wait_until(are_gone, f"the processes of {name} to end")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=DEADLINE)
