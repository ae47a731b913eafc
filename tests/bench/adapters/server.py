"""A server under test: how any of them is started, asked and stopped."""

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

START = 30.0
"""Seconds that a server gets to start."""


class Server:
    """A server under test. One stream of events; `prepare` before `start`."""

    name: ClassVar[str]
    live: ClassVar[bool] = True
    """Whether what is appended reaches who is attached."""
    usual: ClassVar[bool] = True
    """Whether it takes part wherever it is not said who does."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.port = _free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._count = 0

    @classmethod
    def available(cls) -> bool:
        """Return whether it can be run here."""
        return True

    def command(self) -> list[str]:
        """Return the command line that starts it."""
        raise NotImplementedError

    def environ(self) -> dict[str, str]:
        """Return what its environment has besides this one's."""
        return {}

    def prepare(self, count: int) -> None:
        """Let the stream have `count` events, the last of them marked, once it is started."""
        self._count = count

    def fill(self) -> None:
        """Put the prepared events in, after the start. Nothing to do where they lie in a file."""

    def request(self, after: int | None = None) -> Request:
        """Return how a reader asks for the stream, from the beginning or after the event of that number."""
        raise NotImplementedError

    def probe(self) -> Request:
        """Return the cheapest request there is."""
        return self.request()

    def publish(self, line: bytes) -> None:
        """Append one event."""
        raise NotImplementedError

    def start(self) -> float:
        """Start it; return the seconds from the command to the first byte of an answer. Raises ServerFailed."""
        log = open(self.scratch / "output.txt", "ab")  # noqa: SIM115 — the child has it from here
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
        self._answers(began + START)
        return time.perf_counter() - began

    def _answers(self, deadline: float) -> None:
        while time.perf_counter() < deadline and self.pid:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5) as sock:
                sock.sendall(self.probe().encode())
                if sock.recv(1):
                    return
            time.sleep(0.001)
        raise ServerFailed(f"{self.name} did not start; it said: {self._last_words()}")

    @property
    def pid(self) -> int:
        """The process, of which others may descend. Raises ServerFailed where it has ended."""
        if self.process is None or self.process.poll() is not None:
            raise ServerFailed(f"{self.name} has ended; it said: {self._last_words()}")
        return self.process.pid

    def _last_words(self) -> str:
        path = self.scratch / "output.txt"
        return path.read_text(errors="replace").strip()[-300:] if path.exists() else ""

    def stop(self) -> None:
        """End it and all that descends from it."""
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
    """Prepare, start, fill and, in the end, stop a server."""
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
