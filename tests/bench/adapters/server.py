"""A server under test: how to start, fill, request and stop it."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from tests.bench import environment
from tests.bench.client import Request, ServerFailed

START_SECONDS = 120.0
"""A server that takes longer to start has failed. Far longer than needed: the machine may be busy."""


class Server:
    """A server under test, with one stream of events. Call `prepare` before `start`, and `fill` after it."""

    name: ClassVar[str]
    is_live: ClassVar[bool] = True
    """Whether attached clients receive new events."""
    is_default: ClassVar[bool] = True
    """Whether it takes part in workloads that name no servers."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.port = _free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._count = 0

    @classmethod
    def is_available(cls) -> bool:
        """Return whether it can run here."""
        return True

    def command(self) -> list[str]:
        """Return the command line that starts it."""
        raise NotImplementedError

    def environ(self) -> dict[str, str]:
        """Return variables to add to its environment."""
        return {}

    def prepare(self, count: int) -> None:
        """Prepare a stream of `count` events, the last one marked."""
        self._count = count

    def fill(self) -> None:
        """Send the prepared events to the running server. A server that reads them from a file needs nothing."""

    def request(self, after: int | None = None) -> Request:
        """Return the request for the stream, from the beginning or after the event with that number."""
        raise NotImplementedError

    def probe(self) -> Request:
        """Return the cheapest request that the server answers."""
        return self.request()

    def publish(self, line: bytes) -> None:
        """Append one event."""
        raise NotImplementedError

    def start(self) -> float:
        """Start it. Return the seconds until the first byte of an answer. Raises ServerFailed."""
        log = open(self.scratch / "output.txt", "ab")  # noqa: SIM115 — the child keeps it
        began = time.perf_counter()
        self.process = subprocess.Popen(
            self.command(),
            env={**os.environ, **self.environ()},
            cwd=environment.ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        self._wait_for_answer(began + START_SECONDS)
        return time.perf_counter() - began

    def _wait_for_answer(self, deadline: float) -> None:
        while time.perf_counter() < deadline and self.pid:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5) as sock:
                sock.sendall(self.probe().encode())
                if sock.recv(1):
                    return
            time.sleep(0.001)
        raise ServerFailed(f"{self.name} did not start; its output ends: {self._end_of_output()}")

    @property
    def pid(self) -> int:
        """The pid of the process, which may have descendants. Raises ServerFailed if it has ended."""
        if self.process is None or self.process.poll() is not None:
            raise ServerFailed(f"{self.name} has ended; its output ends: {self._end_of_output()}")
        return self.process.pid

    def _end_of_output(self) -> str:
        path = self.scratch / "output.txt"
        return path.read_text(errors="replace").strip()[-300:] if path.exists() else ""

    def stop(self) -> None:
        """End it and its process group."""
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@contextlib.contextmanager
def running(server: Server, count: int) -> Iterator[Server]:
    """Run a server with `count` events while in the context. Yields it."""
    server.prepare(count)
    try:
        server.start()
        server.fill()
        yield server
    finally:
        server.stop()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])
