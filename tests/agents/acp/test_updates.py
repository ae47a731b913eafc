"""The updates of an ACP agent: when prose is whole, when a tool call is complete, and what both show."""

from typing import Any

import pytest

from tests.agents.acp.made_messages import begun, question, text_block, update
from tests.agents.drafts import check


def test_prose_becomes_a_text_when_the_message_changes_or_a_tool_is_called() -> None:
    dialogue = begun()
    update(dialogue, "agent_message_chunk", content=text_block("a"), messageId="1")
    update(dialogue, "agent_message_chunk", content=text_block("b"), messageId="1")
    drafts = update(dialogue, "agent_message_chunk", content=text_block("c"), messageId="2")
    assert drafts == [("text", {"text": "ab"}), ("delta", {"text": "c"})]
    drafts = update(dialogue, "tool_call", toolCallId="t", title="ls")
    assert drafts == [("text", {"text": "c"})]


HALF = {"file": "a"}
WHOLE = {"file": "a", "content": "b"}


@pytest.mark.parametrize(
    "evidence",
    [
        {"status": "in_progress", "rawInput": WHOLE},
        {"rawInput": WHOLE, "content": [{"type": "content", "content": text_block("Write a")}]},
    ],
)
def test_a_call_is_announced_once_with_its_whole_input(evidence: dict[str, Any]) -> None:
    dialogue = begun()
    assert update(dialogue, "tool_call", toolCallId="t", title="write", rawInput={}) == []
    assert update(dialogue, "tool_call_update", toolCallId="t", rawInput=HALF) == []
    announced = ("tool", {"tool_id": "t", "name": "write", "input": WHOLE})
    assert update(dialogue, "tool_call_update", toolCallId="t", **evidence) == [announced]
    done = update(dialogue, "tool_call_update", toolCallId="t", status="completed", rawOutput="ok")
    assert done == [("tool_result", {"tool_id": "t", "output": "ok", "is_error": False})]
    assert update(dialogue, "tool_call_update", toolCallId="t", status="completed", rawOutput="ok") == []


def test_a_call_is_announced_when_its_own_speaker_goes_on() -> None:
    dialogue = begun()
    other: dict[str, Any] = {"_meta": {"claudeCode": {"parentToolUseId": "p"}}}
    update(dialogue, "tool_call", toolCallId="t", title="write", rawInput={})
    update(dialogue, "tool_call_update", toolCallId="t", rawInput=WHOLE)
    drafts = update(dialogue, "agent_message_chunk", content=text_block("I"), **other)
    assert drafts == [("delta", {"text": "I", "parent": "p"})]
    assert update(dialogue, "tool_call", toolCallId="u", title="read")[0][1]["input"] == WHOLE


def test_half_an_input_in_a_question_does_not_announce_the_call() -> None:
    dialogue = begun(ask=True)
    update(dialogue, "tool_call", toolCallId="t", title="bash", rawInput={"cwd": "/"})
    assert [kind for kind, _ in question(dialogue)] == ["permission"]


def test_a_tool_without_raw_input_shows_its_title_and_diff() -> None:
    dialogue = begun()
    diff = {"type": "diff", "path": "/a", "oldText": "x", "newText": "y\nz"}
    call: dict[str, Any] = {
        "toolCallId": "t",
        "title": "Edit a",
        "kind": "edit",
        "status": "completed",
        "content": [diff],
    }
    tool, result = update(dialogue, "tool_call", **call)
    assert tool[1]["input"] == {"title": "Edit a", "kind": "edit", "diff": [diff]}
    assert result[1]["output"] == "/a\n-x\n+y\n+z"


@pytest.mark.parametrize(
    ("raw", "output"),
    [
        ("text", "text"),
        ([text_block("a"), text_block("b")], "a\nb"),
        ({"output": "o", "metadata": {}}, "o"),
        ({"error": "e"}, "e"),
        ({"code": 3}, "shown"),
        (None, "shown"),
    ],
)
def test_a_tools_output_is_its_raw_output_if_that_is_text(raw: Any, output: str) -> None:
    dialogue = begun()
    content = [{"type": "content", "content": text_block("shown")}]
    call = {"toolCallId": "t", "title": "x", "status": "failed", "rawOutput": raw, "content": content}
    result = update(dialogue, "tool_call", **call)[-1]
    assert result == ("tool_result", {"tool_id": "t", "output": output, "is_error": True})


def test_thinking_longer_than_an_event_is_cut() -> None:
    dialogue = begun(thinking=True)
    for _ in range(3):
        update(dialogue, "agent_thought_chunk", content=text_block("x" * (1 << 20)))
    (kind, fields), _ = update(dialogue, "agent_message_chunk", content=text_block("so"))
    assert (kind, len(fields["text"])) == ("thinking", 1 << 20)


def test_long_texts_are_cut_and_an_output_says_by_how_much() -> None:
    dialogue = begun()
    long = "x" * (3 << 20)
    drafts = update(dialogue, "agent_message_chunk", content=text_block(long))
    drafts += update(
        dialogue,
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
