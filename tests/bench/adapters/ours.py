"""`breakglass serve` as a server under test."""

import os
import sys
from pathlib import Path

from tests.bench import logs
from tests.bench.adapters.server import Server
from tests.bench.client import Request
from tests.bench.control_group import ControlGroup

TOKEN = "a-token-for-the-bench-that-is-long-enough-0123456789"


class Ours(Server):
    """`breakglass serve`, as a user starts it."""

    name = "breakglass"
    workers = 1

    def command(self) -> list[str]:
        program = [*self.prefix(), sys.executable, "-m", "breakglass", "serve"]
        options = ["--port", str(self.port), "--data", str(self.data)]
        return program + options + (["--workers", str(self.workers)] if self.workers > 1 else [])

    def prefix(self) -> list[str]:
        """Return a command prefix under which it starts."""
        return []

    def environ(self) -> dict[str, str]:
        return {"BREAKGLASS_TOKEN": TOKEN, "BREAKGLASS_AGENT": "shell"}

    @property
    def data(self) -> Path:
        """The data root."""
        return self.scratch / "data"

    def prepare(self, count: int) -> None:
        super().prepare(count)
        self.session = logs.write(self.data, count, index=0)

    def request(self, after: int | None = None) -> Request:
        return self.attach(self.session, after)

    def attach(self, session: str, after: int | None = None) -> Request:
        """Return the request for the stream of a session, after the event with that number."""
        headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {TOKEN}"}
        if after is not None:
            headers["Last-Event-ID"] = str(after)
        return Request(self.port, f"/api/sessions/{session}/events", headers)

    def probe(self) -> Request:
        return Request(self.port, "/health", {})

    def publish(self, line: bytes) -> None:
        path = self.data / "sessions" / self.session / "events.jsonl"
        fd = os.open(path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(fd, line)
        finally:
            os.close(fd)


class OursWithTwoWorkers(Ours):
    """The same with two worker processes."""

    name = "breakglass, 2 workers"
    workers = 2


class OursSmall(Ours):
    """The same on a small device, which has one core and little memory."""

    name = "breakglass, small"
    is_default = False
    megabytes = 256

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        self.group = ControlGroup(self.megabytes << 20)

    @classmethod
    def is_available(cls) -> bool:
        return ControlGroup.is_available()

    def prefix(self) -> list[str]:
        return self.group.prefix()

    def stop(self) -> None:
        super().stop()
        self.group.remove()
