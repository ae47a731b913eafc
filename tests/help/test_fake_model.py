"""The fake model: its scripts, and its API over a real socket."""

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.help.fake_model import FakeModel
from tests.help.fake_script import ODD, markers, message, reply, stream
from tests.help.waiting import DEADLINE

BASH = {"name": "Bash", "description": "", "input_schema": {"type": "object"}}


def turn(*messages: tuple[str, Any], **more: Any) -> dict[str, Any]:
    """Return the body of an agent's request with these messages."""
    said = [{"role": role, "content": content} for role, content in messages]
    return {"model": "claude-opus-5-5", "tools": [BASH], "messages": said, "max_tokens": 100, **more}


def text_of_reply(body: dict[str, Any]) -> str:
    return "".join(part.text for part in reply(body))


# --- the script -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "found"),
    [
        ("no script", []),
        ("[[text a b]] and [[max]]", [("text", "a b"), ("max", "")]),
        ("[[bash [[ -f x ]] && echo y]]", [("bash", "[[ -f x ]] && echo y")]),
        ('[[tool Agent {"prompt": "[[text hi]]"}]]', [("tool", 'Agent {"prompt": "[[text hi]]"}')]),
        ("[[text two\nlines]]", [("text", "two\nlines")]),
        ("[[text never closed", []),
        ("[[ -f x ]] is no marker", []),
    ],
)
def test_a_marker_ends_where_its_brackets_balance(prompt: str, found: list[tuple[str, str]]) -> None:
    assert list(markers(prompt)) == found


def test_an_unknown_marker_raises() -> None:
    with pytest.raises(KeyError, match="txet"):
        reply(turn(("user", "[[txet hi]]")))


def test_the_script_is_in_the_newest_prompt_of_the_user() -> None:
    body = turn(
        ("user", "[[text old]]"),
        ("assistant", "old"),
        ("user", [{"type": "text", "text": "<system-reminder>[[text no]]</system-reminder>"}]),
        (
            "user",
            [
                {"type": "text", "text": "[[err 529 never answered]]"},
                {"type": "text", "text": "[[text new]]"},
            ],
        ),
        ("system", "[[text a system message can come last]]"),
    )
    assert text_of_reply(body) == "new"


def test_after_tool_calls_the_next_reply_is_given_and_after_the_last_one_a_summary_of_the_results() -> None:
    prompt = ("user", "[[bash ls]][[then]][[text second]]")
    called = ("assistant", [{"type": "tool_use", "id": "t", "name": "Bash", "input": {}}])
    answered = ("user", [{"type": "tool_result", "tool_use_id": "t", "content": "one two", "is_error": True}])
    assert [part.kind for part in reply(turn(prompt))] == ["tool_use"]
    assert text_of_reply(turn(prompt, called, answered)) == "second"
    summed = text_of_reply(turn(prompt, called, answered, called, answered))
    assert summed == "done: 1 result(s), is_error=True, 7 chars, starts 'one two'"


def test_the_reply_to_a_prompt_without_a_script_lists_the_user_texts() -> None:
    assert (
        text_of_reply(turn(("user", "a"), ("assistant", "b"), ("user", "c")))
        == "echo: 2 user texts: ['a', 'c']"
    )
    assert text_of_reply(turn()) == "echo: 0 user texts: []"


def test_the_events_of_a_stream_add_up_to_the_message() -> None:
    prompt = '[[think why not]][[text a long text in pieces]][[uni]][[tool Read {"file_path": "/x"}]]'
    parts = reply(turn(("user", prompt)))
    whole = message(parts, "claude-x", "1")
    assert [block["type"] for block in whole["content"]] == ["thinking", "text", "text", "tool_use"]
    assert whole["content"][2]["text"] == ODD
    assert whole["stop_reason"] == "tool_use"
    assert _add_up(list(stream(parts, "claude-x", "1"))) == whole


def _add_up(events: list[dict[str, Any]]) -> dict[str, Any]:
    built: dict[str, Any] = {}
    inputs = ""
    for event in events:
        if event["type"] == "message_start":
            built = dict(event["message"], content=[])
        elif event["type"] == "content_block_start":
            built["content"].append(dict(event["content_block"]))
            inputs = ""
        elif event["type"] == "content_block_delta":
            for key in ("text", "thinking", "signature"):
                if key in event["delta"]:
                    built["content"][-1][key] += event["delta"][key]
            inputs += event["delta"].get("partial_json", "")
        elif event["type"] == "content_block_stop" and inputs:
            built["content"][-1]["input"] = json.loads(inputs)
        elif event["type"] == "message_delta":
            built |= event["delta"]
    return built


@pytest.mark.parametrize(
    ("prompt", "reason"), [("[[text a]][[max]]", "max_tokens"), ("[[refuse]]", "refusal"), ("hi", "end_turn")]
)
def test_the_script_sets_the_stop_reason(prompt: str, reason: str) -> None:
    assert message(reply(turn(("user", prompt))), "m", "1")["stop_reason"] == reason


# --- the API --------------------------------------------------------------------------------------


@pytest.fixture
def model() -> Iterator[FakeModel]:
    with FakeModel() as running:
        yield running


def post(model: FakeModel, body: dict[str, Any], path: str = "/v1/messages?beta=true") -> tuple[int, str]:
    """Return the status and the body of a request. A body that breaks off ends with "(cut)"."""
    connection = http.client.HTTPConnection(model.url.removeprefix("http://"), timeout=DEADLINE)
    connection.request("POST", path, json.dumps(body), {"X-Api-Key": "dummy"})
    with closing(connection), connection.getresponse() as response:
        try:
            return response.status, response.read().decode()
        except http.client.IncompleteRead as broken:
            return response.status, broken.partial.decode() + "(cut)"


def test_a_reply_is_a_stream_or_a_complete_message(model: FakeModel) -> None:
    status, streamed = post(model, turn(("user", "[[text hello]]"), stream=True))
    assert status == 200
    assert streamed.startswith("event: message_start\ndata: {")
    assert streamed.endswith('event: message_stop\ndata: {"type": "message_stop"}\n\n')
    status, whole = post(model, turn(("user", "[[text hello]]")))
    assert (status, json.loads(whole)["content"]) == (200, [{"type": "text", "text": "hello"}])


def test_every_request_is_recorded_and_those_of_turns_are_recognized(model: FakeModel) -> None:
    post(model, turn(("user", "hi")))
    post(model, turn(("user", "a title, please"), tools=[]))
    post(model, turn(("user", "hi"), ("assistant", "ho"), ("user", "[SUGGESTION MODE: what comes next?]")))
    post(model, {"messages": []}, "/v1/messages/count_tokens")
    assert [request.is_turn for request in model.requests] == [True, False, False, False]
    assert model.turns[0].texts == ["hi"]
    assert model.turns[0].headers["x-api-key"] == "dummy"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_probe_is_answered(model: FakeModel, method: str) -> None:
    connection = http.client.HTTPConnection(model.url.removeprefix("http://"), timeout=DEADLINE)
    connection.request(method, "/v1/models")
    response = connection.getresponse()
    assert (response.status, bool(response.read())) == (200, method == "GET")
    connection.close()


def test_tokens_are_counted(model: FakeModel) -> None:
    assert post(model, turn(), "/v1/messages/count_tokens") == (200, '{"input_tokens": 10}')


def test_an_unknown_model_and_an_unknown_path_are_not_found(model: FakeModel) -> None:
    status, body = post(model, turn(("user", "hi"), model="gpt-nix"))
    assert (status, json.loads(body)["error"]["message"]) == (404, "model: gpt-nix")
    assert post(model, {}, "/v1/nothing")[0] == 404


def test_as_many_attempts_fail_as_the_script_says(model: FakeModel) -> None:
    body = turn(("user", "[[err 529 overloaded_error 2]][[text at last]]"))
    assert [post(model, body)[0] for _ in range(3)] == [529, 529, 200]
    again = turn(("user", "[[err 500 api_error]]"))
    assert [post(model, again)[0] for _ in range(3)] == [500, 500, 500]


@pytest.mark.parametrize("stream", [True, False])
def test_a_cut_breaks_off_the_body(model: FakeModel, stream: bool) -> None:
    body = turn(("user", "[[text some words]][[cut 1]]"), stream=stream)
    if stream:
        status, text = post(model, body)
        assert status == 200
        assert "some words" in text
        assert text.endswith("(cut)")
    else:
        with pytest.raises(http.client.RemoteDisconnected):
            post(model, body)
    assert "some words" in post(model, body)[1]


def test_an_error_within_a_stream_is_its_last_event(model: FakeModel) -> None:
    text = post(model, turn(("user", "[[text half]][[sseerr overloaded_error]]"), stream=True))[1]
    last = json.loads(text.rstrip().rpartition("data: ")[2])
    assert (last["type"], last["error"]["type"]) == ("error", "overloaded_error")


def test_a_reply_on_hold_waits_for_its_release(model: FakeModel) -> None:
    answers: list[tuple[int, str]] = []
    body = turn(("user", "[[text before]][[hold]][[text after]]"), stream=True)
    client = threading.Thread(target=lambda: answers.append(post(model, body)))
    client.start()
    model.wait_for(lambda fake: bool(fake.turns))
    assert not answers
    model.release()
    client.join(DEADLINE)
    assert "before" in answers[0][1]
    assert "after" in answers[0][1]
    assert not model.aborted


def test_a_client_that_disconnects_is_noticed(model: FakeModel) -> None:
    connection = http.client.HTTPConnection(model.url.removeprefix("http://"), timeout=DEADLINE)
    connection.request("POST", "/v1/messages", json.dumps(turn(("user", "[[hold]]"), stream=True)))
    response = connection.getresponse()
    assert response.readline() == b"event: message_start\n"
    response.close()
    connection.close()
    model.wait_for(lambda fake: fake.aborted == 1)


def test_a_failed_wait_lists_the_requests(model: FakeModel) -> None:
    post(model, turn(("user", "the question")))
    with pytest.raises(AssertionError, match="the question"):
        model.wait_for(lambda fake: fake.aborted > 0, seconds=0.01)
