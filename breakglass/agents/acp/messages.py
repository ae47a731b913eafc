"""Reads and makes single messages of the Agent Client Protocol. Must not know earlier messages.

Format: agentclientprotocol.com, schema 1.19.0 (version 1 of the protocol), and what claude-agent-acp 0.101.0
and opencode 1.18.33 print (tests/agents/acp/captures).

Messages are plain dicts, not the models of the PyPI client library. Its import takes longer than a turn's start may
take, its connection needs asyncio streams, and one wrong key makes it reject the whole message. The tests check every
message that is made here against those models.
"""

from collections.abc import Iterable
from typing import Any

from breakglass.agents.lines import (
    MAX_PLAN,
    as_count,
    as_object,
    as_objects,
    as_short_text,
    as_text,
    cut_object,
    cut_text,
    plan_item,
)
from breakglass.events import dumps

Message = dict[str, Any]

VERSION = 1
"""The only version of the protocol so far."""

METHOD_NOT_FOUND = -32601
AUTH_REQUIRED = -32000

ASKING = ("default", "ask", "manual", "read-only")
"""Modes in which agents ask before they change anything. Claude Code and Gemini have the first, Codex has the last."""

ACTING = ("bypasspermissions", "yolo", "full-access")
"""Modes in which agents never ask: Claude Code, Gemini, Codex."""

ALLOWING = ("allow_once", "allow_always")
REFUSING = ("reject_once", "reject_always")
"""Kinds of options that answer a question, the preferred one first."""

STOP_REASONS = {
    "max_tokens": "The answer was cut: the model reached its limit of tokens.",
    "max_turn_requests": "The agent gave up: it reached its limit of model requests in one turn.",
    "refusal": "The model refused to continue. It will not see this prompt in later turns.",
    "cancelled": "Interrupted.",
}
"""Why a prompt stopped early, to the result of the turn. `end_turn` and unknown reasons are a normal end."""

_TOKENS = {
    "inputTokens": "input_tokens",
    "outputTokens": "output_tokens",
    "cachedWriteTokens": "cache_creation_input_tokens",
    "cachedReadTokens": "cache_read_input_tokens",
}


# --- messages that are written ------------------------------------------------------------------


def encode_line(message: Message) -> bytes:
    """Return the line that carries a message, with its newline."""
    return dumps({"jsonrpc": "2.0", **message}).encode() + b"\n"


def initialize(version: str) -> Message:
    """Return the parameters of `initialize`. They offer no services: an agent has its own files and terminals."""
    return {
        "protocolVersion": VERSION,
        "clientCapabilities": {"fs": {"readTextFile": False, "writeTextFile": False}, "terminal": False},
        "clientInfo": {"name": "breakglass", "version": version},
    }


def not_offered(message: Message) -> Message:
    """Return the response to a request for a service that we do not offer."""
    method = as_short_text(message.get("method"))
    return {"id": message.get("id"), "error": {"code": METHOD_NOT_FOUND, "message": f"not offered: {method}"}}


def permission_answer(question: Message, kinds: Iterable[str]) -> Message:
    """Return the response to a `session/request_permission` request.

    It selects the first of `kinds` that the request offers. If it offers none, it is `cancelled`, which every agent
    must understand.
    """
    offered = options(question)
    chosen = next((offered[kind] for kind in kinds if kind in offered), None)
    outcome = {"outcome": "cancelled"} if chosen is None else {"outcome": "selected", "optionId": chosen}
    return {"id": question.get("id"), "result": {"outcome": outcome}}


def options(question: Message) -> dict[str, str]:
    """Return the options of a `session/request_permission` request, kind to id. The first of each kind counts."""
    offered = as_objects(as_object(question.get("params")).get("options"))
    return {as_text(option.get("kind")): as_text(option.get("optionId")) for option in reversed(offered)}


# --- what a session offers -----------------------------------------------------------------------


def config_option(session: Message, category: str) -> tuple[str, list[str]]:
    """Return the id of a session's config option of `category`, and its values; "" if there is no such option."""
    for option in as_objects(session.get("configOptions")):
        if option.get("category") == category and option.get("type") == "select":
            return as_text(option.get("id")), _values(option)
    return "", []


def _values(option: Message) -> list[str]:
    offered = as_objects(option.get("options"))
    grouped = [value for group in offered for value in as_objects(group.get("options"))]
    return [as_text(value.get("value")) for value in grouped or offered]


def model(session: Message) -> str:
    """Return the model that a session says it uses, or ""."""
    for option in as_objects(session.get("configOptions")):
        if option.get("category") == "model":
            return as_short_text(option.get("currentValue"))
    return as_short_text(as_object(session.get("models")).get("currentModelId"))


def modes(session: Message) -> tuple[str, list[str]]:
    """Return the mode a session is in and the modes it offers: from `modes`, else from its config options."""
    state = as_object(session.get("modes"))
    if state:
        offered = [as_text(mode.get("id")) for mode in as_objects(state.get("availableModes"))]
        return as_text(state.get("currentModeId")), offered
    for option in as_objects(session.get("configOptions")):
        if option.get("category") == "mode":
            return as_text(option.get("currentValue")), _values(option)
    return "", []


def pick(offered: list[str], wanted: Iterable[str]) -> str:
    """Return the first of `wanted` that is offered, in the agent's own spelling, or ""."""
    spelled = {mode.lower(): mode for mode in offered}
    return next((spelled[name] for name in wanted if name in spelled), "")


# --- prose and tools -----------------------------------------------------------------------------


def parent_of(update: Message) -> dict[str, str]:
    """Return the `parent` field of a subagent's update. claude-agent-acp adds it to the protocol."""
    parent = as_short_text(as_object(as_object(update.get("_meta")).get("claudeCode")).get("parentToolUseId"))
    return {"parent": parent} if parent else {}


def prose(content: Any) -> str:
    """Return a content block as text."""
    block = as_object(content)
    kind = as_short_text(block.get("type"))
    if kind == "text":
        return cut_text(as_text(block.get("text")))[0]
    if kind == "resource":
        resource = as_object(block.get("resource"))
        text = as_text(resource.get("text")) or f"[resource {as_short_text(resource.get('uri'))}]"
        return cut_text(text)[0]
    about = as_short_text(block.get("uri")) or as_short_text(block.get("mimeType"))
    return f"[{kind} {about}]" if kind else ""


def tool_input(call: Message) -> Message:
    """Return the input of a tool call. Without a raw input, return the call's title, kind, locations and diffs."""
    if raw := as_object(call.get("rawInput")):
        return cut_object(raw)
    about = {key: call[key] for key in ("title", "kind", "locations") if call.get(key)}
    diffs = [item for item in as_objects(call.get("content")) if item.get("type") == "diff"]
    return cut_object(about | {"diff": diffs} if diffs else about)


def tool_output(call: Message) -> str:
    """Return a tool's output: the raw output if it is text, else the content that the agent would display."""
    raw = call.get("rawOutput")
    if isinstance(raw, dict):
        raw = raw.get("output") or raw.get("error") or raw
    if isinstance(raw, list) and as_objects(raw):
        raw = "\n".join(prose(block) for block in as_objects(raw))
    if isinstance(raw, str):
        return raw
    shown = "\n".join(_displayed(item) for item in as_objects(call.get("content")))
    return shown or ("" if raw is None else dumps(raw))


def _displayed(item: Message) -> str:
    if item.get("type") != "diff":
        return prose(item.get("content"))
    sides = (("-", item.get("oldText")), ("+", item.get("newText")))
    changed = [sign + text for sign, side in sides for text in as_text(side).split("\n") if as_text(side)]
    return "\n".join([as_short_text(item.get("path")), *changed])


# --- the turn's progress ---------------------------------------------------------------------------


def usage(response: Message) -> dict[str, int]:
    """Return the token counts in the response to a prompt, under the log's names."""
    counted = as_object(response.get("usage"))
    known = ((ours, as_count(counted.get(theirs))) for theirs, ours in _TOKENS.items())
    return {name: count for name, count in known if count is not None}


def dollars(update: Message) -> float | None:
    """Return the US dollars that a session has cost, according to a `usage_update`; None if it does not say."""
    cost = as_object(update.get("cost"))
    amount = cost.get("amount")
    known = cost.get("currency") == "USD" and isinstance(amount, int | float) and 0 <= amount < 1e9
    return float(amount) if known and amount is not None else None


def error_text(error: Any, auth_methods: list[Message]) -> str:
    """Return the text of an error object. If the agent requires a login, add how it can be done."""
    fields = as_object(error)
    text = as_text(fields.get("message")) or "it did not say why"
    if fields.get("code") != AUTH_REQUIRED:
        return text.removeprefix("Internal error: ")
    ways = [as_text(method.get("description")) or as_text(method.get("name")) for method in auth_methods]
    hint = "Log the agent in, as the user that the server runs as, or set its key in the agent's `env`"
    return f"{text}. {hint}{': ' if ways else '.'}{'; '.join(ways)}"


def plan(update: Message) -> list[dict[str, str]]:
    """Return the items of a `plan` update, at most `MAX_PLAN`."""
    entries = as_objects(update.get("entries"))[:MAX_PLAN]
    return [plan_item(entry.get("content"), entry.get("status")) for entry in entries]
