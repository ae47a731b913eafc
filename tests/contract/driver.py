"""Use Breakglass as its users do: through the command line, HTTP and files.

The contract suite uses this module. It depends on docs/contract.md and not on the code. It imports neither the package
nor another test folder, so the same suite runs unchanged against any version of the code.
"""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

from tests.contract.lists import Event, check_line

TOKEN = "a-token-of-the-contract-suite-0123456789-abcdef"
ANONYMOUS = {"Authorization": ""}
COMMAND = (sys.executable, "-m", "breakglass")
SECONDS = 120.0
"""How long a condition may take before the test fails: far more than any condition needs."""

T = TypeVar("T")


def wait_until(condition: Callable[[], T], what: str) -> T:
    """Return the first true value of `condition`. After `SECONDS` fail with `what` in the message."""
    began = time.monotonic()
    while not (value := condition()):
        waited = time.monotonic() - began
        assert waited < SECONDS, f"waited {SECONDS:g} s for {what}"
        time.sleep(min(max(waited / 10, 0.005), 0.1))  # a check may ask a server or read a whole log
    return value


# --- the command line and the files -------------------------------------------------------------


class DataRoot:
    """A data root, and the commands that run on it. A variable that is None is removed from a command's environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "var"
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "TMPDIR") if key in os.environ}
        ours = {"BREAKGLASS_DATA": str(self.root), "BREAKGLASS_TOKEN": TOKEN, "BREAKGLASS_AGENT": "shell"}
        ours["BREAKGLASS_VITALS"] = "false"  # they come at any time, and these tests compare whole logs
        self.env = {**kept, "LANG": "C.UTF-8", **ours}

    def environment(self, changes: Mapping[str, str | None]) -> dict[str, str]:
        """Return the environment of a command, with `changes` made to it."""
        return {key: value for key, value in {**self.env, **changes}.items() if value is not None}

    def run(self, *arguments: str, stdin: str = "", **env: str | None) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [*COMMAND, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            env=self.environment(env),
            cwd=self.folder,
        )

    def ok(self, *arguments: str, stdin: str = "", **env: str | None) -> str:
        """Run a command that must succeed and return what it prints."""
        done = self.run(*arguments, stdin=stdin, **env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def new(self, *arguments: str) -> str:
        """Create a session and return its id."""
        return self.ok("new", *arguments).strip()

    def listed(self, *arguments: str) -> list[dict[str, Any]]:
        """Return the session objects that `ls --json` prints."""
        return [json.loads(line) for line in self.ok("ls", "--json", *arguments).splitlines()]

    @contextmanager
    def running(self, *arguments: str, **env: str | None) -> Iterator["Program"]:
        """Run a command while in the context."""
        program = Program(self, arguments, env)
        try:
            yield program
        finally:
            program.kill()

    def log(self, session: str) -> Path:
        return self.root / "sessions" / session / "events.jsonl"

    def lines(self, session: str) -> list[bytes]:
        """Return the whole lines of a log, without their newlines."""
        return self.log(session).read_bytes().split(b"\n")[:-1]

    def events(self, session: str) -> list[Event]:
        """Return the events of a session. Fail if a line breaks a rule of section 2."""
        return [check_line(line, number) for number, line in enumerate(self.lines(session), 1)]

    def last(self, session: str, kind: str) -> Event:
        """Return the last event of a kind."""
        return next(event for event in reversed(self.events(session)) if event["kind"] == kind)

    def output(self, session: str) -> str:
        """Return all that the commands of a session have printed."""
        return "".join(e["output"] for e in self.events(session) if e["kind"] == "tool_result")

    def append(self, session: str, data: bytes) -> None:
        """Append bytes to a log, as another program would."""
        with self.log(session).open("ab") as log:
            log.write(data)

    def wait_for_output(self, session: str, text: str = "begun") -> None:
        wait_until(lambda: text in self.output(session), f"{text!r} in the output")

    def wait_for_end(self, session: str) -> str:
        """Wait until the last turn has ended and none follows it, and return its status."""
        wait_until(lambda: self.events(session)[-1]["kind"] == "sealed", "the end of the turn")
        return str(self.last(session, "turn_end")["status"])

    def kill_runner(self, session: str) -> None:
        """Kill the process of the running turn with SIGKILL."""
        os.kill(json.loads(self.log(session).with_name("turn.lock").read_text())["pid"], signal.SIGKILL)

    def ask(self, session: str, turn: int) -> None:
        """Write the question `r1` for permission into the running turn.

        The shell agent never asks, so the question is written here: a session is what its log says (section 1).
        The turn must be waiting, because the line's number is read without a lock.
        """
        id_and_time = f'"id":{len(self.lines(session)) + 1},"ts":"2026-11-23T00:00:00.000Z"'
        asked = (
            f'"turn":{turn},"request":"r1","name":"Bash","input":{{}},"expires":"9999-01-01T00:00:00.000Z"'
        )
        self.append(session, f'{{{id_and_time},"kind":"permission",{asked}}}\n'.encode())


class Gate:
    """Keeps a turn running until the test opens the gate."""

    def __init__(self, path: Path) -> None:
        self.script = f"echo begun; until [ -e {path} ]; do sleep 0.02; done; echo over"
        self.open = path.touch


class Program:
    """A command in the background. Its output goes to files, so no pipe has to be read."""

    def __init__(self, data: DataRoot, arguments: tuple[str, ...], env: Mapping[str, str | None]) -> None:
        name = f"program-{time.monotonic_ns()}"
        self._out, self._err = data.folder / f"{name}.out", data.folder / f"{name}.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            command, given = [*COMMAND, *arguments], data.environment(env)
            self._process = subprocess.Popen(command, stdout=out, stderr=err, env=given, cwd=data.folder)

    @property
    def out(self) -> bytes:
        """Its output so far."""
        return self._out.read_bytes()

    def wait_for(self, pattern: bytes) -> re.Match[bytes]:
        """Wait until a regular expression matches its output, and return the match."""
        wait_until(lambda: re.search(pattern, self.out) or self._process.poll() is not None, f"{pattern!r}")
        found = re.search(pattern, self.out)
        assert found, (self.out, self._err.read_bytes())
        return found

    def interrupt(self) -> int:
        """Send SIGINT, as Ctrl-C does, and return the exit status."""
        self._process.send_signal(signal.SIGINT)
        return self.wait()

    def wait(self) -> int:
        """Wait for its end and return the exit status."""
        return self._process.wait(SECONDS)

    def kill(self) -> None:
        self._process.kill()
        self.wait()


# --- HTTP ---------------------------------------------------------------------------------------


class Response(NamedTuple):
    """A response to a request. The names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """`breakglass serve` on a port of loopback."""

    def __init__(self, data: DataRoot, token: str, env: Mapping[str, str | None]) -> None:
        self.data = data
        self.token = token
        self.port = 0
        self._env = env
        self.start()

    def start(self) -> None:
        """Start the server and return when it listens. A second start uses the same port."""
        self.program = Program(self.data, ("serve", "--port", str(self.port)), self._env)
        self.port = int(self.program.wait_for(rb"https?://127\.0\.0\.1:(\d+)/")[1])

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)

    def headers(self, more: Mapping[str, str]) -> dict[str, str]:
        """Return header fields with the token, which ANONYMOUS removes."""
        fields = {"Authorization": f"Bearer {self.token}", **more}
        return {name: value for name, value in fields.items() if value}

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        """Send a request, its body as JSON unless it is bytes, and return the response."""
        kind = {} if body is None else {"Content-Type": "application/json"}
        sent = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection = self.connection()
        try:
            connection.request(method, path, sent, self.headers({**kind, **(headers or {})}))
            response = connection.getresponse()
            named = {name.lower(): value for name, value in response.getheaders()}
            return Response(response.status, named, response.read())
        finally:
            connection.close()

    def new(self) -> str:
        """Create a session and return its id."""
        return str(self.ask("POST", "/api/sessions", {}).json["id"])

    def send(self, session: str, prompt: str, **fields: Any) -> int:
        """Begin a turn, or queue its prompt, and return the id in the response."""
        response = self.ask("POST", f"/api/sessions/{session}/turns", {"prompt": prompt, **fields})
        assert response.status == 202, response
        return int(next(iter(response.json.values())))

    def state(self, session: str) -> dict[str, Any]:
        """Return the session object."""
        return dict(self.ask("GET", f"/api/sessions/{session}").json)


@contextmanager
def serving(data: DataRoot, token: str = TOKEN, **env: str | None) -> Iterator[Server]:
    """Serve while in the context."""
    server = Server(data, token, env)
    try:
        yield server
    finally:
        server.program.kill()


class Stream:
    """One ATTACH. Its frames are compared byte for byte."""

    def __init__(
        self, server: Server, session: str, query: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        self._connection = server.connection()
        fields = server.headers({"Accept": "text/event-stream", **(headers or {})})
        self._connection.request("GET", f"/api/sessions/{session}/events{query}", headers=fields)
        self._response = self._connection.getresponse()
        self.status, self.type = self._response.status, self._response.getheader("Content-Type", "")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._response.close()
        self._connection.close()

    def frame(self) -> bytes:
        """Return the next frame with its blank line, b"" at the end of the stream."""
        found = b""
        with suppress(ConnectionResetError):
            while line := self._response.readline():
                found += line
                if line == b"\n":
                    return found
        return b""

    def until(self, text: bytes) -> list[bytes]:
        """Return the frames up to the first that contains `text`, without the comments."""
        found = []
        while frame := self.frame():
            found += [frame] if not frame.startswith(b":") else []
            if text in frame:
                return found
        raise AssertionError(f"the stream ended without {text!r}: {found}")

    def replay(self) -> list[bytes]:
        """Return the frames before `caught-up`."""
        return self.until(b"event: caught-up\n")[:-1]


def frames(lines: list[bytes]) -> list[bytes]:
    """Return the frames of a log's lines."""
    return [b"id: %d\ndata: %b\n\n" % numbered for numbered in enumerate(lines, 1)]
