"""The operations of the HTTP API, in one table. Pure.

The routes and the reading of bodies (`api.py`), the OpenAPI document (`openapi.py`) and docs/api.md are made from it.
A new operation is one row here, and in `api.py` one function with the row's name.
"""

from typing import Any

import msgspec

from breakglass.events import ENDINGS
from breakglass.web import bodies
from breakglass.web.guard.request import PUBLIC_PATHS


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one path."""

    method: str
    path: str
    """`{id}` is a session's id. `{queued}` is the id of a `queued` event. `{name}` is the name of an action."""
    summary: str
    details: str = ""
    """More sentences, in Markdown."""
    body: type[msgspec.Struct] | None = None
    """The type of the JSON body; None if the operation reads none."""
    parameters: tuple[str, ...] = ()
    """Keys of `PARAMETERS`."""
    success: int = 200
    response: dict[str, Any] | None = None
    """The JSON Schema of a successful response; None if the response is the session's log."""
    errors: dict[int, str] = {}
    """The error statuses of this operation, with their meanings. `error_meanings` adds those that many share."""


COMMON_ERRORS = {400: "The request cannot be parsed"}
"""Errors of every operation."""
CREDENTIAL_ERRORS = {
    401: "No credential, or a wrong one",
    403: "A foreign origin, a read-only credential, or a read-only data root",
}
"""Errors of every operation that needs a credential."""
BODY_ERRORS = {413: "The body is too large", 415: "The body is not `application/json`"}
"""Errors of every operation that reads a body."""


def needs_no_credential(operation: Operation) -> bool:
    """Return whether the guard lets anonymous callers use the operation."""
    return operation.method in PUBLIC_PATHS.get(operation.path, ())


def error_meanings(operation: Operation) -> dict[int, str]:
    """Return every error status of the operation, ascending, with its meaning."""
    found = {
        **COMMON_ERRORS,
        **({} if needs_no_credential(operation) else CREDENTIAL_ERRORS),
        **(BODY_ERRORS if operation.body else {}),
        **operation.errors,
    }
    return dict(sorted(found.items()))


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _described(kind: str, description: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "description": description, **more}


SESSION = _object(
    id={"type": "string", "format": "uuid"},
    title={"type": "string"},
    agent={"type": "string"},
    model={
        "type": ["string", "null"],
        "description": "`null`: the settings' model, or the agent's own choice",
    },
    created={"type": "string", "format": "date-time"},
    updated=_described("string", "When the last event was written", format="date-time"),
    last_event_id={"type": "integer", "minimum": 1},
    turn_active=_described("boolean", "Whether a turn is running"),
    status={
        "enum": ["new", "running", *ENDINGS, "degraded"],
        "description": "`new`, `running`, or how the last turn ended. `degraded`: the disk failed; no turn begins",
    },
    asking=_described("boolean", "Whether a question of the agent is open"),
    queued=_described("integer", "How many prompts wait", minimum=0),
)
"""The session object: the response of most operations, and a line of `breakglass ls --json`."""

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

ACTION = _object(
    name={"type": "string"},
    label=_described("string", "The text on the button"),
    about={"type": "string"},
    group=_described("string", "The heading above it on the page"),
    effect={"enum": ["reads", "changes", "disrupts"]},
    command=_described(
        "array", "The program and its arguments; `{name}` stands for a value", items={"type": "string"}
    ),
    params=_described(
        "object",
        "By name: `kind` (`choice`, `int`, `text` or `target`) with `choices`, `min`, `max`, `pattern`, `about`",
    ),
    confirm={
        "type": ["string", "null"],
        "description": "The word to type; `{name}` stands for a value; `null` if none is needed",
    },
    before=_described("array", "The actions that run first", items={"type": "string"}),
    timeout_seconds={"type": "number"},
)
"""An action: an item of `GET /api/actions`, and a line of `breakglass actions --json`."""
ACTION_REF = {"$ref": "#/components/schemas/Action"}

_STARTED = _object(session={"type": "string", "format": "uuid"}, turn={"type": "integer"})
_BAD_CALL = (
    "An unknown, missing or bad parameter, a wrong `confirm`, a bad key, or none where one is required"
)

_STATUS = {"enum": ["ok", "warn", "bad", "unknown"]}
_SIGN = _object(
    label={"type": "string"},
    status=_STATUS,
    text=_described("string", "The value for a user"),
    value={"type": ["number", "null"], "description": "The number that decides the status"},
)

_NO_SESSION = {404: "No such session"}
_DISK = {507: "The disk refused the write; nothing was changed"}

OPERATIONS: dict[str, Operation] = {
    "health": Operation(
        method="GET",
        path="/health",
        summary="Report that the server answers",
        response=_object(status={"const": "ok"}, service={"const": "breakglass"}, version={"type": "string"}),
    ),
    "create_session": Operation(
        method="POST",
        path="/api/sessions",
        summary="Create a session",
        details="The `Location` header names the session. A repeated `Idempotency-Key` returns the session that the "
        "key created, in its present state. The key never expires.",
        body=bodies.NewSession,
        parameters=("Idempotency-Key",),
        success=201,
        response=SESSION_REF,
        errors={422: "An unknown agent, or a bad model, title or key", **_DISK},
    ),
    "list_sessions": Operation(
        method="GET",
        path="/api/sessions",
        summary="List the sessions, latest first",
        details="An archived session in which a turn runs is always listed.",
        parameters=("archived",),
        response=_object(sessions={"type": "array", "items": SESSION_REF}),
    ),
    "read_session": Operation(
        method="GET",
        path="/api/sessions/{id}",
        summary="Read one session",
        response=SESSION_REF,
        errors=_NO_SESSION,
    ),
    "change_session": Operation(
        method="PATCH",
        path="/api/sessions/{id}",
        summary="Rename or archive a session",
        body=bodies.Change,
        response=SESSION_REF,
        errors={**_NO_SESSION, 422: "A bad title", **_DISK},
    ),
    "read_events": Operation(
        method="GET",
        path="/api/sessions/{id}/events",
        summary="Attach to a session, or read its log",
        details="With `Accept: text/event-stream` the response is an endless event stream (ATTACH). Otherwise it is "
        "the log, byte for byte, as `application/x-ndjson`.",
        parameters=("after", "Last-Event-ID"),
        errors=_NO_SESSION,
    ),
    "start_turn": Operation(
        method="POST",
        path="/api/sessions/{id}/turns",
        summary="Start a turn, or queue its prompt",
        details="The response has `turn`. With `queue`, while another turn runs, it has `queued`. "
        "Both are ids of events. "
        "A repeated `Idempotency-Key` returns the same response again and starts no second turn.",
        body=bodies.NewTurn,
        parameters=("Idempotency-Key",),
        success=202,
        response={"oneOf": [_object(turn={"type": "integer"}), _object(queued={"type": "integer"})]},
        errors={
            **_NO_SESSION,
            409: "A turn is running",
            413: "The prompt or the body is too large",
            422: "A blank prompt, or a bad model or key",
            **_DISK,
        },
    ),
    "withdraw": Operation(
        method="DELETE",
        path="/api/sessions/{id}/queue/{queued}",
        summary="Withdraw a prompt from the queue",
        response=_object(withdrawn={"type": "integer"}),
        errors={
            404: "No such session, or the prompt was never in its queue",
            409: "The prompt is no longer in the queue",
            **_DISK,
        },
    ),
    "cancel_turn": Operation(
        method="POST",
        path="/api/sessions/{id}/cancel",
        summary="Stop the running turn, and withdraw every prompt in its queue",
        details="`cancelled` is false if no turn was running.",
        response=_object(cancelled={"type": "boolean"}),
        errors={**_NO_SESSION, **_DISK},
    ),
    "answer_question": Operation(
        method="POST",
        path="/api/sessions/{id}/answers",
        summary="Answer an agent's question",
        body=bodies.Answer,
        success=202,
        response={"type": "object"},
        errors={
            404: "No such session, or no such question",
            409: "The question was already answered, or has expired",
            422: "A bad field, `for_session` or `answers` without `allow`, or answers that do not fit the choices",
            **_DISK,
        },
    ),
    "list_actions": Operation(
        method="GET",
        path="/api/actions",
        summary="List the actions: commands that need no model",
        response=_object(actions={"type": "array", "items": ACTION_REF}),
    ),
    "start_action": Operation(
        method="POST",
        path="/api/sessions/{id}/actions/{name}",
        summary="Run an action in a session",
        details="An action is a turn without an agent. While a turn runs, `beside` runs the action in a session of its "
        "own; then `session` is the id of that one. An action that disrupts needs an `Idempotency-Key`. "
        "A repeated key returns the same response again and runs nothing.",
        body=bodies.RunAction,
        parameters=("Idempotency-Key",),
        success=202,
        response=_STARTED,
        errors={
            404: "No such session or action",
            409: "A turn is running, or another action disrupts the target",
            422: _BAD_CALL,
            **_DISK,
        },
    ),
    "start_action_alone": Operation(
        method="POST",
        path="/api/actions/{name}",
        summary="Run an action in a new session",
        details="As in a session. `beside` has no effect. A repeated `Idempotency-Key` returns the same response again "
        "and runs nothing.",
        body=bodies.RunAction,
        parameters=("Idempotency-Key",),
        success=202,
        response=_STARTED,
        errors={
            404: "No such action",
            409: "Another action disrupts the target",
            422: _BAD_CALL,
            **_DISK,
        },
    ),
    "read_vitals": Operation(
        method="GET",
        path="/api/vitals",
        summary="Read the vital signs of the machine, and whether each agent is ready",
        details="Each probe has two seconds. One that hangs or fails is `unknown`, never `ok`. The signs may be ten "
        "seconds old, those of the agents five minutes. A check of `breakglass doctor` that is bad is a sign too.",
        response=_object(
            taken={"type": "string", "format": "date-time"},
            status={**_STATUS, "description": "The worst status of all signs"},
            signs=_described("object", "By name", additionalProperties=_SIGN),
        ),
    ),
    "describe_api": Operation(
        method="GET",
        path="/api/openapi.json",
        summary="Describe this API (OpenAPI 3.1)",
        response={"type": "object"},
    ),
}
"""Every operation, by the name of its function in `api.py`."""
