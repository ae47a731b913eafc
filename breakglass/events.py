"""The event line: its kinds, its codec, and the fold of events to a session's state.

Pure: no files, no clock, no loop. The format is docs/contract.md, section 2. Whoever wants an event
on disk goes through store/log.py; whoever makes one for an agent returns a `Draft`.
"""

import json
import math
import re
from collections.abc import Callable
from json.encoder import encode_basestring
from typing import Any, NamedTuple

SCHEMA = 1

MAX_OUTPUT = 1 << 20
"""Bytes of UTF-8 that a tool's output, or any other text of an agent, keeps in one event."""

MAX_FOREIGN = 64 << 10
"""Bytes of a foreign line that a client is shown."""

MAX_DEPTH = 100
"""Nesting kept in an agent's JSON. jq 1.6 refuses a line nested deeper than 256."""

Event = dict[str, Any]
"""A decoded line: `id`, `ts`, `kind` and the kind's own keys."""

Draft = tuple[str, dict[str, Any]]
"""An event that has no number and no time yet: its kind and its own keys, without `turn`."""


class Keys(NamedTuple):
    """The own keys of a kind, in the order in which they stand in the line."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()


KINDS: dict[str, Keys] = {
    "created": Keys(("schema", "agent", "model", "title", "by", "host")),
    "user": Keys(("turn", "text", "by"), ("model", "key", "queued")),
    "queued": Keys(("text", "by"), ("model", "key")),
    "withdrawn": Keys(("queued", "by")),
    "session": Keys(("turn", "session_id"), ("model",)),
    "delta": Keys(("turn", "text"), ("parent",)),
    "text": Keys(("turn", "text"), ("parent",)),
    "tool": Keys(("turn", "tool_id", "name", "input"), ("parent",)),
    "tool_result": Keys(("turn", "tool_id", "output", "is_error"), ("truncated", "parent")),
    "permission": Keys(("turn", "request", "name", "input", "expires"), ("parent",)),
    "answer": Keys(("turn", "request", "allow", "by"), ("message", "for_session")),
    "plan": Keys(("turn", "items"), ("parent",)),
    "thinking": Keys(("turn", "text"), ("parent",)),
    "notice": Keys(("turn", "text"), ("parent",)),
    "retry": Keys(("turn", "attempt", "error"), ("parent",)),
    "result": Keys(("turn", "is_error", "result", "duration_ms"), ("usage", "cost_usd", "model")),
    "error": Keys(("turn", "error"), ("parent",)),
    "cancelled": Keys(("turn", "by")),
    "turn_end": Keys(("turn", "status", "duration_ms")),
    "renamed": Keys(("title", "by")),
    "archived": Keys(("archived", "by")),
    "repaired": Keys(("offset", "bytes", "saved_as")),
}

ENDINGS = ("ok", "error", "cancelled", "timeout", "lost")
"""What a `turn_end` may say of its turn."""

SYNCED = frozenset("created user queued withdrawn tool permission answer cancelled error turn_end".split())
"""Kinds that are on disk before their append returns; the rest are synced in groups."""

RESTING = frozenset({"created", "turn_end"})
"""Kinds after which nothing more is expected soon."""

ASIDE = frozenset("renamed archived repaired withdrawn".split())
"""Kinds that may stand anywhere and do not tell whether a turn runs."""

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"))


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)

# Never raw in a line: DEL and the C1 controls (a terminal acts on them), U+2028 and U+2029 (some
# readers break lines there). Surrogates cannot be encoded at all and jq refuses them escaped.
_UNSAFE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_HEAD = re.compile(rb'\{"id":([1-9][0-9]{0,18}),"ts":"[^"\\]{1,40}","kind":"([a-z_]{1,40})"[,}]')


# --- the line -----------------------------------------------------------------------------------


def encode(event_id: int, ts: str, kind: str, fields: dict[str, Any]) -> bytes:
    """Return the whole line, its newline included, with the keys in the contract's order.

    Optional keys that are None are left out. Raises KeyError for a kind or a required key that is
    missing and TypeError for a key the kind does not have: both are mistakes of the caller.
    """
    required, optional = KINDS[kind]
    parts = [f'{{"id":{event_id},"ts":"{ts}","kind":"{kind}"']
    parts += [f',"{key}":{_json(fields[key])}' for key in required]
    given = [key for key in optional if key in fields]
    parts += [f',"{key}":{_json(fields[key])}' for key in given if fields[key] is not None]
    if len(required) + len(given) < len(fields):
        raise TypeError(f"a {kind} event has no key {(fields.keys() - {*required, *given}).pop()!r}")
    return _printable("".join(parts)).encode() + b"}\n"


def dumps(value: Any) -> str:
    """Return compact JSON on one line that jq 1.6 reads, whatever an agent put into `value`."""
    return _printable(_json(value))


def _json(value: Any) -> str:
    if type(value) is str:
        return encode_basestring(value)  # most of what there is, at a quarter of the encoder's cost
    if type(value) is int:
        return str(value)
    try:
        body = _ENCODER.encode(value)
        if body.count("{") + body.count("[") > MAX_DEPTH:  # cheap, and rarely true
            body = _ENCODER.encode(_tame(value, MAX_DEPTH))
    except (ValueError, RecursionError):  # NaN and infinities; nesting past Python's own limit
        body = _ENCODER.encode(_tame(value, MAX_DEPTH))
    return body


def _tame(value: Any, depth: int) -> Any:
    if isinstance(value, float) and value - value != 0:
        return str(value)
    if not isinstance(value, dict | list | tuple):
        return value
    if depth == 0:
        return "(nested too deeply to be kept)"
    if isinstance(value, dict):
        return {str(key): _tame(item, depth - 1) for key, item in value.items()}
    return [_tame(item, depth - 1) for item in value]


def _printable(line: str) -> str:
    return line if line.isascii() and "\x7f" not in line else _UNSAFE.sub(_escape, line)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return "\ufffd" if 0xD800 <= code <= 0xDFFF else f"\\u{code:04x}"


def head(line: bytes) -> tuple[int, str] | None:
    """Return the id and kind that a line of ours begins with, or None for a foreign line."""
    match = _HEAD.match(line)
    return (int(match[1]), match[2].decode()) if match else None


def is_ours(line: bytes, number: int) -> bool:
    """Return whether `line` has the outside of an event of that number, which may be sent as it is.

    What is inside is not looked at: no JSON is parsed on the way out.
    """
    return (
        line.startswith(b'{"id":%d,"ts":"' % number) and line.rstrip(b" \n").endswith(b"}") and is_clean(line)
    )


def is_clean(data: bytes) -> bool:
    """Return whether `data` is UTF-8 without CR, which ends a line in an event stream, and without NUL."""
    if b"\r" in data or b"\0" in data:
        return False
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def decode(line: bytes, number: int) -> Event:
    """Return line `number` of a log as an event; what is no event of that number comes back `foreign`."""
    found = head(line)
    if found and is_ours(line, number):
        try:
            event = _DECODER.decode(line.decode())
            if _SURROGATE.search(line):  # escaped by a stranger; no page and no stream could encode it
                event = json.loads(dumps(event))
        except (ValueError, RecursionError):
            return foreign(line, number)
        said = (type(event["ts"]), type(event["id"]), event["id"], event["kind"])
        if said == (str, int, *found):  # no key came twice
            return dict(event)
    return foreign(line, number)


def foreign(line: bytes, number: int) -> Event:
    """Return the event that stands for a line which is not ours: its number and the start of its text."""
    text = line[:MAX_FOREIGN].decode(errors="replace").rstrip("\r\n")
    return {"id": number, "kind": "foreign", "text": text}


def clip(text: str, limit: int = MAX_OUTPUT) -> tuple[str, int]:
    """Return `text` cut to at most `limit` bytes of UTF-8, never inside a character, and the bytes left out."""
    if len(text) * 4 <= limit:
        return text, 0
    data = text.encode(errors="replace")
    if len(data) <= limit:
        return text, 0
    kept = data[:limit].decode(errors="ignore")
    return kept, len(data) - len(kept.encode())


# --- the fold -----------------------------------------------------------------------------------


class Queued(NamedTuple):
    """A prompt that waits for the turns before it."""

    id: int
    """The `queued` event, which has all of it."""
    text: str
    """Its first 200 characters."""


class Question(NamedTuple):
    """An agent's question that is open: leave to use a tool, which nobody has given or refused yet."""

    id: int
    """The `permission` event, which has all of it."""
    request: str
    name: str
    expires: str


class State(NamedTuple):
    """What a session's events add up to."""

    agent: str = ""
    model: str | None = None
    title: str = ""
    first_prompt: str = ""
    created: str = ""
    updated: str = ""
    last_id: int = 0
    archived: bool = False
    turn: int | None = None
    """The turn that has begun and not ended, whether or not its runner lives."""
    last_turn: int | None = None
    """The turn that began last."""
    status: str = "new"
    """`new`, `running`, or how the last turn ended."""
    cancelled: bool = False
    """Whether a person has stopped the open turn."""
    agent_session: str | None = None
    """The agent's own session, once it has opened one."""
    agent_cost: float = 0.0
    """US dollars spent so far within `agent_session`; agents report a running total."""
    cost: float = 0.0
    """US dollars spent in the whole session."""
    queued: tuple[Queued, ...] = ()
    """The prompts that wait, in the order in which they will be taken up."""
    asking: tuple[Question, ...] = ()
    """The running turn's open questions."""
    allowed: tuple[str, ...] = ()
    """The tools that a person has allowed for the whole session."""

    @property
    def is_shown(self) -> bool:
        """Whether lists show the session unasked: it is not put away, or a turn runs in it all the same."""
        return not self.archived or self.turn is not None


def fold(state: State, event: Event) -> State:
    """Return the state after one more event. Kinds and keys that are not known change nothing."""
    step = _STEPS.get(event.get("kind", ""))
    try:
        state = step(state, event) if step else state
    except (KeyError, TypeError, OverflowError):
        pass  # a key missing or misshapen: pass over it as over an unknown kind
    return state._replace(last_id=event["id"], updated=event.get("ts", state.updated))


def _text(event: Event, key: str) -> str:
    """Return the text under `key`. Raises KeyError where there is nothing and TypeError where it is no text."""
    if isinstance(value := event[key], str):
        return value
    raise TypeError(f"{key} is no text")


def _flag(event: Event, key: str) -> bool:
    """Return the boolean under `key`. Raises KeyError where there is nothing and TypeError where it is none."""
    if isinstance(value := event[key], bool):
        return value
    raise TypeError(f"{key} is no boolean")


def _dollars(event: Event) -> float:
    """Return what a result cost, 0 where it does not say. Raises TypeError and OverflowError for no such number."""
    value = event.get("cost_usd")
    if value is None:
        return 0.0
    if type(value) in (int, float) and math.isfinite(value):
        return float(value)
    raise TypeError("cost_usd is no finite number")


def _created(state: State, event: Event) -> State:
    return state._replace(
        agent=_text(event, "agent"),
        model=None if event["model"] is None else _text(event, "model"),
        title=_text(event, "title"),
        created=event["ts"],
    )


def _user(state: State, event: Event) -> State:
    text = _text(event, "text")
    return state._replace(
        turn=event["id"],
        last_turn=event["id"],
        status="running",
        cancelled=False,
        first_prompt=state.first_prompt or text[:200],
        asking=(),
        queued=_without(state.queued, event.get("queued")),
    )


def _queued(state: State, event: Event) -> State:
    _text(event, "by")  # without it the prompt could not be taken up
    return state._replace(queued=(*state.queued, Queued(event["id"], _text(event, "text")[:200])))


def _withdrawn(state: State, event: Event) -> State:
    return state._replace(queued=_without(state.queued, event["queued"]))


def _without(waiting: tuple[Queued, ...], number: object) -> tuple[Queued, ...]:
    return tuple(each for each in waiting if each.id != number) if waiting else waiting


def _permission(state: State, event: Event) -> State:
    if event["turn"] != state.turn:
        return state
    question = Question(event["id"], _text(event, "request"), _text(event, "name"), _text(event, "expires"))
    return state._replace(asking=(*state.asking, question))


def _answer(state: State, event: Event) -> State:
    asked = [question for question in state.asking if question.request == event["request"]]
    if event["turn"] != state.turn or not asked:  # the first answer wins
        return state
    allowed = state.allowed
    if event.get("for_session") is True and event["allow"] is True and asked[0].name not in allowed:
        allowed += (asked[0].name,)
    return state._replace(asking=tuple(q for q in state.asking if q not in asked), allowed=allowed)


def _session(state: State, event: Event) -> State:
    opened = _text(event, "session_id")
    return state if opened == state.agent_session else state._replace(agent_session=opened, agent_cost=0.0)


def _result(state: State, event: Event) -> State:
    cost = _dollars(event)
    return state._replace(cost=state.cost + cost, agent_cost=state.agent_cost + cost)


def _cancelled(state: State, event: Event) -> State:
    return state._replace(cancelled=True, asking=()) if event["turn"] == state.turn else state


def _turn_end(state: State, event: Event) -> State:
    if event["turn"] != state.turn:
        return state
    return state._replace(turn=None, status=_text(event, "status"), cancelled=False, asking=())


_STEPS: dict[str, Callable[[State, Event], State]] = {
    "created": _created,
    "user": _user,
    "queued": _queued,
    "withdrawn": _withdrawn,
    "permission": _permission,
    "answer": _answer,
    "session": _session,
    "result": _result,
    "cancelled": _cancelled,
    "turn_end": _turn_end,
    "renamed": lambda state, event: state._replace(title=_text(event, "title")),
    "archived": lambda state, event: state._replace(archived=_flag(event, "archived")),
}

FOLDED = frozenset(_STEPS)
"""The kinds that change a state: all a reader needs who wants the state and not the story."""
