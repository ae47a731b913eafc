"""One run of the bench: its sizes, its scratch folder, its servers and its samples."""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.bench import adapters
from tests.bench.adapters import Server
from tests.bench.client import ServerFailed


class Sizes(NamedTuple):
    """The numbers of events, clients, sessions and rounds of a run."""

    rounds: int = 7
    events: int = 100_000
    readers: tuple[int, ...] = (1, 50)
    logs: tuple[int, ...] = (1_000, 100_000, 1_000_000, 5_000_000)
    """Events in the logs that clients reconnect to."""
    followers: tuple[int, ...] = (1, 100, 1_000)
    appends: int = 100
    """Events appended while clients follow."""
    rate: int = 20
    """Appends a second."""
    idle: tuple[int, ...] = (1_000, 5_000)
    stalled: int = 100
    writers: tuple[int, ...] = (1, 2, 4, 8)
    writes: int = 5_000
    sessions: int = 10_000
    lists: tuple[int, ...] = (10, 100, 1_000, 10_000)
    """Sessions that are listed, to measure how the cost grows."""
    verified: int = 1_000_000
    """Lines of the log that `verify` checks."""
    relayed: int = 300_000
    """Lines that are shipped to a hub."""
    hosts: int = 300
    """Hosts whose copies are listed."""
    idle_seconds: float = 10.0
    """How long an idle server is measured."""
    server_seconds: float = 60.0
    """After this many seconds in one workload a server gets no further round."""


QUICK = Sizes(
    rounds=2,
    events=2_000,
    readers=(1, 5),
    logs=(1_000, 10_000),
    followers=(1, 10),
    appends=10,
    idle=(20,),
    stalled=5,
    writers=(1, 2),
    writes=100,
    sessions=50,
    lists=(5, 20),
    verified=1_000,
    relayed=2_000,
    hosts=3,
    idle_seconds=0.5,
    server_seconds=5.0,
)
"""Small sizes, which show that everything runs. The times mean nothing."""


class Sample(NamedTuple):
    """One measured value."""

    workload: str
    case: str
    """The case of the workload, such as `50 readers`."""
    metric: str
    """The measured quantity with its unit, such as `time, ms`."""
    server: str
    round: int
    value: float


class Bench:
    """What a workload needs to run."""

    def __init__(self, sizes: Sizes, servers: list[str], scratch: Path) -> None:
        self.sizes = sizes
        self.scratch = scratch
        self._names = servers
        self._folders = 0

    def servers(self, *names: str) -> list[type[Server]]:
        """Return the classes of the chosen servers among `names` that can run here.

        Without names: all chosen servers that take part by default.
        """
        chosen = [
            name for name in self._names if name in names or (not names and adapters.ALL[name].is_default)
        ]
        found = []
        for name in chosen:
            if adapters.ALL[name].is_available():
                found.append(adapters.ALL[name])
            else:
                report_progress(f"{name}: not available here, left out")
        return found

    def folder(self) -> Path:
        """Return a new empty folder."""
        self._folders += 1
        folder = self.scratch / str(self._folders)
        folder.mkdir()
        return folder

    @contextmanager
    def running(self, kind: type[Server], count: int) -> Iterator[Server]:
        """Run a new server with `count` events while in the context. Yields it."""
        with adapters.running(kind(self.folder()), count) as server:
            yield server

    def rounds(self, servers: list[Server]) -> Iterator[tuple[int, Server]]:
        """Yield the number of each round and each server in it. A slow server gets fewer rounds, at least one.

        Rounds are interleaved, so that other load on the machine affects all servers alike. The order rotates by
        one each round, so that no server always runs after the same other one.
        """
        spent = dict.fromkeys(servers, 0.0)
        for number in range(self.sizes.rounds):
            first = number % len(servers) if servers else 0
            for server in servers[first:] + servers[:first]:
                if spent[server] < self.sizes.server_seconds:
                    began = time.monotonic()
                    yield number, server
                    spent[server] += time.monotonic() - began


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield a new folder, which is deleted at the end."""
    with tempfile.TemporaryDirectory(prefix="breakglass-bench-") as folder:
        yield Path(folder)


def report_progress(text: str) -> None:
    """Print a line on standard error."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


ours_failed: list[str] = []
"""The failures of our server. If there are any, the run exits with status 1."""


@contextmanager
def reporting_failure(server: str) -> Iterator[None]:
    """Print the failure of a server instead of raising it: the rest of a long run is still useful."""
    try:
        yield
    except (ServerFailed, OSError) as error:
        if server.startswith(adapters.Ours.name):
            ours_failed.append(str(error))
        report_progress(f"{server} failed: {error}")
