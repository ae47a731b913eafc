"""The event line: its codec, and the limits of its texts. Pure: no files, no clock, no event loop.

docs/contract.md, section 2, describes the format. `breakglass.kinds` has the kinds of events and their keys. Only
store/log.py writes events to disk. The agents' modules return a `Draft`, which has no number and no time.
"""

import json
import re
from json.encoder import encode_basestring
from typing import Any

from breakglass.kinds import KINDS

SCHEMA = 1

MAX_OUTPUT = 1 << 20
"""Maximum bytes of UTF-8 of a tool's output, or of any other text of an agent, in one event."""

MAX_FOREIGN = 64 << 10
"""Maximum bytes of a foreign line that clients receive."""

MAX_DEPTH = 100
"""Levels of nesting kept in an agent's JSON. jq 1.6 refuses a line with more than 256."""

INTERRUPTED = "Interrupted."
"""The `result` of an agent that a user stopped."""

LOST = "The turn was lost: {}. What it did so far is kept above."
"""The `error` of a turn whose runner died, with the reason."""

Event = dict[str, Any]
"""A decoded line: `id`, `ts`, `kind` and the own keys of the kind."""

Draft = tuple[str, dict[str, Any]]
"""An event without number and time: its kind and its own keys. The runner adds `turn`."""

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"))


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)

# These are never unescaped in a line. A terminal acts on DEL and the C1 controls. Some readers break lines at U+2028
# and U+2029. Surrogates cannot be encoded as UTF-8, and jq refuses them when escaped.
_UNSAFE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_HEAD = re.compile(rb'\{"id":([1-9][0-9]{0,18}),"ts":"[^"\\]{1,40}","kind":"([a-z_]{1,40})"[,}]')


# --- the codec -----------------------------------------------------------------------------------


def encode(event_id: int, ts: str, kind: str, fields: dict[str, Any]) -> bytes:
    """Return the whole line with its newline, the keys in the contract's order.

    Optional keys that are None are left out. Raises KeyError for an unknown kind or a missing required key, and
    TypeError for a key that the kind does not have. Both are mistakes of the caller.
    """
    row = KINDS[kind]
    parts = [f'{{"id":{event_id},"ts":"{ts}","kind":"{kind}"']
    parts += [f',"{key}":{_json(fields[key])}' for key in row.required]
    given = [key for key in row.optional if key in fields]
    parts += [f',"{key}":{_json(fields[key])}' for key in given if fields[key] is not None]
    if len(row.required) + len(given) < len(fields):
        raise TypeError(f"a {kind} event has no key {(fields.keys() - {*row.required, *given}).pop()!r}")
    return _escaped("".join(parts)).encode() + b"}\n"


def dumps(value: Any) -> str:
    """Return compact JSON on one line. jq 1.6 can read it, even if an agent chose `value`."""
    return _escaped(_json(value))


def _json(value: Any) -> str:
    if type(value) is str:
        return encode_basestring(value)  # the most frequent case; the full encoder takes four times as long
    if type(value) is int:
        return str(value)
    try:
        body = _ENCODER.encode(value)
        if body.count("{") + body.count("[") > MAX_DEPTH:  # cheap to count, and rarely true
            body = _ENCODER.encode(_readable_by_jq(value, MAX_DEPTH))
    except (ValueError, RecursionError):  # NaN and infinities; nesting deeper than Python's own limit
        body = _ENCODER.encode(_readable_by_jq(value, MAX_DEPTH))
    return body


def _readable_by_jq(value: Any, depth: int) -> Any:
    """Return `value` with NaN and infinities as text, and without the values below `depth` levels."""
    if isinstance(value, float) and value - value != 0:
        return str(value)
    if not isinstance(value, dict | list | tuple):
        return value
    if depth == 0:
        return "(nested too deeply to be kept)"
    if isinstance(value, dict):
        return {str(key): _readable_by_jq(item, depth - 1) for key, item in value.items()}
    return [_readable_by_jq(item, depth - 1) for item in value]


def _escaped(line: str) -> str:
    return line if line.isascii() and "\x7f" not in line else _UNSAFE.sub(_escape_character, line)


def _escape_character(match: re.Match[str]) -> str:
    code = ord(match[0])
    return "\ufffd" if 0xD800 <= code <= 0xDFFF else f"\\u{code:04x}"


def head(line: bytes) -> tuple[int, str] | None:
    """Return the id and kind at the beginning of a line, or None if it does not begin like an event."""
    match = _HEAD.match(line)
    return (int(match[1]), match[2].decode()) if match else None


def is_ours(line: bytes, number: int) -> bool:
    """Return whether `line` begins and ends like event `number`, so that it may be sent to clients unchanged.

    The content is not checked: the server parses no JSON when it sends lines.
    """
    return (
        line.startswith(b'{"id":%d,"ts":"' % number) and line.rstrip(b" \n").endswith(b"}") and is_clean(line)
    )


def is_clean(data: bytes) -> bool:
    """Return whether `data` is UTF-8 without NUL and without CR, which ends a line in an event stream."""
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
    """Return line `number` of a log as an event. Any other line becomes an event of kind `foreign`."""
    found = head(line)
    if found and found[0] == number and is_ours(line, number):
        try:
            event = _decode_json(line.decode())
            if _SURROGATE.search(line):  # a foreign writer escaped it; no page and no stream can encode it
                event = json.loads(dumps(event))
        except (ValueError, RecursionError):
            return foreign(line, number)
        decoded = (type(event["ts"]), type(event["id"]), event["id"], event["kind"])
        if decoded == (str, int, *found):  # else a second `id`, `ts` or `kind` replaced the first
            return dict(event)
    return foreign(line, number)


def _decode_json(line: str) -> Any:
    """Return what `_DECODER.decode` returns. That looks for white space with a regular expression, and takes longer."""
    value, end = _DECODER.raw_decode(line)
    if line[end:].strip(" \n"):
        raise ValueError("more than one JSON value")
    return value


def foreign(line: bytes, number: int) -> Event:
    """Return the event for a foreign line: its number and the beginning of its text."""
    text = line[:MAX_FOREIGN].decode(errors="replace").rstrip("\r\n")
    return {"id": number, "kind": "foreign", "text": text}


def clip(text: str, limit: int = MAX_OUTPUT) -> tuple[str, int]:
    """Return `text` cut to at most `limit` bytes of UTF-8, and the number of bytes left out. No character is split."""
    if len(text) * 4 <= limit:
        return text, 0
    data = text.encode(errors="replace")
    if len(data) <= limit:
        return text, 0
    kept = data[:limit].decode(errors="ignore")
    return kept, len(data) - len(kept.encode())
