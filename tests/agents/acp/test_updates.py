"""The updates of an ACP agent: when prose is whole, when a tool call is complete, and what both show."""

from typing import Any

import pytest

from breakglass.agents.blocks import MAX_UNKNOWN
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


def test_the_output_and_exit_of_a_terminal_are_gathered() -> None:
    dialogue = begun()
    here: dict[str, Any] = {"toolCallId": "t"}
    update(
        dialogue,
        "tool_call",
        **here,
        kind="execute",
        title="make",
        status="in_progress",
        rawInput={"command": "make"},
    )
    update(dialogue, "tool_call_update", **here, _meta={"terminal_output_delta": {"data": "one\n"}})
    ended = {"terminal_output_delta": {"data": "two\n"}, "terminal_exit": {"exit_code": 2, "signal": None}}
    drafts = update(dialogue, "tool_call_update", **here, status="completed", _meta=ended)
    assert drafts[-1][1] == {"tool_id": "t", "output": "one\ntwo\n[exit status 2]", "is_error": True}


@pytest.mark.parametrize(
    ("item", "output"),
    [
        ({"type": "terminal", "terminalId": "x"}, "[terminal x]"),
        (text_block("bare"), "bare"),
        ("text", "text"),
        (
            {"type": "resource_link", "uri": "https://a.example/", "title": "A"},
            "[link: A https://a.example/]",
        ),
        ({"type": "image", "mimeType": "image/png", "data": "QUJDRA=="}, "[image, image/png, 4 bytes]"),
        ({"type": "image", "uri": "https://a.example/p"}, "[image, https://a.example/p]"),
        ({"type": "audio", "mimeType": "audio/wav", "data": "QUJD\nRA=="}, "[audio, audio/wav, 4 bytes]"),
        ({"type": "resource", "resource": {"uri": "file:///a", "text": "b"}}, "file:///a\nb"),
        (
            {"type": "resource", "resource": {"uri": "file:///a", "blob": "QUI="}},
            "[resource, file:///a, 2 bytes]",
        ),
        ({"type": "diff", "path": "/a", "oldText": "x", "newText": "y"}, "/a\n-x\n+y"),
        ({"type": "diff", "path": "/a", "oldText": "x\n", "newText": "y\n\n"}, "/a\n-x\n+y\n+"),
        ({"type": "diff", "path": "/a", "oldText": "", "newText": "\n"}, "/a\n+"),
        ({"type": "chart", "points": [1]}, '{"type":"chart","points":[1]}'),
    ],
)
def test_content_of_every_kind_is_shown_wrapped_or_not(item: Any, output: str) -> None:
    for content in ([item], item, [{"type": "content", "content": item}]):
        is_wrapped = isinstance(content, list) and content[0] is not item
        if (
            is_wrapped and isinstance(item, dict) and item["type"] in ("terminal", "diff")
        ):  # no content blocks
            continue
        dialogue = begun()
        result = update(
            dialogue, "tool_call", toolCallId="t", title="x", status="completed", content=content
        )[-1]
        assert result[1]["output"] == output
        assert result[1].get("pictures", ()) == (
            (b"ABCD",) if output == "[image, image/png, 4 bytes]" else ()
        )


def test_content_of_an_unknown_kind_is_shortened() -> None:
    content = [{"type": "content", "content": {"type": "chart", "points": "1" * 100_000}}]
    for field in ({"content": content}, {"rawOutput": [content[0]["content"]]}):
        result = update(begun(), "tool_call", toolCallId="t", title="x", status="completed", **field)[-1]
        assert result[1]["output"].startswith('{"type":"chart"')
        assert len(result[1]["output"]) < MAX_UNKNOWN + 100


@pytest.mark.parametrize(
    ("block", "text"),
    [
        ({"type": "resource_link", "uri": "https://a.example/", "name": "A"}, "[link: A https://a.example/]"),
        ({"type": "image", "uri": "https://a.example/p"}, "[image, https://a.example/p]"),
        ({"type": "hologram", "depth": 3}, '{"type":"hologram","depth":3}'),
    ],
)
def test_a_block_in_the_agents_prose_keeps_what_a_reader_needs(block: dict[str, Any], text: str) -> None:
    assert update(begun(), "agent_message_chunk", content=block) == [("delta", {"text": text})]


def test_the_input_in_a_question_is_kept_and_an_empty_one_replaces_nothing() -> None:
    dialogue = begun()
    assert update(dialogue, "tool_call", toolCallId="t", title="x", status="in_progress", rawInput={}) == []
    assert question(dialogue) == []
    drafts = update(
        dialogue, "tool_call_update", toolCallId="t", status="completed", rawInput={}, rawOutput="a"
    )
    assert [kind for kind, _ in drafts] == ["tool", "tool_result"]
    assert drafts[0][1]["input"] == {"command": "ls"}


def test_an_input_that_comes_after_the_tool_was_shown_is_logged() -> None:
    dialogue = begun()
    first = update(dialogue, "tool_call", toolCallId="t", title="Shell", kind="execute", status="in_progress")
    assert first[0][1]["input"] == {"title": "Shell", "kind": "execute"}
    drafts = update(dialogue, "tool_call_update", toolCallId="t", rawInput={"command": "ls"})
    assert drafts == [("tool", {"tool_id": "t", "name": "execute", "input": {"command": "ls"}})]


def test_the_kind_is_the_name_of_a_tool_and_not_its_command_line() -> None:
    dialogue = begun()
    (_, fields), _ = update(
        dialogue, "tool_call", toolCallId="t", title="rm -r x", kind="execute", status="completed"
    )
    assert (fields["name"], fields["input"]["title"]) == ("execute", "rm -r x")


def test_an_update_of_an_unknown_kind_is_a_notice() -> None:
    dialogue = begun()
    ((kind, fields),) = update(dialogue, "agent_remark", content=text_block("important"))
    assert (kind, "important" in fields["text"]) == ("notice", True)


def test_output_of_a_tool_after_its_result_is_a_notice() -> None:
    dialogue = begun()
    update(dialogue, "tool_call", toolCallId="1", name="Bash", status="completed", rawOutput="first")
    repeated = update(dialogue, "tool_call_update", toolCallId="1", status="completed", rawOutput="first")
    assert repeated == []
    late = update(dialogue, "tool_call_update", toolCallId="1", rawOutput="first and second")
    text = "A tool gave more output after its result (Bash): first and second"
    assert late == [("notice", {"text": text})]
