"""The event line: the table of event kinds, and the codec of a line. Pure: no files, no clock, no event loop.

docs/contract.md, section 2, describes the format; its table is generated from `KINDS`. Only store/log.py writes events
to disk. The agents' modules return a `Draft`, which has no number and no time.
"""

import json
import re
from json.encoder import encode_basestring
from typing import Any, NamedTuple

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


class Kind(NamedTuple):
    """All that is declared about one kind of event."""

    required: tuple[str, ...]
    """Its own keys, in the order of the line."""
    about: str
    """When it is written: the text of the contract's table."""
    optional: tuple[str, ...] = ()
    """The optional keys that may follow, also in order."""
    synced: bool = False
    """Whether it is on disk before its append returns. All other kinds are synced in groups."""
    ends_activity: bool = False
    """Whether no further event is expected soon after it."""
    anywhere: bool = False
    """Whether it may occur inside and outside turns, so that it does not show whether a turn runs."""


KINDS: dict[str, Kind] = {
    "created": Kind(
        ("schema", "agent", "model", "title", "by", "host"),
        "The session is created. Line 1 of every log of this version. `schema` is 1. `target`: the machine that it is "
        "about. `adopted`: the agent's own session, `{session_id, directory, cost_usd}`. `local`: no relay ships it.",
        optional=("target", "adopted", "local"),
        synced=True,
        ends_activity=True,
    ),
    "user": Kind(
        ("turn", "text", "by"),
        "A turn begins. `key` is the Idempotency-Key. `queued` is the id of the `queued` event of this prompt. "
        "`action` is the action that runs instead of an agent: `{name, params, argv, reason?}`. `agent`: from now on "
        "the session goes on with this agent. `brief`: the lines `{first, last}`, which the agent had not seen, "
        "were put before the prompt. `files`: the paths of its files. `boot_id`: the id of the machine's start.",
        optional=("model", "key", "queued", "action", "agent", "brief", "files", "boot_id"),
        synced=True,
    ),
    "queued": Kind(
        ("text", "by"),
        "A prompt waits for the end of the running turn, or with `steer` for a moment when the agent can read it.",
        optional=("model", "key", "agent", "files", "steer"),
        synced=True,
    ),
    "steered": Kind(
        ("turn", "text", "by", "queued"),
        "While a tool ran, the agent got the prompt that had waited as event `queued`.",
        synced=True,
    ),
    "withdrawn": Kind(
        ("queued", "by"),
        "A waiting prompt is removed from the queue. `queued` is the id of its event.",
        synced=True,
        anywhere=True,
    ),
    "session": Kind(
        ("turn", "session_id"), "The agent reports the id of its own session.", optional=("model",)
    ),
    "delta": Kind(
        ("turn", "text"),
        "A piece of the agent's text while it streams. The next `text` event contains the whole text.",
        optional=("parent",),
    ),
    "text": Kind(("turn", "text"), "The agent finished a block of text.", optional=("parent",)),
    "tool": Kind(
        ("turn", "tool_id", "name", "input"), "The agent calls a tool.", optional=("parent",), synced=True
    ),
    "tool_result": Kind(
        ("turn", "tool_id", "output", "is_error"),
        "The tool returned output. `truncated` is the number of bytes left out.",
        optional=("truncated", "parent"),
    ),
    "permission": Kind(
        ("turn", "request", "name", "input", "expires"),
        "The agent asks for permission to use a tool, and waits. `tool_id` is that of the `tool` that waits. `expires` "
        "is about when it counts as refused. With `choices`, it asks the user to choose: `[{id, question, options: "
        "[{label, description}]}]`, each with `header`, `multiple`, `other`, `optional`, `secret` (no log has the "
        "answer) and `link` (an address to open first) where they are not the default.",
        optional=("parent", "choices", "tool_id"),
        synced=True,
    ),
    "answer": Kind(
        ("turn", "request", "allow", "by"),
        "Permission is given or refused. The first answer counts. With `for_session`, the tool needs no permission "
        "in this session from now on. `answers` are the answers to `choices`: `{id: [label or text, …]}`.",
        optional=("message", "for_session", "answers"),
        synced=True,
    ),
    "revoked": Kind(
        ("name", "by"), "A tool allowed for the session needs permission again.", synced=True, anywhere=True
    ),
    "plan": Kind(
        ("turn", "items"),
        "The agent's current to-do list: `[{text, status}]`. `status` is `pending`, `in_progress` or `completed`.",
        optional=("parent",),
    ),
    "thinking": Kind(
        ("turn", "text"),
        "What the agent thought before it answered. Written only if the settings ask for it.",
        optional=("parent",),
    ),
    "notice": Kind(
        ("turn", "text"),
        "Information for the user that is no failure, for example a compacted context or a rate limit.",
        optional=("parent",),
    ),
    "retry": Kind(
        ("turn", "attempt", "error"),
        "The agent's backend failed, and the agent tries again, after `delay_ms`.",
        optional=("delay_ms", "parent"),
    ),
    "result": Kind(
        ("turn", "is_error", "result", "duration_ms"),
        "The agent's own summary. `model`: the one that answered. `context`: `used` tokens of the `size` it can hold.",
        optional=("usage", "cost_usd", "model", "context"),
    ),
    "error": Kind(
        ("turn", "error"), "Something failed. The text says what to do.", optional=("parent",), synced=True
    ),
    "cancelled": Kind(("turn", "by"), "A user stopped the turn.", synced=True),
    "turn_end": Kind(
        ("turn", "status", "duration_ms"),
        "The turn ended. Always the last event of a turn, exactly once. `status` is `ok`, `error`, `cancelled`, "
        "`timeout` or `lost`. `refused` and `unanswered` count the questions that a user refused and that expired.",
        optional=("refused", "unanswered"),
        synced=True,
        ends_activity=True,
    ),
    "beside": Kind(
        ("session", "action", "by"),
        "An action runs in a session of its own, because a turn runs. Both logs have this event, with the id of the "
        "other session.",
        synced=True,
        anywhere=True,
    ),
    "renamed": Kind(("title", "by"), "The session got another title.", synced=True, anywhere=True),
    "archived": Kind(
        ("archived", "by"), "The session was archived or unarchived.", synced=True, anywhere=True
    ),
    "file": Kind(
        ("name", "path", "bytes", "sha256", "type", "by"),
        "A user sent a file. `path` is its path in the workspace. `type` is the media type that its first bytes show. "
        "`key` is the Idempotency-Key.",
        optional=("key",),
        synced=True,
        anywhere=True,
    ),
    "vitals": Kind(
        ("signs",),
        "The vital signs of the machine when a prompt arrived: by name `{label, status, text, value}`. `status` is "
        "`ok`, `warn`, `bad` or `unknown`.",
        anywhere=True,
    ),
    "notified": Kind(
        ("cause", "about", "to", "sent"),
        "A user was told something, or could not be told. `cause` is a value of the setting `on`, or "
        "`question_again`. `about` is the id of its event, 0 for a failed disk. `to` is the table of the settings, "
        "such as `notify[0]`. `error` says why it was not sent.",
        optional=("error",),
        anywhere=True,
    ),
    "repaired": Kind(
        ("offset", "bytes", "saved_as"),
        'A torn last line was moved to the file `saved_as` (docs/design.md, "Torn line").',
        anywhere=True,
    ),
    "sealed": Kind(
        ("from", "lines", "prev", "sha256"),
        "At the end of each turn, and after 1,000 lines without a seal. The proof of the lines `from` to `lines` "
        "(docs/security.md).",
        anywhere=True,
    ),
}
"""Every kind of event, in the order of the contract's table. A new kind is one more row here."""

ANSWERERS = frozenset({"settings", "session", "timeout", "agent", "exit"})
"""The values of `by` in an `answer` that no user gave. No user may have one of these names."""

SYNCED = frozenset(kind for kind, row in KINDS.items() if row.synced)
ENDS_ACTIVITY = frozenset(kind for kind, row in KINDS.items() if row.ends_activity)
ANYWHERE = frozenset(kind for kind, row in KINDS.items() if row.anywhere)

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
            event = _DECODER.decode(line.decode())
            if _SURROGATE.search(line):  # a foreign writer escaped it; no page and no stream can encode it
                event = json.loads(dumps(event))
        except (ValueError, RecursionError):
            return foreign(line, number)
        decoded = (type(event["ts"]), type(event["id"]), event["id"], event["kind"])
        if decoded == (str, int, *found):  # else a second `id`, `ts` or `kind` replaced the first
            return dict(event)
    return foreign(line, number)


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
