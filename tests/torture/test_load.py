"""Many at once, for a while: nobody misses anything, and what was taken is given back.

`BREAKGLASS_LOAD_SECONDS` says for how long, 15 where it is not set.
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
from tests.bench import logs as bench
from tests.help.servers import TOKEN, Server, environment, serving
from tests.help.waiting import wait_until
from tests.torture.crowd import Crowd, load_seconds, members
from tests.torture.machine import MEGABYTE, Latency, asking, descriptors, resident, write_log

pytestmark = pytest.mark.torture

SHAPES = {"one session": (1, 1000, 10.0), "200 sessions": (200, 5, 100.0)}
"""Sessions, clients of each, and events a second in all."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path / "var") as started:
        yield started


def append(server: Server, sessions: list[str], rate: float, seconds: float) -> int:
    """Append to one session after the other, so many events a second in all, and return how many."""
    written, began = 0, time.monotonic()
    with ExitStack() as stack:
        opened = [stack.enter_context(open_log(Session(server.data, each).directory)) for each in sessions]
        while (passed := time.monotonic() - began) < seconds:
            while written < passed * rate:
                opened[written % len(opened)].append("renamed", title=f"{written} " + "x" * 200, by="ann")
                written += 1
            time.sleep(0.01)
    return written


def load(server: Server, sessions: list[str], each: int, rate: float, seconds: float) -> tuple[int, Latency]:
    """Have that many clients, some of them slow or stalled, follow for so long; all must end with all."""
    crowd = members(sessions, each, slow=50, stalled=30)
    with Crowd(server, crowd) as attached, asking(server) as latency:
        attached.wait_until_attached()
        written = append(server, sessions, rate, seconds)
        attached.catch_up({session: server.log(session) for session in sessions})
    assert not any(member.wrong for member in crowd)
    return written, latency


@pytest.mark.parametrize("shape", SHAPES)
def test_a_thousand_clients_miss_nothing_and_leave_nothing(shape: str, server: Server) -> None:
    count, each, rate = SHAPES[shape]
    sessions = [server.new_session() for _ in range(count)]
    load(server, sessions, each, rate, 3)  # what is made once and kept is no leak
    pid = server.process.pid
    wait_until(lambda: descriptors(pid) < 64, "the first to be gone")
    memory, held = resident(pid), descriptors(pid)
    written, latency = load(server, sessions, each, rate, load_seconds())
    wait_until(lambda: descriptors(pid) <= held + 2, "their descriptors to be closed")
    grown = (resident(pid) - memory) / MEGABYTE
    print(
        f"{count * each} clients, {shape}, {load_seconds():g} s: {written} events, {latency}, "
        f"{grown:+.1f} MB of {memory / MEGABYTE:.0f}"
    )
    assert latency.failed == 0
    assert grown < 0.25 * memory / MEGABYTE
    assert "Traceback" not in server.printed


def test_with_two_workers_the_death_of_one_is_not_noticed(tmp_path: Path) -> None:
    with serving(tmp_path / "var", "--workers", "2") as server:
        sessions = [server.new_session() for _ in range(4)]
        with Crowd(server, members(sessions, 50)) as crowd:
            crowd.wait_until_attached()
            for _ in range(5):
                append(server, sessions, 50, 0.5)
                os.kill(min(processes.descendants(server.process.pid)), signal.SIGKILL)
            append(server, sessions, 50, 0.5)
            crowd.catch_up({session: server.log(session) for session in sessions})
            assert any(member.dropped for member in crowd.members)
        assert server.stop() == 0


def test_ten_thousand_sessions_on_disk(tmp_path: Path) -> None:
    data = tmp_path / "var"
    data.mkdir(0o700)
    for index in range(10_000):
        bench.write_resting(data, index)
    began = time.monotonic()
    with serving(data) as server:
        started = time.monotonic() - began
        taken = []
        for _ in range(3):
            began = time.monotonic()
            status, answer, _ = server.ask("GET", "/api/sessions")
            taken.append(time.monotonic() - began)
            assert (status, len(answer["sessions"])) == (200, 10_000)
        session = server.new_session()
        assert server.ask("GET", "/api/sessions")[1]["sessions"][0]["id"] == session
        memory = resident(server.process.pid) / MEGABYTE
        began = time.monotonic()
        command = [sys.executable, "-m", "breakglass", "ls", "--json"]
        listed = subprocess.run(command, env=environment(data), capture_output=True, check=True).stdout
        ls = time.monotonic() - began
    assert listed.count(b"\n") == 10_001
    print(
        f"10,000 sessions: start {started:.1f} s, first list {taken[0]:.1f} s, then {taken[-1]:.2f} s, "
        f"ls {ls:.1f} s, {memory:.0f} MB"
    )


def test_a_log_of_2_gb(server: Server) -> None:
    session = server.new_session()
    lines = 7_000_000
    write_log(server, session, lines)
    size = server.log(session).stat().st_size
    before = resident(server.process.pid)
    began = time.monotonic()
    assert server.state(session)["last_event_id"] == lines
    state = time.monotonic() - began
    with asking(server) as latency:
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
        assert server.ended(session) == "ok"
        turn = time.monotonic() - began
    grown = (resident(server.process.pid) - before) / MEGABYTE
    print(
        f"a log of {size / 1e9:.1f} GB: first state {state:.1f} s, reconnect {reconnect * 1000:.0f} ms, "
        f"a turn {turn:.1f} s, {grown:.0f} MB more, {latency}"
    )
    assert size > 2_000_000_000
    assert grown < 64
