"""Live: the time from the creation of an event to its arrival at each attached client."""

import multiprocessing
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection

from tests.bench import client, logs, machine
from tests.bench.adapters import Server
from tests.bench.bench import Bench, Sample, report_progress, reporting_failure
from tests.bench.client import ServerFailed

NAME = "live"
TITLE = "Append to client"
REFERENCE = "breakglass"
NOTE = (
    "{appends} events, {rate} a second, to followers at the end of a log while a turn runs. The time stamp is "
    "taken before the append (for the other servers: before the POST, on an open connection). `cpu` is the server's "
    "CPU time for each delivery. The readers run in a process of their own and share the cores. Ratios are to ours in "
    "the same round."
)
LOG = 20
WARM_UP_RATE = 10
WARM_UP_SECONDS = 120.0


def run(bench: Bench) -> Iterator[Sample]:
    """Yield delays and CPU times for each number of followers and each server."""
    for followers in bench.sizes.followers:
        case = "1 follower" if followers == 1 else f"{followers:,} followers"
        for number in range(max(1, bench.sizes.rounds // 2)):
            for kind in (kind for kind in bench.servers() if kind.is_live):
                report_progress(f"{NAME}: {case}, round {number + 1}, {kind.name}")
                with reporting_failure(kind.name), bench.running(kind, LOG) as server:
                    yield from measure(bench, server, followers, case, number)


def measure(bench: Bench, server: Server, followers: int, case: str, number: int) -> Iterator[Sample]:
    """Yield delays and CPU time of a running server with that many followers."""
    count = bench.sizes.appends
    pipe, reader_end = multiprocessing.get_context("spawn").Pipe()
    reader = multiprocessing.get_context("spawn").Process(
        target=client.follow, args=(reader_end, server.request(), followers)
    )
    reader.start()
    reader_end.close()
    try:
        next_number = _warm_up(server, pipe)
        pipe.send(("clear", 0))
        _receive(pipe, "cleared")
        before = machine.cpu_seconds(server.pid)
        _append(server, next_number, count, bench.sizes.rate)
        pipe.send(("report", count * followers))
        delays, _ = _receive(pipe)
        used = machine.cpu_seconds(server.pid) - before
        pipe.send(("end", 0))
        reader.join(30)
    finally:
        reader.kill()
        reader.join()
    if len(delays) < count * followers:
        raise ServerFailed(f"{len(delays)} of {count * followers} deliveries arrived")
    yield Sample(NAME, case, "p50, ms", server.name, number, delays[len(delays) // 2] / 1e6)
    yield Sample(NAME, case, "p99, ms", server.name, number, delays[len(delays) * 99 // 100] / 1e6)
    yield Sample(NAME, case, "cpu, µs", server.name, number, used / len(delays) * 1e6)


def _warm_up(server: Server, pipe: Connection) -> int:
    """Append until every follower has received an event. Return the number of the next event."""
    _receive(pipe, "attached")
    number, deadline = LOG + 1, time.monotonic() + WARM_UP_SECONDS
    while not pipe.poll(1 / WARM_UP_RATE):
        if time.monotonic() > deadline:
            raise ServerFailed("not every follower received an event")
        server.publish(logs.stamped(number))
        number += 1
    _receive(pipe, "ready")
    time.sleep(0.5)  # for deliveries under way; if some arrive later, they are counted too
    return number


def _append(server: Server, number: int, count: int, rate: int) -> None:
    began = time.monotonic()
    for index in range(count):
        time.sleep(max(0.0, began + index / rate - time.monotonic()))
        server.publish(logs.stamped(number + index))


def _receive(pipe: Connection, expected: object = None) -> tuple[list[int], float]:
    if not pipe.poll(client.READER_SECONDS):
        raise ServerFailed("the readers do not answer")
    try:
        received = pipe.recv()
    except EOFError as error:
        raise ServerFailed("the readers ended early") from error
    assert expected in (None, received), received
    return received if expected is None else ([], 0.0)
