"""The event line: its kinds, its codec, and the fold of events to a session's state.

Pure: no files, no clock, no loop. The format is docs/contract.md, section 2. Whoever wants an event
on disk goes through store/log.py; whoever makes one for an agent returns a `Draft`.
"""

import json
import re
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
