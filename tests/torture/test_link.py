"""A client on a remote host: its link is slow and drops packets, or is cut for a while."""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.help.servers import Attached, Server, serving
from tests.help.validator import Ack, validate
from tests.help.waiting import wait_until
from tests.torture.link import Link, RemoteHost
from tests.torture.measure import (
    MEGABYTE,
    measure_latency,
    open_descriptors,
    resident_bytes,
    write_long_turn,
)

pytestmark = pytest.mark.torture
LINES = 2_000
TALK = "for i in $(seq 40); do echo $i; sleep 0.1; done"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path / "var", "--host", "0.0.0.0", "--allow-plain") as started:
        yield started


def test_a_client_behind_a_slow_link_receives_every_event_and_delays_no_other(server: Server) -> None:
    session = server.new_session()
    write_long_turn(server, session, LINES)
    before = resident_bytes(server.process.pid)
    with Link("256kbit") as link, measure_latency(server) as latency:
        began = time.monotonic()
        remote, local = Attached(RemoteHost(server, link), session), Attached(server, session)
        wait_until(lambda: local.has(LINES), "the replay at the local client")
        assert not remote.has(LINES), "the link is not slow"
        turn = server.prompt(session, TALK)
        assert server.wait_for_end(session) == "ok"
        last = server.state(session)["last_event_id"]
        wait_until(lambda: local.has(last), "live events at the local client")
        wait_until(lambda: remote.has(last), "all events at the remote client")
        seconds = time.monotonic() - began
        cost = resident_bytes(server.process.pid) - before
        for client in (remote, local):
            client.disconnect()
    size = server.log(session).stat().st_size
    print(f"256 kbit/s: {size / 1000:.0f} KB in {seconds:.0f} s, {cost / MEGABYTE:.1f} MiB more, {latency}")
    assert remote.attachments == 1
    assert latency.p95 < 100
    validate(server.log(session), [Ack(turn, "user", TALK)], [remote, local])


def test_a_link_that_is_cut_again_and_again_delays_events_and_loses_none(server: Server) -> None:
    session = server.new_session()
    before = open_descriptors(server.process.pid)
    with Link("1mbit") as link:
        remote = Attached(RemoteHost(server, link), session)
        wait_until(lambda: "caught-up" in remote.signals, "the replay")
        turn = server.prompt(session, TALK)
        while server.state(session)["turn_active"]:
            seen = len(remote.received)
            wait_until(partial(remote.has, seen + 1), "another event")
            link.cut()
            time.sleep(1.5)  # longer than the client waits before it connects again
            link.restore()
        last = server.state(session)["last_event_id"]
        wait_until(lambda: remote.has(last), "the last event")
        remote.disconnect()
        assert remote.attachments > 2
        validate(server.log(session), [Ack(turn, "user", TALK)], [remote])
        # No packet shows the server that those connections are dead. TCP_USER_TIMEOUT ends them 30 s after a send.
        wait_until(
            lambda: open_descriptors(server.process.pid) <= before + 1, "dead connections to be closed"
        )
    print(
        f"{remote.attachments} attachments through a link that was cut {remote.attachments - 1} times or more"
    )
