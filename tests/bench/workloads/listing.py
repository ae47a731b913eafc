"""Lists and pages: the list of many sessions, and the page of a long session."""

import contextlib
import http.client
import time
from collections.abc import Iterator

from tests.bench import client, logs, machine
from tests.bench.adapters import TOKEN, Ours
from tests.bench.bench import Bench, Sample, report_progress

NAME = "listing"
TITLE = "Lists and pages"
REFERENCE: str | None = None
NOTE = (
    "`list`: `GET /api/sessions` with {sessions:,} sessions. `page`: the page of a session of {events:,} "
    "events. `first`: the first request to a new process. `again`: the next one."
)


def run(bench: Bench) -> Iterator[Sample]:
    """Yield the costs of the list of sessions and of a session's page, each twice in a new process in each round."""
    if not bench.servers("ours"):
        return
    server = Ours(bench.folder())
    server.prepare(bench.sizes.events)
    report_progress(f"{NAME}: writing {bench.sizes.sessions:,} sessions")
    for index in range(1, bench.sizes.sessions):
        logs.write_idle(server.data, index)
    for number in range(bench.sizes.rounds):
        report_progress(f"{NAME}: round {number + 1}")
        for case, path in (("list", "/api/sessions"), ("page", f"/sessions/{server.session}")):
            server.start()
            try:
                yield from _measure(server, case, path, number)
            finally:
                server.stop()


def _measure(server: Ours, case: str, path: str, number: int) -> Iterator[Sample]:
    for metric in ("first, ms", "again, ms"):
        before, began = machine.cpu_seconds(server.pid), time.perf_counter()
        status = _get(server, path)
        seconds = time.perf_counter() - began
        if status != 200:
            report_progress(f"{NAME}: {path} answers {status}, left out")
            return
        used = machine.cpu_seconds(server.pid) - before
        yield Sample(NAME, case, metric, server.name, number, seconds * 1e3)
        yield Sample(NAME, case, f"cpu {metric}", server.name, number, used * 1e3)


def _get(server: Ours, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=client.READER_SECONDS)
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})
        response = connection.getresponse()
        response.read()
    return response.status
