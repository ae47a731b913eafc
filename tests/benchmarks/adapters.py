"""The servers under test, one class each: how it is started, filled, read from and appended to."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from tests.benchmarks import environment, logs
from tests.benchmarks.client import Request, ServerFailed

TOKEN = "a-token-for-the-bench-that-is-long-enough-0123456789"
EVENT_STREAM = {"Accept": "text/event-stream"}
START = 30.0
"""Seconds that a server gets to start."""


class Server:
    """A server under test. One stream of events; `prepare` before `start`."""

    name: ClassVar[str]
    live: ClassVar[bool] = True
    """Whether what is appended reaches who is attached."""

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


# --- ours ---------------------------------------------------------------------------------------


class Ours(Server):
    """`breakglass serve`, as a user starts it."""

    name = "breakglass"
    workers = 1

    def command(self) -> list[str]:
        program = [sys.executable, "-m", "breakglass", "serve"]
        where = ["--port", str(self.port), "--data", str(self.data)]
        return program + where + (["--workers", str(self.workers)] if self.workers > 1 else [])

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
        """Return how a reader asks for the stream of a session."""
        headers = {**EVENT_STREAM, "Authorization": f"Bearer {TOKEN}"}
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


class OursTwice(Ours):
    """The same with two workers on the port."""

    name = "breakglass, 2 workers"
    workers = 2


# --- the others ---------------------------------------------------------------------------------


class Posted(Server):
    """A server that events are posted to: kept in its memory, so it is filled after the start."""

    batch = 500
    """Lines a request when it is filled."""

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
        """Return these lines as the server takes them."""
        return b"".join(lines)

    path = "/publish"
    media_type = "application/x-ndjson"

    def post(self, lines: list[bytes], method: str = "POST") -> None:
        """Send lines over the one connection that is kept. Raises ServerFailed."""
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
    """asyncio protocols and nothing else: what the language and the sockets cost."""

    name = "bare asyncio"

    def command(self) -> list[str]:
        return [sys.executable, "-m", "tests.benchmarks.comparators.bare", str(self.port)]

    def request(self, after: int | None = None) -> Request:
        return Request(self.port, "/events", EVENT_STREAM)

    def probe(self) -> Request:
        return Request(self.port, "/health", {})


class InMemory(Bare):
    """FastAPI on uvicorn, a list of events, a queue per subscriber."""

    name = "in memory"
    stream = "/memory"

    @classmethod
    def available(cls) -> bool:
        return environment.python() is not None

    def command(self) -> list[str]:
        return [str(environment.python()), str(environment.COMPARATORS / "fast.py"), str(self.port)]

    def request(self, after: int | None = None) -> Request:
        return Request(self.port, self.stream, EVENT_STREAM)


class SseStarlette(InMemory):
    """The same with sse-starlette's EventSourceResponse and a condition that all wait for."""

    name = "sse-starlette"
    stream = "/starlette"


class NginxFile(Server):
    """nginx sending the framed events as a static file: what cannot be beaten by much."""

    name = "nginx, static file"
    live = False

    @classmethod
    def available(cls) -> bool:
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
        user = "user root;" if os.geteuid() == 0 else ""  # else the worker may not read the scratch folder
        configuration.write_text(
            f"{self.modules()} {user} daemon off; worker_processes 1; pid {self.scratch}/pid; error_log stderr;"
            "events { worker_connections 16384; } http { access_log off; sendfile on; tcp_nopush on;"
            f"{self.settings()} server {{ listen 127.0.0.1:{self.port} backlog=4096; {self.locations()} }} }}"
        )
        return [str(environment.nginx()), "-c", str(configuration), "-e", "stderr"]

    def modules(self) -> str:
        """Return what is loaded."""
        return ""

    def settings(self) -> str:
        """Return what stands outside of any server."""
        return ""

    def locations(self) -> str:
        """Return what is served."""
        return f"root {self.scratch}/www;"

    def request(self, after: int | None = None) -> Request:
        return Request(self.port, "/events", EVENT_STREAM)


class Nchan(NginxFile, Posted):
    """nginx with nchan: a message a POST, kept in shared memory."""

    name = "nginx, nchan"
    live = True
    batch = 1
    path = "/publish"
    prepare = Posted.prepare

    @classmethod
    def available(cls) -> bool:
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
    """The durable-streams server on node, its streams in memory."""

    name = "durable-streams"
    path = "/all"
    media_type = "application/json"

    @classmethod
    def available(cls) -> bool:
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


ALL: dict[str, type[Server]] = {
    "ours": Ours,
    "ours2": OursTwice,
    "bare": Bare,
    "memory": InMemory,
    "sse-starlette": SseStarlette,
    "nginx": NginxFile,
    "nchan": Nchan,
    "durable": DurableStreams,
}
"""Servers by the word that the command line has for them."""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])
