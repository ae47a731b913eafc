"""Growth: what things cost by how much there is of it, beside what that should be."""

import contextlib
import http.client
import json
import time
from collections.abc import Iterator

from tests.bench import client, logs
from tests.bench.adapters import TOKEN, Ours
from tests.bench.bench import Bench, Sample, say

WORK = "growth"
TITLE = "How it grows"
REFERENCE: str | None = None
NOTE = (
    "`replay`: all events to one reader, the first time and kept. `prompt`: from a request with an "
    "Idempotency-Key to its 202, where the server has not looked at that log yet and where it has. `list`: "
    "`GET /api/sessions`, `page`: the list as a page, both when all was read once. In the plots the dashed line "
    "is what it should be, constant or in proportion, through the last point."
)
REPLAYED = 1_000_000
"""Events of the longest log that is replayed whole."""


def run(bench: Bench) -> Iterator[Sample]:
    """Yield costs over events, then over sessions."""
    if not bench.servers("ours"):
        return
    server = Ours(bench.folder())
    replayed, prompted = (
        [
            logs.write(server.data, count, index=index + first, resting=True)
            for index, count in enumerate(counts)
        ]
        for first, counts in (
            (1, [count for count in bench.sizes.logs if count <= REPLAYED]),
            (100, bench.sizes.logs),
        )
    )
    for number in range(bench.sizes.rounds):
        say(f"{WORK}: events, round {number + 1}")
        for count, session in zip(bench.sizes.logs, replayed, strict=False):
            yield from _samples(server, count, number, _replays(server, session))
        for count, session in zip(bench.sizes.logs, prompted, strict=True):
            yield from _samples(server, count, number, _prompts(server, session))
    for count in bench.sizes.lists:
        server = Ours(bench.folder())
        for index in range(count):
            logs.write_resting(server.data, index)
        say(f"{WORK}: {count:,} sessions")
        server.start()
        try:
            _ask(server, "GET", "/api/sessions")
            for number in range(bench.sizes.rounds):
                for metric, path in (("list, ms", "/api/sessions"), ("page, ms", "/")):
                    seconds = _ask(server, "GET", path)
                    yield Sample(WORK, f"{count:,} sessions", metric, server.name, number, seconds * 1e3)
        finally:
            server.stop()


def _samples(
    server: Ours, count: int, number: int, measured: Iterator[tuple[str, float]]
) -> Iterator[Sample]:
    server.start()
    try:
        for metric, seconds in measured:
            yield Sample(WORK, f"{count:,} events", metric, server.name, number, seconds * 1e3)
    finally:
        server.stop()


def _replays(server: Ours, session: str) -> Iterator[tuple[str, float]]:
    for metric in ("replay, first, ms", "replay, ms"):
        yield metric, client.replay(server.attach(session)).seconds


def _prompts(server: Ours, session: str) -> Iterator[tuple[str, float]]:
    for metric in ("prompt, first, ms", "prompt, ms"):
        yield metric, _ask(server, "POST", f"/api/sessions/{session}/turns", {"prompt": "true"}, 202)
        while json.loads(_answer(server, "GET", f"/api/sessions/{session}")[1])["turn_active"]:
            time.sleep(0.01)


def _ask(server: Ours, method: str, path: str, body: object = None, status: int = 200) -> float:
    """Return the seconds that an answer took. Raises ServerFailed for another status."""
    began = time.perf_counter()
    found, text = _answer(server, method, path, body)
    if found != status:
        raise client.ServerFailed(f"{path} answered {found}: {text[:200]!r}")
    return time.perf_counter() - began


def _answer(server: Ours, method: str, path: str, body: object = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=client.PATIENCE)
    headers = {
        "Authorization": f"Bearer {TOKEN}",
        "Content-Type": "application/json",
        "Idempotency-Key": str(time.monotonic_ns()),
    }
    with contextlib.closing(connection):
        connection.request(method, path, json.dumps(body) if body else None, headers)
        response = connection.getresponse()
        return response.status, response.read()
