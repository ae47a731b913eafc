"""Reconnect: the cost of the last ten events of logs of all sizes, which must not grow with the log."""

import shutil
import statistics
from collections.abc import Iterator

from breakglass.store.sessions import Session
from breakglass.store.turnlock import TurnLock
from tests.bench import client, logs, machine
from tests.bench.adapters import Ours
from tests.bench.bench import Bench, Sample, report_progress

NAME = "reconnect"
TITLE = "Reconnect near the end"
REFERENCE: str | None = None
NOTE = (
    "From connecting until the last of ten missed events arrives, while a turn runs. `fresh`: the first request for "
    "that log to a process that has served one small log once. `again`: the median of twenty more. `cpu`: the "
    "server's CPU time of each of these. `x`: the ratio of "
    "`fresh` to that of the smallest log in the same round."
)
SMALL = 20
MISSED = 10
AGAIN = 20


def run(bench: Bench) -> Iterator[Sample]:
    """Yield the first reconnect in a new process and the median of more, for each size and round."""
    if not bench.servers("ours"):
        return
    folder = bench.folder()
    server = Ours(folder)
    locks = []
    for index, count in enumerate(bench.sizes.logs):
        report_progress(f"{NAME}: a log of {count:,} events")
        session = Session(server.data, logs.write(server.data, count, index=index + 2))
        locks.append(TurnLock(session))
        locks[-1].take()  # as a running turn does; else the server would end the turn as lost
    try:
        server.prepare(SMALL)
        for number in range(bench.sizes.rounds):
            smallest = 0.0
            for index, count in enumerate(bench.sizes.logs):
                fresh, again, cpu = _measure(server, logs.SESSION.format(index + 2), count)
                smallest = smallest or fresh
                case = f"{count:,} events"
                yield Sample(NAME, case, "fresh, ms", server.name, number, fresh * 1e3)
                yield Sample(NAME, case, "fresh, x smallest", server.name, number, fresh / smallest)
                yield Sample(NAME, case, "again, ms", server.name, number, again * 1e3)
                yield Sample(NAME, case, "cpu, ms", server.name, number, cpu * 1e3)
    finally:
        for lock in locks:
            lock.release()
        shutil.rmtree(folder)  # it holds gigabytes


def _measure(server: Ours, session: str, count: int) -> tuple[float, float, float]:
    """Return the seconds of the first reconnect in a new process, and the median and the CPU time of more."""
    server.start()
    try:
        client.replay(server.request())
        request = server.attach(session, count - MISSED)
        first = client.replay(request).seconds
        before = machine.cpu_seconds(server.pid)
        more = [client.replay(request).seconds for _ in range(AGAIN)]
        cpu = (machine.cpu_seconds(server.pid) - before) / AGAIN
    finally:
        server.stop()
    return first, statistics.median(more), cpu
