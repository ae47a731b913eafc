"""The prompt queue and answers to questions, over HTTP."""

from collections.abc import Iterator

import pytest

from tests.help.questions import answers, open_turn
from tests.help.servers import Server, serving
from tests.help.waiting import wait_until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("queue") / "var") as started:
        yield started


def test_a_queued_prompt_is_counted_and_runs_after_the_current_turn(server: Server) -> None:
    session = server.new_session()
    gate = server.data / "gate"
    server.prompt(session, f"until [ -e {gate} ]; do sleep 0.02; done")
    path = f"/api/sessions/{session}/turns"
    key = {"Idempotency-Key": "k"}
    status, queued, _ = server.ask("POST", path, {"prompt": "echo two", "queue": True}, key)
    assert (status, [*queued]) == (202, ["queued"])
    assert server.ask("POST", path, {"prompt": "echo two", "queue": True}, key)[1] == queued
    assert server.ask("POST", path, {"prompt": "echo no"})[0] == 409
    assert server.state(session)["queued"] == 1
    gate.touch()
    wait_until(lambda: not server.state(session)["turn_active"], "the end of both turns")
    assert server.state(session)["queued"] == 0
    assert server.log(session).read_bytes().count(b'"kind":"turn_end"') == 2


def test_a_queued_prompt_starts_at_once_in_an_idle_session(server: Server) -> None:
    path = f"/api/sessions/{server.new_session()}/turns"
    assert server.ask("POST", path, {"prompt": "true", "queue": True})[1] == {"turn": 2}


def test_a_queued_prompt_can_be_withdrawn_once(server: Server) -> None:
    session = server.new_session()
    with open_turn(server.data, session):
        path = f"/api/sessions/{session}"
        queued = server.ask("POST", f"{path}/turns", {"prompt": "x", "queue": True})[1]["queued"]
        withdraw = f"{path}/queue/{queued}"
        assert server.ask("DELETE", withdraw)[:2] == (200, {"withdrawn": queued})
        assert server.ask("DELETE", withdraw)[0] == 409
        for nothing in ("1", "2", "999", "x", "-1", "0", "1" * 40):
            assert server.ask("DELETE", f"{path}/queue/{nothing}")[0] == 404


def test_permission_for_the_session_is_recorded_in_the_answer(server: Server) -> None:
    session = server.new_session()
    with open_turn(server.data, session, {}):
        assert server.state(session)["asking"] is True
        path = f"/api/sessions/{session}/answers"
        given = {"request": "r", "allow": False, "for_session": True}
        assert server.ask("POST", path, given)[0] == 422
        assert server.ask("POST", path, {**given, "allow": True})[0] == 202
        assert server.ask("POST", path, {**given, "allow": True})[0] == 409
        assert server.state(session)["asking"] is False
    assert answers(server.data, session)[0]["for_session"] is True


def test_what_is_allowed_for_the_session_is_listed_and_can_be_revoked_once(server: Server) -> None:
    session = server.new_session()
    path = f"/api/sessions/{session}"
    with open_turn(server.data, session, {}):
        assert server.state(session)["allowed"] == []
        server.ask("POST", f"{path}/answers", {"request": "r", "allow": True, "for_session": True})
        [tool] = server.state(session)["allowed"]
        assert server.ask("POST", f"{path}/revoke", {"name": "another"})[0] == 409
        assert server.ask("POST", f"{path}/revoke", {"name": tool})[:2] == (200, {"revoked": tool})
        assert server.ask("POST", f"{path}/revoke", {"name": tool})[0] == 409
        assert server.state(session)["allowed"] == []
