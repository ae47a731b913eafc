"""What a process holds, and how quickly a server answers while something else goes on."""

import functools
import os
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from breakglass import events
from tests.help.logs import TS
from tests.help.servers import Server

MEGABYTE = 1 << 20
PROMPT_SECONDS = 0.1
"""Within which others are served, whatever one client does."""


def resident(pid: int) -> int:
    """Return the bytes of memory that a process holds."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors(pid: int) -> int:
    """Return how many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


class Latency:
    """How long `/health` took, asked again and again. Milliseconds."""

    def __init__(self) -> None:
        self.taken: list[float] = []
        self.failed = 0

    @property
    def most(self) -> float:
        """What 95 of 100 were within: two cores are shared with the load, and with whatever else runs."""
        return statistics.quantiles(self.taken, n=20, method="inclusive")[-1]

    def __str__(self) -> str:
        middle, longest = statistics.median(self.taken), max(self.taken)
        return f"/health p50 {middle:.0f} ms, p95 {self.most:.0f} ms, max {longest:.0f} ms"


@contextmanager
def asking(server: Server) -> Iterator[Latency]:
    """Ask for `/health` while in the context."""
    latency, over = Latency(), threading.Event()

    def ask() -> None:
        while not over.wait(0.02):
            began = time.perf_counter()
            with suppress(OSError):
                latency.failed += server.ask("GET", "/health")[0] != 200
            latency.taken.append((time.perf_counter() - began) * 1000)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield latency
    finally:
        over.set()
        thread.join()


def write_log(server: Server, session: str, lines: int) -> None:
    """Have `lines` lines in a new session's log, most of them a turn's prose of 300 bytes each."""
    with server.log(session).open("ab") as file:
        file.write(events.encode(2, TS, "user", {"turn": 2, "text": "talk", "by": "a load"}))
        for first in range(3, lines, 1000):
            file.writelines(map(_prose, range(first, min(first + 1000, lines))))
        file.write(events.encode(lines, TS, "turn_end", {"turn": 2, "status": "ok", "duration_ms": 1}))


def _prose(number: int) -> bytes:
    return b'{"id":%d%b' % (number, _after_id(len(str(number))))


@functools.cache
def _after_id(digits: int) -> bytes:
    """Return a line's bytes after its id: to encode each of seven million takes a minute."""
    line = events.encode(1, TS, "text", {"turn": 2, "text": "x" * (227 - digits)})
    return line.removeprefix(b'{"id":1')
