"""Clients that stall, crawl, stop or vanish harm nobody, and come back where they were."""

import random
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from breakglass.store import log as logs
from breakglass.store.sessions import Session
from tests.help.servers import PATIENCE, Attached, Server, environment, serving, wait_until
from tests.help.validator import validate
from tests.torture.crowd import Crowd, members
from tests.torture.machine import MEGABYTE, asking, descriptors, resident, write_log

pytestmark = pytest.mark.torture

PER_STALLED = 256 << 10
"""Bytes of the server's memory that a stalled client may cost."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path / "var") as started:
        yield started


def test_a_thousand_stalled_clients_are_dropped_and_come_back_where_they_were(server: Server) -> None:
    session = server.new_session()
    write_log(server, session, 4_000)
    reader = Attached(server, session)
    wait_until(lambda: reader.has(4_000), "the replay")
    before, open_before = resident(server.process.pid), descriptors(server.process.pid)
    stalled = members([session], 1000, stalled=1000)
    with Crowd(server, stalled) as crowd:
        wait_until(lambda: descriptors(server.process.pid) >= len(stalled), "all to be attached")
        with asking(server) as latency:
            turn = server.prompt(session, "for i in 1 2 3 4 5; do echo $i; sleep 0.2; done")
            assert server.ended(session) == "ok"
            wait_until(lambda: reader.has(turn), "live events beside them")
        cost = (resident(server.process.pid) - before) / len(stalled)
        # Who reads nothing does not hear of it either: the end waits behind what it has not read.
        wait_until(lambda: descriptors(server.process.pid) < open_before + 10, "all to be dropped", 60)
        crowd.catch_up({session: server.log(session)})
    print(f"1,000 stalled clients: {cost / 1024:.0f} KiB each while attached, {latency}")
    assert cost < PER_STALLED
    assert "Traceback" not in server.printed
    validate(server.log(session), clients=[reader])


def test_clients_that_crawl_are_served_and_hold_up_nobody(server: Server) -> None:
    session = server.new_session()
    write_log(server, session, 5_000)
    with Crowd(server, members([session], 100, slow=80)) as crowd, asking(server) as latency:
        crowd.wait_until_attached()
        server.prompt(session, "for i in 1 2 3 4 5; do echo $i; sleep 0.2; done")
        assert server.ended(session) == "ok"
        crowd.catch_up({session: server.log(session)})
    print(f"80 clients at 128 bytes a second and 20 quick ones: {latency}")
    assert latency.failed == 0


def test_an_attached_terminal_that_was_stopped_goes_on_where_it_was(server: Server) -> None:
    session = server.new_session()
    command = [sys.executable, "-m", "breakglass", "attach", session, "--json"]
    out = server.data.parent / "out"
    with out.open("wb") as file:
        client = subprocess.Popen(command, env=environment(server.data), stdout=file)
    wait_until(lambda: out.stat().st_size, "the first line")
    client.send_signal(signal.SIGSTOP)
    server.prompt(session, "seq 1 20000")
    assert server.ended(session) == "ok"
    client.send_signal(signal.SIGCONT)
    wait_until(lambda: out.read_bytes() == server.log(session).read_bytes(), "all of the log")
    client.send_signal(signal.SIGINT)
    assert client.wait(PATIENCE) == 0


def test_clients_that_reset_within_a_replay_leave_nothing_behind(server: Server) -> None:
    session = server.new_session()
    write_log(server, session, 100_000)
    chance = random.Random(1)
    with asking(server) as latency:
        before = descriptors(server.process.pid)
        for _ in range(10):
            crowd = [member.connect(server.port) for member in members([session], 20)]
            for sock in crowd:
                sock.settimeout(PATIENCE)
                for _ in range(chance.randrange(1, 20)):
                    sock.recv(1 << 14)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()
        wait_until(lambda: descriptors(server.process.pid) <= before + 1, "their tasks to be gone", 2)
    print(f"200 resets within replays: {latency}")
    assert latency.failed == 0


def test_five_replays_of_200000_lines_hold_up_nobody(server: Server) -> None:
    session = server.new_session()
    write_log(server, session, 200_000)
    with asking(server) as latency, Crowd(server, members([session], 5)) as crowd:
        crowd.catch_up({session: server.log(session)})
    print(f"five replays of 200,000 lines: {latency}")
    assert latency.most < 100


def test_a_strangers_line_of_100_mb_is_one_event_and_costs_no_memory(server: Server) -> None:
    session = server.new_session()
    client = Attached(server, session)
    wait_until(lambda: client.has(1), "the replay")
    other = server.new_session()
    before = most = resident(server.process.pid)
    with asking(server) as latency:
        with server.log(session).open("ab", buffering=0) as file:
            for _ in range(100):
                file.write(b"x" * MEGABYTE)
                most = max(most, resident(server.process.pid))
            file.write(b"\n")
        with logs.open_log(Session(server.data, session).directory) as opened:
            number = opened.append("renamed", title="after", by="ann")
        wait_until(lambda: client.has(number), "what comes after it")
        most = max(most, resident(server.process.pid))
        server.prompt(other, "echo hello")
        assert server.ended(other) == "ok"
    assert number == 3
    assert len(client.received[1][1]) < 70_000
    print(f"a line of 100 MB: {(most - before) / MEGABYTE:.0f} MB more, {latency}")
    assert most - before < 64 * MEGABYTE
    assert latency.failed == 0
    assert server.state(session)["title"] == "after"
    validate(server.log(session), clients=[client], foreign=True)
