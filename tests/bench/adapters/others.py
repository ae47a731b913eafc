"""The other servers: designs that a user could choose instead, and two as reference points."""

import http.client
import os
import socket
import sys

from tests.bench import environment, logs
from tests.bench.adapters.server import Server
from tests.bench.client import Request, ServerFailed

EVENT_STREAM = {"Accept": "text/event-stream"}


class Posted(Server):
    """A server that receives events by POST and keeps them in memory, so it is filled after the start."""

    batch = 500
    """Lines in a request while it is filled."""

    def fill(self) -> None:
        batch: list[bytes] = []
        for several in logs.lines(self._count):
            batch += several.splitlines(keepends=True)
            while len(batch) >= self.batch:
                self.post(batch[: self.batch])
                del batch[: self.batch]
        if batch:
            self.post(batch)

    def publish(self, line: bytes) -> None:
        self.post([line])

    def body(self, lines: list[bytes]) -> bytes:
        """Return these lines in the form that the server expects."""
        return b"".join(lines)

    path = "/publish"
    media_type = "application/x-ndjson"

    def post(self, lines: list[bytes], method: str = "POST") -> None:
        """Send lines over one connection, which stays open. Raises ServerFailed."""
        connection = self._connection = getattr(self, "_connection", None) or self._connect()
        connection.request(method, self.path, self.body(lines), {"Content-Type": self.media_type})
        response = connection.getresponse()
        response.read()
        if response.status >= 300:
            raise ServerFailed(f"{self.name} answered {response.status} to an append")

    def _connect(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def stop(self) -> None:
        if connection := getattr(self, "_connection", None):
            connection.close()
            self._connection = None
        super().stop()


class Bare(Posted):
    """asyncio protocols without a framework: the cost of Python and the sockets."""

    name = "bare asyncio"

    def command(self) -> list[str]:
        return [sys.executable, "-m", "tests.bench.comparators.bare", str(self.port)]

    def request(self, after: int | None = None) -> Request:
        return Request(self.port, "/events", EVENT_STREAM)

    def probe(self) -> Request:
        return Request(self.port, "/health", {})


class InMemory(Bare):
    """FastAPI on uvicorn, with a list of events and a queue for each subscriber."""

    name = "in memory"
    stream = "/memory"

    @classmethod
    def is_available(cls) -> bool:
        return environment.python() is not None

    def command(self) -> list[str]:
        return [str(environment.python()), str(environment.COMPARATORS / "fast.py"), str(self.port)]

    def request(self, after: int | None = None) -> Request:
        return Request(self.port, self.stream, EVENT_STREAM)


class SseStarlette(InMemory):
    """The same with sse-starlette's EventSourceResponse and one condition for all subscribers."""

    name = "sse-starlette"
    stream = "/starlette"


class NginxFile(Server):
    """nginx, which sends the framed events as a static file: about the fastest possible replay."""

    name = "nginx, static file"
    is_live = False

    @classmethod
    def is_available(cls) -> bool:
        return environment.nginx() is not None

    def prepare(self, count: int) -> None:
        super().prepare(count)
        (self.scratch / "www").mkdir()
        number = 1
        with open(self.scratch / "www" / "events", "wb") as file:
            for batch in logs.lines(count):
                file.write(logs.framed(batch, number))
                number += batch.count(b"\n")

    def command(self) -> list[str]:
        configuration = self.scratch / "nginx.conf"
        user = "user root;" if os.geteuid() == 0 else ""  # else the worker cannot read the scratch folder
        configuration.write_text(
            f"{self.modules()} {user} daemon off; worker_processes 1; pid {self.scratch}/pid; error_log stderr;"
            "events { worker_connections 16384; } http { access_log off; sendfile on; tcp_nopush on;"
            f"{self.settings()} server {{ listen 127.0.0.1:{self.port} backlog=4096; {self.locations()} }} }}"
        )
        return [str(environment.nginx()), "-c", str(configuration), "-e", "stderr"]

    def modules(self) -> str:
        """Return the directives that load modules."""
        return ""

    def settings(self) -> str:
        """Return directives outside of the server block."""
        return ""

    def locations(self) -> str:
        """Return directives inside of the server block."""
        return f"root {self.scratch}/www;"

    def request(self, after: int | None = None) -> Request:
        return Request(self.port, "/events", EVENT_STREAM)


class Nchan(NginxFile, Posted):
    """nginx with nchan: one message for each POST, kept in shared memory."""

    name = "nginx, nchan"
    is_live = True
    batch = 1
    path = "/publish"
    prepare = Posted.prepare

    @classmethod
    def is_available(cls) -> bool:
        return environment.nginx(environment.NCHAN) is not None

    def modules(self) -> str:
        return f"load_module {environment.NCHAN};"

    def settings(self) -> str:
        return "nchan_shared_memory_size 512m;"

    def locations(self) -> str:
        return (
            "location = /publish { nchan_publisher; nchan_channel_id all; nchan_message_buffer_length 1000000;"
            " nchan_message_timeout 0; } location = /events { nchan_subscriber; nchan_channel_id all;"
            " nchan_subscriber_first_message oldest; } location = /health { return 204; }"
        )

    def probe(self) -> Request:
        return Request(self.port, "/health", {})


class DurableStreams(Posted):
    """The durable-streams server on node, with its streams in memory."""

    name = "durable-streams"
    path = "/all"
    media_type = "application/json"

    @classmethod
    def is_available(cls) -> bool:
        return environment.node_modules() is not None

    def command(self) -> list[str]:
        return ["node", str(environment.CACHE / "node" / "durable.mjs"), str(self.port)]

    def fill(self) -> None:
        self.post([], "PUT")
        super().fill()

    def body(self, lines: list[bytes]) -> bytes:
        return b"[%b]" % b",".join(lines) if lines else b""

    def request(self, after: int | None = None) -> Request:
        return Request(self.port, "/all?offset=-1&live=sse", EVENT_STREAM)
