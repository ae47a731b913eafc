"""Relay: what it costs to ship the logs of a host to a hub, and to list many hosts, beside Redis Streams."""

import os
import select
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from breakglass.store.sessions import Session
from tests.bench import environment, logs, machine
from tests.bench.bench import Bench, Sample, Sizes, report_progress
from tests.cli.program import Data
from tests.help.fleet import Fleet, append, free_port

NAME = "relay"
TITLE = "Several hosts"
REFERENCE = "Redis Streams"
NOTE = (
    "`ship` and `mirror`: CPU time of the two programs for {relayed:,} lines of 300 bytes in 10 logs, without their "
    "start, and the most memory of each. `engine`: the memory of nats-server or redis-server then. `append to copy`: "
    "from an append on the host to the line in the copy, with both programs, the engine and the disk of both on this "
    "machine; wall time, so it depends on the load. `idle`: CPU of the relay without changes. `Redis Streams`: a "
    "program of 80 lines that computes no chain and no signature, and looks at the logs every millisecond; "
    "redis-server syncs each write, as nats-server does. `list`: CPU time and wall time of `breakglass hosts` for "
    "{hosts} hosts with 34 sessions each, in a new process. Ratios are to Redis in the same round."
)
LOGS = 10
MEGABYTE = 1e6
SESSIONS_OF_A_HOST = 34


class Used(NamedTuple):
    """What a program has used."""

    cpu: float
    """Seconds."""
    memory: float
    """The most, in MiB."""


class Way:
    """A way to have copies of the logs of a host: two programs and an engine between them."""

    name: str
    engine: int
    """The pid of the engine."""
    host: Path
    """The directory of the sessions of the host."""
    copies: Path
    env: dict[str, str]

    def command(self, action: str, *, follow: bool) -> list[str]:
        """Return the command of the program that ships or mirrors."""
        raise NotImplementedError

    def command_for_nothing(self, action: str) -> list[str]:
        """Return the command after that, when there is nothing more to do: what it takes is its start."""
        return self.command(action, follow=False)


class Ours(Way):
    """Relay, nats-server and mirror."""

    name = "breakglass"

    def __init__(self, folder: Path) -> None:
        self._fleet = Fleet(folder)
        host = self._fleet.enroll("db1")
        self._fleet.engine.start()
        assert self._fleet.hub.run("mirror", "--once").returncode == 0  # makes the stream
        assert self._fleet.engine.process
        self.engine, self.env = self._fleet.engine.process.pid, host.env
        self.host, self.copies = host.root / "sessions", self._fleet.copy("db1", "x").parents[1]

    def command(self, action: str, *, follow: bool) -> list[str]:
        name, data = ("relay", self.host.parent) if action == "ship" else ("mirror", self._fleet.hub.root)
        once = () if follow else ("--once",)
        return [sys.executable, "-m", "breakglass", name, *once, "--data", str(data)]

    def end(self) -> None:
        """End the engine."""
        self._fleet.engine.kill()


class Redis(Way):
    """Redis Streams, and the simplest programs that use them."""

    name = "Redis Streams"

    def __init__(self, folder: Path) -> None:
        python = environment.python()
        assert python
        self._python, self._port = python, free_port()
        self.host, self.copies, self.env = folder / "var" / "sessions", folder / "copies", dict(os.environ)
        command = ["redis-server", "--port", str(self._port), "--dir", str(folder), "--bind", "127.0.0.1"]
        command += ["--save", "", "--appendonly", "yes", "--appendfsync", "always", "--daemonize", "no"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        self.engine = self._process.pid

    def command(self, action: str, *, follow: bool) -> list[str]:
        program = environment.COMPARATORS / "redis_streams.py"
        folder = self.host if action == "ship" else self.copies
        more = ["--follow"] if follow else []
        return [self._python, str(program), action, str(self._port), str(folder), "bg", *more]

    def command_for_nothing(self, action: str) -> list[str]:
        program, nowhere = environment.COMPARATORS / "redis_streams.py", self.host.parent / "none"
        return [self._python, str(program), action, str(self._port), str(nowhere), "none"]

    def end(self) -> None:
        """End the engine."""
        self._process.kill()
        self._process.wait()


def run(bench: Bench) -> Iterator[Sample]:
    """Yield the costs of both in each round, and those of the list."""
    if not bench.servers("ours"):
        return
    ways: list[type[Ours] | type[Redis]] = [Ours]
    if shutil.which("redis-server") and environment.python():
        ways.append(Redis)
    for number in range(bench.sizes.rounds):
        report_progress(f"{NAME}: round {number + 1}")
        for kind in ways:
            way = kind(bench.folder())
            try:
                for case, metric, value in _measure(way, bench.sizes):
                    yield Sample(NAME, case, metric, way.name, number, value)
            finally:
                way.end()
        yield from _list(bench, number)


def _measure(way: Way, sizes: Sizes) -> Iterator[tuple[str, str, float]]:
    way.host.parent.mkdir(exist_ok=True, mode=0o700)
    data, count = way.host.parent, sizes.relayed // LOGS
    sessions = [logs.write(data, count, index) for index in range(LOGS)]
    megabytes = count * LOGS * logs.SIZE / MEGABYTE
    for action in ("ship", "mirror"):
        all_of_it = _use(way.command(action, follow=False), way.env)
        nothing = _use(way.command_for_nothing(action), way.env)
        yield action, "cpu, ms a MB", (all_of_it.cpu - nothing.cpu) * 1e3 / megabytes
        yield action, "memory, MiB", all_of_it.memory
    yield "engine", "memory, MiB", machine.memory_kib(way.engine) / 1024
    with _running(way, "mirror"), _running(way, "ship") as shipping:
        copy = way.copies / sessions[0] / "events.jsonl"
        session = Session(data, sessions[0])
        _wait_for_start(session, copy)
        times = [_time_to_copy(session, copy) for _ in range(sizes.appends)]
        yield "append to copy", "p50, ms", statistics.median(times) * 1e3
        before = machine.cpu_seconds(shipping)
        time.sleep(sizes.idle_seconds)  # the interval that is measured
        yield "idle", "% of a core", (machine.cpu_seconds(shipping) - before) / sizes.idle_seconds * 100


def _time_to_copy(session: Session, copy: Path, seconds: float = 60.0) -> float:
    """Append a line, and return after how many seconds the copy has grown. Raises TimeoutError."""
    size = _size(copy)
    began = time.perf_counter()
    append(session, "x" * 200)
    while _size(copy) <= size:
        if time.perf_counter() > began + seconds:
            raise TimeoutError("the line does not arrive")
        time.sleep(0.0002)  # a watcher would add its own delay to what is measured
    return time.perf_counter() - began


def _wait_for_start(session: Session, copy: Path) -> None:
    """Append lines until both programs have begun."""
    for _ in range(60):
        with suppress(TimeoutError):
            _time_to_copy(session, copy, 1.0)
            return
    raise TimeoutError("the programs do not begin")


def _size(copy: Path) -> int:
    return copy.stat().st_size if copy.exists() else 0


def _list(bench: Bench, number: int) -> Iterator[Sample]:
    data = Data(bench.folder())
    line = logs.created()
    for host in range(bench.sizes.hosts):
        for session in range(SESSIONS_OF_A_HOST):
            name = logs.SESSION.format(host * SESSIONS_OF_A_HOST + session)
            folder = data.root / "hosts" / f"h{host}" / "sessions" / name
            folder.mkdir(parents=True)
            (folder / "events.jsonl").write_bytes(line)
    began = time.perf_counter()
    used = _use([sys.executable, "-m", "breakglass", "hosts", "--json", "--data", str(data.root)], data.env)
    yield Sample(NAME, "list", "cpu, ms", "breakglass", number, used.cpu * 1e3)
    yield Sample(NAME, "list", "time, ms", "breakglass", number, (time.perf_counter() - began) * 1e3)


def _use(command: list[str], env: dict[str, str]) -> Used:
    """Run a program, and return what it and its children used."""
    process = subprocess.Popen(command, env=env, cwd=environment.ROOT, stdout=subprocess.DEVNULL)
    memory = machine.most_memory_kib(process.pid)
    ended = os.pidfd_open(process.pid)
    try:
        while not select.select([ended], [], [], 0.005)[0]:
            # ru_maxrss would count the bench too: a new program inherits it.
            memory = max(memory, machine.most_memory_kib(process.pid))
    finally:
        os.close(ended)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} exited with {process.returncode}")
    return Used(used.ru_utime + used.ru_stime, memory / 1024)


@contextmanager
def _running(way: Way, action: str) -> Iterator[int]:
    """Run the program that ships or mirrors while in the context. Yields its pid."""
    process = subprocess.Popen(
        way.command(action, follow=True), env=way.env, cwd=environment.ROOT, start_new_session=True
    )
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
