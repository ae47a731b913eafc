"""Replay: everything from the beginning, to one reader and to many at once."""

import time
from collections.abc import Iterator
from contextlib import ExitStack

from tests.bench import client, machine
from tests.bench.adapters import Server
from tests.bench.bench import Bench, Sample, say, tolerating

WORK = "replay"
LONGEST = 3.0
"""Times `patience`: what one round may take."""
TITLE = "Replay"
REFERENCE = "nginx, static file"
NOTE = (
    "{events:,} events of 300 bytes from the first to the last. `cold`: the first replay of a fresh "
    "process, its pages in the kernel's cache. `cpu` is what the server's processes used, `readers' cpu` "
    "what the load did: where that is nearly the whole time, as beside nginx, the readers' copying is "
    "what was measured, and the server's own CPU tells more. Ratios are to nginx in the same round."
)


def run(bench: Bench) -> Iterator[Sample]:
    """Yield a first replay by each server, then replays in rounds."""
    with ExitStack() as stack:
        servers: list[Server] = []
        alone: dict[Server, float] = {}
        for kind in bench.servers():
            with tolerating(kind.name):
                say(f"{WORK}: {kind.name} gets {bench.sizes.events:,} events")
                server = stack.enter_context(bench.running(kind, bench.sizes.events))
                cold = list(_measure(server, 1, "1 reader, cold", 0))
                yield from cold
                alone[server] = cold[0].value / 1e3
                client.verify(server.request(), bench.sizes.events)
                servers.append(server)
        for readers in bench.sizes.readers:
            case = "1 reader" if readers == 1 else f"{readers} readers"
            able = [server for server in servers if _is_able(server, readers * alone[server], bench)]
            for number, server in bench.rounds(able):
                say(f"{WORK}: {case}, round {number + 1}, {server.name}")
                with tolerating(server.name):
                    yield from _measure(server, readers, case, number)


def _is_able(server: Server, seconds: float, bench: Bench) -> bool:
    if seconds > LONGEST * bench.sizes.patience:
        say(f"{WORK}: {server.name} would take {seconds:.0f} s, left out")
        return False
    return True


def _measure(server: Server, readers: int, case: str, number: int) -> Iterator[Sample]:
    before, own = machine.cpu_seconds(server.pid), time.process_time()
    taken = client.replay(server.request(), readers)
    used, own = machine.cpu_seconds(server.pid) - before, time.process_time() - own
    yield Sample(WORK, case, "time, ms", server.name, number, taken.seconds * 1e3)
    yield Sample(WORK, case, "cpu, ms", server.name, number, used * 1e3)
    yield Sample(WORK, case, "readers' cpu, ms", server.name, number, own * 1e3)
