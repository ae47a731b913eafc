"""The ACP dialogue on recorded output of the real agents, and on the histories that they did not play."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakglass.agents import Exit, TurnInput, new_dialogue
from breakglass.agents.acp.dialogue import Dialogue
from breakglass.events import Draft
from tests.agents.acp_recorded import GOLDEN, check, joined, lines, load, play, told

RUNS = load()
NAMES = sorted(RUNS)


# --- recorded -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_run_tells_the_story_that_was_agreed_on(name: str) -> None:
    run = RUNS[name]
    assert told(play(run, [run.stdout])) == (GOLDEN / f"{name}.jsonl").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_line_by_line_it_says_what_it_said_when_it_was_recorded(name: str) -> None:
    run = RUNS[name]
    played = play(run, lines(run.stdout))
    assert run.stdin in (played.written, None)
    assert joined(played.drafts) == joined(play(run, [run.stdout]).drafts)


@pytest.mark.parametrize("name", NAMES)
def test_byte_by_byte_the_story_is_the_same(name: str) -> None:
    run = RUNS[name]
    played = play(run, (run.stdout[at : at + 1] for at in range(len(run.stdout))))
    assert run.stdin in (played.written, None)
    assert told(played) == (GOLDEN / f"{name}.jsonl").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_every_event_of_a_recorded_run_can_be_recorded(name: str) -> None:
    run = RUNS[name]
    for draft in play(run, [run.stdout]).drafts:
        check(draft)


@pytest.mark.parametrize("name", NAMES)
def test_a_run_that_breaks_off_is_a_failure_that_says_so(name: str) -> None:
    run = RUNS[name]
    for size in range(0, len(run.stdout), 997):
        dialogue = Dialogue(run.task)
        dialogue.open()
        drafts = dialogue.translate(run.stdout[:size])
        if dialogue.finished:
            break
        drafts += dialogue.close(Exit(-9, "it was killed"))
        for draft in drafts:
            check(draft)
        assert dialogue.failed
        assert drafts[-1] == (
            "error",
            {"error": "The agent failed without an answer: ended by signal KILL. it was killed"},
        )


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("toolCallId"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(NAMES), st.data())
def test_whatever_an_agent_prints_nothing_is_raised_and_every_event_is_sound(name: str, data: Any) -> None:
    run = RUNS[name]
    said = lines(run.stdout)
    at = data.draw(st.integers(0, len(said) - 1))
    said[at] = data.draw(_damage(said[at]))
    for draft in play(run._replace(answer=None), said).drafts:
        check(draft)


def _damage(line: bytes) -> st.SearchStrategy[bytes]:
    """Return a strategy for what may stand in a line's place: other bytes, or its own JSON with one value exchanged."""
    message = json.loads(line)
    exchanged = st.tuples(st.sampled_from(list(_paths(message))), ODD).map(
        lambda change: json.dumps(_exchanged(message, *change)).encode() + b"\n"
    )
    cut = st.integers(0, len(line)).map(lambda size: line[:size])
    return exchanged | cut | st.binary(max_size=40)


def _paths(value: Any) -> Iterable[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (key,)
        yield from ((key, *path) for path in _paths(item))


def _exchanged(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _exchanged(value[path[0]], path[1:], new)
    return copy


# --- histories ------------------------------------------------------------------------------------


def begun(session: dict[str, Any] | None = None, **task: Any) -> Dialogue:
    """Return a dialogue whose prompt has been sent, to an agent that offers `session` besides its id."""
    talk = Dialogue(TurnInput("hi", ("agent",), turn=7, **task))
    talk.open()
    say(talk, id=1, result={"protocolVersion": 1, "agentCapabilities": {}})
    say(talk, id=2, result={"sessionId": "s", **(session or {})})
    return talk


def say(talk: Dialogue, **message: Any) -> list[Draft]:
    """Return the events in one message of the agent's."""
    return talk.translate(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")


def update(talk: Dialogue, kind: str, /, session: str = "s", **fields: Any) -> list[Draft]:
    """Return the events in one `session/update`."""
    params = {"sessionId": session, "update": {"sessionUpdate": kind, **fields}}
    return say(talk, method="session/update", params=params)


def written(talk: Dialogue) -> list[dict[str, Any]]:
    """Return the messages that are to be written now."""
    return [json.loads(line) for line in talk.reply().splitlines()]


def words(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


MODES = {
    "modes": {"currentModeId": "auto", "availableModes": [{"id": "default"}, {"id": "auto"}, {"id": "Yolo"}]}
}
MODE_OPTION = {
    "configOptions": [
        {
            "id": "m",
            "category": "mode",
            "type": "select",
            "currentValue": "build",
            "options": [{"value": "ask"}, {"value": "build"}],
        }
    ]
}
MODEL_OPTION = {"configOptions": [{"id": "llm", "category": "model", "type": "select", "options": []}]}


def test_the_protocol_is_in_the_table() -> None:
    assert isinstance(new_dialogue("acp", TurnInput("hi", ("agent",))), Dialogue)


@pytest.mark.parametrize(
    ("session", "task", "method", "params"),
    [
        ({}, {}, "session/prompt", {"prompt": [words("hi")]}),
        (MODES, {}, "session/set_mode", {"modeId": "Yolo"}),
        (MODES, {"ask": True}, "session/set_mode", {"modeId": "default"}),
        (MODE_OPTION, {"ask": True}, "session/set_config_option", {"configId": "m", "value": "ask"}),
        (MODE_OPTION, {}, "session/set_config_option", {"configId": "m", "value": "ask"}),
        (MODEL_OPTION, {"model": "x"}, "session/set_config_option", {"configId": "llm", "value": "x"}),
        ({"models": {"currentModelId": "y"}}, {"model": "x"}, "session/set_model", {"modelId": "x"}),
    ],
)
def test_model_and_mode_are_set_by_what_the_session_offers(
    session: dict[str, Any], task: dict[str, Any], method: str, params: dict[str, Any]
) -> None:
    last = written(begun(session, **task))[-1]
    assert (last["method"], last["params"]) == (method, {"sessionId": "s", **params})


def test_the_prompt_waits_for_the_settings_and_the_session_is_told_with_it() -> None:
    talk = begun(MODES | MODEL_OPTION, model="x")
    assert [message["method"] for message in written(talk)][-1:] == ["session/set_config_option"]
    assert say(talk, id=3, result={}) == []
    assert [message["method"] for message in written(talk)] == ["session/set_mode"]
    assert say(talk, id=4, result={}) == [("session", {"session_id": "s", "model": "x"})]
    assert [message["method"] for message in written(talk)] == ["session/prompt"]


def test_an_agent_that_would_act_though_it_must_ask_gets_no_prompt() -> None:
    talk = begun({"modes": {"currentModeId": "YOLO", "availableModes": [{"id": "YOLO"}]}}, ask=True)
    assert talk.finished
    assert "session/prompt" not in str(written(talk))
    assert talk.close(Exit(0)) == []
    assert talk.failed


def test_a_mode_that_is_refused_ends_the_turn_before_the_prompt() -> None:
    talk = begun(MODES, ask=True)
    drafts = say(talk, id=3, error={"code": -32602, "message": "no such mode"})
    assert drafts == [("error", {"error": "The agent failed: no such mode"})]
    assert (talk.finished, talk.failed) == (True, True)


def test_without_a_choice_of_models_a_model_cannot_be_asked_for() -> None:
    talk = begun(model="x")
    assert (talk.finished, talk.failed) == (True, True)


def test_another_version_of_the_protocol_is_not_spoken() -> None:
    talk = Dialogue(TurnInput("hi", ("agent",)))
    talk.open()
    ((kind, fields),) = say(talk, id=1, result={"protocolVersion": 2})
    assert kind == "error"
    assert "version 2" in fields["error"]
    assert talk.finished


@pytest.mark.parametrize(
    ("offered", "method"),
    [
        ({"loadSession": True, "sessionCapabilities": {"resume": {}}}, "session/resume"),
        ({"loadSession": True}, "session/load"),
        ({"loadSession": False}, "session/new"),
    ],
)
def test_an_earlier_session_is_opened_with_as_little_told_again_as_can_be(
    offered: dict[str, Any], method: str
) -> None:
    talk = Dialogue(TurnInput("hi", ("agent",), session="old"))
    talk.open()
    drafts = say(talk, id=1, result={"protocolVersion": 1, "agentCapabilities": offered})
    (message,) = written(talk)
    assert message["method"] == method
    assert (message["params"].get("sessionId"), bool(drafts)) == (
        ("old", False) if "new" not in method else (None, True)
    )


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 1025, None])
def test_a_session_that_cannot_be_named_again_gets_no_prompt(name: str | None) -> None:
    talk = begun({"sessionId": name})
    assert (talk.failed, talk.finished) == (True, True)
    assert b"session/prompt" not in talk.reply()


def test_what_was_spent_in_a_forgotten_session_is_not_taken_off_the_new_ones_cost() -> None:
    talk = Dialogue(TurnInput("hi", ("agent",), session="old", session_cost=5.0))
    talk.open()
    say(talk, id=1, result={"protocolVersion": 1, "agentCapabilities": {"loadSession": True}})
    say(talk, id=2, error={"code": -32002, "message": "gone"})
    say(talk, id=3, result={"sessionId": "s"})
    update(talk, "usage_update", cost={"amount": 0.5, "currency": "USD"})
    say(talk, id=4, result={"stopReason": "end_turn"})
    assert talk.close(Exit(0))[-1][1]["cost_usd"] == 0.5


def test_what_is_said_before_the_prompt_or_in_another_session_is_no_news() -> None:
    talk = Dialogue(TurnInput("hi", ("agent",), session="s"))
    talk.open()
    say(talk, id=1, result={"protocolVersion": 1, "agentCapabilities": {"loadSession": True}})
    assert update(talk, "agent_message_chunk", content=words("the past")) == []
    say(talk, id=2, result={})
    assert update(talk, "agent_message_chunk", session="other", content=words("elsewhere")) == []
    assert update(talk, "agent_message_chunk", content=words("now")) == [("delta", {"text": "now"})]


@pytest.mark.parametrize("method", ["fs/read_text_file", "terminal/create", "elicitation/create", "_x/y"])
def test_what_is_not_offered_is_refused_and_what_is_only_told_is_passed_over(method: str) -> None:
    talk = begun()
    written(talk)
    assert say(talk, id=0, method=method, params={"path": "/etc/shadow"}) == []
    (answer,) = written(talk)
    assert (answer["id"], answer["error"]["code"]) == (0, -32601)
    assert say(talk, method=method, params={}) == []
    assert written(talk) == []


OPTIONS = [
    {"optionId": "yes", "kind": "allow_once"},
    {"optionId": "always", "kind": "allow_always"},
    {"optionId": "no", "kind": "reject_once"},
]
ASKED = {"toolCallId": "t", "name": "Bash", "rawInput": {"command": "ls"}}


def question(talk: Dialogue, number: int = 0, options: list[dict[str, str]] = OPTIONS) -> list[Draft]:
    params = {"sessionId": "s", "toolCall": ASKED, "options": options}
    return say(talk, id=number, method="session/request_permission", params=params)


def outcome(talk: Dialogue) -> Any:
    (answer,) = written(talk)
    return answer["result"]["outcome"].get("optionId", answer["result"]["outcome"]["outcome"])


@pytest.mark.parametrize(
    ("answer", "chosen"),
    [
        ({"allow": True}, "yes"),
        ({"allow": False}, "no"),
        ({"allow": False, "message": "not today"}, "no"),
    ],
)
def test_an_answer_takes_the_option_that_means_it(answer: dict[str, Any], chosen: str) -> None:
    talk = begun(ask=True)
    kind, fields = question(talk)[-1]
    assert (kind, fields) == ("permission", {"request": "7-0", "name": "Bash", "input": {"command": "ls"}})
    written(talk)
    assert talk.answer("7-0", **answer)
    assert outcome(talk) == chosen
    assert not talk.answer("7-0", allow=True)
    assert not talk.answer("7-1", allow=True)


def test_an_answer_that_no_option_means_is_a_cancellation() -> None:
    talk = begun(ask=True)
    question(talk, options=OPTIONS[:1])
    written(talk)
    talk.answer("7-0", allow=False)
    assert outcome(talk) == "cancelled"


def test_where_leave_need_not_be_asked_it_is_given_once_at_a_time() -> None:
    talk = begun()
    written(talk)
    assert question(talk) == []
    assert outcome(talk) == "yes"


def test_questions_that_share_numbers_with_our_requests_are_told_from_answers() -> None:
    talk = begun(ask=True)
    assert question(talk, 3)[-1][0] == "permission"
    assert not talk.finished


def test_an_agent_may_withdraw_its_question() -> None:
    talk = begun(ask=True)
    question(talk)
    written(talk)
    ((kind, fields),) = say(talk, method="$/cancel_request", params={"requestId": 0})
    assert (kind, fields["request"], fields["by"]) == ("answer", "7-0", "agent")
    assert outcome(talk) == "cancelled"


def test_a_cancellation_answers_the_open_questions_once_and_says_so_at_the_end() -> None:
    talk = begun(ask=True)
    question(talk)
    written(talk)
    said = [json.loads(line) for line in talk.interrupt().splitlines()]
    assert said[0]["method"] == "session/cancel"
    assert said[1]["result"]["outcome"] == {"outcome": "cancelled"}
    assert not talk.answer("7-0", allow=True)
    kinds = [kind for kind, _ in talk.close(Exit(0, cancelled=True))]
    assert kinds == ["answer"]


def test_before_the_prompt_and_after_its_answer_only_a_signal_stops_the_agent() -> None:
    talk = Dialogue(TurnInput("hi", ("agent",)))
    talk.open()
    assert talk.interrupt() == b""
    talk = begun()
    assert talk.interrupt() != b""
    say(talk, id=3, result={"stopReason": "end_turn"})
    assert talk.interrupt() == b""


def test_prose_becomes_a_text_when_the_message_changes_or_a_tool_is_called() -> None:
    talk = begun()
    update(talk, "agent_message_chunk", content=words("a"), messageId="1")
    update(talk, "agent_message_chunk", content=words("b"), messageId="1")
    drafts = update(talk, "agent_message_chunk", content=words("c"), messageId="2")
    assert drafts == [("text", {"text": "ab"}), ("delta", {"text": "c"})]
    drafts = update(talk, "tool_call", toolCallId="t", title="ls")
    assert drafts == [("text", {"text": "c"})]


HALF = {"file": "a"}
WHOLE = {"file": "a", "content": "b"}


@pytest.mark.parametrize(
    "evidence",
    [
        {"status": "in_progress", "rawInput": WHOLE},
        {"rawInput": WHOLE, "content": [{"type": "content", "content": words("Write a")}]},
    ],
)
def test_a_call_is_told_once_and_with_its_whole_input(evidence: dict[str, Any]) -> None:
    talk = begun()
    assert update(talk, "tool_call", toolCallId="t", title="write", rawInput={}) == []
    assert update(talk, "tool_call_update", toolCallId="t", rawInput=HALF) == []
    told = ("tool", {"tool_id": "t", "name": "write", "input": WHOLE})
    assert update(talk, "tool_call_update", toolCallId="t", **evidence) == [told]
    done = update(talk, "tool_call_update", toolCallId="t", status="completed", rawOutput="ok")
    assert done == [("tool_result", {"tool_id": "t", "output": "ok", "is_error": False})]
    assert update(talk, "tool_call_update", toolCallId="t", status="completed", rawOutput="ok") == []


def test_a_speaker_that_goes_on_has_said_its_whole_input_another_has_not() -> None:
    talk = begun()
    other: dict[str, Any] = {"_meta": {"claudeCode": {"parentToolUseId": "p"}}}
    update(talk, "tool_call", toolCallId="t", title="write", rawInput={})
    update(talk, "tool_call_update", toolCallId="t", rawInput=WHOLE)
    drafts = update(talk, "agent_message_chunk", content=words("I"), **other)
    assert drafts == [("delta", {"text": "I", "parent": "p"})]
    assert update(talk, "tool_call", toolCallId="u", title="read")[0][1]["input"] == WHOLE


def test_half_an_input_in_a_question_is_not_told_as_the_call() -> None:
    talk = begun(ask=True)
    update(talk, "tool_call", toolCallId="t", title="bash", rawInput={"cwd": "/"})
    assert [kind for kind, _ in question(talk)] == ["permission"]


def test_a_tool_without_raw_input_says_what_it_is_about() -> None:
    talk = begun()
    diff = {"type": "diff", "path": "/a", "oldText": "x", "newText": "y\nz"}
    call: dict[str, Any] = {
        "toolCallId": "t",
        "title": "Edit a",
        "kind": "edit",
        "status": "completed",
        "content": [diff],
    }
    tool, result = update(talk, "tool_call", **call)
    assert tool[1]["input"] == {"title": "Edit a", "kind": "edit", "diff": [diff]}
    assert result[1]["output"] == "/a\n-x\n+y\n+z"


@pytest.mark.parametrize(
    ("raw", "output"),
    [
        ("text", "text"),
        ([words("a"), words("b")], "a\nb"),
        ({"output": "o", "metadata": {}}, "o"),
        ({"error": "e"}, "e"),
        ({"code": 3}, "shown"),
        (None, "shown"),
    ],
)
def test_a_tools_answer_is_its_raw_output_where_that_is_text(raw: Any, output: str) -> None:
    talk = begun()
    content = [{"type": "content", "content": words("shown")}]
    call = {"toolCallId": "t", "title": "x", "status": "failed", "rawOutput": raw, "content": content}
    result = update(talk, "tool_call", **call)[-1]
    assert result == ("tool_result", {"tool_id": "t", "output": output, "is_error": True})


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
def test_the_reason_to_stop_says_whether_the_turn_failed(reason: str, is_error: bool) -> None:
    talk = begun()
    update(talk, "agent_message_chunk", content=words("the answer"))
    drafts = say(talk, id=3, result={"stopReason": reason}) + talk.close(Exit(0, duration_ms=9))
    results = [fields for kind, fields in drafts if kind == "result"]
    assert [(result["is_error"], result["duration_ms"]) for result in results] == [(is_error, 9)]
    assert (results[0]["result"] == "the answer") is not is_error
    assert talk.failed is is_error


def test_an_exit_status_after_the_answer_is_no_failure() -> None:
    talk = begun()
    say(talk, id=3, result={"stopReason": "end_turn"})
    assert [kind for kind, _ in talk.close(Exit(1))] == ["result"]
    assert not talk.failed


def test_an_agent_that_wants_a_login_says_how() -> None:
    talk = Dialogue(TurnInput("hi", ("agent",)))
    talk.open()
    ways = [{"id": "l", "name": "Login", "description": "Run `agent login`"}]
    say(talk, id=1, result={"protocolVersion": 1, "authMethods": ways})
    ((kind, fields),) = say(talk, id=2, error={"code": -32000, "message": "Authentication required"})
    assert kind == "error"
    assert fields["error"].startswith("The agent failed: Authentication required. Log the agent in")
    assert fields["error"].endswith("Run `agent login`")


def test_what_an_agent_prints_instead_of_the_protocol_is_told_when_it_fails() -> None:
    talk = Dialogue(TurnInput("hi", ("agent",)))
    talk.open()
    talk.translate(b"agent: unknown option --acp\n")
    ((kind, fields),) = talk.close(Exit(2))
    assert kind == "error"
    assert fields["error"] == "The agent failed without an answer: exit status 2. agent: unknown option --acp"


def test_a_text_longer_than_an_event_is_cut_and_an_output_says_by_how_much() -> None:
    talk = begun()
    long = "x" * (3 << 20)
    drafts = update(talk, "agent_message_chunk", content=words(long))
    drafts += update(
        talk,
        "tool_call",
        toolCallId="t",
        title="x",
        status="completed",
        rawInput={"in": long},
        rawOutput=long,
    )
    for draft in drafts:
        check(draft)
    assert drafts[-1][1]["truncated"] == 2 << 20
