"""The conversation with an ACP agent: its requests, its questions, and how a turn ends."""

import json
from typing import Any

import pytest

from breakglass.agents import Exit, TurnInput
from breakglass.agents.acp.dialogue import Dialogue
from tests.agents.acp.made_messages import (
    OPTIONS,
    begun,
    not_understood,
    outcome,
    question,
    say,
    text_block,
    update,
    update_line,
    written,
)


def test_updates_before_the_prompt_are_ignored_and_another_session_is_told_once() -> None:
    dialogue = Dialogue(TurnInput("hi", ("agent",), session="s"))
    dialogue.open()
    say(dialogue, id=1, result={"protocolVersion": 1, "agentCapabilities": {"loadSession": True}})
    assert update(dialogue, "agent_message_chunk", content=text_block("the past")) == []
    say(dialogue, id=2, result={})
    dialogue.after_quiet()
    drafts = update(dialogue, "agent_message_chunk", session="other", content=text_block("elsewhere"))
    text = 'The agent works in another session too, which is not shown: "other"'
    assert drafts == [("notice", {"text": text})]
    assert update(dialogue, "agent_message_chunk", session="other", content=text_block("elsewhere")) == []
    assert update(dialogue, "agent_message_chunk", content=text_block("now")) == [("delta", {"text": "now"})]


@pytest.mark.parametrize("method", ["fs/read_text_file", "terminal/create", "elicitation/create", "_x/y"])
def test_an_unsupported_request_is_refused_and_told_and_so_is_a_notification(method: str) -> None:
    dialogue = begun()
    written(dialogue)
    ((kind, fields),) = say(dialogue, id=0, method=method, params={"path": "/etc/shadow"})
    assert (kind, method in fields["text"], "/etc/shadow" in fields["text"]) == ("notice", True, True)
    (answer,) = written(dialogue)
    assert (answer["id"], answer["error"]["code"]) == (0, -32601)
    ((kind, fields),) = say(dialogue, method=method, params={"news": "x"})
    assert (kind, '"news":"x"' in fields["text"]) == ("notice", True)
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
    asked = {"request": "7-0", "name": "Bash", "input": {"command": "ls"}, "tool_id": "t"}
    assert (kind, fields) == ("permission", asked)
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
    assert [kind for kind, _ in question(dialogue)] == []
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
    assert kinds == ["tool", "tool_result", "answer"]


def test_an_open_question_ends_with_the_exit_of_the_agent() -> None:
    dialogue = begun(ask=True)
    question(dialogue)
    drafts = dialogue.close(Exit(-9))
    assert [kind for kind, _ in drafts] == ["tool", "tool_result", "answer", "error"]
    fields = drafts[2][1]
    assert (fields["request"], fields["by"]) == ("7-0", "exit")
    assert fields["message"] == "The agent's process ended before an answer (ended by signal KILL)."


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
    assert dialogue.translate(b"agent: unknown option --acp\n") == [
        not_understood("agent: unknown option --acp")
    ]
    ((kind, fields),) = dialogue.close(Exit(2))
    assert kind == "error"
    assert fields["error"] == "The agent failed without an answer: exit status 2. agent: unknown option --acp"


@pytest.mark.parametrize(
    "before", ["\ufeff", "\x1b]0;title\x07", "\x1b[0m", "| thinking", "\0", "Loaded cached credentials. "]
)
def test_what_stands_before_a_message_is_a_notice_and_the_message_is_read(before: str) -> None:
    dialogue = begun()
    written(dialogue)
    answer = b'{"jsonrpc":"2.0","id":3,"result":{"stopReason":"end_turn"}}\n'
    assert dialogue.translate(before.encode() + answer) == [not_understood(before.strip())]
    assert [kind for kind, _ in dialogue.close(Exit(0))] == ["result"]
    assert not dialogue.failed


def test_a_line_torn_by_a_second_writer_loses_neither_message() -> None:
    dialogue = begun()
    torn = update_line("agent_message_chunk", content=text_block("the answer")).rstrip()
    whole = update_line("agent_message_chunk", content=text_block("whole"))
    drafts = dialogue.translate(torn[:-20] + whole + torn[-20:] + b"\n")
    assert drafts == [
        not_understood(torn[:-20].decode()),
        ("delta", {"text": "whole"}),
        not_understood(torn[-20:].decode()),
    ]


def test_the_same_text_is_told_once() -> None:
    dialogue = begun()
    chunk = b"\x1b[0m" + update_line("agent_message_chunk", content=text_block("a"))
    assert dialogue.translate(chunk * 3) == [not_understood("\x1b[0m"), ("delta", {"text": "aaa"})]


def test_a_message_cut_off_by_the_agents_death_is_a_notice() -> None:
    dialogue = begun()
    dialogue.translate(b'{"jsonrpc":"2.0","method":"session/upd')
    assert dialogue.close(Exit(-9))[0] == not_understood('{"jsonrpc":"2.0","method":"session/upd')


def test_what_comes_after_the_answer_is_logged_and_part_of_the_result() -> None:
    dialogue = begun()
    update(dialogue, "agent_message_chunk", content=text_block("the ans"))
    drafts = say(dialogue, id=3, result={"stopReason": "end_turn"})
    assert (dialogue.finished, drafts) == (True, [])
    drafts = update(dialogue, "agent_message_chunk", content=text_block("wer"))
    drafts += update(dialogue, "tool_call", toolCallId="t", title="ls", status="completed", rawOutput="x")
    drafts += dialogue.close(Exit(0))
    assert [kind for kind, _ in drafts] == ["delta", "text", "tool", "tool_result", "result"]
    assert (drafts[1][1]["text"], drafts[-1][1]["result"]) == ("the answer", "the answer")


@pytest.mark.parametrize("reason", ["paused", None, 7])
def test_an_unknown_stop_reason_is_told(reason: Any) -> None:
    dialogue = begun()
    ((kind, fields),) = say(dialogue, id=3, result={"stopReason": reason})
    assert kind == "notice"
    assert ("none" if reason is None else str(reason)) in fields["text"]


def test_a_refusal_that_ends_the_turn_is_no_error_of_the_agent() -> None:
    dialogue = begun(ask=True)
    question(dialogue)
    dialogue.answer("7-0", allow=False)
    say(dialogue, id=3, result={"stopReason": "cancelled"})
    drafts = dialogue.close(Exit(0))
    assert drafts[-2][1]["output"] == "The tool did not run: permission was refused."
    result = {
        "is_error": False,
        "result": "The turn stopped because permission was refused.",
        "duration_ms": 0,
    }
    assert drafts[-1] == ("result", result)
    assert not dialogue.failed


def test_a_backend_error_told_as_prose_fails_the_turn() -> None:
    dialogue = begun()
    update(dialogue, "session_info_update", _meta={"codex": {"threadStatus": {"type": "systemError"}}})
    update(dialogue, "agent_message_chunk", content=text_block("quota"))
    say(dialogue, id=3, result={"stopReason": "end_turn"})
    assert dialogue.close(Exit(0))[-1] == ("error", {"error": "quota"})
    assert dialogue.failed
