"""What single messages of the Agent Client Protocol hold, as values. Knows no history: acp.py does.

Format: agentclientprotocol.com, schema 1.19.0 (version 1 of the protocol), and what claude-agent-acp 0.101.0
and opencode 1.18.33 print (tests/agents/acp). Plain tables, not the models of the PyPI client library: its
import takes 0.55 s and 42 MB (2026-11-23), its connection wants asyncio streams, and one key amiss would
cost the whole message. The tests hold every message that is written here against those models instead.
"""

from collections.abc import Iterable
from typing import Any

from breakglass.agents.lines import MAX_PLAN, fit, fit_table, plan_item, short, string, table, tables, whole
from breakglass.events import dumps

Message = dict[str, Any]

VERSION = 1
"""The only version of the protocol there is."""

METHOD_NOT_FOUND = -32601
AUTH_REQUIRED = -32000

ASKING = ("default", "ask", "manual", "read-only")
"""Modes in which agents ask before they change anything: Claude Code and Gemini, others, Codex."""

ACTING = ("bypasspermissions", "yolo", "full-access")
"""Modes in which agents ask nothing: Claude Code, Gemini, Codex."""

STOPS = {
    "max_tokens": "The answer was cut: the model reached its limit of tokens.",
    "max_turn_requests": "The agent gave up: it reached its limit of model requests in one turn.",
    "refusal": "The model refused to go on. It will not see this prompt in the turns to come.",
    "cancelled": "Interrupted.",
}
"""Why a turn stopped, to what a person is told. `end_turn`, and what is not known, is an end in order."""

_TOKENS = {
    "inputTokens": "input_tokens",
    "outputTokens": "output_tokens",
    "cachedWriteTokens": "cache_creation_input_tokens",
    "cachedReadTokens": "cache_read_input_tokens",
}


# --- messages that are written ------------------------------------------------------------------


def line(message: Message) -> bytes:
    """Return the line that carries a message."""
    return dumps({"jsonrpc": "2.0", **message}).encode() + b"\n"


def initialize(version: str) -> Message:
    """Return the parameters of `initialize`. Nothing is offered: an agent has its own files and terminals."""
    return {
        "protocolVersion": VERSION,
        "clientCapabilities": {"fs": {"readTextFile": False, "writeTextFile": False}, "terminal": False},
        "clientInfo": {"name": "breakglass", "version": version},
    }


def refusal(message: Message) -> Message:
    """Return the answer to a request for what is not offered."""
    method = short(message.get("method"))
    return {"id": message.get("id"), "error": {"code": METHOD_NOT_FOUND, "message": f"not offered: {method}"}}


def verdict(question: Message, kinds: Iterable[str]) -> Message:
    """Return the answer to a `session/request_permission`: its first option of the first of `kinds` that it has.

    Without one it is `cancelled`, which every agent has to understand.
    """
    offered = options(question)
    chosen = next((offered[kind] for kind in kinds if kind in offered), None)
    outcome = {"outcome": "cancelled"} if chosen is None else {"outcome": "selected", "optionId": chosen}
    return {"id": question.get("id"), "result": {"outcome": outcome}}


def options(question: Message) -> dict[str, str]:
    """Return the options of a `session/request_permission`, kind to id, the first of each kind."""
    offered = tables(table(question.get("params")).get("options"))
    return {string(option.get("kind")): string(option.get("optionId")) for option in reversed(offered)}


# --- what a session offers -----------------------------------------------------------------------


def choices(session: Message, category: str) -> tuple[str, list[str]]:
    """Return the id of a session's `configOptions` of a category and the values it takes; "" if there is none."""
    for option in tables(session.get("configOptions")):
        if option.get("category") == category and option.get("type") == "select":
            return string(option.get("id")), _values(option)
    return "", []


def _values(option: Message) -> list[str]:
    offered = tables(option.get("options"))
    grouped = [value for group in offered for value in tables(group.get("options"))]
    return [string(value.get("value")) for value in grouped or offered]


def model(session: Message) -> str:
    """Return the model that a session says it uses, or ""."""
    for option in tables(session.get("configOptions")):
        if option.get("category") == "model":
            return short(option.get("currentValue"))
    return short(table(session.get("models")).get("currentModelId"))


def modes(session: Message) -> tuple[str, list[str]]:
    """Return the mode a session is in and the modes it offers, however it says that."""
    state = table(session.get("modes"))
    if state:
        offered = [string(mode.get("id")) for mode in tables(state.get("availableModes"))]
        return string(state.get("currentModeId")), offered
    for option in tables(session.get("configOptions")):
        if option.get("category") == "mode":
            return string(option.get("currentValue")), _values(option)
    return "", []


def pick(offered: list[str], wanted: Iterable[str]) -> str:
    """Return the first of `wanted` that is offered, in the agent's own spelling, or ""."""
    spelled = {mode.lower(): mode for mode in offered}
    return next((spelled[name] for name in wanted if name in spelled), "")


# --- prose and tools -----------------------------------------------------------------------------


def parent_of(update: Message) -> dict[str, str]:
    """Return the key that marks what a subagent said or did. Not in the protocol: claude-agent-acp says it."""
    parent = short(table(table(update.get("_meta")).get("claudeCode")).get("parentToolUseId"))
    return {"parent": parent} if parent else {}


def prose(content: Any) -> str:
    """Return a content block as text."""
    block = table(content)
    kind = short(block.get("type"))
    if kind == "text":
        return fit(string(block.get("text")))[0]
    if kind == "resource":
        resource = table(block.get("resource"))
        return fit(string(resource.get("text")) or f"[resource {short(resource.get('uri'))}]")[0]
    about = short(block.get("uri")) or short(block.get("mimeType"))
    return f"[{kind} {about}]" if kind else ""


def tool_input(call: Message) -> Message:
    """Return what a tool was called with. An agent that gives no raw input says at least what it is about."""
    if raw := table(call.get("rawInput")):
        return fit_table(raw)
    about = {key: call[key] for key in ("title", "kind", "locations") if call.get(key)}
    diffs = [item for item in tables(call.get("content")) if item.get("type") == "diff"]
    return fit_table(about | {"diff": diffs} if diffs else about)


def tool_output(call: Message) -> str:
    """Return what a tool answered: the raw output where that is text, else what the agent would show."""
    raw = call.get("rawOutput")
    if isinstance(raw, dict):
        raw = raw.get("output") or raw.get("error") or raw
    if isinstance(raw, list) and tables(raw):
        raw = "\n".join(prose(block) for block in tables(raw))
    if isinstance(raw, str):
        return raw
    shown = "\n".join(_shown(item) for item in tables(call.get("content")))
    return shown or ("" if raw is None else dumps(raw))


def _shown(item: Message) -> str:
    if item.get("type") != "diff":
        return prose(item.get("content"))
    sides = (("-", item.get("oldText")), ("+", item.get("newText")))
    changed = [sign + text for sign, side in sides for text in string(side).split("\n") if string(side)]
    return "\n".join([short(item.get("path")), *changed])


# --- the turn's course -----------------------------------------------------------------------------


def usage(answer: Message) -> dict[str, int]:
    """Return the tokens that the answer to a prompt counts, under the names the log has for them."""
    counted = table(answer.get("usage"))
    known = ((ours, whole(counted.get(theirs))) for theirs, ours in _TOKENS.items())
    return {name: count for name, count in known if count is not None}


def dollars(update: Message) -> float | None:
    """Return the US dollars that a `usage_update` says its session has cost, or None."""
    cost = table(update.get("cost"))
    amount = cost.get("amount")
    known = cost.get("currency") == "USD" and isinstance(amount, int | float) and 0 <= amount < 1e9
    return float(amount) if known and amount is not None else None


def complaint(error: Any, ways: list[Message]) -> str:
    """Return an error object as words; with the ways to log in that the agent named, where it wants that."""
    code, text = table(error).get("code"), string(table(error).get("message")) or "it did not say why"
    if code != AUTH_REQUIRED:
        return text.removeprefix("Internal error: ")
    told = [string(way.get("description")) or string(way.get("name")) for way in ways]
    where = "Log the agent in, as the user that the server runs as, or set its key in the agent's `env`"
    return f"{text}. {where}{': ' if told else '.'}{'; '.join(told)}"


def plan(update: Message) -> list[dict[str, str]]:
    """Return the items of a `plan` update, as many as are kept."""
    entries = tables(update.get("entries"))[:MAX_PLAN]
    return [plan_item(entry.get("content"), entry.get("status")) for entry in entries]
