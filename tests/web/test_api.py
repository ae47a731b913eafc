"""The HTTP API of docs/api.md, against a real server."""

import inspect
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from breakglass import __version__
from breakglass.access.credentials import Access
from breakglass.config import Config
from breakglass.state import SessionState, describe
from breakglass.web import api
from breakglass.web.app import HTTP_STATUS, create_app
from breakglass.web.operation import Operation
from breakglass.web.operations import OPERATIONS
from breakglass.web.schemas import SESSION
from tests.help.servers import TOKEN, Server, serving
from tests.help.waiting import wait_until

UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("api") / "var", BREAKGLASS_SSE_KEEPALIVE_SECONDS="0.2") as started:
        yield started


def stream(
    server: Server, session: str, path: str = "", headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    """Attach, read to the end of the replay, and detach."""
    connection = server.connection()
    sent = {"Authorization": f"Bearer {TOKEN}", "Accept": "text/event-stream", **(headers or {})}
    connection.request("GET", f"/api/sessions/{session}/events{path}", headers=sent)
    response = connection.getresponse()
    body = b""
    if response.status != 200:
        body = response.read()
        connection.close()
        return response.status, body
    while not body.endswith(b"}\n\n") or b"event: caught-up\n" not in body:
        body += response.readline()
    response.close()
    connection.close()
    return response.status, body


def ids(body: bytes) -> list[int]:
    return [int(number) for number in re.findall(rb"^id: ([0-9]+)$", body, re.MULTILINE)]


def with_turn(server: Server) -> tuple[str, list[bytes]]:
    """Return a session whose one turn has ended, and the lines of its log."""
    session = server.new_session()
    server.prompt(session, "echo hello")
    assert server.wait_for_end(session) == "ok"
    return session, server.log(session).read_bytes().splitlines(keepends=True)


def test_health_names_the_service_and_needs_no_credential(server: Server) -> None:
    status, body, _ = server.ask("GET", "/health", headers={"Authorization": ""})
    assert (status, body) == (200, {"status": "ok", "service": "breakglass", "version": __version__})


def test_a_session_is_created_read_listed_renamed_and_archived(server: Server) -> None:
    status, made, headers = server.ask("POST", "/api/sessions", {"title": "disk full"})
    assert status == 201
    assert headers["location"] == f"/api/sessions/{made['id']}"
    assert set(made) == {
        *"id title agent model target created updated last_event_id turn_active status".split(),
        *"asking queued allowed context seal".split(),
    }
    assert (made["title"], made["agent"], made["turn_active"], made["last_event_id"]) == (
        "disk full",
        "shell",
        False,
        1,
    )
    path = f"/api/sessions/{made['id']}"
    assert server.ask("PATCH", path, {"title": "disk is full"})[1]["title"] == "disk is full"
    assert server.ask("GET", "/api/sessions")[1]["sessions"][0]["id"] == made["id"]
    assert server.ask("PATCH", path, {"archived": True})[1]["last_event_id"] == 3
    assert made["id"] not in [each["id"] for each in server.ask("GET", "/api/sessions")[1]["sessions"]]
    assert made["id"] in [each["id"] for each in server.ask("GET", "/api/sessions?archived=1")[1]["sessions"]]


REFUSED: list[tuple[str, str, Any, int, str]] = [
    ("POST", "/api/sessions", {"agent": "nobody"}, 422, "expected one of claude, shell"),
    ("POST", "/api/sessions", {"model": "--help"}, 422, "model"),
    ("POST", "/api/sessions", {"colour": "red"}, 422, "colour"),
    ("POST", "/api/sessions", {"title": "x" * 201}, 422, "200"),
    ("POST", "/api/sessions", b'{"\\ud800":1}', 400, "JSON"),
    ("POST", "/api/sessions", b'{"agent":"\\ud800"}', 422, "expected one of"),
    ("POST", "/api/sessions", b"{", 400, "JSON"),
    ("POST", "/api/sessions", b'{"title":NaN}', 400, "JSON"),
    ("POST", "/api/sessions", b'{"title":"a","title":"b"}', 400, "twice"),
    ("POST", "/api/sessions", b"[" * 100_000, 400, "JSON"),
    ("GET", f"/api/sessions/{UNKNOWN}", None, 404, "no session"),
    ("GET", "/api/sessions/none", None, 404, "no session"),
    ("PATCH", f"/api/sessions/{UNKNOWN}", {"title": "x"}, 404, "no session"),
    ("GET", f"/api/sessions/{UNKNOWN}/events", None, 404, "no session"),
    ("POST", f"/api/sessions/{UNKNOWN}/turns", {"prompt": "x"}, 404, "no session"),
    ("POST", f"/api/sessions/{UNKNOWN}/cancel", None, 404, "no session"),
    ("POST", f"/api/sessions/{UNKNOWN}/answers", {"request": "r", "allow": True}, 404, "no session"),
    ("GET", "/api/nothing", None, 404, ""),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "words"), REFUSED)
def test_a_refused_request_gets_a_problem_with_the_reason(
    server: Server, method: str, path: str, body: Any, status: int, words: str
) -> None:
    headers = {"Content-Type": "application/json"}
    got, problem, answered = server.ask(method, path, body, headers)
    assert got == status
    assert answered["content-type"].startswith("application/problem+json")
    assert problem["status"] == status
    assert problem["title"]
    assert words in problem["detail"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"prompt": ""}, 422),
        ({"prompt": " \n"}, 422),
        ({"prompt": 5}, 422),
        ({}, 422),
        ({"prompt": "x" * (256 * 1024 + 1)}, 413),
        ({"prompt": "x", "model": "-x"}, 422),
    ],
)
def test_a_bad_prompt_is_refused_and_changes_nothing(server: Server, body: Any, status: int) -> None:
    session = server.new_session()
    assert server.ask("POST", f"/api/sessions/{session}/turns", body)[0] == status
    assert server.state(session)["last_event_id"] == 1


def test_a_second_prompt_during_a_turn_is_a_conflict(server: Server) -> None:
    session = server.new_session()
    server.prompt(session, "sleep 60")
    status, problem, _ = server.ask("POST", f"/api/sessions/{session}/turns", {"prompt": "echo"})
    assert (status, problem["title"]) == (409, "Conflict")
    assert server.ask("POST", f"/api/sessions/{session}/cancel")[1] == {"cancelled": True}
    assert server.wait_for_end(session) == "cancelled"
    assert server.ask("POST", f"/api/sessions/{session}/cancel")[1] == {"cancelled": False}


def test_only_one_of_many_simultaneous_prompts_starts_a_turn(server: Server) -> None:
    session = server.new_session()
    path = f"/api/sessions/{session}/turns"
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: server.ask("POST", path, {"prompt": "sleep 0.3"})[0], range(8)))
    assert sorted(answers) == [202] + [409] * 7


def test_a_repeated_idempotency_key_starts_one_turn(server: Server) -> None:
    session = server.new_session()
    first = server.prompt(session, "echo once", **{"Idempotency-Key": "k-1"})
    again = server.prompt(session, "echo once", **{"Idempotency-Key": "k-1"})  # the turn may still run
    server.wait_for_end(session)
    later = server.prompt(session, "echo once", **{"Idempotency-Key": "k-1"})
    assert first == again == later
    assert server.log(session).read_bytes().count(b'"kind":"user"') == 1


def test_a_repeated_idempotency_key_creates_one_session_even_in_another_server(server: Server) -> None:
    key = {"Idempotency-Key": "session-1"}
    status, first, headers = server.ask("POST", "/api/sessions", {"title": "one"}, key)
    server.ask("PATCH", f"/api/sessions/{first['id']}", {"title": "two"})
    with serving(server.data) as other:
        again = other.ask("POST", "/api/sessions", {"title": "one"}, key)
    assert (status, again[0]) == (201, 201)
    assert (again[1]["id"], again[1]["title"]) == (first["id"], "two")
    assert again[2]["location"] == headers["location"]
    assert server.ask("POST", "/api/sessions", {}, {"Idempotency-Key": "two words"})[0] == 422


def test_a_prompt_is_accepted_directly_after_the_end_of_a_turn(server: Server) -> None:
    session = server.new_session()
    for _ in range(5):
        server.prompt(session, "true")
        wait_until(lambda: not server.state(session)["turn_active"], "the end of the turn")


def test_the_log_is_returned_byte_for_byte(server: Server) -> None:
    session, lines = with_turn(server)
    status, body, headers = server.ask("GET", f"/api/sessions/{session}/events")
    assert (status, headers["content-type"]) == (200, "application/x-ndjson")
    assert body == b"".join(lines)
    for after in (0, 1, len(lines) - 1, len(lines), len(lines) + 5):
        assert server.ask("GET", f"/api/sessions/{session}/events?after={after}")[1] == b"".join(
            lines[after:]
        )


def test_attach_replays_each_line_with_its_number_and_then_sends_caught_up(server: Server) -> None:
    session, lines = with_turn(server)
    expected = b"".join(b"id: %d\ndata: %b\n" % (number, line) for number, line in enumerate(lines, 1))
    caught_up = b'event: caught-up\ndata: {"id":%d}\n\n' % len(lines)
    assert stream(server, session) == (200, expected + caught_up)


def test_a_reconnect_gets_exactly_the_missed_events(server: Server) -> None:
    session, lines = with_turn(server)
    for had in range(len(lines) + 1):
        wanted = list(range(had + 1, len(lines) + 1))
        assert ids(stream(server, session, headers={"Last-Event-ID": str(had)})[1]) == wanted
        assert ids(stream(server, session, f"?after={had}")[1]) == wanted
        assert ids(stream(server, session, "?after=1", {"Last-Event-ID": str(had)})[1]) == wanted


@pytest.mark.parametrize("beyond", ["100", str(2**63), "9" * 5000])
def test_a_last_event_id_beyond_the_log_gets_reset_and_a_full_replay(server: Server, beyond: str) -> None:
    session, lines = with_turn(server)
    _, body = stream(server, session, headers={"Last-Event-ID": beyond})
    assert body.startswith(b"event: reset\ndata: {}\n\nid: 1\n")
    assert ids(body) == list(range(1, len(lines) + 1))


@pytest.mark.parametrize("bad", ["-1", "1_000", "1.0", "\u0661", "0x1", "one"])
def test_a_last_event_id_that_is_not_a_whole_number_is_refused(server: Server, bad: str) -> None:
    session = server.new_session()
    status, body = stream(server, session, headers={"Last-Event-ID": bad.encode().decode("latin-1")})
    assert status == 400
    assert json.loads(body)["status"] == 400


def test_a_silent_stream_gets_keepalive_comments(server: Server) -> None:
    session = server.new_session()
    connection = server.connection()
    headers = {"Authorization": f"Bearer {TOKEN}", "Accept": "text/event-stream"}
    connection.request("GET", f"/api/sessions/{session}/events", headers=headers)
    response = connection.getresponse()
    lines = [response.readline() for _ in range(8)]
    response.close()
    assert lines[-2:] == [b": keepalive\n", b"\n"]
    connection.close()


def test_an_answer_to_an_unknown_question_is_not_found(server: Server) -> None:
    session, _ = with_turn(server)
    answer = {"request": "none", "allow": True}
    assert server.ask("POST", f"/api/sessions/{session}/answers", answer)[0] == 404


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_function_takes_what_its_operation_has(name: str) -> None:
    operation = OPERATIONS[name]
    parameters = inspect.signature(getattr(api, name)).parameters
    in_path = {"session" if each == "id" else each for each in re.findall(r"{(\w+)}", operation.path)}
    assert set(parameters) == in_path | ({"body"} if operation.body else set())
    if operation.body:
        assert parameters["body"].annotation is operation.body


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=lambda each: f"{each.method} {each.path}")
def test_an_operations_own_errors_are_statuses_of_exceptions(operation: Operation) -> None:
    assert set(operation.errors) <= set(HTTP_STATUS.values())


def test_the_described_session_has_the_keys_of_the_session_object() -> None:
    assert list(describe("an-id", SessionState())) == list(SESSION["properties"])


def test_the_openapi_document_lists_exactly_the_routes_of_the_api(server: Server, tmp_path: Path) -> None:
    config = Config(data=tmp_path)
    _, document, _ = server.ask("GET", "/api/openapi.json")
    described = {(method, path) for path, methods in document["paths"].items() for method in methods}
    rules = create_app(config, Access(tmp_path, token=TOKEN)).url_map.iter_rules()
    routed = {
        (method.lower(), re.sub("<(?:path:)?([^>]+)>", r"{\1}", rule.rule))
        for rule in rules
        if rule.rule.startswith("/api") or rule.rule == "/health"
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert described == routed
