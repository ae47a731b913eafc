"""`breakglass` as a user runs it: a separate process on real files, with the shell agent, in a terminal or in pipes."""

import fcntl
import json
import os
import pty
import pwd
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.help import warm
from tests.help.servers import environment
from tests.help.waiting import DEADLINE, wait_until

USER = f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
"""The user of this test as the log names them."""
COMMAND = (sys.executable, "-m", "breakglass")
MANY = Path(__file__).parents[1] / "help" / "many_events.py"


class Data:
    """A data root, and the commands that a test runs on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "var"
        self.env = environment(self.root)

    def run(self, *words: str, stdin: bytes = b"", **env: str) -> subprocess.CompletedProcess[bytes]:
        """Run a command to its end."""
        return warm.run(words, {**self.env, **env}, self.folder, stdin=stdin, timeout=DEADLINE)

    def ok(self, *words: str, stdin: bytes = b"", **env: str) -> str:
        """Return the output of a command that must succeed and print nothing on standard error."""
        done = self.run(*words, stdin=stdin, **env)
        assert (done.returncode, done.stderr) == (0, b""), done
        return done.stdout.decode()

    def json(self, *words: str) -> list[dict[str, Any]]:
        """Return the rows that a command prints with --json."""
        return [json.loads(line) for line in self.ok(*words, "--json").splitlines()]

    def sh(self, script: str, **env: str) -> subprocess.CompletedProcess[bytes]:
        """Run a bash script in which `breakglass` is a command."""
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
        """Create a session and return its id."""
        return self.ok("new", *words).strip()

    def log(self, session: str) -> Path:
        """Return the path of a session's log."""
        return self.root / "sessions" / session / "events.jsonl"

    def events(self, session: str) -> list[dict[str, Any]]:
        """Return all events of a session."""
        return [json.loads(line) for line in self.log(session).read_bytes().split(b"\n")[:-1]]

    def kinds(self, session: str) -> list[str]:
        """Return the kinds of all events of a session."""
        return [event["kind"] for event in self.events(session)]

    def runner_pid(self, session: str) -> int:
        """Return the pid of the runner that holds a session's turn lock."""
        text = wait_until((self.root / "sessions" / session / "turn.lock").read_text, "the runner's pid")
        return int(json.loads(text)["pid"])

    def only_session(self) -> str:
        """Return the id of the only session."""
        (session,) = os.listdir(self.root / "sessions")
        return session

    def wait_for_end(self, session: str) -> str:
        """Wait for the end of the last turn and return its status."""
        wait_until(lambda: self.events(session)[-1]["kind"] == "sealed", "the turn to end")
        return self.last_status(session)

    def last_status(self, session: str) -> str:
        """Return the status of the last turn that has ended."""
        return str([event["status"] for event in self.events(session) if event["kind"] == "turn_end"][-1])

    @contextmanager
    def running(self, *words: str, **env: str) -> Iterator["Running"]:
        """Run a command inside the context, with its output and errors in pipes."""
        program = Running(words, {**self.env, **env}, self.folder)
        try:
            yield program
        finally:
            program.close()

    @contextmanager
    def terminal(self, *words: str, **env: str) -> Iterator["Terminal"]:
        """Run a command in a terminal of 100 columns inside the context."""
        program = Terminal([*COMMAND, *words], {**self.env, "TERM": "xterm", **env}, self.folder)
        try:
            yield program
        finally:
            program.close()


class Running:
    """A running command. Threads read what it prints."""

    def __init__(self, words: Sequence[str], env: dict[str, str], folder: Path) -> None:
        self.out = self.err = b""
        pipes = {name: os.pipe() for name in ("out", "err")}
        out, err = (writer for _, writer in pipes.values())
        with open(os.devnull) as nothing:
            self.process = warm.start(words, env, folder, stdin=nothing.fileno(), stdout=out, stderr=err)
        os.close(out)
        os.close(err)
        self._readers = [
            threading.Thread(target=self._read, args=(name, fd)) for name, (fd, _) in pipes.items()
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, name: str, fd: int) -> None:
        while data := os.read(fd, 1 << 16):
            setattr(self, name, getattr(self, name) + data)
        os.close(fd)

    def until(self, text: bytes) -> None:
        """Wait for a text on standard output."""
        wait_until(lambda: text in self.out, f"{text!r} in {self.out[-300:]!r} {self.err!r}")

    def end(self) -> int:
        """Wait for the command's end, read all its output and return its exit status."""
        status = self.process.wait(DEADLINE)
        for reader in self._readers:
            reader.join(DEADLINE)
        return status

    def close(self) -> None:
        """Kill the command and wait until the pipes are closed."""
        self.process.kill()
        self.end()


class Terminal:
    """A command in a terminal of its own, and the keys that a user presses."""

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
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 — the controlling terminal, so that Ctrl-C sends SIGINT
        )
        os.close(inside)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with suppress(OSError):  # EIO: the last process in the terminal has ended
            while data := os.read(self._master, 1 << 16):
                self.screen += data

    def until(self, text: bytes) -> None:
        """Wait for a text on the screen."""
        wait_until(lambda: text in self.screen, f"{text!r} on the screen")

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._master, keys)

    def end(self) -> int:
        """Wait for the command's end, read all that it showed and return its exit status."""
        status = self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        return status

    def close(self) -> None:
        """Kill the command and close the terminal."""
        self.process.kill()
        self.end()
        os.close(self._master)
