"""Memory: the cost of an idle client, and of a stalled client, which reads nothing."""

import time
from collections.abc import Iterator

from tests.bench import client, machine
from tests.bench.adapters import Server
from tests.bench.bench import Bench, Sample, report_progress, reporting_failure

NAME = "memory"
TITLE = "Memory"
REFERENCE = "breakglass"
NOTE = (
    "The memory that one more client adds to the server's processes (Pss), in KiB, without the kernel's socket "
    "buffers. `idle`: a client at the end of a short log. `stalled`: a client that requests {events:,} events and "
    "reads none. Ratios are to ours."
)
LOG = 20
STEADY_SHARE = 0.01
"""A process has stopped growing if its memory changes by less than this share between two checks."""
STEADY_LOOKS = 4
"""So many checks in a row, because on a loaded machine a server may not run at all between two checks."""


def run(bench: Bench) -> Iterator[Sample]:
    """Yield the memory for each idle client, by their number, and for each stalled client."""
    for kind in (kind for kind in bench.servers() if kind.is_live):
        for number, clients in enumerate(bench.sizes.idle):
            report_progress(f"{NAME}: {clients:,} idle, {kind.name}")
            with reporting_failure(kind.name), bench.running(kind, LOG) as server:
                yield Sample(
                    NAME, f"{clients:,} idle", "KiB each", server.name, number, _idle(server, clients)
                )
        if not bench.sizes.stalled:
            continue
        report_progress(f"{NAME}: {bench.sizes.stalled} stalled, {kind.name}")
        with reporting_failure(kind.name), bench.running(kind, bench.sizes.events) as server:
            value = _stalled(server, bench.sizes.stalled)
            yield Sample(NAME, f"{bench.sizes.stalled} stalled", "KiB each", server.name, 0, value)


def _idle(server: Server, clients: int) -> float:
    client.close(client.attach(server.request(), 20))  # memory that the first clients allocate is not counted
    before = _steady_memory(server)
    sockets = client.attach(server.request(), clients)
    try:
        return (_steady_memory(server) - before) / clients
    finally:
        client.close(sockets)


def _stalled(server: Server, clients: int) -> float:
    client.replay(server.request())
    before = _steady_memory(server)
    sockets = [server.request().connect(index) for index in range(clients)]
    try:
        return (_steady_memory(server) - before) / clients
    finally:
        client.close(sockets)


def _steady_memory(server: Server) -> int:
    """Return the memory in KiB once it has stopped growing, or after 20 s."""
    deadline, last, steady = time.monotonic() + 20, 0, 0
    while time.monotonic() < deadline and steady < STEADY_LOOKS:
        time.sleep(0.3)
        now = machine.memory_kib(server.pid)
        steady = steady + 1 if abs(now - last) < now * STEADY_SHARE else 0
        last = now
    return last
