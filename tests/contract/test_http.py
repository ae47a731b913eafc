"""Section 3 of the contract: the HTTP API without ATTACH."""

import uuid
from typing import Any

import pytest

from tests.contract.driver import ANONYMOUS, Gate, Response, Server
from tests.contract.lists import ROUTES

pytestmark = pytest.mark.contract
SESSION = {
    *"id title agent model target created updated last_event_id turn_active status asking queued".split(),
    *"allowed context seal".split(),
}
UNKNOWN = "00000000-0000-4000-8000-000000000000"
FORM = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nhello\r\n--edge--\r\n'
BODIES: dict[str, Any] = {"turns": {"prompt": "true"}, "answers": {"request": "r1", "allow": True}}


def ask(server: Server, method: str, path: str, headers: dict[str, str]) -> Response:
    """Send a correct request to a route, for a session that does not exist."""
    body = None if method in ("GET", "DELETE") else BODIES.get(path.rpartition("/")[2], {})
    if (method, path.rpartition("/")[2]) == ("POST", "files"):
        body, headers = FORM, {**headers, "Content-Type": "multipart/form-data; boundary=edge"}
    return server.ask(method, path.format(id=UNKNOWN, queued=2, name="disks", path="any"), body, headers)


def is_problem(response: Response, status: int) -> bool:
    """Return whether a response is an error of that status in the format of RFC 9457."""
    problem = response.json
    is_whole = bool(problem["title"] and problem["detail"]) and problem["status"] == status
    return (
        response.status == status
        and is_whole
        and response.headers["content-type"] == "application/problem+json"
    )


def key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid.uuid4())}


# --- the routes -----------------------------------------------------------------------------------


def test_the_api_describes_the_routes_of_the_contract_and_no_others(server: Server) -> None:
    paths = server.ask("GET", "/api/openapi.json").json["paths"]
    described = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert described == set(ROUTES)


def test_health_needs_no_credential_and_contains_nothing_else(server: Server) -> None:
    response = server.ask("GET", "/health", headers=ANONYMOUS)
    assert response.status == 200
    assert response.json == {"status": "ok", "service": "breakglass", "version": response.json["version"]}


@pytest.mark.parametrize(("method", "path"), [route for route in ROUTES if route[1] != "/health"])
def test_the_api_answers_401_without_a_credential(server: Server, method: str, path: str) -> None:
    assert is_problem(ask(server, method, path, ANONYMOUS), 401)


@pytest.mark.parametrize(("method", "path"), [route for route in ROUTES if "{id}" in route[1]])
def test_a_session_that_does_not_exist_is_404(server: Server, method: str, path: str) -> None:
    assert is_problem(ask(server, method, path, {}), 404)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/api/sessions", {"agent": "nosuch"}, 422),
        ("POST", "/api/sessions/{id}/turns", {"prompt": ""}, 422),
        ("POST", "/api/sessions/{id}/turns", {"prompt": 7}, 422),
        ("POST", "/api/sessions/{id}/turns", {"prompt": "x" * ((256 << 10) + 1)}, 413),
        ("DELETE", "/api/sessions/{id}/queue/1", None, 404),
        ("POST", "/api/sessions/{id}/answers", BODIES["answers"], 404),
    ],
)
def test_a_bad_request_is_a_problem_and_changes_nothing(
    server: Server, session: str, method: str, path: str, body: Any, status: int
) -> None:
    assert is_problem(server.ask(method, path.format(id=session), body), status)
    assert server.state(session)["last_event_id"] == 1


# --- sessions -------------------------------------------------------------------------------------


def test_a_new_session_is_201_with_its_location(server: Server) -> None:
    fields = {"agent": "shell", "model": "a-model", "title": "a title"}
    response = server.ask("POST", "/api/sessions", fields)
    unused = {
        "status": "new",
        "turn_active": False,
        "asking": False,
        "queued": 0,
        "last_event_id": 1,
        "seal": None,
    }
    assert response.status == 201
    assert set(response.json) == SESSION
    assert response.json == {**response.json, **fields, **unused}
    assert server.ask("GET", response.headers["location"]).json == response.json


def test_an_idempotency_key_always_gives_the_same_session(server: Server) -> None:
    same = key()
    first = server.ask("POST", "/api/sessions", {"title": "first"}, same)
    server.ask("PATCH", f"/api/sessions/{first.json['id']}", {"title": "changed"})
    second = server.ask("POST", "/api/sessions", {"title": "second"}, same)
    assert (first.status, second.status) == (201, 201)
    assert (second.json["id"], second.json["title"]) == (first.json["id"], "changed")


def test_sessions_are_listed_latest_first(server: Server) -> None:
    ids = [server.new(), server.new()]
    server.send(ids[0], "true")
    server.data.wait_for_end(ids[0])
    listed = server.ask("GET", "/api/sessions").json["sessions"]
    assert [each["id"] for each in listed if each["id"] in ids] == ids
    assert all(set(each) == SESSION for each in listed)


def test_patch_renames_and_archives(server: Server, session: str) -> None:
    response = server.ask("PATCH", f"/api/sessions/{session}", {"title": "other", "archived": True})
    assert (response.status, response.json["title"]) == (200, "other")
    assert server.data.last(session, "renamed")["title"] == "other"
    assert server.data.last(session, "archived")["archived"] is True


def test_an_archived_session_is_listed_on_request_and_while_a_turn_runs(
    server: Server, session: str, gate: Gate
) -> None:
    def is_listed(query: str = "") -> bool:
        listed = server.ask("GET", f"/api/sessions{query}").json["sessions"]
        return session in [each["id"] for each in listed]

    server.ask("PATCH", f"/api/sessions/{session}", {"archived": True})
    assert (is_listed(), is_listed("?archived=1")) == (False, True)
    server.send(session, gate.script)
    assert is_listed()


def test_the_log_is_returned_byte_for_byte_from_the_line_after_after(server: Server, session: str) -> None:
    server.data.append(session, b"foreign\r\xff\x00\n{}\n")
    path = f"/api/sessions/{session}/events"
    response = server.ask("GET", path)
    assert (response.status, response.headers["content-type"]) == (200, "application/x-ndjson")
    assert response.body == server.data.log(session).read_bytes()
    assert server.ask("GET", f"{path}?after=2").body == b"{}\n"


# --- turns ------------------------------------------------------------------------------------------


def test_a_turn_is_202_with_the_id_of_its_first_event(server: Server, session: str, gate: Gate) -> None:
    response = server.ask("POST", f"/api/sessions/{session}/turns", {"prompt": gate.script, "model": "m"})
    assert (response.status, response.json) == (202, {"turn": 2})
    user = server.data.events(session)[1]
    assert (user["kind"], user["text"], user["model"]) == ("user", gate.script, "m")
    assert (server.state(session)["status"], server.state(session)["turn_active"]) == ("running", True)
    gate.open()
    assert server.data.wait_for_end(session) == "ok"
    assert (server.state(session)["status"], server.state(session)["turn_active"]) == ("ok", False)


def test_a_second_turn_is_409_unless_queue_is_set(server: Server, session: str, gate: Gate) -> None:
    path = f"/api/sessions/{session}/turns"
    server.send(session, gate.script, queue=True)  # nothing runs, so it begins
    assert server.state(session)["turn_active"]
    assert is_problem(server.ask("POST", path, {"prompt": "true"}), 409)
    response = server.ask("POST", path, {"prompt": "true", "queue": True})
    assert (response.status, response.json) == (202, {"queued": server.data.last(session, "queued")["id"]})
    server.data.wait_for_output(session)  # from here on nothing is written until the gate opens
    assert server.state(session)["queued"] == 1
    assert server.state(session) in server.data.listed()  # the command line describes it in the same way


@pytest.mark.parametrize("queue", [False, True])
def test_an_idempotency_key_begins_one_turn(server: Server, session: str, gate: Gate, queue: bool) -> None:
    if queue:
        server.send(session, gate.script)
    same, path, body = key(), f"/api/sessions/{session}/turns", {"prompt": "echo once", "queue": queue}
    responses = [server.ask("POST", path, body, same) for _ in range(2)]
    gate.open()
    assert server.data.wait_for_end(session) == "ok"
    responses.append(server.ask("POST", path, body, same))
    assert {(response.status, response.body) for response in responses} == {(202, responses[0].body)}
    assert server.data.output(session).count("once") == 1
    begun = server.data.last(session, "queued" if queue else "user")
    assert begun["key"] == same["Idempotency-Key"]


def test_a_queued_prompt_is_withdrawn_once(server: Server, session: str, gate: Gate) -> None:
    turn = server.send(session, gate.script)
    queued = server.send(session, "echo never", queue=True)
    path = f"/api/sessions/{session}/queue"
    response = server.ask("DELETE", f"{path}/{queued}")
    assert (response.status, response.json) == (200, {"withdrawn": queued})
    assert server.state(session)["queued"] == 0
    assert is_problem(server.ask("DELETE", f"{path}/{queued}"), 409)
    assert is_problem(server.ask("DELETE", f"{path}/{turn}"), 404)


def test_cancel_returns_whether_a_turn_was_running(server: Server, session: str, gate: Gate) -> None:
    path = f"/api/sessions/{session}/cancel"
    response = server.ask("POST", path)
    assert (response.status, response.json) == (200, {"cancelled": False})
    server.send(session, gate.script)
    assert server.ask("POST", path).json == {"cancelled": True}
    assert server.data.wait_for_end(session) == "cancelled"
    assert server.state(session)["status"] == "cancelled"


def test_the_first_answer_to_a_question_counts(server: Server, session: str, gate: Gate) -> None:
    turn, path = server.send(session, gate.script), f"/api/sessions/{session}/answers"
    server.data.wait_for_output(session)
    server.data.ask(session, turn)
    assert server.state(session)["asking"] is True
    body = {"request": "r1", "allow": True, "message": "go on", "for_session": True}
    assert server.ask("POST", path, body).status == 202
    assert is_problem(server.ask("POST", path, {"request": "r1", "allow": False}), 409)
    assert is_problem(server.ask("POST", path, {"request": "r2", "allow": False}), 404)
    assert server.state(session)["asking"] is False
    answer = server.data.last(session, "answer")
    assert answer == {**answer, **body, "turn": turn}


def test_a_prompt_to_a_session_whose_disk_failed_is_507_until_the_mark_is_deleted(
    server: Server, session: str
) -> None:
    degraded = server.data.log(session).with_name("degraded")
    degraded.touch()
    assert server.state(session)["status"] == "degraded"
    assert is_problem(server.ask("POST", f"/api/sessions/{session}/turns", {"prompt": "true"}), 507)
    assert len(server.data.events(session)) == 1
    degraded.unlink()
    server.send(session, "true")
