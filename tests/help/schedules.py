"""Two processes that run in a chosen order: they stop at each lock, write, sync and acknowledgement.

How this works: each process is a fork of the test that makes one operation. `IoRecorder` reports every call before it
is made; at a point in `POINTS` the process waits until it may continue. `Pair.run` lets only one of the two continue
at a time, so an order of steps gives the same result every time. A process can be killed where it waits.

The power can fail at any time. So it is also noted how much of the log was on disk at each acknowledgement.
"""

import fcntl
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
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
MAX_TURNS = 2_000
"""How often the processes may take turns at their end. After that they wait for each other."""

Prepare = Callable[[Path], Callable[[], object]]
"""Prepares an operation on the data root at a path, and returns it."""


Points = tuple[list[str], list[str]]
"""The points of two operations, in the order in which they were recorded."""


class Schedule(NamedTuple):
    """An order of two processes: `first` makes some steps, the other makes some, then both run to their end.

    A process in `killed` is killed after its steps.
    """

    first: int
    steps: tuple[int, int]
    killed: int | None = None


def all_schedules(points: Points) -> Iterator[Schedule]:
    """Yield every schedule for two operations that make these calls one after the other."""
    for first in (0, 1):
        for own in range(len(points[first])):
            for others in range(1, len(points[1 - first]) + 1):
                for killed in (None, first, 1 - first):
                    yield Schedule(first, (own, others), killed)


def some_schedules(points: Points, *, are_equal: bool) -> Iterator[Schedule]:
    """Yield the schedules in which one process runs completely at some point of the other.

    And those in which one is killed before a sync, or before it is acknowledged: its event is written then. Of two
    equal operations it does not matter which is the first.
    """
    for first in (0,) if are_equal else (0, 1):
        for own, point in enumerate(points[first]):
            yield Schedule(first, (own, len(points[1 - first])))
            if point.startswith(("sync events", "acknowledged")):
                yield Schedule(first, (own, 0), killed=first)


class Outcome(NamedTuple):
    """How the operation of one process ended."""

    result: Any = None
    """What it returned, the name of the exception that it raised, or None if it was killed."""
    is_acknowledged: bool = False
    on_disk: tuple[Event, ...] = ()
    """The events that were on disk when it was acknowledged or refused."""


class _Process:
    """A fork of this process that makes an operation, step by step, on one data root after another."""

    point: str
    """The call that it makes next, "" if it waits for none."""
    result: Any

    def __init__(self, prepare: Prepare) -> None:
        self._prepare = prepare
        self._pid = 0
        self._end()

    def begin(self, root: Path) -> None:
        """Prepare the operation, and go on to its first point."""
        if not self._pid:
            self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._pid = os.fork()
            if not self._pid:
                self._socket.close()
                _serve(self._prepare, other)
            other.close()
        self._end()
        self._send(str(root))

    def step(self) -> str:
        """Let the process make the call before which it waits. Return that call."""
        done = self.point
        self._send("go on")
        self.made.append(done)
        self.is_blocked = done == self.point and done.startswith("lock ")  # it was refused, and tries again
        return done

    def kill(self) -> None:
        """Kill the process where it waits."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._socket.close()
            self._pid = 0
        self._end()

    def _send(self, message: str) -> None:
        self._socket.send(message.encode())
        received = self._socket.recv(1 << 16)
        assert received, "the process of an operation died"
        self.point, self.result = json.loads(received)

    def _end(self) -> None:
        self.made: list[str] = []
        self.is_blocked = False
        self.point, self.result = "", None


def _serve(prepare: Prepare, parent: socket.socket) -> NoReturn:
    """Make the operation on each data root that the parent names."""
    try:
        while root := parent.recv(4096).decode():
            with pytest.MonkeyPatch.context() as patch:
                _make(prepare, Path(root), parent, patch)
            parent.send(json.dumps(["", None]).encode())
    finally:
        os._exit(1)


def _make(prepare: Prepare, root: Path, parent: socket.socket, patch: pytest.MonkeyPatch) -> None:
    """Make the operation once, and report each point."""
    report: list[Any] = ["", None]
    flock = fcntl.flock

    def wait(call: str) -> None:
        if call.startswith(POINTS):
            report[0] = call
            parent.send(json.dumps(report).encode())
            if not parent.recv(16):
                os._exit(1)

    def lock(fd: int, operation: int) -> None:
        while operation == fcntl.LOCK_EX:  # it would wait in the kernel, where the parent does not see it
            try:
                return flock(fd, operation | fcntl.LOCK_NB)
            except BlockingIOError:
                wait(report[0])
        return flock(fd, operation)

    operation = prepare(root)
    patch.setattr(fcntl, "flock", lock)
    for sync in ("fsync", "fdatasync"):
        patch.setattr(os, sync, lambda fd: None)  # the parent models the disk
    IoRecorder(root, patch, wait).start()
    try:
        report[1] = operation()
    except BreakglassError as error:
        report[1] = type(error).__name__
    wait("acknowledged")


class Pair:
    """The processes of two operations."""

    def __init__(self, first: Prepare, second: Prepare) -> None:
        self._both = [_Process(first), _Process(second)]

    def run(self, schedule: Schedule, root: Path, path: Path) -> tuple[list[Outcome], Points]:
        """Run both operations in the order of the schedule. Return their outcomes, and the points that they passed.

        `path` is the log, all of which is on disk at first.
        """
        disk = _Disk(path)
        for each in self._both:
            each.begin(root)
        order = self._both if schedule.first == 0 else self._both[::-1]
        for each, steps in zip(order, schedule.steps, strict=True):
            while each.point and len(each.made) < steps and not each.is_blocked:
                disk.step(each)
            if schedule.killed is not None and each is self._both[schedule.killed] and each.point:
                each.kill()
        made = 0
        while order[0].point or order[1].point:
            for each, other in (order, order[::-1]):
                if each.point:
                    disk.step(each)
                while each.point and not (each.is_blocked and other.point):
                    disk.step(each)
            made += 1
            assert made < MAX_TURNS, "the processes wait for each other"
        first, second = self._both
        return [disk.outcomes.get(each, Outcome()) for each in self._both], (first.made, second.made)

    def close(self) -> None:
        """End the processes."""
        for each in self._both:
            each.kill()


class _Disk:
    """How much of a log is on disk: what was written when the last sync was made."""

    def __init__(self, path: Path) -> None:
        self.outcomes: dict[_Process, Outcome] = {}
        """The outcomes of the processes that ended."""
        self._path = path
        self._synced = self._size()

    def step(self, process: _Process) -> None:
        """Make a step of a process."""
        result = process.result
        made = process.step()
        if made == f"sync {log.NAME}":
            self._synced = self._size()
        elif made == "acknowledged":
            on_disk = self._path.read_bytes()[: self._synced] if self._path.exists() else b""
            is_acknowledged = bool(result) and not isinstance(result, str)
            self.outcomes[process] = Outcome(result, is_acknowledged, tuple(decoded(on_disk)))

    def _size(self) -> int:
        return self._path.stat().st_size if self._path.exists() else 0
