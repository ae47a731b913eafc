"""Idle: what a server does when there is nothing to do, and what its followers make it read."""

import time
from collections.abc import Iterator

from tests.bench import client, logs, machine
from tests.bench.adapters import Ours, Server
from tests.bench.bench import Bench, Sample, say, tolerating

WORK = "idle"
TITLE = "Idle"
REFERENCE: str | None = None
NOTE = (
    "CPU of the server, in percent of a core, over {seconds:g} s with no client attached and with one "
    "follower of a resting session. `read`: bytes that the server's read calls returned for each follower "
    "of a replay, as a multiple of the log, by the first {many} at once of a fresh process."
)
LOG = 20


def run(bench: Bench) -> Iterator[Sample]:
    """Yield CPU shares and what was read."""
    many = max(bench.sizes.readers)
    for kind in (kind for kind in bench.servers() if kind.live):
        say(f"{WORK}: {kind.name}")
        with tolerating(kind.name), bench.running(kind, LOG) as server:
            if isinstance(server, Ours):
                server.publish(logs.ended(LOG + 1))
            time.sleep(min(1.0, bench.sizes.seconds))  # what is left over of the start
            yield Sample(WORK, "no client attached", "% of a core", kind.name, 0, _share(bench, server))
            sockets = client.attach(server.request(), 1)
            time.sleep(min(1.0, bench.sizes.seconds))
            yield Sample(WORK, "one attached", "% of a core", kind.name, 0, _share(bench, server))
            client.close(sockets)
    for kind in bench.servers("ours", "ours2"):
        with bench.running(kind, bench.sizes.events) as server:
            before = machine.bytes_read(server.pid)
            client.replay(server.request(), many)
            each = (machine.bytes_read(server.pid) - before) / many / (bench.sizes.events * logs.SIZE)
            yield Sample(WORK, f"{many} followers", "logs read by each", kind.name, 0, each)


def _share(bench: Bench, server: Server) -> float:
    before = machine.cpu_seconds(server.pid)
    time.sleep(bench.sizes.seconds)
    return (machine.cpu_seconds(server.pid) - before) / bench.sizes.seconds * 100
