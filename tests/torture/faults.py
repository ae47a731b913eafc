"""Real faults, made as root and only in scratch directories: small disks, power cuts, failing system calls.

Each fault is undone when its context ends.
"""

import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from breakglass.store.sessions import Session
from breakglass.turns import processes
from breakglass.turns.end import find_processes
from tests.help.servers import Server, environment
from tests.help.waiting import DEADLINE, wait_until


def run_command(*command: str | Path) -> None:
    """Run a command. Raises CalledProcessError unless it succeeds."""
    subprocess.run(command, check=True, timeout=DEADLINE)


class Disk:
    """An ext4 file system in a file, mounted at `path`, whose power can be cut."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "disk"
        self._image = folder / "image"
        self.path.mkdir()
        with self._image.open("wb") as image:
            image.truncate(64 << 20)
        run_command("mkfs.ext4", "-q", self._image)
        self.mount()

    def cut_power(self) -> None:
        """Lose all data that is not on disk yet. Every later access to the file system fails."""
        run_command("xfs_io", "-x", "-c", "shutdown", self.path)

    def mount(self) -> None:
        """Mount the file system again, with the data that reached the disk."""
        run_command("mount", "-o", "loop", self._image, self.path)

    def unmount(self) -> None:
        """Unmount the file system, once no process has a file open in it.

        A lazy unmount would not do: such a process would keep the old file system instead of the next one.
        """
        wait_until(self._is_unmounted, "every process to close its files on the disk")

    def _is_unmounted(self) -> bool:
        return subprocess.run(["umount", self.path], check=False, capture_output=True).returncode == 0


def strace_prefix(log: Path, *faults: str, also: Path | None = None) -> list[str]:
    """Return a command prefix under which system calls on the log fail, in the command and in its children.

    The faults are in strace's notation (`write:error=EIO:when=3+`). Each process has its own count. With `also`
    the calls on that file fail too.
    """
    paths = ["-P", str(log), *(["-P", str(also)] if also else [])]
    return ["strace", "-f", "-o", "/dev/null", *paths, *(f"--inject={fault}" for fault in faults)]


def ulimit_prefix(limits: str) -> tuple[str, ...]:
    """Return a command prefix that sets these limits, in the notation of bash's `ulimit`."""
    return ("bash", "-c", f'ulimit {limits}; exec "$@"', "limited")


MAIN = """
import sys
sys.executable = sys.argv.pop(1) or sys.executable
from breakglass.cli import main
sys.exit(main())
"""
"""The command line, which starts runners with the interpreter in its first argument."""


def send_prompt(
    data: Path, session: str, prompt: str, *prefix: str, runner_prefix: Sequence[str] = (), **env: str
) -> "subprocess.CompletedProcess[str]":
    """Run `breakglass send` under `prefix`; the turn's runner starts under `runner_prefix`.

    Under strace this returns only after the end of the turn.
    """
    python = data.parent / "python"
    if runner_prefix:
        python.write_text(f'#!/bin/sh\nexec {shlex.join([*runner_prefix, sys.executable])} "$@"\n')
        python.chmod(0o755)
    interpreter = str(python) if runner_prefix else ""
    command = [*prefix, sys.executable, "-c", MAIN, interpreter, "send", session, prompt]
    return subprocess.run(
        command, env=environment(data, **env), capture_output=True, text=True, check=False, timeout=DEADLINE
    )


class PrefixedServer(Server):
    """A server started by another program, such as `ulimit_prefix` or `unshare`."""

    def __init__(self, data: Path, prefix: Sequence[str], **env: str) -> None:
        self.prefix = tuple(prefix)
        super().__init__(data, **env)


@contextmanager
def serving_under(data: Path, *prefix: str, **env: str) -> Iterator[Server]:
    """Run a server, started by another program, while in the context."""
    server = PrefixedServer(data, prefix, **env)
    try:
        yield server
    finally:
        server.kill()


def kill_turn_processes(data: Path, session: str) -> None:
    """Kill every process of a session's turns, and wait for their end."""
    assert processes.kill_all(lambda: find_processes(Session(data, session)), DEADLINE)
