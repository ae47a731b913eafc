"""Reconnect ten events from the end of logs of all sizes: what it costs must not grow with the log."""

import shutil
import statistics
from collections.abc import Iterator

from breakglass.store.sessions import Session
from breakglass.store.turnlock import TurnLock
from tests.bench import client, logs
from tests.bench.adapters import Ours
from tests.bench.bench import Bench, Sample, say

WORK = "reconnect"
TITLE = "Reconnect near the end"
REFERENCE: str | None = None
NOTE = (
    "From connecting to the last of the ten events that were missed, while a turn runs. `fresh`: the first "
    "touch of that log by a process that has served one other, small, log once. `again`: the median of "
    "twenty more. `x`: `fresh` to that of the smallest log, in the same round."
)
SMALL = 20
MISSED = 10
AGAIN = 20


def run(bench: Bench) -> Iterator[Sample]:
    """Yield a reconnect in a fresh process for each size and round, and the median of more in the same one."""
    if not bench.servers("ours"):
        return
    folder = bench.folder()
    server = Ours(folder)
    locks = []
    for index, count in enumerate(bench.sizes.logs):
        say(f"{WORK}: a log of {count:,} events")
        session = Session(server.data, logs.write(server.data, count, index=index + 2))
        locks.append(TurnLock(session))
        locks[-1].take()  # a turn runs, or the server would look into each log for what became of it
    try:
        server.prepare(SMALL)
        for number in range(bench.sizes.rounds):
            smallest = 0.0
            for index, count in enumerate(bench.sizes.logs):
                fresh, again = _measure(server, logs.SESSION.format(index + 2), count)
                smallest = smallest or fresh
                case = f"{count:,} events"
                yield Sample(WORK, case, "fresh, ms", server.name, number, fresh * 1e3)
                yield Sample(WORK, case, "fresh, x smallest", server.name, number, fresh / smallest)
                yield Sample(WORK, case, "again, ms", server.name, number, again * 1e3)
    finally:
        for lock in locks:
            lock.release()
        shutil.rmtree(folder)  # gigabytes: not to be kept until the run ends


def _measure(server: Ours, session: str, count: int) -> tuple[float, float]:
    """Return the seconds of the first reconnect in a fresh process, and the median of more."""
    server.start()
    try:
        client.replay(server.request())
        request = server.attach(session, count - MISSED)
        seconds = [client.replay(request).seconds for _ in range(1 + AGAIN)]
    finally:
        server.stop()
    return seconds[0], statistics.median(seconds[1:])
