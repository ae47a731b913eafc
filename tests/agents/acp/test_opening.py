"""From `initialize` to the prompt: the session, the model, the mode, and what prevents the prompt."""

from typing import Any

import pytest

from breakglass.agents import Exit, Picture, TurnInput
from breakglass.agents.acp.dialogue import Dialogue
from tests.agents.acp.made_messages import (
    MODE_OPTION,
    MODEL_OPTION,
    MODES,
    begun,
    say,
    text_block,
    update,
    written,
)


@pytest.mark.parametrize(
    ("session", "given", "method", "params"),
    [
        ({}, {}, "session/prompt", {"prompt": [text_block("hi")]}),
        (MODES, {}, "session/set_mode", {"modeId": "Yolo"}),
        (MODES, {"ask": True}, "session/set_mode", {"modeId": "default"}),
        (MODE_OPTION, {"ask": True}, "session/set_config_option", {"configId": "m", "value": "ask"}),
        (MODE_OPTION, {}, "session/prompt", {"prompt": [text_block("hi")]}),
        (MODEL_OPTION, {"model": "x"}, "session/set_config_option", {"configId": "llm", "value": "x"}),
        ({"models": {"currentModelId": "y"}}, {"model": "x"}, "session/set_model", {"modelId": "x"}),
    ],
)
def test_model_and_mode_are_set_the_way_the_session_offers(
    session: dict[str, Any], given: dict[str, Any], method: str, params: dict[str, Any]
) -> None:
    last = written(begun(session, **given))[-1]
    assert (last["method"], last["params"]) == (method, {"sessionId": "s", **params})


@pytest.mark.parametrize(
    "prompt",
    [
        "/login is broken",
        "/clear",
        "/status returns 502",
        "/",
        "  /logout",
        "\n/clear",
        "$memory show",
        "/context of",
    ],
)
def test_a_prompt_that_looks_like_a_command_of_the_agent_is_escaped(prompt: str) -> None:
    assert sent_prompt(prompt) == "\\" + prompt


@pytest.mark.parametrize(
    "prompt", ["/compact", "/compact keep the hosts", "/context", "ls /", "#1", "@a", "-x", ""]
)
def test_an_offered_command_and_other_prompts_are_sent_as_they_are(prompt: str) -> None:
    assert sent_prompt(prompt) == prompt


def sent_prompt(prompt: str) -> str:
    """Return the text that the agent gets."""
    dialogue = Dialogue(TurnInput(prompt, ("agent",)))
    dialogue.open()
    say(dialogue, id=1, result={"protocolVersion": 1})
    say(dialogue, id=2, result={"sessionId": "s"})
    return str(written(dialogue)[-1]["params"]["prompt"][0]["text"])


def test_the_prompt_follows_the_settings_and_announces_the_session() -> None:
    dialogue = begun(MODES | MODEL_OPTION, model="x")
    assert [message["method"] for message in written(dialogue)][-1:] == ["session/set_config_option"]
    assert say(dialogue, id=3, result={}) == []
    assert [message["method"] for message in written(dialogue)] == ["session/set_mode"]
    assert say(dialogue, id=4, result={}) == [("session", {"session_id": "s", "model": "x"})]
    assert [message["method"] for message in written(dialogue)] == ["session/prompt"]


def test_an_agent_that_must_ask_and_cannot_gets_no_prompt() -> None:
    dialogue = begun({"modes": {"currentModeId": "YOLO", "availableModes": [{"id": "YOLO"}]}}, ask=True)
    assert dialogue.finished
    assert "session/prompt" not in str(written(dialogue))
    assert dialogue.close(Exit(0)) == []
    assert dialogue.failed


def test_a_refused_mode_ends_the_turn_before_the_prompt() -> None:
    dialogue = begun(MODES, ask=True)
    drafts = say(dialogue, id=3, error={"code": -32602, "message": "no such mode"})
    assert drafts == [("error", {"error": "The agent failed: no such mode"})]
    assert (dialogue.finished, dialogue.failed) == (True, True)


def test_a_turn_that_requires_a_model_fails_if_the_agent_offers_none() -> None:
    dialogue = begun(model="x")
    assert (dialogue.finished, dialogue.failed) == (True, True)


@pytest.mark.parametrize("version", [2, "2", "11", 10, 0.1, True, None, [1]])
def test_another_version_of_the_protocol_fails_the_turn(version: Any) -> None:
    dialogue = Dialogue(TurnInput("hi", ("agent",)))
    dialogue.open()
    ((kind, fields),) = say(dialogue, id=1, result={"protocolVersion": version})
    assert kind == "error"
    assert f"version {version}" in fields["error"]
    assert dialogue.finished


@pytest.mark.parametrize(
    ("offered", "method"),
    [
        ({"loadSession": True, "sessionCapabilities": {"resume": {}}}, "session/resume"),
        ({"loadSession": True}, "session/load"),
        ({"loadSession": False}, "session/new"),
    ],
)
def test_an_earlier_session_is_reopened_with_the_least_replay(offered: dict[str, Any], method: str) -> None:
    dialogue = Dialogue(TurnInput("hi", ("agent",), session="old"))
    dialogue.open()
    drafts = say(dialogue, id=1, result={"protocolVersion": 1, "agentCapabilities": offered})
    (message,) = written(dialogue)
    assert message["method"] == method
    assert (message["params"].get("sessionId"), bool(drafts)) == (
        ("old", False) if "new" not in method else (None, True)
    )


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 1025, None])
def test_a_session_without_a_usable_name_gets_no_prompt(name: str | None) -> None:
    dialogue = begun({"sessionId": name})
    assert (dialogue.failed, dialogue.finished) == (True, True)
    assert b"session/prompt" not in dialogue.reply()


def test_the_cost_of_a_replaced_session_is_not_subtracted() -> None:
    dialogue = Dialogue(TurnInput("hi", ("agent",), session="old", session_cost=5.0))
    dialogue.open()
    say(dialogue, id=1, result={"protocolVersion": 1, "agentCapabilities": {"loadSession": True}})
    say(dialogue, id=2, error={"code": -32002, "message": "gone"})
    say(dialogue, id=3, result={"sessionId": "s"})
    update(dialogue, "usage_update", cost={"amount": 0.5, "currency": "USD"})
    say(dialogue, id=4, result={"stopReason": "end_turn"})
    assert dialogue.close(Exit(0))[-1][1]["cost_usd"] == 0.5


def test_an_agent_that_requires_a_login_says_how() -> None:
    dialogue = Dialogue(TurnInput("hi", ("agent",)))
    dialogue.open()
    ways = [{"id": "l", "name": "Login", "description": "Run `agent login`"}]
    say(dialogue, id=1, result={"protocolVersion": 1, "authMethods": ways})
    ((kind, fields),) = say(dialogue, id=2, error={"code": -32000, "message": "Authentication required"})
    assert kind == "error"
    assert fields["error"].startswith("The agent failed: Authentication required. Log the agent in")
    assert fields["error"].endswith("Run `agent login`")


@pytest.mark.parametrize("version", [1, "1", 1.0, "1.0", "v1", " 1 "])
def test_the_version_may_be_a_number_or_text(version: Any) -> None:
    dialogue = Dialogue(TurnInput("hi", ("agent",)))
    dialogue.open()
    assert say(dialogue, id=1, result={"protocolVersion": version}) == []
    assert [message["method"] for message in written(dialogue)] == ["session/new"]


def test_what_a_loaded_session_retells_is_never_news() -> None:
    dialogue = Dialogue(TurnInput("hi", ("agent",), session="s"))
    dialogue.open()
    say(dialogue, id=1, result={"protocolVersion": 1, "agentCapabilities": {"loadSession": True}})
    written(dialogue)
    assert say(dialogue, id=2, result={}) == []
    assert (dialogue.waits_for_quiet, written(dialogue)) == (True, [])
    assert update(dialogue, "agent_message_chunk", content=text_block("the past")) == []
    assert update(dialogue, "tool_call", toolCallId="old", title="ls", status="completed") == []
    assert dialogue.after_quiet() == [("session", {"session_id": "s"})]
    assert (dialogue.waits_for_quiet, written(dialogue)[0]["method"]) == (False, "session/prompt")
    assert update(dialogue, "tool_call", toolCallId="old", title="ls", status="completed") == []
    assert dialogue.after_quiet() == []


KEY: dict[str, Any] = {"id": "api-key", "name": "API Key"}
VARIABLE: dict[str, Any] = {"id": "v", "name": "Use K", "type": "env_var", "vars": [{"name": "K"}]}
PERSON: dict[str, Any] = {"id": "web", "name": "Log in with a browser"}
LOGIN_REQUIRED = {"code": -32000, "message": "Authentication required"}


@pytest.mark.parametrize(
    ("ways", "variables", "chosen"),
    [
        ([PERSON, KEY], (), "api-key"),
        ([KEY, VARIABLE], ("K",), "v"),
        ([PERSON, {"id": "k", "_meta": {"api-key": {"provider": "google"}}}], (), "k"),
    ],
)
def test_a_login_that_needs_no_person_is_tried_once(
    ways: list[dict[str, Any]], variables: tuple[str, ...], chosen: str
) -> None:
    dialogue = Dialogue(TurnInput("hi", ("agent",), variables=variables))
    dialogue.open()
    say(dialogue, id=1, result={"protocolVersion": 1, "authMethods": ways})
    written(dialogue)
    assert say(dialogue, id=2, error=LOGIN_REQUIRED) == []
    (message,) = written(dialogue)
    assert (message["method"], message["params"]) == ("authenticate", {"methodId": chosen})
    say(dialogue, id=3, result={})
    assert [message["method"] for message in written(dialogue)] == ["session/new"]
    assert say(dialogue, id=4, error=LOGIN_REQUIRED)[0][0] == "error"
    assert (dialogue.failed, written(dialogue)) == (True, [])


@pytest.mark.parametrize("ways", [[PERSON], [VARIABLE]])
def test_a_login_that_needs_a_person_is_not_tried(ways: list[dict[str, Any]]) -> None:
    dialogue = Dialogue(TurnInput("hi", ("agent",)))
    dialogue.open()
    say(dialogue, id=1, result={"protocolVersion": 1, "authMethods": ways})
    ((_, fields),) = say(dialogue, id=2, error=LOGIN_REQUIRED)
    assert fields["error"].endswith(ways[0]["name"])


@pytest.mark.parametrize(
    "refusal",
    [
        {"code": -32603, "message": "Internal error", "data": "no key"},
        {**LOGIN_REQUIRED, "message": "no key"},
    ],
)
def test_a_refused_login_says_what_the_agent_says_and_once_how_to_log_in(refusal: dict[str, Any]) -> None:
    dialogue = Dialogue(TurnInput("hi", ("agent",)))
    dialogue.open()
    say(dialogue, id=1, result={"protocolVersion": 1, "authMethods": [KEY, PERSON]})
    say(dialogue, id=2, error=LOGIN_REQUIRED)
    ((_, fields),) = say(dialogue, id=3, error=refusal)
    assert "it refused its login (no key)" in fields["error"]
    assert fields["error"].count("Log in with a browser") == 1


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"details": "untrusted folder"}, "untrusted folder"),
        ({"message": "quota"}, "quota"),
        ({"error": {"message": "nested"}}, "nested"),
        ("plain", "plain"),
        ({"errorKind": "unknown"}, "Internal error"),
        (7, "Internal error"),
    ],
)
def test_the_reason_in_the_data_of_an_error_is_told(data: Any, text: str) -> None:
    dialogue = begun()
    drafts = say(dialogue, id=3, error={"code": -32603, "message": "Internal error", "data": data})
    assert drafts == [("error", {"error": f"The agent failed: {text}"})]


def test_a_refused_mode_that_never_asks_is_a_notice_and_the_turn_goes_on() -> None:
    dialogue = begun(MODES)
    written(dialogue)
    drafts = say(
        dialogue, id=3, error={"code": -32603, "message": "Internal error", "data": {"details": "no"}}
    )
    assert [kind for kind, _ in drafts] == ["session", "notice"]
    assert drafts[1][1]["text"].startswith(
        'The agent refused its mode "Yolo" (no). It stays in its mode "auto"'
    )
    assert [message["method"] for message in written(dialogue)] == ["session/prompt"]


@pytest.mark.parametrize(("offered", "blocks"), [({"image": True}, 2), ({"image": "yes"}, 1), ({}, 1)])
def test_pictures_are_sent_to_an_agent_that_takes_them(offered: dict[str, Any], blocks: int) -> None:
    picture = Picture("image/png", b"\x89PNG")
    dialogue = Dialogue(TurnInput("hi", ("agent",), pictures=(picture,)))
    dialogue.open()
    say(dialogue, id=1, result={"protocolVersion": 1, "agentCapabilities": {"promptCapabilities": offered}})
    say(dialogue, id=2, result={"sessionId": "s"})
    image = {"type": "image", "mimeType": "image/png", "data": "iVBORw=="}
    assert written(dialogue)[-1]["params"]["prompt"] == [text_block("hi"), image][:blocks]
