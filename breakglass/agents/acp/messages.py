"""Reads and makes single messages of the Agent Client Protocol. Must not know earlier messages.

Format: agentclientprotocol.com, schema 1.19.0 (version 1 of the protocol), and what claude-agent-acp 0.101.0
and opencode 1.18.33 print (tests/agents/acp/captures).

Messages are plain dicts, not the models of the PyPI client library. Its import takes longer than a turn's start may
take, its connection needs asyncio streams, and one wrong key makes it reject the whole message. The tests check every
message that is made here against those models.
"""

from base64 import b64encode
from collections.abc import Iterable
from typing import Any

from breakglass.agents import Picture
from breakglass.agents.commands import is_offered
from breakglass.agents.lines import (
    MAX_PLAN,
    MAX_SHORT,
    as_count,
    as_object,
    as_objects,
    as_short_text,
    as_text,
    beginning,
    plan_item,
)
from breakglass.events import INTERRUPTED, Draft, clip, dumps
from breakglass.tally import Tokens

Message = dict[str, Any]

VERSION = 1
"""The only version of the protocol so far."""

METHOD_NOT_FOUND = -32601
AUTH_REQUIRED = -32000

ALLOWING = ("allow_once", "allow_always")
REFUSING = ("reject_once", "reject_always")
"""Kinds of options that answer a question, the preferred one first."""

STOP_REASONS = {
    "max_tokens": "The answer was cut: the model reached its limit of tokens.",
    "max_turn_requests": "The agent gave up: it reached its limit of model requests in one turn.",
    "refusal": "The model refused to continue. It will not see this prompt in later turns.",
    "cancelled": INTERRUPTED,
}
"""Why a prompt stopped early, to the result of the turn. `end_turn` is a normal end."""

MAX_REASON = 3 << 10
"""Bytes kept of the text of an error, and of the reason in its `data`."""

MAX_WAYS = 10
"""Ways to log in, and parts of a reason, that are shown."""

MAX_MODELS = 100
"""Models that an event names."""

_TOKENS = Tokens._fields, ("inputTokens", "outputTokens", "cachedWriteTokens", "cachedReadTokens")
"""The names of the log, and those of the protocol."""


# --- messages that are written ------------------------------------------------------------------


def encode_line(message: Message) -> bytes:
    """Return the line that carries a message, with its newline."""
    return dumps({"jsonrpc": "2.0", **message}).encode() + b"\n"


def initialize(version: str, capabilities: Message) -> Message:
    """Return the parameters of `initialize`. They offer no files and no terminals: an agent has its own."""
    none = {"fs": {"readTextFile": False, "writeTextFile": False}, "terminal": False}
    return {
        "protocolVersion": VERSION,
        "clientCapabilities": none | capabilities,
        "clientInfo": {"name": "breakglass", "version": version},
    }


def prompt_text(prompt: str) -> str:
    r"""Return `prompt` in a form that the model gets, unless it is one of the commands that we offer.

    An agent may take a prompt that begins with `/` for its own command, so `/logout fails` would log it out. codex-acp,
    gemini-cli and opencode strip spaces before they look, and gemini-cli looks for `$` too. So a `\` comes first.
    """
    looks_like_command = prompt.lstrip().startswith(("/", "$", "\ufeff"))
    return f"\\{prompt}" if looks_like_command and not is_offered(prompt) else prompt


def prompt_blocks(prompt: str, pictures: Iterable[Picture]) -> list[Message]:
    """Return the content blocks of a prompt."""
    images = [
        {"type": "image", "mimeType": each.type, "data": b64encode(each.data).decode()} for each in pictures
    ]
    return [{"type": "text", "text": prompt_text(prompt)}, *images]


def not_offered(message: Message) -> Message:
    """Return the response to a request for a service that we do not offer."""
    method = as_short_text(message.get("method"))
    return {"id": message.get("id"), "error": {"code": METHOD_NOT_FOUND, "message": f"not offered: {method}"}}


def not_offered_notice(message: Message) -> Draft:
    """Return the event that tells the user of a request for a service that we do not offer."""
    asked = beginning(dumps({"method": message["method"], "params": as_object(message.get("params"))}))
    return "notice", {"text": f"The agent asked for a service that Breakglass does not offer: {asked}"}


def permission_answer(question: Message, kinds: Iterable[str]) -> Message:
    """Return the response to a `session/request_permission` request.

    It selects the first of `kinds` that the request offers. If it offers none, it is `cancelled`, which every agent
    must understand.
    """
    offered = options(question)
    chosen = next((offered[kind] for kind in kinds if kind in offered), None)
    outcome = {"outcome": "cancelled"} if chosen is None else {"outcome": "selected", "optionId": chosen}
    return {"id": question.get("id"), "result": {"outcome": outcome}}


def asked_call_id(question: Message) -> str:
    """Return the id of the tool call that a `session/request_permission` request is about."""
    return call_id(as_object(as_object(question.get("params")).get("toolCall")))


def call_id(update: Message) -> str:
    """Return the id of a tool call. Some agents count their calls, and a number is as good as text."""
    number = update.get("toolCallId")
    return str(number) if type(number) is int else as_short_text(number)


def options(question: Message) -> dict[str, str]:
    """Return the options of a `session/request_permission` request, kind to id. The first of each kind counts."""
    offered = as_objects(as_object(question.get("params")).get("options"))
    return {as_text(option.get("kind")): as_text(option.get("optionId")) for option in reversed(offered)}


# --- what a session offers -----------------------------------------------------------------------


def session_id(response: Message) -> str:
    """Return the name of an opened session, "" if it has none that a later turn can use.

    The protocol allows any text. Only controls and halves of surrogate pairs are refused: the name is shown to users.
    """
    name = as_text(response.get("sessionId"))
    return name if len(name) <= MAX_SHORT and name.isprintable() else ""


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


def models(session: Message) -> list[str]:
    """Return the ids of the models that a session offers, at most `MAX_MODELS` of them."""
    option, values = config_option(session, "model")
    if not option:
        offered = as_objects(as_object(session.get("models")).get("availableModels"))
        values = [as_text(each.get("modelId")) for each in offered]
    return [each for each in values if each and as_short_text(each) == each][:MAX_MODELS]


# --- updates -----------------------------------------------------------------------------


def parent_of(update: Message) -> dict[str, str]:
    """Return the `parent` field of a subagent's update. claude-agent-acp adds it to the protocol."""
    parent = as_short_text(as_object(as_object(update.get("_meta")).get("claudeCode")).get("parentToolUseId"))
    return {"parent": parent} if parent else {}


# --- the turn's course -----------------------------------------------------------------------------


def usage(response: Message) -> dict[str, int]:
    """Return the token counts in the response to a prompt, under the log's names."""
    counted = as_object(response.get("usage"))
    known = ((ours, as_count(counted.get(theirs))) for ours, theirs in zip(*_TOKENS, strict=True))
    return {name: count for name, count in known if count is not None}


def context(update: Message) -> dict[str, int]:
    """Return the tokens `used` of the `size` of the agent's context, by a `usage_update`; empty if it does not say."""
    used, size = as_count(update.get("used")), as_count(update.get("size"))
    return {"used": used, "size": size} if used is not None and size else {}


def dollars(update: Message) -> float | None:
    """Return the US dollars that a session has cost, according to a `usage_update`; None if it does not say."""
    cost = as_object(update.get("cost"))
    amount = cost.get("amount")
    known = cost.get("currency") == "USD" and isinstance(amount, int | float) and 0 <= amount < 1e9
    return float(amount) if known and amount is not None else None


def error_text(error: Any, auth_methods: list[Message]) -> str:
    """Return the text of an error object, with the reason in its `data`. A required login adds how it can be done."""
    fields = as_object(error)
    text = as_text(fields.get("message")) or as_text(error) or "it did not say why"
    if fields.get("code") != AUTH_REQUIRED:
        reason = _reason(fields.get("data"))
        told = clip(text.removeprefix("Internal error: "), MAX_REASON)[0]
        if not reason or reason in told:
            return told
        return reason if told == "Internal error" else f"{told}: {reason}"
    said = ": ".join(filter(None, [text, _reason(fields.get("data"))]))
    ways = [
        as_short_text(way.get("description")) or as_short_text(way.get("name"))
        for way in auth_methods[:MAX_WAYS]
    ]
    hint = "Log the agent in, as the user that the server runs as, or set its key in the agent's `env`"
    return f"{said}. {hint}{': ' if ways else '.'}{'; '.join(ways)}"


def _reason(data: Any) -> str:
    """Return the reason in the `data` of an error, which may have any shape; "" if it holds none."""
    if isinstance(data, dict):
        known = (data.get(key) for key in ("details", "detail", "message", "reason", "error", "text"))
        return next(filter(None, map(_reason, known)), "")
    if isinstance(data, list):
        return clip("; ".join(filter(None, map(_reason, data[:MAX_WAYS]))), MAX_REASON)[0]
    return clip(as_text(data).strip(), MAX_REASON)[0]


def failure_sign(update: Message) -> str | None:
    """Return the status that an agent's backend has according to an update; None if it does not say.

    It is no part of the protocol. codex-acp reports an error of its backend as prose and as `systemError` here.
    """
    for extension in as_object(update.get("_meta")).values():
        if status := as_short_text(as_object(as_object(extension).get("threadStatus")).get("type")):
            return status
    return None


def plan(update: Message) -> list[dict[str, str]]:
    """Return the items of a `plan` update, at most `MAX_PLAN`."""
    entries = as_objects(update.get("entries"))[:MAX_PLAN]
    return [plan_item(entry.get("content"), entry.get("status")) for entry in entries]
