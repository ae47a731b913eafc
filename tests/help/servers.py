"""A real server on a port of the loopback interface, and clients that reconnect as EventSource does."""

import http.client
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from breakglass.access.login_codes import make_code
from tests.help import warm
from tests.help.waiting import DEADLINE, wait_until

TOKEN = "a-token-for-the-tests-that-is-long-enough-0123456789"


def environment(data: Path, **more: str) -> dict[str, str]:
    """Return the environment of a program under test: a few general variables of this process, and settings.

    It holds nothing else of the environment in which the tests run.
    """
    kept = {key: os.environ[key] for key in warm.KEPT if key in os.environ}
    return {
        **kept,
        "BREAKGLASS_DATA": str(data),
        "BREAKGLASS_TOKEN": TOKEN,
        "BREAKGLASS_AGENT": "shell",
        "BREAKGLASS_VITALS": "false",  # they come at any time, and most tests compare whole logs
        **more,
    }


class Server:
    """`breakglass serve` as a user starts it."""

    prefix: tuple[str, ...] = ()
    """A program and its arguments, which starts the server's command line."""
    is_warm = True
    """Whether it is started by `tests.help.warm`, if no prefix is given."""

    def __init__(self, data: Path, *arguments: str, **env: str) -> None:
        self.data = data
        self._arguments = arguments
        self._env = {key: value for key, value in environment(data, **env).items() if value}
        self.port = 0
        self.clients: list[Attached] = []
        """The clients that `killed_later` disconnects. They would connect again and again until the last test."""
        self.start()

    def start(self) -> None:
        """Start the program and return when it has printed its address."""
        reader, writer = os.pipe()
        self.process = self._process(writer)
        os.close(writer)
        output = open(reader, encoding="utf-8")  # noqa: SIM115 — `_drain` closes it
        printed = ""
        for line in output:
            printed += line
            if line.startswith("Breakglass is at "):
                found = re.search(r"https?://[^:/]+:([0-9]+)", line)
                self.port = int(found[1]) if found else 0
                break
        else:
            raise AssertionError(f"the server did not start: {printed}")
        self.printed = printed
        self._reader = threading.Thread(target=self._drain, args=(output,), daemon=True)
        self._reader.start()

    def _process(self, output: int) -> warm.Process:
        words, folder = ["serve", *self._arguments], self.data.parent
        env = {**self._env, "BREAKGLASS_PORT": str(self.port)}
        if self.is_warm and not self.prefix:
            with open(os.devnull) as nothing:
                return warm.start(words, env, folder, stdin=nothing.fileno(), stdout=output, stderr=output)
        return subprocess.Popen(
            [*self.prefix, *warm.COMMAND, *words], env=env, stdout=output, stderr=output, cwd=folder
        )

    def _drain(self, stream: Any) -> None:
        with stream:
            for line in stream:
                self.printed += line

    def kill(self) -> None:
        """Kill the process without a chance to clean up, and wait for its end."""
        self.process.kill()
        self.process.wait()
        self._reader.join(DEADLINE)

    def stop(self) -> int:
        """Send SIGTERM, wait for the end, and return the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE)

    @property
    def address(self) -> str:
        """The address for a browser."""
        return f"http://127.0.0.1:{self.port}"

    def login_address(self) -> str:
        """Make a one-time code and return the address that logs in with it."""
        return f"{self.address}/login#code={make_code(self.data)}"

    def connection(self, timeout: float = DEADLINE) -> http.client.HTTPConnection:
        """Return a new connection."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any, dict[str, str]]:
        """Send a request with the token. Return the status, the body (decoded if it is JSON) and the headers.

        A `body` that is not bytes is sent as JSON. The names of the headers are in lower case.
        """
        connection = self.connection()
        try:
            sent = {"Authorization": f"Bearer {TOKEN}", **(headers or {})}
            data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            if data is not None:
                sent.setdefault("Content-Type", "application/json")
            connection.request(method, path, data, sent)
            response = connection.getresponse()
            text = response.read()
            is_json = (response.getheader("Content-Type") or "").startswith(
                ("application/json", "application/problem")
            )
            decoded = json.loads(text) if is_json else text
            return response.status, decoded, {key.lower(): value for key, value in response.getheaders()}
        finally:
            connection.close()

    def new_session(self, **fields: str) -> str:
        """Create a session and return its id."""
        status, session, _ = self.ask("POST", "/api/sessions", fields)
        assert status == 201, session
        return str(session["id"])

    def prompt(self, session: str, text: str, **headers: str) -> int:
        """Start a turn and return its id. `headers` are of the request."""
        status, answer, _ = self.ask("POST", f"/api/sessions/{session}/turns", {"prompt": text}, headers)
        assert status == 202, answer
        return int(answer["turn"])

    def state(self, session: str) -> dict[str, Any]:
        """Return the session object."""
        status, state, _ = self.ask("GET", f"/api/sessions/{session}")
        assert status == 200, state
        return dict(state)

    def wait_for_end(self, session: str, seconds: float = DEADLINE) -> str:
        """Wait until no turn runs in the session, and return the session's status."""
        wait_until(lambda: not self.state(session)["turn_active"], "the turn to end", seconds)
        return str(self.state(session)["status"])

    def log(self, session: str) -> Path:
        """Return the path of a session's log."""
        return self.data / "sessions" / session / "events.jsonl"


@contextmanager
def serving(data: Path, *arguments: str, **env: str) -> Iterator[Server]:
    """Run a server while in the context. Yields it; kills it at the end."""
    with killed_later(Server(data, *arguments, **env)) as server:
        yield server


@contextmanager
def killed_later(server: Server) -> Iterator[Server]:
    """Yield a server that runs, and kill it at the end."""
    try:
        yield server
    finally:
        server.kill()
        for client in server.clients:
            client.disconnect()


class RealServer(Server):
    """A server that Python has started, for tests of what /proc shows of it."""

    is_warm = False


class Attached:
    """A client that follows a session in a thread, as EventSource does.

    When the connection breaks or is refused, the client connects again and asks for the events after the last
    one that it received. After a `reset` event it discards all that it received.
    """

    def __init__(self, server: Server, session: str) -> None:
        self.received: list[tuple[int, bytes]] = []
        """The id and the data of each event, in the order of arrival."""
        self.signals: list[str] = []
        """The names of the named events (`caught-up`, `reset`)."""
        self.refused: list[int] = []
        """The statuses of the answers that were not a stream."""
        self.attachments = 0
        """How many connections were answered with a stream."""
        self._server = server
        self._timeout = 1.0  # seconds; it doubles while a busy server does not answer in time
        server.clients.append(self)
        self._path = f"/api/sessions/{session}/events"
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def disconnect(self) -> None:
        """Disconnect for good."""
        self._left.set()
        self._thread.join(DEADLINE)

    def has(self, number: int) -> bool:
        """Return whether the event of that id was received."""
        return bool(self.received) and self.received[-1][0] >= number

    def _run(self) -> None:
        while not self._left.is_set():
            try:
                self._attach()
            except (OSError, http.client.HTTPException) as error:
                self._timeout = min(DEADLINE, self._timeout * 2) if isinstance(error, TimeoutError) else 1.0
                time.sleep(0.01)

    def _attach(self) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}", "Accept": "text/event-stream"}
        if self.received:
            headers["Last-Event-ID"] = str(self.received[-1][0])
        connection = self._server.connection(timeout=self._timeout)
        try:
            connection.request("GET", self._path, headers=headers)
            response = connection.getresponse()
            if response.status != 200:
                self.refused.append(response.status)
                raise ConnectionRefusedError(response.read())
            self.attachments += 1
            frame: dict[bytes, bytes] = {}
            while not self._left.is_set() and (line := response.readline()):
                if not line.endswith(b"\n"):
                    return  # the connection broke within a line: EventSource drops an incomplete event
                if line == b"\n":
                    self._take(frame)
                    frame = {}
                else:
                    name, _, value = line[:-1].partition(b": ")
                    frame[name] = value
        finally:
            connection.close()

    def _take(self, frame: dict[bytes, bytes]) -> None:
        if b"event" in frame:
            self.signals.append(frame[b"event"].decode())
            if self.signals[-1] == "reset":
                self.received = []
        elif b"id" in frame:
            self._timeout = 1.0
            self.received.append((int(frame[b"id"]), frame[b"data"]))


def assert_is_the_log(received: list[tuple[int, bytes]], log: Path) -> None:
    """Fail unless a client received each line of the file once, in order, and with its number as the id."""
    lines = log.read_bytes().split(b"\n")[:-1]
    assert [number for number, _ in received] == list(range(1, len(lines) + 1))
    for (number, data), line in zip(received, lines, strict=True):
        assert data == line, f"line {number} was received as {data[:200]!r}"
