"""Idle: the CPU time of a server without requests, and the bytes that it reads for a replay."""

import time
from collections.abc import Iterator

from tests.bench import client, logs, machine
from tests.bench.adapters import Ours, Server
from tests.bench.bench import Bench, Sample, report_progress, reporting_failure

NAME = "idle"
TITLE = "Idle"
REFERENCE: str | None = None
NOTE = (
    "CPU of the server, in percent of a core, over {idle_seconds:g} s: without clients, and with one follower of a "
    "session without a turn. `read`: bytes that the server's read calls returned for each follower of a replay, as "
    "a multiple of the log, for the first {many} followers of a new process."
)
LOG = 20


def run(bench: Bench) -> Iterator[Sample]:
    """Yield CPU shares and bytes read."""
    many = max(bench.sizes.readers)
    for kind in (kind for kind in bench.servers() if kind.is_live):
        report_progress(f"{NAME}: {kind.name}")
        with reporting_failure(kind.name), bench.running(kind, LOG) as server:
            if isinstance(server, Ours):
                server.publish(logs.ended(LOG + 1))
            time.sleep(min(1.0, bench.sizes.idle_seconds))  # until the work of the start is done
            yield Sample(NAME, "no client", "% of a core", kind.name, 0, _cpu_percent(bench, server))
            sockets = client.attach(server.request(), 1)
            time.sleep(min(1.0, bench.sizes.idle_seconds))
            yield Sample(NAME, "one client", "% of a core", kind.name, 0, _cpu_percent(bench, server))
            client.close(sockets)
    for kind in bench.servers("ours", "ours2"):
        with bench.running(kind, bench.sizes.events) as server:
            before = machine.bytes_read(server.pid)
            client.replay(server.request(), many)
            each = (machine.bytes_read(server.pid) - before) / many / (bench.sizes.events * logs.SIZE)
            yield Sample(NAME, f"{many} followers", "logs read by each", kind.name, 0, each)


def _cpu_percent(bench: Bench, server: Server) -> float:
    before = machine.cpu_seconds(server.pid)
    time.sleep(bench.sizes.idle_seconds)
    return (machine.cpu_seconds(server.pid) - before) / bench.sizes.idle_seconds * 100
