"""Growth: costs for logs and lists of increasing size, compared with how they should grow."""

import contextlib
import http.client
import json
import time
from collections.abc import Iterator

from tests.bench import client, logs
from tests.bench.adapters import TOKEN, Ours
from tests.bench.bench import Bench, Sample, report_progress
from tests.help.waiting import wait_until

NAME = "growth"
TITLE = "How it grows"
REFERENCE: str | None = None
NOTE = (
    "`replay`: all events to one reader, for the first time and again. `prompt`: from a request with an "
    "Idempotency-Key to its 202, before and after the server has read that log. `list`: `GET /api/sessions`. "
    "`page`: the list as a page. Both are measured after the server has read all logs once. The dashed line in the "
    "plots is the expected growth, constant or in proportion, through the last point."
)
LONGEST_REPLAY = 1_000_000
"""Events of the longest log that is replayed completely."""


def run(bench: Bench) -> Iterator[Sample]:
    """Yield costs over events, then over sessions."""
    if not bench.servers("ours"):
        return
    server = Ours(bench.folder())
    replayed, prompted = (
        [logs.write(server.data, count, index=index + first, idle=True) for index, count in enumerate(counts)]
        for first, counts in (
            (1, [count for count in bench.sizes.logs if count <= LONGEST_REPLAY]),
            (100, bench.sizes.logs),
        )
    )
    for number in range(bench.sizes.rounds):
        report_progress(f"{NAME}: events, round {number + 1}")
        for count, session in zip(bench.sizes.logs, replayed, strict=False):
            yield from _samples(server, count, number, _replays(server, session))
        for count, session in zip(bench.sizes.logs, prompted, strict=True):
            yield from _samples(server, count, number, _prompts(server, session))
    for count in bench.sizes.lists:
        server = Ours(bench.folder())
        for index in range(count):
            logs.write_idle(server.data, index)
        report_progress(f"{NAME}: {count:,} sessions")
        server.start()
        try:
            _time_answer(server, "GET", "/api/sessions")
            for number in range(bench.sizes.rounds):
                for metric, path in (("list, ms", "/api/sessions"), ("page, ms", "/")):
                    seconds = _time_answer(server, "GET", path)
                    yield Sample(NAME, f"{count:,} sessions", metric, server.name, number, seconds * 1e3)
        finally:
            server.stop()


def _samples(
    server: Ours, count: int, number: int, measured: Iterator[tuple[str, float]]
) -> Iterator[Sample]:
    server.start()
    try:
        for metric, seconds in measured:
            yield Sample(NAME, f"{count:,} events", metric, server.name, number, seconds * 1e3)
    finally:
        server.stop()


def _replays(server: Ours, session: str) -> Iterator[tuple[str, float]]:
    for metric in ("replay, first, ms", "replay, ms"):
        yield metric, client.replay(server.attach(session)).seconds


def _prompts(server: Ours, session: str) -> Iterator[tuple[str, float]]:
    for metric in ("prompt, first, ms", "prompt, ms"):
        yield metric, _time_answer(server, "POST", f"/api/sessions/{session}/turns", {"prompt": "true"}, 202)
        wait_until(lambda: not _is_turn_active(server, session), "the turn to end")


def _is_turn_active(server: Ours, session: str) -> bool:
    return bool(json.loads(_answer(server, "GET", f"/api/sessions/{session}")[1])["turn_active"])


def _time_answer(server: Ours, method: str, path: str, body: object = None, status: int = 200) -> float:
    """Return the seconds that an answer took. Raises ServerFailed if it has another status."""
    began = time.perf_counter()
    found, text = _answer(server, method, path, body)
    if found != status:
        raise client.ServerFailed(f"{path} answered {found}: {text[:200]!r}")
    return time.perf_counter() - began


def _answer(server: Ours, method: str, path: str, body: object = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=client.READER_SECONDS)
    headers = {
        "Authorization": f"Bearer {TOKEN}",
        "Content-Type": "application/json",
        "Idempotency-Key": str(time.monotonic_ns()),
    }
    with contextlib.closing(connection):
        connection.request(method, path, json.dumps(body) if body else None, headers)
        response = connection.getresponse()
        return response.status, response.read()
