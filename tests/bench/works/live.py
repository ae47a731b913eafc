"""Live: from the moment an event is made to its arrival at everybody who is attached."""

import multiprocessing
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection

from tests.bench import client, logs, machine
from tests.bench.adapters import Server
from tests.bench.bench import Bench, Sample, say, tolerating
from tests.bench.client import ServerFailed

WORK = "live"
TITLE = "Append to client"
REFERENCE = "breakglass"
NOTE = (
    "{appends} events, {rate} a second, to followers at the end of a log in the middle of a turn. The "
    "stamp is taken before the append (the others get it by POST on a kept connection). `cpu` is the "
    "server's, for each delivery; the readers run in a process of their own and share the machine's "
    "cores. Ratios are to ours in the same round."
)
LOG = 20
WARM_RATE = 10
PATIENCE = 60.0


def run(bench: Bench) -> Iterator[Sample]:
    """Yield, for each number of followers, delays and CPU time of each server in turn."""
    for followers in bench.sizes.followers:
        case = "1 follower" if followers == 1 else f"{followers:,} followers"
        for number in range(max(1, bench.sizes.rounds // 2)):
            for kind in (kind for kind in bench.servers() if kind.live):
                say(f"{WORK}: {case}, round {number + 1}, {kind.name}")
                with tolerating(kind.name), bench.running(kind, LOG) as server:
                    yield from measure(bench, server, followers, case, number)


def measure(bench: Bench, server: Server, followers: int, case: str, number: int) -> Iterator[Sample]:
    """Yield delays and CPU time of a server that runs, with so many followers."""
    count = bench.sizes.appends
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    reader = multiprocessing.get_context("spawn").Process(
        target=client.follow, args=(theirs, server.request(), followers)
    )
    reader.start()
    theirs.close()
    try:
        next_number = _warm(server, ours)
        ours.send(("clear", 0))
        _hear(ours, "cleared")
        before = machine.cpu_seconds(server.pid)
        _append(server, next_number, count, bench.sizes.rate)
        ours.send(("report", count * followers))
        delays, _ = _hear(ours)
        used = machine.cpu_seconds(server.pid) - before
        ours.send(("end", 0))
        reader.join(30)
    finally:
        reader.kill()
        reader.join()
    if len(delays) < count * followers:
        raise ServerFailed(f"{len(delays)} of {count * followers} deliveries")
    yield Sample(WORK, case, "p50, ms", server.name, number, delays[len(delays) // 2] / 1e6)
    yield Sample(WORK, case, "p99, ms", server.name, number, delays[len(delays) * 99 // 100] / 1e6)
    yield Sample(WORK, case, "cpu, µs", server.name, number, used / len(delays) * 1e6)


def _warm(server: Server, pipe: Connection) -> int:
    """Append until everybody has got something; return the number of the next event."""
    _hear(pipe, "attached")
    number, deadline = LOG + 1, time.monotonic() + PATIENCE
    while not pipe.poll(1 / WARM_RATE):
        if time.monotonic() > deadline:
            raise ServerFailed("not everybody was reached")
        server.publish(logs.stamped(number))
        number += 1
    _hear(pipe, "ready")
    time.sleep(0.5)  # for what is still under way; too short only means a few deliveries too many
    return number


def _append(server: Server, number: int, count: int, rate: int) -> None:
    began = time.monotonic()
    for index in range(count):
        time.sleep(max(0.0, began + index / rate - time.monotonic()))
        server.publish(logs.stamped(number + index))


def _hear(pipe: Connection, expected: object = None) -> tuple[list[int], float]:
    if not pipe.poll(client.PATIENCE):
        raise ServerFailed("the readers say nothing")
    try:
        said = pipe.recv()
    except EOFError as error:
        raise ServerFailed("the readers ended early") from error
    assert expected in (None, said), said
    return said if expected is None else ([], 0.0)
