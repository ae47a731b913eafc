"""Reads the lines of the Claude Code CLI about prose and tools, each by itself, into values.

Format: as printed by 2.1.330 (tests/agents/claude/captures). No specification of it exists.
"""

from typing import Any

from breakglass.agents.blocks import as_json, blocks_text, content_blocks, pictures, with_citations
from breakglass.agents.lines import (
    as_count,
    as_input,
    as_object,
    as_short_text,
    as_text,
    cut_object,
    cut_text,
)
from breakglass.events import Draft
from breakglass.tally import Tokens

Line = dict[str, Any]
_CALLS = ("tool_use", "server_tool_use", "mcp_tool_use")
_WITHOUT_EVENT = ("redacted_thinking", "thinking")
_UNKNOWN = "The agent sent content of a kind that Breakglass does not know: {}"


def parent_of(line: Line) -> dict[str, str]:
    """Return the `parent` field of a subagent's line: the tool call that started the subagent. {} for other lines."""
    parent = as_short_text(line.get("parent_tool_use_id"))
    return {"parent": parent} if parent else {}


def blocks(line: Line) -> list[Line]:
    """Return the content blocks of an `assistant` or `user` line."""
    return content_blocks(as_object(line.get("message")).get("content"))


def model(line: Line) -> str:
    """Return the model that wrote an `assistant` line, "" if the CLI itself wrote it."""
    name = as_short_text(as_object(line.get("message")).get("model"))
    return "" if name.startswith("<") else name


def context_used(line: Line) -> int:
    """Return the tokens in the model's context after an `assistant` line; 0 if it does not say."""
    usage = as_object(as_object(line.get("message")).get("usage"))
    return sum(as_count(usage.get(key)) or 0 for key in Tokens._fields)


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
    """Return the events in an `assistant` line: `text`, `tool`, and with `thinking` the `thinking`.

    A tool that the provider or an MCP server ran is a `tool` and a `tool_result` too.
    """
    drafts = [_event(block, thinking=thinking) for block in blocks(line)]
    return [(kind, {**fields, **parent_of(line)}) for kind, fields in drafts if kind]


def _event(block: Line, *, thinking: bool) -> Draft:
    """Return the event of one block of the agent's message, without its parent; its kind is "" if there is none."""
    kind = as_text(block.get("type"))
    if kind == "text" and isinstance(block.get("text"), str):
        return "text" if block["text"] else "", {"text": cut_text(with_citations(block))[0]}
    if kind == "thinking":
        text = as_text(block.get("thinking"))
        return "thinking" if thinking and text else "", {"text": cut_text(text)[0]}
    if kind in _CALLS:
        server = as_short_text(block.get("server_name"))
        name = as_short_text(block.get("name"))
        return "tool", {
            "tool_id": as_short_text(block.get("id")),
            "name": f"mcp__{server}__{name}" if server else name,
            "input": cut_object(as_input(block.get("input"))),
        }
    if kind.endswith("tool_result"):
        return "tool_result", _result(block, blocks_text(block.get("content")), 0)
    is_known = kind in _WITHOUT_EVENT or not block
    return "" if is_known else "notice", {"text": _UNKNOWN.format(as_json(block))}


# --- tools ----------------------------------------------------------------------------------------


def tool_results(line: Line) -> list[Draft]:
    """Return the `tool_result` events in a `user` line. The CLI wrote its text, not the user."""
    results = [block for block in blocks(line) if as_text(block.get("type")).endswith("tool_result")]
    drafts: list[Draft] = []
    for block in results:
        text, missing = blocks_text(block.get("content")), 0
        if len(results) == 1:
            text, missing = _fuller_output(text, as_object(line.get("tool_use_result")))
        drafts.append(("tool_result", {**_result(block, text, missing), **parent_of(line)}))
    return drafts


def _result(block: Line, text: str, missing: int) -> Line:
    """Return the fields of a `tool_result` event. `missing` bytes of the output are not in `text`."""
    output, left_out = cut_text(text)
    fields = {
        "tool_id": as_short_text(block.get("tool_use_id")),
        "output": output,
        "is_error": bool(block.get("is_error")) or _is_error(block.get("content")),
    }
    more = {"truncated": left_out + missing, "pictures": pictures(block.get("content"))}
    return fields | {key: value for key, value in more.items() if value}


def _is_error(content: Any) -> bool:
    """Return whether the result of a tool that the provider ran is an error object."""
    return as_text(as_object(content).get("type")).endswith("_error")


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
