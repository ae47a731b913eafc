"""Single lines about prose and tools, and the events that they become."""

from typing import Any

import pytest

from breakglass.agents import Exit
from breakglass.events import MAX_OUTPUT, dumps
from tests.agents.claude.made_lines import assistant, begun, delta, ended, line, tool_result
from tests.agents.drafts import check


@pytest.mark.parametrize(
    "data",
    [
        b"\n",
        line(type="command_lifecycle", state="queued"),
        line(type="system", subtype="hook_started"),
        line(type="user", message={"content": "synthetic"}),
        line(type="user", message={"content": [{"type": "text", "text": "[Request interrupted by user]"}]}),
        assistant({"type": "thinking", "thinking": "hmm"}, {"type": "text", "text": ""}),
        line(type="control_request", request_id="r", request={"subtype": "can_use_tool"}),
    ],
)
def test_a_line_without_news_is_ignored(data: bytes) -> None:
    dialogue = begun()
    assert dialogue.translate(data) == []
    assert dialogue.reply() == b""


def test_a_subagents_events_are_marked_and_its_prose_is_kept_apart() -> None:
    mark = {"parent_tool_use_id": "t9"}
    data = delta("mine") + delta("its", **mark) + assistant({"type": "text", "text": "its"}, **mark)
    drafts, _ = ended(data + tool_result("x", **mark), Exit(0, cancelled=True))
    assert drafts == [
        ("delta", {"text": "mine"}),
        ("delta", {"text": "its", "parent": "t9"}),
        ("text", {"text": "its", "parent": "t9"}),
        ("tool_result", {"tool_id": "t1", "output": "x", "is_error": False, "parent": "t9"}),
        ("text", {"text": "mine"}),  # the end of the process broke the stream off
    ]


def test_consecutive_deltas_are_joined() -> None:
    assert begun().translate(delta("a") + delta("b") + delta("c")) == [("delta", {"text": "abc"})]


def test_prose_that_streams_again_replaces_the_broken_stream() -> None:
    start = line(type="stream_event", event={"type": "message_start"})
    drafts, _ = ended(start + delta("half") + start + delta("whole"), Exit(0, cancelled=True))
    assert drafts[-1] == ("text", {"text": "whole"})


@pytest.mark.parametrize(
    ("content", "output"),
    [
        ("plain", "plain"),
        (None, ""),
        ([], ""),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "a\nb"),
        (
            [{"type": "image", "source": {"media_type": "image/png", "data": "A" * 8192}}],
            "[image, image/png, 6144 bytes]",
        ),
        (
            [{"type": "image", "source": {"media_type": "image/png", "data": "?"}}],
            "[image, image/png, 0 bytes]",
        ),
        ([{"type": "tool_reference", "tool_name": "X"}], "[tool: X]"),
    ],
)
def test_a_tools_output_is_text(content: Any, output: str) -> None:
    [(_, fields)] = begun().translate(tool_result(content))
    assert {**fields, "pictures": ()} == {
        "tool_id": "t1",
        "output": output,
        "is_error": False,
        "pictures": (),
    }


@pytest.mark.parametrize("unit", ["a", "é", "😀", "\n", "\x00", '"', "\ud83d"])
def test_an_output_of_10_mb_becomes_one_event_that_counts_what_is_left_out(unit: str) -> None:
    size = 10_000_000
    [draft] = begun().translate(tool_result(unit * (size // len(unit.encode(errors="replace")))))
    assert draft[1]["truncated"] + len(draft[1]["output"].encode(errors="replace")) == size
    assert len(check(draft)) > MAX_OUTPUT * 0.9


@pytest.mark.parametrize(
    "value",
    [
        {"content": "x" * (3 << 20), "path": "/srv/a"},
        {"content": "\x00" * (1 << 20), "path": "/srv/a"},
        {str(number): "y" * 100 for number in range(20_000)},
        {"list": [[number] * 100 for number in range(4_000)]},
        {"k" * (2 << 20): 1},
    ],
    ids=["long", "escapes", "many", "numbers", "key"],
)
def test_the_long_strings_of_a_large_input_are_cut(value: dict[str, Any]) -> None:
    [draft] = begun().translate(assistant({"type": "tool_use", "id": "t", "name": "Write", "input": value}))
    check(draft)
    assert draft[1]["input"].get("path") == value.get("path")
    assert "left out" in dumps(draft[1]["input"]) or "clipped" in draft[1]["input"]
