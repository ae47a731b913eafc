"""What an agent may do that no known one does: ids, errors, modes and names that are odd but allowed."""

from typing import Any

import pytest

from breakglass.agents import Exit, TurnInput
from breakglass.agents.acp.answering import MAX_NOTIFICATIONS
from breakglass.agents.acp.dialogue import Dialogue
from tests.agents.acp.made_messages import (
    ASKED,
    MODE_OPTION,
    MODES,
    OPTIONS,
    begun,
    question,
    say,
    text_block,
    update,
    written,
)


@pytest.mark.parametrize("name", ["session 1", "sitzung-ä", "/home/ann/a b.json", "日本"])
def test_a_session_may_have_any_name_that_can_be_shown(name: str) -> None:
    dialogue = begun({"sessionId": name})
    assert written(dialogue)[-1]["params"]["sessionId"] == name
    dialogue = Dialogue(TurnInput("hi", ("agent",), session=name))
    dialogue.open()
    say(dialogue, id=1, result={"protocolVersion": 1, "agentCapabilities": {"loadSession": True}})
    reopen = written(dialogue)[-1]
    assert (reopen["method"], reopen["params"]["sessionId"]) == ("session/load", name)


@pytest.mark.parametrize("number", [3, "3", 3.0])
def test_a_response_may_repeat_the_number_of_a_request_as_text_and_name_an_error_that_is_null(
    number: Any,
) -> None:
    dialogue = begun()
    assert say(dialogue, id=number, result={"stopReason": "end_turn"}, error=None) == []
    assert (dialogue.finished, dialogue.failed) == (True, False)


@pytest.mark.parametrize("number", [True, "03", "x", 4, None, [3]])
def test_a_response_with_the_id_of_no_request_is_a_notice(number: Any) -> None:
    dialogue = begun()
    assert [kind for kind, _ in say(dialogue, id=number, result={"stopReason": "end_turn"})] == ["notice"]
    assert not dialogue.finished


def test_what_a_new_session_says_before_the_prompt_is_logged_and_not_joined_with_the_answer() -> None:
    dialogue = Dialogue(TurnInput("hi", ("agent",)))
    dialogue.open()
    say(dialogue, id=1, result={"protocolVersion": 1})
    warning = {"text": "Your plan ends today."}
    assert update(dialogue, "agent_message_chunk", content=text_block(warning["text"])) == [
        ("delta", warning)
    ]
    assert say(dialogue, id=2, result={"sessionId": "s"}) == [
        ("text", warning),
        ("session", {"session_id": "s"}),
    ]
    update(dialogue, "agent_message_chunk", content=text_block("Hello."))
    say(dialogue, id=3, result={"stopReason": "end_turn"})
    assert [fields for kind, fields in dialogue.close(Exit(0)) if kind == "text"] == [{"text": "Hello."}]


@pytest.mark.parametrize("session", [MODES, MODE_OPTION])
def test_a_mode_that_the_agent_changes_itself_is_told_once(session: dict[str, Any]) -> None:
    dialogue = begun(session, ask=True)
    set_mode = written(dialogue)[-1]["params"]
    was = set_mode.get("modeId") or set_mode["value"]
    say(dialogue, id=3, result={})
    offered = [{"id": "m", "category": "mode", "currentValue": "yolo", "options": []}]
    assert update(dialogue, "current_mode_update", currentModeId=was) == []
    notice = ("notice", {"text": 'The agent changed its mode to "yolo".'})
    assert update(dialogue, "current_mode_update", currentModeId="yolo") == [notice]
    assert update(dialogue, "config_option_update", configOptions=offered) == []


@pytest.mark.parametrize(
    ("call", "name"),
    [
        ({"title": "rm -rf x; ls"}, "tool"),
        ({"title": "rm -rf x; ls", "kind": "other"}, "other"),
        ({"title": "server.look_up", "kind": "other"}, "server.look_up"),
        ({"title": "look_up"}, "look_up"),
        ({"title": "look_up", "kind": "read"}, "read"),
        ({"title": None, "kind": None}, "tool"),
    ],
)
def test_a_tool_without_a_kind_has_its_title_as_name_only_if_that_is_one_word(
    call: dict[str, Any], name: str
) -> None:
    ((_, fields), _) = update(
        begun(), "tool_call", toolCallId="t", status="completed", rawInput={"a": 1}, **call
    )
    assert fields["name"] == name


def test_calls_and_questions_may_be_counted_with_numbers_beside_text() -> None:
    dialogue = begun(ask=True)
    written(dialogue)
    for number, call in ((1, 5), ("1", 6)):
        params = {"sessionId": "s", "toolCall": {**ASKED, "toolCallId": call}, "options": OPTIONS}
        *_, (_, fields) = say(dialogue, id=number, method="session/request_permission", params=params)
        assert fields["tool_id"] == str(call)
    assert [dialogue.answer(each, allow=True) for each in ("7-1", '7-"1"')] == [True, True]
    assert [answer["id"] for answer in written(dialogue)] == [1, "1"]


def test_notifications_of_the_agents_own_are_told_up_to_a_number() -> None:
    dialogue = begun()
    drafts = [draft for n in range(100) for draft in say(dialogue, method="_x/progress", params={"n": n})]
    assert len(drafts) == MAX_NOTIFICATIONS + 1
    text = "The agent's further notifications _x/progress are not shown in this turn."
    assert drafts[-1] == ("notice", {"text": text})
    assert len(say(dialogue, method="_x/other", params={})) == 1


@pytest.mark.parametrize(
    "said", ["Tool use was rejected by the user", "Operation aborted", "permission denied"]
)
def test_an_error_that_says_that_permission_was_refused_is_no_error_of_the_agent(said: str) -> None:
    dialogue = begun(ask=True)
    question(dialogue)
    dialogue.answer("7-0", allow=False)
    drafts = say(dialogue, id=3, error={"code": -32603, "message": said})
    assert drafts == [("notice", {"text": f"The agent ended its turn: {said}"})]
    (kind, result) = dialogue.close(Exit(0))[-1]
    assert (kind, result["is_error"], dialogue.failed) == ("result", False, False)
    assert result["result"] == "The turn stopped because permission was refused."


@pytest.mark.parametrize(
    ("message", "was_refused"),
    [
        ("permission denied", False),
        ("overloaded", True),
        ("('Connection aborted.', RemoteDisconnected('closed'))", True),
        ("API error 403: permission denied for this model", True),
        ("stream interrupted: 529 overloaded", True),
        ("rejected: quota exceeded", True),
    ],
)
def test_another_error_fails_the_turn(message: str, was_refused: bool) -> None:
    dialogue = begun(ask=True)
    question(dialogue)
    dialogue.answer("7-0", allow=not was_refused)
    assert say(dialogue, id=3, error={"code": -32603, "message": message})[-1][0] == "error"
    assert dialogue.failed
