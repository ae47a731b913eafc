"""Replay: all events from the first one, to one reader and to many at the same time."""

import time
from collections.abc import Iterator
from contextlib import ExitStack

from tests.bench import client, machine
from tests.bench.adapters import Server
from tests.bench.bench import Bench, Sample, report_progress, reporting_failure

NAME = "replay"
LONGEST_ROUND = 3.0
"""The longest round, as a multiple of `Sizes.server_seconds`."""
TITLE = "Replay"
REFERENCE = "nginx, static file"
NOTE = (
    "{events:,} events of 300 bytes, from the first to the last. `cold`: the first replay by a new process; the log "
    "is in the kernel's page cache. `cpu` is the CPU time of the server's processes, `readers' cpu` that of the load. "
    "If the latter is nearly the whole time, as with nginx, the limit is the readers' copying, and the server's "
    "CPU time says more. Ratios are to nginx in the same round."
)


def run(bench: Bench) -> Iterator[Sample]:
    """Yield a first replay by each server, then replays in rounds."""
    with ExitStack() as stack:
        servers: list[Server] = []
        alone: dict[Server, float] = {}
        for kind in bench.servers():
            with reporting_failure(kind.name):
                report_progress(f"{NAME}: {kind.name} is filled with {bench.sizes.events:,} events")
                server = stack.enter_context(bench.running(kind, bench.sizes.events))
                cold = list(_measure(server, 1, "1 reader, cold", 0))
                yield from cold
                alone[server] = cold[0].value / 1e3
                client.verify(server.request(), bench.sizes.events)
                servers.append(server)
        for readers in bench.sizes.readers:
            case = "1 reader" if readers == 1 else f"{readers} readers"
            fast_enough = [each for each in servers if _is_fast_enough(each, readers * alone[each], bench)]
            for number, server in bench.rounds(fast_enough):
                report_progress(f"{NAME}: {case}, round {number + 1}, {server.name}")
                with reporting_failure(server.name):
                    yield from _measure(server, readers, case, number)


def _is_fast_enough(server: Server, seconds: float, bench: Bench) -> bool:
    if seconds > LONGEST_ROUND * bench.sizes.server_seconds:
        report_progress(f"{NAME}: {server.name} would take {seconds:.0f} s, left out")
        return False
    return True


def _measure(server: Server, readers: int, case: str, number: int) -> Iterator[Sample]:
    before, own_before = machine.cpu_seconds(server.pid), time.process_time()
    taken = client.replay(server.request(), readers)
    used, own = machine.cpu_seconds(server.pid) - before, time.process_time() - own_before
    yield Sample(NAME, case, "time, ms", server.name, number, taken.seconds * 1e3)
    yield Sample(NAME, case, "cpu, ms", server.name, number, used * 1e3)
    yield Sample(NAME, case, "readers' cpu, ms", server.name, number, own * 1e3)
