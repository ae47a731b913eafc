"""The JSON Schemas of the HTTP API: its objects, and the parameters of its operations. Pure."""

from typing import Any

from breakglass.kinds import KINDS
from breakglass.query import MAX_QUERY
from breakglass.tally import END_STATUSES


def object_of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def with_optional(schema: dict[str, Any], **properties: Any) -> dict[str, Any]:
    return {**schema, "properties": {**schema["properties"], **properties}}


def described(kind: str, description: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "description": description, **more}


SESSION = object_of(
    id={"type": "string", "format": "uuid"},
    title={"type": "string"},
    agent=described("string", "The agent of the next turn, unless its prompt names another one"),
    model={
        "type": ["string", "null"],
        "description": "`null`: the settings' model, or the agent's own choice",
    },
    target={"type": ["string", "null"], "description": "The machine that it is about; `null`: this one"},
    created={"type": "string", "format": "date-time"},
    updated=described("string", "When the last event was written", format="date-time"),
    last_event_id={"type": "integer", "minimum": 1},
    turn_active=described("boolean", "Whether a turn is running"),
    status={
        "enum": ["new", "running", *END_STATUSES, "degraded"],
        "description": "`new`, `running`, or how the last turn ended. `degraded`: the disk failed; no turn begins",
    },
    asking=described("boolean", "Whether a question of the agent is open"),
    queued=described("integer", "How many prompts wait", minimum=0),
    allowed={
        "type": "array",
        "items": {"type": "string"},
        "description": "The tools that a user allowed for the session",
    },
    context={
        "description": "The tokens in the agent's context, of those that it can hold; `null`: the agent does not say",
        "anyOf": [object_of(used={"type": "integer"}, size={"type": "integer"}), {"type": "null"}],
    },
    seal={
        "description": "The newest seal of the log, or `null`: its last line, and its SHA-256 in hex. Keep it to check "
        "the log later: `breakglass verify --against LINES:HEX`",
        "anyOf": [
            object_of(lines={"type": "integer", "minimum": 1}, sha256={"type": "string"}),
            {"type": "null"},
        ],
    },
)
"""The session object: the response of most operations, and a line of `breakglass ls --json`."""

HOST = object_of(
    host={"type": "string"},
    link={"enum": ["live", "behind", "lost", "diverged", "fenced", "stopped", "copy"]},
    told={"type": "string"},
    heard={
        "type": ["string", "null"],
        "format": "date-time",
        "description": "When this machine heard of the host last, by its own clock",
    },
    behind_bytes={"type": "integer", "minimum": 0},
    behind_lines={"type": "integer", "minimum": 0, "description": "0 if more than 64 MiB are behind"},
    generation={
        "type": ["integer", "null"],
        "description": "The highest generation among the logs. A host that replaces a log, as by a restore, begins a "
        "new one. `null`: another program writes the copy",
    },
    sessions={"type": "integer", "minimum": 0},
    running={"type": "integer", "minimum": 0},
    asking={"type": "integer", "minimum": 0},
    version={
        "type": ["string", "null"],
        "description": "The version of Breakglass on the host, as the host said last",
    },
    free_bytes={
        "type": ["integer", "null"],
        "minimum": 0,
        "description": "The space that is left on the disk of its data root, as the host said last",
    },
    problem={"type": ["string", "null"], "description": "What the host sent and was refused"},
)
"""A host: a line of `breakglass hosts --json`."""

HOST_REF = {"$ref": "#/components/schemas/Host"}
SESSION_REF = {"$ref": "#/components/schemas/Session"}

PARAMETERS: dict[str, dict[str, Any]] = {
    "archived": {
        "in": "query",
        "description": "`1`: include archived sessions",
        "schema": {"enum": ["0", "1"]},
    },
    "after": {
        "in": "query",
        "description": "Omit lines 1 to N",
        "schema": {"type": "integer", "minimum": 0},
    },
    "q": {
        "in": "query",
        "description": "Words that an event must contain; a phrase in double quotes",
        "schema": {"type": "string", "maxLength": MAX_QUERY},
    },
    "kind": {
        "in": "query",
        "description": "Only events of this kind",
        "schema": {"enum": [*KINDS, "foreign"]},
    },
    "session": {
        "in": "query",
        "description": "Only this session",
        "schema": {"type": "string", "format": "uuid"},
    },
    "cursor": {
        "name": "after",
        "in": "query",
        "description": "`after` of the response before: the next hits",
        "schema": {"type": "string"},
    },
    "Last-Event-ID": {
        "in": "header",
        "description": "The last id that the client received. It takes precedence over `after`",
        "schema": {"type": "integer", "minimum": 0},
    },
    "Idempotency-Key": {
        "in": "header",
        "description": "A random text of the client. A repeated key returns the first result and starts nothing",
        "schema": {"type": "string", "pattern": "^[!-~]{1,200}$"},
    },
}

ACTION = object_of(
    name={"type": "string"},
    label=described("string", "The text on the button"),
    about={"type": "string"},
    group=described("string", "The heading above it on the page"),
    effect={"enum": ["reads", "changes", "disrupts"]},
    command=described(
        "array", "The program and its arguments; `{name}` stands for a value", items={"type": "string"}
    ),
    params=described(
        "object",
        "By name: `kind` (`choice`, `int`, `text` or `target`) with `choices`, `min`, `max`, `pattern`, `about`",
    ),
    confirm={
        "type": ["string", "null"],
        "description": "The word to type; `{name}` stands for a value; `null` if none is needed",
    },
    before=described("array", "The actions that run first", items={"type": "string"}),
    timeout_seconds={"type": "number"},
)
"""An action: an item of `GET /api/actions`, and a line of `breakglass actions --json`."""
ACTION_REF = {"$ref": "#/components/schemas/Action"}

STARTED = object_of(session={"type": "string", "format": "uuid"}, turn={"type": "integer"})
BAD_CALL = "An unknown, missing or bad parameter, a wrong `confirm`, a bad key, or none where one is required"

STATUS = {"enum": ["ok", "warn", "bad", "unknown"]}
SIGN = object_of(
    label={"type": "string"},
    status=STATUS,
    text=described("string", "The value for a user"),
    value={"type": ["number", "null"], "description": "The number that decides the status"},
)
