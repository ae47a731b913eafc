"""One rule for the agents that print JSON lines: what cannot be understood is never dropped in silence.

Each case holds words that a user would call content. They must be in the events, also with other output around them.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest

from breakglass.agents import Dialogue, Exit, TurnInput, new_dialogue
from breakglass.events import Draft, dumps
from tests.agents.acp import made_messages as acp
from tests.agents.claude import made_lines as claude
from tests.agents.drafts import check

PROSE = "the answer"
RESULT = {"type": "result", "subtype": "success", "is_error": False, "result": "done"}


def claude_line(words: str) -> bytes:
    return claude.assistant({"type": "text", "text": words}, session_id=claude.SESSION)


def acp_line(words: str) -> bytes:
    return acp.update_line("agent_message_chunk", content=acp.text_block(words))


Translator = tuple[Callable[[], Dialogue], Callable[[str], bytes]]
TRANSLATORS: dict[str, Translator] = {"claude": (claude.begun, claude_line), "acp": (acp.begun, acp_line)}
every_translator = pytest.mark.parametrize("translator", TRANSLATORS.values(), ids=TRANSLATORS)


def told(dialogue: Dialogue, data: bytes) -> list[Draft]:
    """Return the events of an agent that printed `data` and exited."""
    drafts = [*dialogue.translate(data), *dialogue.close(Exit(0))]
    for draft in drafts:
        check(draft)
    return drafts


def notices(drafts: list[Draft]) -> str:
    return "\n".join(fields["text"] for kind, fields in drafts if kind == "notice")


GLUED = {
    "byte-order mark": "\ufeff",
    "title of a terminal": "\x1b]0;agent\x07",
    "colours off": "\x1b[0m",
    "spinner": "\x1b[2K\r⠋ Loading…\r",
    "NUL": "\0\0",
    "sentence": "Loaded cached credentials. ",
    "sentence with braces": "Using {profile} at {1}. ",
    "half a message": '{"type":"assistant","message":{"content":[{"type":"text","text":"half',
}


@every_translator
@pytest.mark.parametrize("before", GLUED.values(), ids=GLUED)
def test_a_message_behind_other_output_is_read_and_the_output_is_a_notice(
    before: str, translator: Translator
) -> None:
    new, line = translator
    drafts = told(new(), before.encode() + line(PROSE))
    assert ("text", {"text": PROSE}) in drafts
    assert before.strip() in notices(drafts)


@every_translator
def test_output_behind_a_message_is_a_notice(translator: Translator) -> None:
    new, line = translator
    drafts = told(new(), line(PROSE).rstrip() + b" and a warning\n")
    assert ("text", {"text": PROSE}) in drafts
    assert "and a warning" in notices(drafts)


@every_translator
def test_two_messages_on_one_line_are_both_read(translator: Translator) -> None:
    new, line = translator
    drafts = told(new(), line("the first").rstrip() + line("the second"))
    said = "".join(fields["text"] for kind, fields in drafts if kind == "text")
    assert said == "the firstthe second"
    assert notices(drafts) == ""


@every_translator
@pytest.mark.parametrize("break_at", [1, 10, 40, -20, -3])
def test_a_message_inside_a_torn_line_is_read_and_the_halves_are_notices(
    break_at: int, translator: Translator
) -> None:
    new, line = translator
    torn = line("the torn text").rstrip()
    drafts = told(new(), torn[:break_at] + line(PROSE) + torn[break_at:] + b"\n")
    assert ("text", {"text": PROSE}) in drafts
    halves = notices(drafts)
    assert torn[:break_at].decode() in halves
    assert torn[break_at:].decode().strip() in halves


@every_translator
@pytest.mark.parametrize(
    "output", ["plain words", "null", "[1,2]", '"text"', "{}", '{"type":7}', '{"jsonrpc":"1.0","news":"x"}']
)
def test_output_that_is_no_message_is_a_notice(output: str, translator: Translator) -> None:
    new, _ = translator
    assert output in notices(told(new(), output.encode() + b"\n"))


CLAUDE_UNKNOWN: list[dict[str, Any]] = [
    {"type": "something_new", "text": PROSE},
    {"type": "system", "subtype": "something_new", "content": PROSE},
    {"type": ["assistant"], "text": PROSE},
    {"type": None, "text": PROSE},
]


@pytest.mark.parametrize("message", CLAUDE_UNKNOWN, ids=map(dumps, CLAUDE_UNKNOWN))
def test_a_line_of_claude_of_an_unknown_kind_is_a_notice(message: dict[str, Any]) -> None:
    assert PROSE in notices(told(claude.begun(), json.dumps(message).encode() + b"\n"))


BLOCKS: list[Any] = [
    {"type": "text", "text": PROSE},
    {"text": PROSE},
    PROSE,
    {"type": "resource", "resource": {"uri": "file:///a", "text": PROSE}},
    {"type": "resource_link", "uri": f"https://x/{PROSE}", "name": "n"},
    {"type": "resource_link", "uri": "https://x/", "title": PROSE},
    {"type": "resource", "resource": {"uri": PROSE, "blob": "AAAA"}},
    {"type": "image", "data": "AAAA", "mimeType": "image/png", "uri": PROSE},
    {"type": "something_new", "of": {"deep": [PROSE]}},
    [{"type": "text", "text": "one"}, {"type": "text", "text": PROSE}],
]
every_block = pytest.mark.parametrize("block", BLOCKS, ids=[dumps(block)[:60] for block in BLOCKS])


@every_block
def test_every_block_of_an_acp_agents_prose_is_in_the_text(block: Any) -> None:
    drafts = told(acp.begun(), acp.update_line("agent_message_chunk", content=block))
    assert PROSE in "".join(fields["text"] for kind, fields in drafts if kind == "text")


@every_block
@pytest.mark.parametrize("is_wrapped", [True, False])
@pytest.mark.parametrize("is_listed", [True, False])
def test_every_block_of_an_acp_tool_is_in_its_output(block: Any, is_wrapped: bool, is_listed: bool) -> None:
    content = {"type": "content", "content": block} if is_wrapped else block
    content = [content] if is_listed else content
    call: dict[str, Any] = {"toolCallId": "1", "title": "do", "status": "completed", "content": content}
    drafts = told(acp.begun(), acp.update_line("tool_call", **call))
    (output,) = [fields["output"] for kind, fields in drafts if kind == "tool_result"]
    assert PROSE in output


SHAPES: list[Any] = [
    *BLOCKS,
    *([PROSE], ["one", 7, PROSE], [[PROSE]]),
    *({"text": [PROSE]}, {"type": "text", "text": [PROSE]}),
]
every_shape = pytest.mark.parametrize("content", SHAPES, ids=[dumps(content)[:60] for content in SHAPES])


@every_shape
def test_content_of_any_shape_is_in_the_output_of_a_tool_of_claude(content: Any) -> None:
    drafts = told(claude.begun(), claude.tool_result(content))
    (output,) = [fields["output"] for kind, fields in drafts if kind == "tool_result"]
    assert PROSE in output


@every_shape
def test_content_of_any_shape_in_a_message_of_claude_is_told(content: Any) -> None:
    drafts = told(claude.begun(), claude.line(type="assistant", message={"content": content}))
    assert PROSE in "".join(fields["text"] for kind, fields in drafts if kind in ("text", "notice"))


def test_numbers_in_the_output_of_a_tool_of_claude_are_kept() -> None:
    drafts = told(claude.begun(), claude.tool_result(["used:", 97, True, None]))
    assert [fields["output"] for kind, fields in drafts if kind == "tool_result"] == ["used:\n97\ntrue"]


@pytest.mark.parametrize("given", [PROSE, [PROSE], {"command": PROSE}])
def test_an_input_of_any_shape_is_shown_before_the_tool_of_claude_is_allowed(given: Any) -> None:
    call = claude.assistant({"type": "tool_use", "id": "t1", "name": "Bash", "input": given})
    request = {"subtype": "can_use_tool", "tool_name": "Bash", "input": given}
    question = claude.line(type="control_request", request_id="q1", request=request)
    dialogue = claude.begun(ask=True)
    drafts = dialogue.translate(call + question)
    assert [kind for kind, _ in drafts] == ["tool", "permission"]
    expected = given if isinstance(given, dict) else {"input": given}
    assert [fields["input"] for _, fields in drafts] == [expected, expected]
    assert dialogue.answer("q1", allow=True)
    allowed = json.loads(dialogue.reply())["response"]["response"]
    assert allowed == {"behavior": "allow", "updatedInput": given}


OUTPUTS: list[Any] = [
    PROSE,
    [PROSE],
    {"output": PROSE},
    {"error": PROSE},
    {"new": {"deep": PROSE}},
    [{"text": PROSE}],
]


@pytest.mark.parametrize("raw", OUTPUTS, ids=map(dumps, OUTPUTS))
def test_a_raw_output_of_any_shape_is_in_the_output_of_an_acp_tool(raw: Any) -> None:
    call = {"toolCallId": "1", "title": "do", "status": "failed", "rawOutput": raw}
    drafts = told(acp.begun(), acp.update_line("tool_call", **call))
    (output,) = [fields["output"] for kind, fields in drafts if kind == "tool_result"]
    assert PROSE in output


ACP_UNKNOWN: list[dict[str, Any]] = [
    {
        "method": "session/update",
        "params": {"sessionId": "s", "update": {"sessionUpdate": "new", "x": PROSE}},
    },
    {"method": "session/update", "params": {"sessionId": "s", "update": {"content": {"text": PROSE}}}},
    {"method": "session/update", "params": {"sessionId": "s", "update": [PROSE]}},
    {"method": "session/update", "params": [PROSE]},
    {"method": "session/news", "params": {"text": PROSE}},
    {"id": 7, "method": "session/news", "params": {"text": PROSE}},
    {"id": 99, "result": {"text": PROSE}},
    {"id": "x", "error": {"message": PROSE}},
    {"method": 5, "params": {"text": PROSE}},
    {"params": {"text": PROSE}},
]


@pytest.mark.parametrize("message", ACP_UNKNOWN, ids=[dumps(each)[:60] for each in ACP_UNKNOWN])
def test_a_message_of_an_acp_agent_of_an_unknown_kind_is_a_notice(message: dict[str, Any]) -> None:
    data = json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n"
    assert PROSE in notices(told(acp.begun(), data))


IN_A_LOGIN = [each for each in ACP_UNKNOWN if each.get("method") != "session/update"]


@pytest.mark.parametrize("is_over", [False, True])
@pytest.mark.parametrize("message", IN_A_LOGIN, ids=[dumps(each)[:60] for each in IN_A_LOGIN])
def test_a_message_of_an_acp_agent_of_an_unknown_kind_is_a_notice_in_a_login_too(
    message: dict[str, Any], is_over: bool
) -> None:
    login = new_dialogue("acp_login", TurnInput("Log in", ("agent",), turn=7))
    login.open()
    refusal = {"id": 1, "error": {"code": -32603, "message": "no"}}
    before = acp.encoded(refusal) if is_over else b""
    assert PROSE in notices(told(login, before + acp.encoded(message)))


def test_prose_of_claude_that_streamed_to_its_end_without_a_whole_text_is_a_text() -> None:
    stop = claude.line(type="stream_event", event={"type": "message_stop"})
    start = claude.line(type="stream_event", event={"type": "message_start"})
    data = claude.delta("the lost one") + stop + start + claude.delta("next") + claude_line("next")
    drafts = told(claude.begun(), data)
    assert [fields["text"] for kind, fields in drafts if kind == "text"] == ["the lost one", "next"]


def test_prose_of_claude_before_a_whole_text_of_the_same_message_is_a_text() -> None:
    drafts = told(claude.begun(), claude.delta("the lost one. ") + claude.delta("next") + claude_line("next"))
    assert [fields["text"] for kind, fields in drafts if kind == "text"] == ["the lost one. ", "next"]


@pytest.mark.parametrize(
    "broken", [b"", claude.line(type="stream_event", event={"type": "message_stop"})], ids=["cut", "ended"]
)
def test_prose_that_the_model_begins_again_after_a_broken_stream_is_one_text(broken: bytes) -> None:
    start = claude.line(type="stream_event", event={"type": "message_start"})
    retry = claude.line(type="system", subtype="api_retry")
    data = start + claude.delta("the ans") + broken + retry + start + claude.delta(PROSE) + claude_line(PROSE)
    drafts = told(claude.begun(), data)
    assert [fields["text"] for kind, fields in drafts if kind == "text"] == [PROSE]
