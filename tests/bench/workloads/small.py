"""A small device: our server on one core with little memory, compared with the same on the whole machine."""

from collections.abc import Iterator

from tests.bench import client, machine
from tests.bench.adapters import Ours, OursSmall
from tests.bench.bench import Bench, Sample, report_progress, reporting_failure
from tests.bench.workloads import live

NAME = "small"
TITLE = "A small device"
REFERENCE = "breakglass"
NOTE = (
    "The server and its turns in a control group with one core and 256 MB, compared with the same without it. The "
    "readers run on the same machine, outside of the group. `memory` is the server's (Pss) with the most clients "
    "attached."
)


def run(bench: Bench) -> Iterator[Sample]:
    """Yield the start, replays, live events, and the memory with many clients."""
    kinds: list[type[Ours]] = [Ours, OursSmall]
    kinds = [kind for kind in kinds if kind in bench.servers("ours", "small")]
    for number in range(max(1, bench.sizes.rounds // 2)):
        for kind in kinds:
            report_progress(f"{NAME}: round {number + 1}, {kind.name}")
            with reporting_failure(kind.name):
                yield from _round(bench, kind, number)


def _round(bench: Bench, kind: type[Ours], number: int) -> Iterator[Sample]:
    server = kind(bench.folder())
    server.prepare(bench.sizes.events)
    try:
        yield Sample(NAME, "start", "ms", kind.name, number, server.start() * 1e3)
        for case, readers in (
            ("1 reader, cold", 1),
            ("1 reader", 1),
            ("50 readers", max(bench.sizes.readers)),
        ):
            taken = client.replay(server.request(), readers)
            yield Sample(NAME, case, "time, ms", kind.name, number, taken.seconds * 1e3)
    finally:
        server.stop()
    with bench.running(kind, live.LOG) as small:
        most = max(bench.sizes.idle)
        sockets = client.attach(small.request(), most)
        yield Sample(
            NAME, f"{most:,} attached", "memory, MiB", kind.name, number, machine.memory_kib(small.pid) / 1024
        )
        client.close(sockets)
    followers = max(bench.sizes.followers)
    with bench.running(kind, live.LOG) as small:
        for sample in live.measure(bench, small, followers, f"{followers:,} followers", number):
            yield sample._replace(workload=NAME)
