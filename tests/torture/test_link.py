"""A phone far away: its link is slow and drops what it cannot hold, or is gone for a while."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.help.servers import Attached, Server, serving
from tests.help.validator import Ack, validate
from tests.help.waiting import wait_until
from tests.torture.link import Far, Link
from tests.torture.machine import MEGABYTE, asking, descriptors, resident, write_log

pytestmark = pytest.mark.torture
LINES = 2_000
TALK = "for i in $(seq 40); do echo $i; sleep 0.1; done"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path / "var", "--host", "0.0.0.0", "--allow-plain") as started:
        yield started


def test_behind_a_slow_link_every_event_comes_and_nobody_else_waits(server: Server) -> None:
    session = server.new_session()
    write_log(server, session, LINES)
    before = resident(server.process.pid)
    with Link("256kbit") as link, asking(server) as latency:
        began = time.monotonic()
        far, near = Attached(Far(server, link), session), Attached(server, session)
        wait_until(lambda: near.has(LINES), "the replay nearby")
        assert not far.has(LINES), "the link is slow"
        turn = server.prompt(session, TALK)
        assert server.ended(session) == "ok"
        last = server.state(session)["last_event_id"]
        wait_until(lambda: near.has(last), "live events nearby")
        wait_until(lambda: far.has(last), "all of it far away", 120)
        seconds = time.monotonic() - began
        cost = resident(server.process.pid) - before
        for client in (far, near):
            client.leave()
    size = server.log(session).stat().st_size
    print(f"256 kbit/s: {size / 1000:.0f} KB in {seconds:.0f} s, {cost / MEGABYTE:.1f} MiB more, {latency}")
    assert far.attachments == 1
    assert latency.most < 100
    validate(server.log(session), [Ack(turn, "user", TALK)], [far, near])


def test_a_link_that_is_cut_again_and_again_costs_nothing_but_the_wait(server: Server) -> None:
    session = server.new_session()
    held = descriptors(server.process.pid)
    with Link("1mbit") as link:
        far = Attached(Far(server, link), session)
        wait_until(lambda: "caught-up" in far.marks, "the replay")
        turn = server.prompt(session, TALK)
        while server.state(session)["turn_active"]:
            seen = len(far.received)
            wait_until(lambda seen=seen: len(far.received) > seen, "the turn to be seen")  # type: ignore[misc]
            link.cut()
            time.sleep(1.5)  # longer than the client waits before it connects anew
            link.mend()
        last = server.state(session)["last_event_id"]
        wait_until(lambda: far.has(last), "the last event", 60)
        far.leave()
        assert far.attachments > 2
        validate(server.log(session), [Ack(turn, "user", TALK)], [far])
        # Nobody told the server that those connections are dead: TCP_USER_TIMEOUT does, 30 s after it has sent.
        wait_until(lambda: descriptors(server.process.pid) <= held + 1, "dead connections to be dropped", 90)
    print(f"{far.attachments} attachments through a link that was cut {far.attachments - 1} times or more")
