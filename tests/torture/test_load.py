"""Many clients and sessions for some time: no client misses an event, and the server frees its memory and descriptors.

`LOAD_SECONDS` in the environment sets how long a load lasts; without it, 15 seconds.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from breakglass.store.log import open_log
from breakglass.store.sessions import Session
from breakglass.turns import processes
from tests.bench import logs as bench_logs
from tests.help.servers import TOKEN, Server, environment, serving
from tests.help.waiting import wait_until
from tests.torture.many_clients import ManyClients, make_clients
from tests.torture.measure import (
    MEGABYTE,
    Latency,
    measure_latency,
    open_descriptors,
    resident_bytes,
    write_long_turn,
)

pytestmark = pytest.mark.torture

LOAD_SECONDS = float(os.environ.get("LOAD_SECONDS", "15"))
SHAPES = {"one session": (1, 1000, 10.0), "200 sessions": (200, 5, 100.0)}
"""The number of sessions, the clients of each, and the events a second of all sessions together."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path / "var") as started:
        yield started


def append(server: Server, sessions: list[str], rate: float, seconds: float) -> int:
    """Append `rate` events a second for that long, to one session after the other. Return how many events."""
    written, began = 0, time.monotonic()
    with ExitStack() as stack:
        opened = [stack.enter_context(open_log(Session(server.data, each).directory)) for each in sessions]
        while (passed := time.monotonic() - began) < seconds:
            while written < passed * rate:
                opened[written % len(opened)].append("renamed", title=f"{written} " + "x" * 200, by="ann")
                written += 1
            time.sleep(0.01)
    return written


def run_load(
    server: Server, sessions: list[str], per_session: int, rate: float, seconds: float
) -> tuple[int, Latency]:
    """Append events while clients follow, some of them slow or stalled. Fail unless each receives all events.

    Return the number of events and the latency of other requests.
    """
    clients = make_clients(sessions, per_session, slow=50, stalled=30)
    with ManyClients(server, clients) as attached, measure_latency(server) as latency:
        attached.wait_until_attached()
        written = append(server, sessions, rate, seconds)
        attached.catch_up({session: server.log(session) for session in sessions})
    assert not any(client.misnumbered for client in clients)
    return written, latency


@pytest.mark.parametrize("shape", SHAPES)
def test_a_thousand_clients_miss_no_event_and_the_server_frees_what_they_used(
    shape: str, server: Server
) -> None:
    count, per_session, rate = SHAPES[shape]
    sessions = [server.new_session() for _ in range(count)]
    run_load(server, sessions, per_session, rate, 3)  # memory allocated once and kept is not a leak
    pid = server.process.pid
    wait_until(lambda: open_descriptors(pid) < 64, "the first clients to be gone")
    memory, descriptors = resident_bytes(pid), open_descriptors(pid)
    written, latency = run_load(server, sessions, per_session, rate, LOAD_SECONDS)
    wait_until(lambda: open_descriptors(pid) <= descriptors + 2, "the connections to be closed")
    grown = (resident_bytes(pid) - memory) / MEGABYTE
    print(
        f"{count * per_session} clients, {shape}, {LOAD_SECONDS:g} s: {written} events, {latency}, "
        f"{grown:+.1f} MB of {memory / MEGABYTE:.0f}"
    )
    assert latency.failed == 0
    assert grown < 0.25 * memory / MEGABYTE
    assert "Traceback" not in server.printed


def test_with_two_workers_clients_miss_no_event_when_one_worker_dies(tmp_path: Path) -> None:
    with serving(tmp_path / "var", "--workers", "2") as server:
        sessions = [server.new_session() for _ in range(4)]
        with ManyClients(server, make_clients(sessions, 50)) as many:
            many.wait_until_attached()
            for _ in range(5):
                append(server, sessions, 50, 0.5)
                os.kill(min(processes.descendants(server.process.pid)), signal.SIGKILL)
            append(server, sessions, 50, 0.5)
            many.catch_up({session: server.log(session) for session in sessions})
            assert any(client.dropped for client in many.clients)
        assert server.stop() == 0


def test_ten_thousand_sessions_are_listed_by_the_server_and_by_ls(tmp_path: Path) -> None:
    data = tmp_path / "var"
    data.mkdir(0o700)
    for index in range(10_000):
        bench_logs.write_idle(data, index)
    began = time.monotonic()
    with serving(data) as server:
        started = time.monotonic() - began
        lists = []
        for _ in range(3):
            began = time.monotonic()
            status, answer, _ = server.ask("GET", "/api/sessions")
            lists.append(time.monotonic() - began)
            assert (status, len(answer["sessions"])) == (200, 10_000)
        session = server.new_session()
        assert server.ask("GET", "/api/sessions")[1]["sessions"][0]["id"] == session
        memory = resident_bytes(server.process.pid) / MEGABYTE
        began = time.monotonic()
        command = [sys.executable, "-m", "breakglass", "ls", "--json"]
        listed = subprocess.run(command, env=environment(data), capture_output=True, check=True).stdout
        ls = time.monotonic() - began
    assert listed.count(b"\n") == 10_001
    print(
        f"10,000 sessions: start {started:.1f} s, first list {lists[0]:.1f} s, then {lists[-1]:.2f} s, "
        f"ls {ls:.1f} s, {memory:.0f} MB"
    )


def test_a_log_of_2_gb_is_followed_and_prompted_without_reading_it_into_memory(server: Server) -> None:
    session = server.new_session()
    lines = 7_000_000
    write_long_turn(server, session, lines)
    size = server.log(session).stat().st_size
    before = resident_bytes(server.process.pid)
    began = time.monotonic()
    assert server.state(session)["last_event_id"] == lines
    state = time.monotonic() - began
    with measure_latency(server) as latency:
        began = time.monotonic()
        connection = server.connection()
        headers = {"Authorization": f"Bearer {TOKEN}", "Accept": "text/event-stream"}
        connection.request("GET", f"/api/sessions/{session}/events?after={lines - 10}", headers=headers)
        response = connection.getresponse()
        assert response.readline() == b"id: %d\n" % (lines - 9)
        reconnect = time.monotonic() - began
        connection.close()
        response.close()
        began = time.monotonic()
        server.prompt(session, "echo hello")
        assert server.wait_for_end(session) == "ok"
        turn = time.monotonic() - began
    grown = (resident_bytes(server.process.pid) - before) / MEGABYTE
    print(
        f"a log of {size / 1e9:.1f} GB: first state {state:.1f} s, reconnect {reconnect * 1000:.0f} ms, "
        f"a turn {turn:.1f} s, {grown:.0f} MB more, {latency}"
    )
    assert size > 2_000_000_000
    assert grown < 64
