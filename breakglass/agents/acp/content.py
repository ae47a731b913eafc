"""The content of ACP messages as text: blocks of prose, and the input and the output of tool calls. Pure.

No content is dropped. Text is kept, links keep their address and title, and data keeps
its type and true size. A block of an unknown kind is kept as JSON.
"""

from typing import Any

from breakglass.agents.acp.messages import Message
from breakglass.agents.blocks import block_text
from breakglass.agents.lines import (
    as_object,
    as_objects,
    as_short_text,
    as_text,
    beginning,
    cut_object,
    cut_text,
)
from breakglass.events import dumps


def prose(content: Any) -> str:
    """Return a content block, or a list of blocks, as text. A block without a type that has text is text."""
    if isinstance(content, str):
        return cut_text(content)[0]
    if isinstance(content, list):
        return cut_text("\n".join(prose(block) for block in content))[0]
    if not isinstance(content, dict):
        return beginning(dumps(content)) if content is not None else ""
    if content.get("type") is None and isinstance(content.get("text"), str):
        content = {**content, "type": "text"}
    return cut_text(block_text(content))[0]


# --- tools ---------------------------------------------------------------------------------------


def tool_input(call: Message) -> Message:
    """Return the input of a tool call. Without a raw input, return the call's title, kind, locations and diffs."""
    raw = call.get("rawInput")
    if isinstance(raw, dict) and raw:
        return cut_object(raw)
    about = {key: call[key] for key in ("title", "kind", "locations") if call.get(key)}
    if raw:
        about["input"] = raw
    diffs = [item for item in as_objects(call.get("content")) if item.get("type") == "diff"]
    return cut_object(about | {"diff": diffs} if diffs else about)


def question_input(call: Message, asked: Message) -> Message:
    """Return what the user is asked to allow. Without a raw input, it includes the text that the agent would show."""
    state = {**call, **{key: value for key, value in asked.items() if value}}
    about = tool_input(state)
    shown = "" if as_object(state.get("rawInput")) else _shown(state, {"diff", "terminal"})
    return cut_object({**about, "about": shown}) if shown else about


def tool_output(call: Message, printed: str) -> str:
    """Return a tool's output: the raw output if it is text, else what it printed, else the content for display.

    `printed` is what the agent reported of the output of the call's terminal.
    """
    raw = call.get("rawOutput")
    if isinstance(raw, dict):
        raw = raw.get("output") or raw.get("error") or raw
    if isinstance(raw, list) and raw:
        raw = prose(raw)
    text = raw if isinstance(raw, str) else printed
    if text:  # the content repeats it, apart from what is no text
        extra = _shown(call, {"text", "content", "terminal", *(["diff"] if call.get("rawInput") else [])})
        return f"{text}\n{extra}" if extra else text
    if isinstance(raw, str):
        return raw or _shown(call, {"terminal"})
    return _shown(call, set()) or ("" if raw is None else dumps(raw))


def _shown(call: Message, left_out: set[str]) -> str:
    """Return a call's content as text, without the kinds in `left_out`. Some agents do not wrap their blocks."""
    content = call.get("content")
    items = content if isinstance(content, list) else [] if content is None else [content]
    pairs = [(_kind(item), _displayed(item)) for item in items]
    return "\n".join(text for kind, text in pairs if kind not in left_out and text)


def _kind(item: Any) -> str:
    """Return the kind of a piece of content: of the block, if it is wrapped."""
    item = item if isinstance(item, dict) else {"type": "text"}
    block = as_object(item.get("content")) if item.get("type") == "content" else item
    return as_short_text(block.get("type")) or "text"


def _marked(sign: str, side: Any) -> list[str]:
    """Return the lines of one side of a diff. A newline ends the last one, and begins no other."""
    text = as_text(side)
    return [sign + line for line in text.removesuffix("\n").split("\n")] if text else []


def _displayed(item: Any) -> str:
    kind = item.get("type") if isinstance(item, dict) else None
    if kind == "content":
        return prose(item.get("content"))
    if kind == "terminal":
        return f"[terminal {as_short_text(item.get('terminalId'))}]"
    if kind == "diff":
        changed = [*_marked("-", item.get("oldText")), *_marked("+", item.get("newText"))]
        return "\n".join([as_short_text(item.get("path")), *changed])
    return prose(item)
