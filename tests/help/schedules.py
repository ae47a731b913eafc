"""Two processes that run in a chosen order: they stop at each lock, write, sync and acknowledgement.

How this works: each process is a fork of the test that makes one operation. `IoRecorder` reports every call before it
is made; at a point in `POINTS` the process waits until it may continue. `run` lets only one of the two continue at a
time, so an order of steps gives the same result every time. A process can be killed where it waits.

The power can fail at any time. So `run` also notes how much of the log was on disk at each acknowledgement.
"""

import fcntl
import json
import os
import random
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import pytest

from breakglass.errors import BreakglassError
from breakglass.events import Event
from breakglass.store import log
from tests.help.io_order import IoRecorder
from tests.help.logs import decoded

POINTS = ("lock ", "write ", "overwrite ", "sync ", "acknowledged")
"""The beginnings of the calls before which a process waits."""
MAX_STEPS = 5_000
"""Steps after which two processes that wait for each other have a deadlock."""


class Schedule(NamedTuple):
    """An order of two processes: `first` makes some steps, the other makes some, then both run to their end.

    A process in `killed` is killed after its steps.
    """

    first: int
    steps: tuple[int, int]
    killed: int | None = None


def all_schedules(lengths: tuple[int, int]) -> Iterator[Schedule]:
    """Yield every schedule for two operations that make so many steps if they run alone."""
    for first in (0, 1):
        for own in range(lengths[first]):
            for others in range(1, lengths[1 - first] + 1):
                for killed in (None, first, 1 - first):
                    yield Schedule(first, (own, others), killed)


def sample(schedules: Iterator[Schedule], count: int, seed: str) -> list[Schedule]:
    """Return so many of the schedules, always the same ones for a seed."""
    found = [*schedules]
    return random.Random(seed).sample(found, min(count, len(found)))


class Outcome(NamedTuple):
    """How the operation of one process ended."""

    result: Any = None
    """What it returned, the name of the exception that it raised, or None if it was killed."""
    is_acknowledged: bool = False
    on_disk: tuple[Event, ...] = ()
    """The events that were on disk when it was acknowledged or refused."""


class _Process:
    """A fork of this process that makes an operation, step by step."""

    def __init__(self, operation: Callable[[], object], root: Path) -> None:
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if not self.pid:
            self._socket.close()
            _make(operation, root, other)
        other.close()
        self.steps = 0
        self.is_blocked = False
        self.point, self.result = "", None
        self._receive()

    def step(self) -> str:
        """Let the process make the call before which it waits. Return that call."""
        done = self.point
        self._socket.send(b"+")
        self._receive()
        self.steps += 1
        self.is_blocked = done == self.point and done.startswith("lock ")  # it was refused, and tries again
        return done

    def kill(self) -> None:
        """Kill the process where it waits."""
        os.kill(self.pid, signal.SIGKILL)
        self._receive()
        self.result = None

    def _receive(self) -> None:
        message = self._socket.recv(1 << 16)
        if message:
            self.point, self.result = json.loads(message)
        else:
            self.point = ""
            self._socket.close()
            os.waitpid(self.pid, 0)


def _make(operation: Callable[[], object], root: Path, parent: socket.socket) -> NoReturn:
    """Make the operation in a fork, and report each point."""
    report: list[Any] = ["", None]

    def wait(call: str) -> None:
        if call.startswith(POINTS):
            report[0] = call
            parent.send(json.dumps(report).encode())
            if not parent.recv(1):
                os._exit(1)

    flock = fcntl.flock

    def lock(fd: int, operation: int) -> None:
        while operation == fcntl.LOCK_EX:  # it would wait in the kernel, where the parent does not see it
            try:
                return flock(fd, operation | fcntl.LOCK_NB)
            except BlockingIOError:
                wait(report[0])
        return flock(fd, operation)

    code = 1
    try:
        patch = pytest.MonkeyPatch()
        patch.setattr(fcntl, "flock", lock)
        for sync in ("fsync", "fdatasync"):
            patch.setattr(os, sync, lambda fd: None)  # the parent models the disk
        IoRecorder(root, patch, wait).start()
        try:
            report[1] = operation()
        except BreakglassError as error:
            report[1] = type(error).__name__
        wait("acknowledged")
        code = 0
    finally:
        os._exit(code)


def run(
    schedule: Schedule, operations: tuple[Callable[[], object], Callable[[], object]], root: Path, path: Path
) -> tuple[list[Outcome], tuple[int, int]]:
    """Run two operations in the order of the schedule. Return their outcomes, and how many steps each has made.

    `path` is the log, all of which is on disk at first.
    """
    disk = _Disk(path)
    with _processes(operations, root) as both:
        first, second = both[schedule.first], both[1 - schedule.first]
        for each, steps in zip((first, second), schedule.steps, strict=True):
            while each.point and each.steps < steps and not each.is_blocked:
                disk.step(each)
            if schedule.killed is not None and each is both[schedule.killed] and each.point:
                each.kill()
        while first.point or second.point:
            for each, other in ((first, second), (second, first)):
                if each.point:
                    disk.step(each)
                while each.point and not (each.is_blocked and other.point):
                    disk.step(each)
            assert first.steps + second.steps < MAX_STEPS, "the processes wait for each other"
        return [disk.outcomes.get(each.pid, Outcome()) for each in both], (both[0].steps, both[1].steps)


@contextmanager
def _processes(
    operations: tuple[Callable[[], object], Callable[[], object]], root: Path
) -> Iterator[list[_Process]]:
    both: list[_Process] = []
    try:
        both.extend(_Process(operation, root) for operation in operations)
        yield both
    finally:
        for each in both:
            if each.point:
                each.kill()


class _Disk:
    """How much of a log is on disk: what was written when the last sync was made."""

    def __init__(self, path: Path) -> None:
        self.outcomes: dict[int, Outcome] = {}
        """The outcomes of the processes that ended."""
        self._path = path
        self._synced = self._size()

    def step(self, process: _Process) -> None:
        """Make a step of a process."""
        made = process.step()
        if made == f"sync {log.NAME}":
            self._synced = self._size()
        elif made == "acknowledged":
            on_disk = self._path.read_bytes()[: self._synced] if self._path.exists() else b""
            is_acknowledged = bool(process.result) and not isinstance(process.result, str)
            self.outcomes[process.pid] = Outcome(process.result, is_acknowledged, tuple(decoded(on_disk)))

    def _size(self) -> int:
        return self._path.stat().st_size if self._path.exists() else 0
