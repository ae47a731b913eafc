"""Measures the memory and descriptors of a process, and the latency of a server under the load of a test."""

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


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process in bytes."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def open_descriptors(pid: int) -> int:
    """Return how many file descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


class Latency:
    """How long each request for `/health` took, in milliseconds."""

    def __init__(self) -> None:
        self.taken: list[float] = []
        self.failed = 0

    @property
    def p95(self) -> float:
        """The 95th percentile. Not the maximum: the cores are shared with the load and with other programs."""
        return statistics.quantiles(self.taken, n=20, method="inclusive")[-1]

    def __str__(self) -> str:
        median, longest = statistics.median(self.taken), max(self.taken)
        return f"/health p50 {median:.0f} ms, p95 {self.p95:.0f} ms, max {longest:.0f} ms"


@contextmanager
def measure_latency(server: Server) -> Iterator[Latency]:
    """Request `/health` again and again while in the context, in a thread. A request that fails counts as failed."""
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


def write_long_turn(server: Server, session: str, lines: int) -> None:
    """Extend the log of a new session to `lines` lines: one finished turn of texts, 300 bytes a line."""
    with server.log(session).open("ab") as file:
        file.write(events.encode(2, TS, "user", {"turn": 2, "text": "talk", "by": "a load"}))
        for first in range(3, lines, 1000):
            file.writelines(map(_text_line, range(first, min(first + 1000, lines))))
        file.write(events.encode(lines, TS, "turn_end", {"turn": 2, "status": "ok", "duration_ms": 1}))


def _text_line(number: int) -> bytes:
    return b'{"id":%d%b' % (number, _rest_of_text_line(len(str(number))))


@functools.cache
def _rest_of_text_line(digits: int) -> bytes:
    """Return the bytes after the id, which has that many digits. Encoding each of seven million lines is too slow."""
    line = events.encode(1, TS, "text", {"turn": 2, "text": "x" * (227 - digits)})
    return line.removeprefix(b'{"id":1')
