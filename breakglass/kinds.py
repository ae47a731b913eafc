"""The kinds of events: the keys of each, and when it is written. Pure.

The table of docs/contract.md, section 2, is generated from `KINDS`. `breakglass.events` encodes and decodes the lines.
"""

from typing import NamedTuple


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
        ("turn", "session_id"),
        "The agent reports the id of its own session. `models` are those that it offers.",
        optional=("model", "models"),
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
        "The tool returned output. `truncated` is the number of bytes left out. `pictures`: those that it returned, "
        "`[{file, type, bytes}]`. `file` is beside the log, and named by its SHA-256.",
        optional=("truncated", "pictures", "parent"),
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
        "The agent's own summary. `usage`: tokens, as `input_tokens` (without the cache), `output_tokens`, "
        "`cache_creation_input_tokens` and `cache_read_input_tokens`. `model`: the one that answered. "
        "`context`: `used` tokens of the `size` it can hold.",
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
