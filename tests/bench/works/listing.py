"""Pages and lists: all sessions of a full house, and the page of a long one."""

import contextlib
import http.client
import time
from collections.abc import Iterator

from tests.bench import client, logs, machine
from tests.bench.adapters import TOKEN, Ours
from tests.bench.bench import Bench, Sample, say

WORK = "listing"
TITLE = "Lists and pages"
REFERENCE: str | None = None
NOTE = (
    "`list`: `GET /api/sessions` with {sessions:,} sessions. `page`: the page of a session of {events:,} "
    "events. `first` is by a fresh process, `again` by the same one."
)


def run(bench: Bench) -> Iterator[Sample]:
    """Yield what the list of sessions and a session's page take, twice in a fresh process each round."""
    if not bench.servers("ours"):
        return
    server = Ours(bench.folder())
    server.prepare(bench.sizes.events)
    say(f"{WORK}: making {bench.sizes.sessions:,} sessions")
    for index in range(1, bench.sizes.sessions):
        logs.write_resting(server.data, index)
    for number in range(bench.sizes.rounds):
        say(f"{WORK}: round {number + 1}")
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
            say(f"{WORK}: {path} answers {status}, left out")
            return
        used = machine.cpu_seconds(server.pid) - before
        yield Sample(WORK, case, metric, server.name, number, seconds * 1e3)
        yield Sample(WORK, case, f"cpu {metric}", server.name, number, used * 1e3)


def _get(server: Ours, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=client.PATIENCE)
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})
        response = connection.getresponse()
        response.read()
    return response.status
