"""One run of the bench: its sizes, its scratch folder, its servers, and the samples it takes."""

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
    """How much of everything."""

    rounds: int = 7
    events: int = 100_000
    readers: tuple[int, ...] = (1, 50)
    logs: tuple[int, ...] = (1_000, 100_000, 1_000_000, 5_000_000)
    """Events in the logs that are reconnected to."""
    followers: tuple[int, ...] = (1, 100, 1_000)
    appends: int = 100
    """Events appended while followers watch, and how many a second."""
    rate: int = 20
    idle: tuple[int, ...] = (1_000, 5_000)
    stalled: int = 100
    writers: tuple[int, ...] = (1, 2, 4, 8)
    writes: int = 5_000
    sessions: int = 10_000
    lists: tuple[int, ...] = (10, 100, 1_000, 10_000)
    """Sessions that are listed, to see how that grows."""
    seconds: float = 10.0
    """How long idleness is watched."""
    patience: float = 60.0
    """Seconds of one server at one thing after which it gets no further round."""


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
    seconds=0.5,
    patience=5.0,
)
"""Shows that everything runs, in under a minute. Its times say nothing."""


class Sample(NamedTuple):
    """One number that was measured."""

    work: str
    case: str
    """What of this work: `50 readers`."""
    metric: str
    """What was measured: `time`. With the unit."""
    server: str
    round: int
    value: float


class Bench:
    """What a work is given."""

    def __init__(self, sizes: Sizes, servers: list[str], scratch: Path) -> None:
        self.sizes = sizes
        self.scratch = scratch
        self._words = servers
        self._made = 0

    def servers(self, *words: str) -> list[type[Server]]:
        """Return the classes of those of `words`, or of all, that are wanted and can be run here."""
        wanted = [word for word in self._words if word in words or (not words and adapters.ALL[word].usual)]
        found = []
        for word in wanted:
            if adapters.ALL[word].available():
                found.append(adapters.ALL[word])
            else:
                say(f"{word}: cannot be had here, left out")
        return found

    def folder(self) -> Path:
        """Return a new empty folder."""
        self._made += 1
        folder = self.scratch / str(self._made)
        folder.mkdir()
        return folder

    @contextmanager
    def running(self, kind: type[Server], count: int) -> Iterator[Server]:
        """Make, fill, start and in the end stop a server."""
        with adapters.running(kind(self.folder()), count) as server:
            yield server

    def rounds(self, servers: list[Server]) -> Iterator[tuple[int, Server]]:
        """Yield servers in turn, all of them before any again; slow ones get fewer rounds, one at least.

        Interleaved, so that what else the machine does meanwhile meets all alike. The order turns by one each
        round: none always comes after the same other.
        """
        spent = dict.fromkeys(servers, 0.0)
        for number in range(self.sizes.rounds):
            turn = number % len(servers) if servers else 0
            for server in servers[turn:] + servers[:turn]:
                if spent[server] < self.sizes.patience:
                    began = time.monotonic()
                    yield number, server
                    spent[server] += time.monotonic() - began


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="breakglass-bench-") as folder:
        yield Path(folder)


def say(text: str) -> None:
    """Tell whoever waits how far it is."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


ours_failed: list[str] = []
"""What went wrong with this server: the run ends with exit status 1."""


@contextmanager
def tolerating(server: str) -> Iterator[None]:
    """Let a server's failure be told and passed over: the rest of a long run is still worth having."""
    try:
        yield
    except (ServerFailed, OSError) as error:
        if server.startswith(adapters.Ours.name):
            ours_failed.append(str(error))
        say(f"{server} failed: {error}")
