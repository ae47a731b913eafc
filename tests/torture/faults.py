"""Faults made for real, as root and on scratch directories only; each is undone when its context ends."""

import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from breakglass.turns import processes
from tests.help.servers import Server, environment

SECONDS = 60.0


def do(*command: str | Path) -> None:
    """Run a command that must succeed."""
    subprocess.run(command, check=True, timeout=SECONDS)


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    """Mount a file system of that size."""
    place.mkdir()
    do("mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "none", place)
    try:
        yield place
    finally:
        do("umount", "-l", place)


class Disk:
    """An ext4 file system in a file, whose power can be cut."""

    def __init__(self, folder: Path) -> None:
        self.place = folder / "disk"
        self._image = folder / "image"
        self.place.mkdir()
        with self._image.open("wb") as image:
            image.truncate(64 << 20)
        do("mkfs.ext4", "-q", self._image)
        self.restore()

    def cut(self) -> None:
        """Lose what is not on disk: from here on the file system does nothing but fail."""
        do("xfs_io", "-x", "-c", "shutdown", self.place)

    def restore(self) -> None:
        """Mount what was on disk when the power was cut."""
        do("mount", "-o", "loop", self._image, self.place)

    def unmount(self) -> None:
        """Let go of it. Whoever is left with a file open there keeps the dead file system, not the next one."""
        deadline = time.monotonic() + SECONDS
        while subprocess.run(["umount", self.place], check=False, capture_output=True).returncode:
            assert time.monotonic() < deadline, "somebody keeps the disk busy"
            time.sleep(0.05)


def traced(log: Path, *faults: str, also: Path | None = None) -> list[str]:
    """Return what to put before a command for these system calls on the log to fail, in it and its children.

    `faults` are strace's (`write:error=EIO:when=3+`); each process counts for itself.
    """
    paths = ["-P", str(log), *(["-P", str(also)] if also else [])]
    return ["strace", "-f", "-o", "/dev/null", *paths, *(f"--inject={fault}" for fault in faults)]


SEND = """
import sys
sys.executable = sys.argv.pop(1) or sys.executable
from breakglass.cli import main
sys.exit(main())
"""


def send(
    data: Path, session: str, prompt: str, *before: str, runner: Sequence[str] = (), **env: str
) -> "subprocess.CompletedProcess[str]":
    """Send a prompt from the command line, with `before` before it and `runner` before the turn's own process.

    With strace before it this waits for the turn's end.
    """
    python = data.parent / "python"
    if runner:
        python.write_text(f'#!/bin/sh\nexec {shlex.join([*runner, sys.executable])} "$@"\n')
        python.chmod(0o755)
    command = [*before, sys.executable, "-c", SEND, str(python) if runner else "", "send", session, prompt]
    return subprocess.run(
        command, env=environment(data, **env), capture_output=True, text=True, check=False, timeout=SECONDS
    )


class Confined(Server):
    """A server started by another program: `sh -c 'ulimit …; exec "$@"'`, faketime, unshare."""

    def __init__(self, data: Path, before: list[str], *arguments: str, **env: str) -> None:
        self.before = tuple(before)
        super().__init__(data, *arguments, **env)


@contextmanager
def confined(data: Path, *before: str, **env: str) -> Iterator[Server]:
    """Serve, started by another program, while in the context."""
    server = Confined(data, [*before], **env)
    try:
        yield server
    finally:
        server.kill()


def limited(limits: str) -> tuple[str, ...]:
    """Return what to put before a command for it to have these limits (`ulimit`)."""
    return ("bash", "-c", f'ulimit {limits}; exec "$@"', "limited")


def clear(session: str) -> None:
    """Kill every process of a session's turns."""
    assert processes.kill_all(lambda: processes.marked(session), SECONDS)
