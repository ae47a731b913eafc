"""Memory: of a client that is attached and idle, and of one that reads nothing."""

import time
from collections.abc import Iterator

from tests.bench import client, machine
from tests.bench.adapters import Server
from tests.bench.bench import Bench, Sample, say, tolerating

WORK = "memory"
TITLE = "Memory"
REFERENCE = "breakglass"
NOTE = (
    "What one more client adds to the server's processes (Pss), in KiB. `idle`: attached, at the end of a "
    "short log. `stalled`: asked for {events:,} events and reads none. What the kernel holds in its "
    "sockets is not in it. Ratios are to ours."
)
LOG = 20
SETTLED = 0.01
"""Share by which a process that has stopped growing may still differ from the look before."""
STEADY = 4
"""Such looks in a row: a loaded machine may let a server do nothing for one of them (seen 2026-11-23)."""


def run(bench: Bench) -> Iterator[Sample]:
    """Yield the memory a client costs: idle ones by number, then stalled ones."""
    for kind in (kind for kind in bench.servers() if kind.live):
        for number, clients in enumerate(bench.sizes.idle):
            say(f"{WORK}: {clients:,} idle, {kind.name}")
            with tolerating(kind.name), bench.running(kind, LOG) as server:
                yield Sample(
                    WORK, f"{clients:,} idle", "KiB each", server.name, number, _idle(server, clients)
                )
        say(f"{WORK}: {bench.sizes.stalled} stalled, {kind.name}")
        with tolerating(kind.name), bench.running(kind, bench.sizes.events) as server:
            value = _stalled(server, bench.sizes.stalled)
            yield Sample(WORK, f"{bench.sizes.stalled} stalled", "KiB each", server.name, 0, value)


def _idle(server: Server, clients: int) -> float:
    client.close(client.attach(server.request(), 20))  # what the first clients bring in stays out of it
    before = _settle(server)
    sockets = client.attach(server.request(), clients)
    try:
        return (_settle(server) - before) / clients
    finally:
        client.close(sockets)


def _stalled(server: Server, clients: int) -> float:
    client.replay(server.request())
    before = _settle(server)
    sockets = [server.request().connect(index) for index in range(clients)]
    try:
        return (_settle(server) - before) / clients
    finally:
        client.close(sockets)


def _settle(server: Server) -> int:
    """Return the memory, in KiB, once it grows no more, or after 20 s."""
    deadline, last, steady = time.monotonic() + 20, 0, 0
    while time.monotonic() < deadline and steady < STEADY:
        time.sleep(0.3)
        now = machine.memory_kib(server.pid)
        steady = steady + 1 if abs(now - last) < now * SETTLED else 0
        last = now
    return last
