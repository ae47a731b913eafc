"""Clients that stall, read slowly, stop or disconnect disturb no other client, and continue at their position."""

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
from tests.help.servers import Attached, Server, environment, serving
from tests.help.validator import validate
from tests.help.waiting import DEADLINE, wait_until
from tests.torture.many_clients import ManyClients, make_clients
from tests.torture.measure import (
    MEGABYTE,
    measure_latency,
    open_descriptors,
    resident_bytes,
    write_long_turn,
)

pytestmark = pytest.mark.torture

BYTES_PER_STALLED = 256 << 10
"""The server's memory that a stalled client may cost: docs/reliability.md."""
DROPPED_WITHIN = 60.0
"""Seconds: twice what docs/reliability.md promises for a stalled client."""
TALK = "for i in 1 2 3 4 5; do echo $i; sleep 0.2; done"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path / "var") as started:
        yield started


def test_a_thousand_stalled_clients_are_dropped_and_continue_where_they_were(server: Server) -> None:
    session = server.new_session()
    write_long_turn(server, session, 4_000)
    reader = Attached(server, session)
    wait_until(lambda: reader.has(4_000), "the replay")
    pid = server.process.pid
    memory, descriptors = resident_bytes(pid), open_descriptors(pid)
    stalled = make_clients([session], 1000, stalled=1000)
    with ManyClients(server, stalled) as clients:
        wait_until(lambda: open_descriptors(pid) >= len(stalled), "all to be attached")
        with measure_latency(server) as latency:
            turn = server.prompt(session, TALK)
            assert server.wait_for_end(session) == "ok"
            wait_until(lambda: reader.has(turn), "live events at the client that reads")
        cost = (resident_bytes(pid) - memory) / len(stalled)
        # The clients read nothing, so they cannot see the end of the stream behind the unread data.
        wait_until(lambda: open_descriptors(pid) < descriptors + 10, "all to be dropped", DROPPED_WITHIN)
        clients.catch_up({session: server.log(session)})
    print(f"1,000 stalled clients: {cost / 1024:.0f} KiB each while attached, {latency}")
    assert cost < BYTES_PER_STALLED
    assert "Traceback" not in server.printed
    validate(server.log(session), clients=[reader])


def test_slow_readers_are_served_and_delay_no_other_client(server: Server) -> None:
    session = server.new_session()
    write_long_turn(server, session, 5_000)
    many = make_clients([session], 100, slow=80)
    with ManyClients(server, many) as clients, measure_latency(server) as latency:
        clients.wait_until_attached()
        server.prompt(session, TALK)
        assert server.wait_for_end(session) == "ok"
        clients.catch_up({session: server.log(session)})
    print(f"80 clients at 128 bytes a second and 20 fast ones: {latency}")
    assert latency.failed == 0


def test_an_attached_terminal_that_was_stopped_continues_where_it_was(server: Server) -> None:
    session = server.new_session()
    command = [sys.executable, "-m", "breakglass", "attach", session, "--json"]
    out = server.data.parent / "out"
    with out.open("wb") as file:
        client = subprocess.Popen(command, env=environment(server.data), stdout=file)
    wait_until(lambda: out.stat().st_size, "the first line")
    client.send_signal(signal.SIGSTOP)
    server.prompt(session, "seq 1 20000")
    assert server.wait_for_end(session) == "ok"
    client.send_signal(signal.SIGCONT)
    wait_until(lambda: out.read_bytes() == server.log(session).read_bytes(), "the whole log")
    client.send_signal(signal.SIGINT)
    assert client.wait(DEADLINE) == 0


def test_clients_that_reset_the_connection_during_a_replay_leave_no_descriptor_open(server: Server) -> None:
    session = server.new_session()
    write_long_turn(server, session, 100_000)
    rng = random.Random(1)
    with measure_latency(server) as latency:
        before = open_descriptors(server.process.pid)
        for _ in range(10):
            sockets = [client.connect(server.port) for client in make_clients([session], 20)]
            for sock in sockets:
                sock.settimeout(DEADLINE)
                for _ in range(rng.randrange(1, 20)):
                    sock.recv(1 << 14)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()
        wait_until(lambda: open_descriptors(server.process.pid) <= before + 1, "the connections to be closed")
    print(f"200 resets during replays: {latency}")
    assert latency.failed == 0


def test_five_replays_of_200000_lines_delay_no_other_client(server: Server) -> None:
    session = server.new_session()
    write_long_turn(server, session, 200_000)
    with measure_latency(server) as latency, ManyClients(server, make_clients([session], 5)) as clients:
        clients.catch_up({session: server.log(session)})
    print(f"five replays of 200,000 lines: {latency}")
    assert latency.p95 < 100


def test_a_foreign_line_of_100_mb_is_one_event_and_costs_little_memory(server: Server) -> None:
    session = server.new_session()
    client = Attached(server, session)
    wait_until(lambda: client.has(1), "the replay")
    other = server.new_session()
    before = most = resident_bytes(server.process.pid)
    with measure_latency(server) as latency:
        with server.log(session).open("ab", buffering=0) as file:
            for _ in range(100):
                file.write(b"x" * MEGABYTE)
                most = max(most, resident_bytes(server.process.pid))
            file.write(b"\n")
        with logs.open_log(Session(server.data, session).directory) as opened:
            number = opened.append("renamed", title="after", by="ann")
        wait_until(lambda: client.has(number), "the line after the foreign one")
        most = max(most, resident_bytes(server.process.pid))
        server.prompt(other, "echo hello")
        assert server.wait_for_end(other) == "ok"
    assert number == 3
    assert len(client.received[1][1]) < 70_000
    print(f"a line of 100 MB: {(most - before) / MEGABYTE:.0f} MB more, {latency}")
    assert most - before < 64 * MEGABYTE
    assert latency.failed == 0
    assert server.state(session)["title"] == "after"
    validate(server.log(session), clients=[client], foreign=True)
