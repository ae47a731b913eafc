"""The conversation with an ACP agent: its requests, its questions, and how a turn ends."""

import json
from typing import Any

import pytest

from breakglass.agents import Exit, TurnInput
from breakglass.agents.acp.dialogue import Dialogue
from tests.agents.acp.made_messages import OPTIONS, begun, outcome, question, say, text_block, update, written


def test_updates_before_the_prompt_or_of_another_session_are_ignored() -> None:
    dialogue = Dialogue(TurnInput("hi", ("agent",), session="s"))
    dialogue.open()
    say(dialogue, id=1, result={"protocolVersion": 1, "agentCapabilities": {"loadSession": True}})
    assert update(dialogue, "agent_message_chunk", content=text_block("the past")) == []
    say(dialogue, id=2, result={})
    dialogue.after_quiet()
    assert update(dialogue, "agent_message_chunk", session="other", content=text_block("elsewhere")) == []
    assert update(dialogue, "agent_message_chunk", content=text_block("now")) == [("delta", {"text": "now"})]


@pytest.mark.parametrize("method", ["fs/read_text_file", "terminal/create", "elicitation/create", "_x/y"])
def test_an_unsupported_request_is_refused_and_a_notification_ignored(method: str) -> None:
    dialogue = begun()
    written(dialogue)
    assert say(dialogue, id=0, method=method, params={"path": "/etc/shadow"}) == []
    (answer,) = written(dialogue)
    assert (answer["id"], answer["error"]["code"]) == (0, -32601)
    assert say(dialogue, method=method, params={}) == []
    assert written(dialogue) == []


@pytest.mark.parametrize(
    ("answer", "chosen"),
    [
        ({"allow": True}, "yes"),
        ({"allow": False}, "no"),
        ({"allow": False, "message": "not today"}, "no"),
    ],
)
def test_an_answer_selects_the_matching_option(answer: dict[str, Any], chosen: str) -> None:
    dialogue = begun(ask=True)
    kind, fields = question(dialogue)[-1]
    assert (kind, fields) == ("permission", {"request": "7-0", "name": "Bash", "input": {"command": "ls"}})
    written(dialogue)
    assert dialogue.answer("7-0", **answer)
    assert outcome(dialogue) == chosen
    assert not dialogue.answer("7-0", allow=True)
    assert not dialogue.answer("7-1", allow=True)


def test_an_answer_without_a_matching_option_is_a_cancellation() -> None:
    dialogue = begun(ask=True)
    question(dialogue, options=OPTIONS[:1])
    written(dialogue)
    dialogue.answer("7-0", allow=False)
    assert outcome(dialogue) == "cancelled"


def test_an_agent_that_need_not_ask_gets_permission_once_at_a_time() -> None:
    dialogue = begun()
    written(dialogue)
    assert question(dialogue) == []
    assert outcome(dialogue) == "yes"


def test_a_question_may_have_the_id_of_one_of_our_requests() -> None:
    dialogue = begun(ask=True)
    assert question(dialogue, 3)[-1][0] == "permission"
    assert not dialogue.finished


def test_an_agent_may_withdraw_its_question() -> None:
    dialogue = begun(ask=True)
    question(dialogue)
    written(dialogue)
    ((kind, fields),) = say(dialogue, method="$/cancel_request", params={"requestId": 0})
    assert (kind, fields["request"], fields["by"]) == ("answer", "7-0", "agent")
    assert outcome(dialogue) == "cancelled"


def test_a_cancellation_answers_the_open_questions_once() -> None:
    dialogue = begun(ask=True)
    question(dialogue)
    written(dialogue)
    cancellation = [json.loads(line) for line in dialogue.interrupt().splitlines()]
    assert cancellation[0]["method"] == "session/cancel"
    assert cancellation[1]["result"]["outcome"] == {"outcome": "cancelled"}
    assert not dialogue.answer("7-0", allow=True)
    kinds = [kind for kind, _ in dialogue.close(Exit(0, cancelled=True))]
    assert kinds == ["answer"]


def test_before_the_prompt_and_after_its_answer_only_a_signal_stops_the_agent() -> None:
    dialogue = Dialogue(TurnInput("hi", ("agent",)))
    dialogue.open()
    assert dialogue.interrupt() == b""
    dialogue = begun()
    assert dialogue.interrupt() != b""
    say(dialogue, id=3, result={"stopReason": "end_turn"})
    assert dialogue.interrupt() == b""


@pytest.mark.parametrize(
    ("reason", "is_error"),
    [
        ("end_turn", False),
        ("max_tokens", True),
        ("max_turn_requests", True),
        ("refusal", True),
        ("new", False),
    ],
)
def test_the_stop_reason_says_whether_the_turn_failed(reason: str, is_error: bool) -> None:
    dialogue = begun()
    update(dialogue, "agent_message_chunk", content=text_block("the answer"))
    drafts = say(dialogue, id=3, result={"stopReason": reason}) + dialogue.close(Exit(0, duration_ms=9))
    results = [fields for kind, fields in drafts if kind == "result"]
    assert [(result["is_error"], result["duration_ms"]) for result in results] == [(is_error, 9)]
    assert (results[0]["result"] == "the answer") is not is_error
    assert dialogue.failed is is_error


def test_an_exit_status_after_the_answer_is_no_failure() -> None:
    dialogue = begun()
    say(dialogue, id=3, result={"stopReason": "end_turn"})
    assert [kind for kind, _ in dialogue.close(Exit(1))] == ["result"]
    assert not dialogue.failed


def test_output_that_is_no_json_is_reported_if_the_agent_fails() -> None:
    dialogue = Dialogue(TurnInput("hi", ("agent",)))
    dialogue.open()
    dialogue.translate(b"agent: unknown option --acp\n")
    ((kind, fields),) = dialogue.close(Exit(2))
    assert kind == "error"
    assert fields["error"] == "The agent failed without an answer: exit status 2. agent: unknown option --acp"
