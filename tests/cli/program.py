"""`breakglass` as a user runs it: a process of its own, on real files, with the shell agent, in a terminal or not."""

import fcntl
import json
import os
import pty
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.help.servers import environment
from tests.help.waiting import DEADLINE, wait_until

COMMAND = (sys.executable, "-m", "breakglass")
MANY = Path(__file__).parents[1] / "help" / "many_events.py"


class Data:
    """A data root, and commands run on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "var"
        self.env = environment(self.root)

    def run(self, *words: str, stdin: bytes = b"", **env: str) -> subprocess.CompletedProcess[bytes]:
        """Return a command's end."""
        return subprocess.run(
            [*COMMAND, *words],
            input=stdin,
            capture_output=True,
            timeout=DEADLINE,
            check=False,
            env={**self.env, **env},
            cwd=self.folder,
        )

    def ok(self, *words: str, stdin: bytes = b"", **env: str) -> str:
        """Return what a command that succeeds prints, with nothing on standard error."""
        done = self.run(*words, stdin=stdin, **env)
        assert (done.returncode, done.stderr) == (0, b""), done
        return done.stdout.decode()

    def sh(self, script: str, **env: str) -> subprocess.CompletedProcess[bytes]:
        """Return the end of a bash script in which `breakglass` is a command."""
        function = f'breakglass() {{ {sys.executable} -m breakglass "$@"; }}\n'
        return subprocess.run(
            ["bash", "-c", function + script],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=DEADLINE,
            check=False,
            env={**self.env, **env},
            cwd=self.folder,
        )

    def new(self, *words: str) -> str:
        """Make a session and return its id."""
        return self.ok("new", *words).strip()

    def log(self, session: str) -> Path:
        """Return the path of a session's log."""
        return self.root / "sessions" / session / "events.jsonl"

    def events(self, session: str) -> list[dict[str, Any]]:
        """Return all events of a session."""
        return [json.loads(line) for line in self.log(session).read_bytes().split(b"\n")[:-1]]

    def the_session(self) -> str:
        """Return the id of the only session."""
        (session,) = os.listdir(self.root / "sessions")
        return session

    def ended(self, session: str) -> str:
        """Wait for the end of the last turn and return its status."""
        wait_until(lambda: self.events(session)[-1]["kind"] == "turn_end", "the turn to end")
        return str(self.events(session)[-1]["status"])

    @contextmanager
    def running(self, *words: str, **env: str) -> Iterator["Running"]:
        """Run a command while in the context, its output and errors in pipes."""
        program = Running([*COMMAND, *words], {**self.env, **env}, self.folder)
        try:
            yield program
        finally:
            program.close()

    @contextmanager
    def terminal(self, *words: str, **env: str) -> Iterator["Terminal"]:
        """Run a command in a terminal of 100 columns while in the context."""
        program = Terminal([*COMMAND, *words], {**self.env, "TERM": "xterm", **env}, self.folder)
        try:
            yield program
        finally:
            program.close()


class Running:
    """A command that goes on. What it prints is read all the while."""

    def __init__(self, command: list[str], env: dict[str, str], folder: Path) -> None:
        self.out = self.err = b""
        self.process = subprocess.Popen(
            command,
            env=env,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._readers = [threading.Thread(target=self._read, args=(name,)) for name in ("out", "err")]
        for reader in self._readers:
            reader.start()

    def _read(self, name: str) -> None:
        stream = self.process.stdout if name == "out" else self.process.stderr
        assert stream
        while data := os.read(stream.fileno(), 1 << 16):
            setattr(self, name, getattr(self, name) + data)

    def until(self, words: bytes) -> None:
        """Wait for words on standard output."""
        wait_until(lambda: words in self.out, f"{words!r} in {self.out[-300:]!r} {self.err!r}")

    def end(self) -> int:
        """Wait for its end and return its exit status, with all it printed read."""
        status = self.process.wait(DEADLINE)
        for reader in self._readers:
            reader.join(DEADLINE)
        return status

    def close(self) -> None:
        """Leave nothing of it."""
        self.process.kill()
        self.end()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream
            stream.close()


class Terminal:
    """A command in a terminal of its own, and a person at it."""

    def __init__(self, command: list[str], env: dict[str, str], folder: Path) -> None:
        self.screen = b""
        self._master, inside = pty.openpty()
        termios.tcsetwinsize(self._master, (24, 100))
        self.process = subprocess.Popen(
            command,
            env=env,
            cwd=folder,
            stdin=inside,
            stdout=inside,
            stderr=inside,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 — its own terminal, for Ctrl-C
        )
        os.close(inside)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with suppress(OSError):  # EIO: nobody is inside any more
            while data := os.read(self._master, 1 << 16):
                self.screen += data

    def until(self, words: bytes) -> None:
        """Wait for words on the screen."""
        wait_until(lambda: words in self.screen, f"{words!r} on the screen")

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._master, keys)

    def end(self) -> int:
        """Wait for its end and return its exit status, with all it showed read."""
        status = self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        return status

    def close(self) -> None:
        """Leave nothing of it."""
        self.process.kill()
        self.end()
        os.close(self._master)
