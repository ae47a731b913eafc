"""Reads the lines of the Claude Code CLI about prose and tools, each by itself, into values.

Format: as printed by 2.1.330 (tests/agents/claude/captures). No specification of it exists.
"""

from typing import Any

from breakglass.agents.lines import (
    as_count,
    as_object,
    as_objects,
    as_short_text,
    as_text,
    cut_object,
    cut_text,
)
from breakglass.events import Draft

Line = dict[str, Any]


def parent_of(line: Line) -> dict[str, str]:
    """Return the `parent` field of a subagent's line: the tool call that started the subagent. {} for other lines."""
    parent = as_short_text(line.get("parent_tool_use_id"))
    return {"parent": parent} if parent else {}


def blocks(line: Line) -> list[Line]:
    """Return the content blocks of an `assistant` or `user` line."""
    return _blocks(as_object(line.get("message")).get("content"))


def model(line: Line) -> str:
    """Return the model that wrote an `assistant` line, "" if the CLI itself wrote it."""
    name = as_short_text(as_object(line.get("message")).get("model"))
    return "" if name.startswith("<") else name


# --- prose ----------------------------------------------------------------------------------------


def begins_message(line: Line) -> bool:
    """Return whether a `stream_event` line begins a message, perhaps for the second time after a broken stream."""
    return as_object(line.get("event")).get("type") == "message_start"


def ends_message(line: Line) -> bool:
    """Return whether a `stream_event` line ends a message. Its whole text comes before or soon after it."""
    return as_object(line.get("event")).get("type") == "message_stop"


def text_delta(line: Line) -> str:
    """Return the prose in a `stream_event` line, "" for any other content, thinking included."""
    delta = as_object(as_object(line.get("event")).get("delta"))
    return cut_text(as_text(delta.get("text")))[0] if delta.get("type") == "text_delta" else ""


def assistant_events(line: Line, *, thinking: bool = False) -> list[Draft]:
    """Return the `text` and `tool` events in an `assistant` line, and with `thinking` the `thinking` events."""
    drafts: list[Draft] = []
    for block in blocks(line):
        if thinking and block.get("type") == "thinking" and as_text(block.get("thinking")):
            drafts.append(("thinking", {"text": cut_text(block["thinking"])[0], **parent_of(line)}))
        elif block.get("type") == "text" and as_text(block.get("text")):
            drafts.append(("text", {"text": cut_text(block["text"])[0], **parent_of(line)}))
        elif block.get("type") == "tool_use":
            call = {
                "tool_id": as_short_text(block.get("id")),
                "name": as_short_text(block.get("name")),
                "input": cut_object(as_object(block.get("input"))),
            }
            drafts.append(("tool", {**call, **parent_of(line)}))
    return drafts


# --- tools ----------------------------------------------------------------------------------------


def tool_results(line: Line) -> list[Draft]:
    """Return the `tool_result` events in a `user` line. The CLI wrote its text, not the user."""
    results = [block for block in blocks(line) if block.get("type") == "tool_result"]
    drafts: list[Draft] = []
    for block in results:
        text, missing = _output(block.get("content")), 0
        if len(results) == 1:
            text, missing = _fuller_output(text, as_object(line.get("tool_use_result")))
        output, left_out = cut_text(text)
        fields = {
            "tool_id": as_short_text(block.get("tool_use_id")),
            "output": output,
            "is_error": bool(block.get("is_error")),
        }
        if left_out + missing:
            fields["truncated"] = left_out + missing
        drafts.append(("tool_result", {**fields, **parent_of(line)}))
    return drafts


def _blocks(content: Any) -> list[Line]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else as_objects(content)


def _output(content: Any) -> str:
    return "\n".join(_block_text(block) for block in _blocks(content))


def _block_text(block: Line) -> str:
    if block.get("type") == "text":
        return as_text(block.get("text"))
    source = as_object(block.get("source"))
    if not source:
        return f"[{as_short_text(block.get('type'))}]"
    size = len(as_text(source.get("data"))) * 3 // 4  # base64
    return f"[{as_short_text(block.get('type'))}, {as_short_text(source.get('media_type'))}, {size} bytes]"


def _fuller_output(text: str, result: Line) -> tuple[str, int]:
    """Return as much of a tool's output as the line holds, and how many bytes of it are missing.

    The CLI saves an output of over 30 KB to a file and gives the model 2 KB of it, with the file's name. The same
    line has more of the output in `tool_use_result`.
    """
    stdout = as_text(result.get("stdout"))
    if not text.startswith("<persisted-output>") or len(stdout) <= len(text):
        return text, 0
    size = as_count(result.get("persistedOutputSize")) or 0
    return stdout, max(0, size - len(stdout.encode(errors="replace")))
