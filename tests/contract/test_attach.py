"""ATTACH, section 3 of the contract: replay, then `caught-up`, then live events. Each event is sent once."""

import pytest

from tests.contract.driver import DataRoot, Gate, Server, Stream, frames, serving

pytestmark = pytest.mark.contract
CAUGHT_UP = b'event: caught-up\ndata: {"id":%d}\n\n'


@pytest.fixture
def finished(server: Server, session: str) -> str:
    """A session in which a turn has ended."""
    server.send(session, "seq 3")
    server.data.wait_for_end(session)
    return session


def test_attach_replays_every_line_unchanged_then_sends_caught_up_and_follows(
    server: Server, finished: str
) -> None:
    with Stream(server, finished) as stream:
        assert (stream.status, stream.type.partition(";")[0]) == (200, "text/event-stream")
        before = frames(server.data.lines(finished))
        assert [stream.frame() for _ in before] == before
        assert stream.frame() == CAUGHT_UP % len(before)
        server.send(finished, "echo live")
        assert before + stream.until(b'"sealed"') == frames(server.data.lines(finished))


@pytest.mark.parametrize(
    ("query", "header", "after"), [("", "2", 2), ("?after=3", "", 3), ("?after=3", "1", 1), ("", "0", 0)]
)
def test_a_reconnect_replays_the_lines_after_last_event_id_or_else_after_after(
    server: Server, finished: str, query: str, header: str, after: int
) -> None:
    every = frames(server.data.lines(finished))
    with Stream(server, finished, query, {"Last-Event-ID": header}) as stream:
        assert stream.until(b"caught-up") == [*every[after:], CAUGHT_UP % len(every)]


def test_a_client_that_has_every_event_is_caught_up_at_once(server: Server, finished: str) -> None:
    last = server.state(finished)["last_event_id"]
    with Stream(server, finished, headers={"Last-Event-ID": str(last)}) as stream:
        assert stream.frame() == CAUGHT_UP % last


@pytest.mark.parametrize("wrong", ["-1", "1.5", "x", "0x1"])
def test_a_last_event_id_that_is_no_whole_number_is_400(server: Server, session: str, wrong: str) -> None:
    headers = {"Accept": "text/event-stream", "Last-Event-ID": wrong}
    response = server.ask("GET", f"/api/sessions/{session}/events", headers=headers)
    assert (response.status, response.json["status"]) == (400, 400)


def test_a_client_with_an_id_beyond_the_log_gets_reset_and_every_line(server: Server, finished: str) -> None:
    with Stream(server, finished, headers={"Last-Event-ID": "999"}) as stream:
        assert stream.frame() == b"event: reset\ndata: {}\n\n"
        assert stream.replay() == frames(server.data.lines(finished))


def test_a_foreign_line_is_sent_as_a_foreign_event_with_its_number(server: Server, session: str) -> None:
    server.data.append(session, b"a\rb\n")
    with Stream(server, session, "?after=1") as stream:
        assert stream.frame() == b'id: 2\ndata: {"id":2,"kind":"foreign","text":"a\\rb"}\n\n'


def test_a_keepalive_comment_follows_each_interval_of_silence(server: Server, session: str) -> None:
    with Stream(server, session) as stream:
        stream.replay()
        assert [stream.frame() for _ in range(2)] == [b": keepalive\n\n"] * 2


def test_a_client_sees_the_end_of_a_turn_whose_runner_dies(server: Server, session: str, gate: Gate) -> None:
    server.send(session, gate.script)
    server.data.wait_for_output(session)
    with Stream(server, session) as stream:
        stream.replay()
        server.data.kill_runner(session)
        assert b'"status":"lost"' in stream.until(b'"turn_end"')[-1]


def test_neither_the_turn_nor_the_client_misses_anything_when_the_server_dies(
    data: DataRoot, gate: Gate
) -> None:
    with serving(data) as server:
        session = server.new()
        server.send(session, f"{gate.script}; seq 2000")
        data.wait_for_output(session)
        with Stream(server, session) as stream:
            received = stream.replay()
            server.program.kill()
            assert stream.frame() == b""
        gate.open()
        assert data.wait_for_end(session) == "ok"
        server.start()
        with Stream(server, session, headers={"Last-Event-ID": str(len(received))}) as stream:
            assert received + stream.replay() == frames(data.lines(session))
