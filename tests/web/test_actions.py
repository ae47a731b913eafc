"""Actions over HTTP: the API, and the pages as a browser without JavaScript uses them."""

import html
import json
import re
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from tests.help.hostile_values import EXACT
from tests.help.servers import Server, serving
from tests.help.waiting import wait_until

SETTINGS = """
[actions.show]
label = "Show a text"
command = ["printf", "%s", "--text={text}"]
effect = "changes"
before = ["look"]
params.text = { kind = "text", pattern = "(?s).*", about = "what to show" }

[actions.look]
command = ["echo", "a  b"]
effect = "reads"

[actions.count]
command = ["sleep", "{n}.25"]
effect = "reads"
params.n = { kind = "int", min = 0, max = 1000 }

[actions.halt]
label = "Halt"
command = ["sleep", "1000"]
effect = "disrupts"
"""
HOST = socket.gethostname()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("actions")
    (folder / "settings.toml").write_text(SETTINGS)
    with serving(folder / "var", "--config", str(folder / "settings.toml")) as started:
        yield started


def run(
    server: Server, name: str, session: str = "", headers: dict[str, str] | None = None, **body: Any
) -> tuple[int, Any]:
    path = f"/api/sessions/{session}/actions/{name}" if session else f"/api/actions/{name}"
    status, answer, _ = server.ask("POST", path, body, headers)
    return status, answer


def events(server: Server, session: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.log(session).read_bytes().splitlines()]


def test_the_list_has_the_actions_with_their_parameters(server: Server) -> None:
    status, answer, _ = server.ask("GET", "/api/actions")
    listed = {action["name"]: action for action in answer["actions"]}
    assert status == 200
    assert listed["count"] == {
        "name": "count",
        "label": "count",
        "about": "",
        "group": "",
        "effect": "reads",
        "command": ["sleep", "{n}.25"],
        "params": {"n": {"kind": "int", "min": 0, "max": 1000}},
        "confirm": None,
        "before": [],
        "timeout_seconds": 60.0,
    }
    assert listed["halt"]["confirm"] == HOST
    assert {"vital-signs", "failed-units", "boot-errors", "oom-kills"} <= listed.keys()
    assert {"last-logins", "disks", "listening-ports", "top-processes"} <= listed.keys()


def test_an_action_runs_in_a_new_session_or_in_a_given_one(server: Server) -> None:
    status, answer = run(server, "look", reason="a test")
    assert (status, answer.keys()) == (202, {"session", "turn"})
    assert server.wait_for_end(answer["session"]) == "ok"
    session = server.new_session(agent="shell")
    status, answer = run(server, "look", session)
    assert (status, answer["session"]) == (202, session)
    assert server.wait_for_end(session) == "ok"
    (user,) = [event for event in events(server, session) if event["kind"] == "user"]
    assert user["action"] == {"name": "look", "params": {}, "argv": ["echo", "a  b"]}
    assert user["turn"] == answer["turn"]


BAD: dict[str, tuple[str, dict[str, Any], int]] = {
    "an unknown parameter": ("look", {"params": {"x": "1"}}, 422),
    "a missing parameter": ("count", {}, 422),
    "a number outside": ("count", {"params": {"n": 1001}}, 422),
    "a fraction": ("count", {"params": {"n": 1.0}}, 422),
    "a boolean": ("count", {"params": {"n": True}}, 422),
    "a list": ("show", {"params": {"text": ["a"]}}, 422),
    "params that are a list": ("show", {"params": []}, 422),
    "a NUL": ("show", {"params": {"text": "a\0b"}}, 422),
    "an unknown field": ("look", {"command": ["id"]}, 422),
    "an unknown action": ("no-such", {}, 404),
    "no confirmation": ("halt", {"key": "k"}, 422),
    "a wrong confirmation": ("halt", {"key": "k", "confirm": "yes"}, 422),
    "no key": ("halt", {"confirm": HOST}, 422),
    "a bad key": ("look", {"key": "x" * 201}, 422),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_call_is_refused_and_creates_nothing(server: Server, name: str) -> None:
    action, body, expected = BAD[name]
    headers = {"Idempotency-Key": key} if (key := body.get("key")) else {}
    count = len(server.ask("GET", "/api/sessions")[1]["sessions"])
    status, answer = run(server, action, "", headers, **{k: v for k, v in body.items() if k != "key"})
    assert (status, answer["status"]) == (expected, expected)
    assert len(server.ask("GET", "/api/sessions")[1]["sessions"]) == count


def test_an_action_runs_beside_a_running_turn_and_one_that_disrupts_runs_once(server: Server) -> None:
    session = server.new_session(agent="shell")
    server.prompt(session, "sleep 1000")
    assert run(server, "look", session)[0] == 409
    key = {"Idempotency-Key": "cycle-1"}
    first, again = (run(server, "halt", session, key, beside=True, confirm=HOST) for _ in range(2))
    assert first[0] == 202
    assert again == first
    assert first[1]["session"] != session
    assert run(server, "halt", "", {"Idempotency-Key": "cycle-2"}, confirm=HOST)[0] == 409
    server.kill()  # the action goes on without the server
    server.start()
    assert server.state(first[1]["session"])["turn_active"]
    assert run(server, "halt", session, key, beside=True, confirm=HOST) == first
    for each in (session, first[1]["session"]):
        server.ask("POST", f"/api/sessions/{each}/cancel")
        assert server.wait_for_end(each) == "cancelled"
    assert run(server, "halt", session, key, beside=True, confirm=HOST) == first


def test_a_read_only_token_lists_actions_and_runs_none(server: Server) -> None:
    (server.data / "token.readonly").write_text(view := "view-only-and-long-enough-for-a-token-0123456789")
    (server.data / "token.readonly").chmod(0o600)
    headers = {"Authorization": f"Bearer {view}"}
    assert wait_until(lambda: server.ask("GET", "/api/actions", headers=headers)[0] == 200, "the token")
    assert server.ask("POST", "/api/actions/look", {}, headers)[0] == 403
    _, page, _ = server.ask("GET", "/actions", headers=headers)
    assert b"<form" not in page
    assert b"Read-only: this login can view sessions but not act." in page


# --- the pages --------------------------------------------------------------------------------------


def page(server: Server, path: str) -> tuple[int, str]:
    status, body, _ = server.ask("GET", path, headers={"Accept": "text/html"})
    return status, body.decode()


def send(server: Server, path: str, fields: dict[str, str]) -> tuple[int, str, str]:
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html"}
    status, body, answered = server.ask("POST", path, urlencode(fields).encode(), headers)
    return status, body.decode(), answered.get("location", "")


def shown_arguments(text: str) -> list[list[str]]:
    """Return the lists of arguments that a page shows."""
    lists = re.findall(r'<ol class="arguments"[^>]*>(.*?)</ol>', text, re.DOTALL)
    return [[html.unescape(each) for each in re.findall(r"<code>(.*?)</code>", own)] for own in lists]


def fields_of_button(text: str) -> dict[str, str]:
    """Return the hidden fields of the form that runs an action."""
    form = text.partition('<form method="post" class="fields run"')[2].partition("</form>")[0]
    found = re.findall(r'type="hidden" name="([^"]*)" value="([^"]*)"', form)
    return {name: html.unescape(value) for name, value in found}


def test_the_page_has_what_reads_first_and_what_disrupts_last(server: Server) -> None:
    status, text = page(server, "/actions")
    assert status == 200
    assert re.findall(r'<section class="(\w+)"', text) == ["reads", "changes", "disrupts"]
    assert ["echo", "a  b"] in shown_arguments(text)
    assert "<script" not in text
    at = text.index('action="/actions/look"')
    assert text.rindex('<ol class="arguments"', 0, at) > text.rindex("<h4>", 0, at), (
        "arguments above the button"
    )
    assert '<form method="post" action="/actions/halt"' not in text


def test_a_button_runs_an_action_in_the_session_of_the_page(server: Server) -> None:
    session = server.new_session(agent="shell", title="the title")
    assert "the title" in page(server, f"/actions?session={session}")[1]
    status, _, place = send(server, "/actions/look", {"session": session, "key": "k-1"})
    assert (status, place) == (303, f"/sessions/{session}#end")
    assert server.wait_for_end(session) == "ok"
    shown = page(server, f"/sessions/{session}")[1]
    assert "action look" in shown
    assert f'href="/actions?session={session}"' in shown
    assert send(server, "/actions/look", {"session": session, "key": "k-1"})[2] == place
    assert len([event for event in events(server, session) if event["kind"] == "user"]) == 1


@pytest.mark.parametrize("value", ["a\r\nb", "\u202ex", " two  blanks ", '"><script>', EXACT[-4]], ids=ascii)
def test_the_arguments_are_shown_before_they_run_and_run_as_shown(server: Server, value: str) -> None:
    assert page(server, "/actions/show")[0] == 200
    status, text = page(server, f"/actions/show?p.text={quote(value)}")
    assert (status, shown_arguments(text)[0]) == (200, ["echo", "a  b"])
    assert len(shown_arguments(text)[1]) == 3
    status, _, place = send(server, "/actions/show", fields_of_button(text))
    assert status == 303
    session = place.removeprefix("/sessions/").removesuffix("#end")
    user = events(server, session)[1]
    assert user["action"]["argv"] == ["printf", "%s", f"--text={value}"]


def test_a_wrong_field_shows_the_page_again_with_the_reason(server: Server) -> None:
    status, text = page(server, "/actions/count?p.n=5000")
    assert (status, "n: expected a whole number from 0 to 1000" in text) == (422, True)
    assert 'value="5000"' in text
    status, text, _ = send(server, "/actions/halt", {"key": "a", "confirm": "no", "reason": "it hangs"})
    assert (status, f"confirm: type {HOST} to run Halt" in text) == (422, True)
    assert 'value="it hangs"' in text
    assert page(server, "/actions/no-such")[0] == 404
    assert page(server, "/actions?session=no-such")[0] == 404
