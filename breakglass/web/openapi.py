"""The API described in OpenAPI 3.1: one table of operations, and the schemas of the bodies they really read.

Served at /api/openapi.json. A test walks the application's own routes and fails where this table lacks one.
"""

from typing import Any, NamedTuple

import msgspec

from breakglass import __version__
from breakglass.turns import begin as turns
from breakglass.web import bodies

PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
SESSION = {"$ref": "#/components/schemas/Session"}
ERRORS = {
    400: "It cannot be read",
    401: "No credential, or a wrong one",
    403: "Not from here, or not with this credential",
    404: "No such session, or no such question",
    409: "The moment is wrong: a turn is running, or the question is closed",
    413: "Too large",
    415: "Not JSON",
    422: "Understood, and not possible; nothing was changed",
    507: "The disk refused; nothing was changed",
}


class Operation(NamedTuple):
    """One method of one path."""

    method: str
    path: str
    summary: str
    success: int
    answer: dict[str, Any] | None
    body: type[msgspec.Struct] | None = None
    errors: tuple[int, ...] = ()
    parameters: tuple[str, ...] = ()


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


_SESSIONS = _object(sessions={"type": "array", "items": SESSION})

OPERATIONS = (
    Operation("get", "/health", "Whether the server answers", 200, _object(status={"const": "ok"})),
    Operation(
        "post",
        "/api/sessions",
        "Make a session",
        201,
        SESSION,
        bodies.NewSession,
        (422, 507),
        ("Idempotency-Key",),
    ),
    Operation(
        "get", "/api/sessions", "List the sessions, latest first", 200, _SESSIONS, parameters=("archived",)
    ),
    Operation("get", "/api/sessions/{id}", "Read one session", 200, SESSION, errors=(404,)),
    Operation(
        "patch", "/api/sessions/{id}", "Rename or archive", 200, SESSION, bodies.Change, (404, 422, 507)
    ),
    Operation(
        "get",
        "/api/sessions/{id}/events",
        "Attach (Accept: text/event-stream), or the log as it is",
        200,
        None,
        errors=(404,),
        parameters=("after", "Last-Event-ID"),
    ),
    Operation(
        "post",
        "/api/sessions/{id}/turns",
        "Begin a turn; with `queue` and while one runs, have it wait for that one's end",
        202,
        {"oneOf": [_object(turn={"type": "integer"}), _object(queued={"type": "integer"})]},
        bodies.NewTurn,
        (404, 409, 413, 422, 507),
        ("Idempotency-Key",),
    ),
    Operation(
        "delete",
        "/api/sessions/{id}/queue/{queued}",
        "Take a prompt out of the queue",
        200,
        _object(withdrawn={"type": "integer"}),
        errors=(404, 409, 507),
    ),
    Operation(
        "post",
        "/api/sessions/{id}/cancel",
        "Stop the running turn, and empty its queue",
        200,
        _object(cancelled={"type": "boolean"}),
        errors=(404, 507),
    ),
    Operation(
        "post",
        "/api/sessions/{id}/answers",
        "Answer an agent's question",
        202,
        {"type": "object"},
        bodies.Answer,
        (404, 409, 422, 507),
    ),
    Operation("get", "/api/openapi.json", "This document", 200, {"type": "object"}),
)

PATH_PARAMETERS: dict[str, dict[str, Any]] = {
    "id": {"type": "string", "format": "uuid"},
    "queued": {"type": "integer", "minimum": 1},
}
PARAMETERS: dict[str, dict[str, Any]] = {
    "archived": {"in": "query", "description": "1: archived sessions too", "schema": {"enum": ["0", "1"]}},
    "after": {
        "in": "query",
        "description": "Leave out lines 1 to N",
        "schema": {"type": "integer", "minimum": 0},
    },
    "Last-Event-ID": {
        "in": "header",
        "description": "The last id that the client has; stronger than `after`",
        "schema": {"type": "integer", "minimum": 0},
    },
    "Idempotency-Key": {
        "in": "header",
        "description": "What came of this key before, a session or a turn in it, is returned again, and nothing begun",
        "schema": {"type": "string", "pattern": "^[!-~]{1,200}$"},
    },
}


def document() -> dict[str, Any]:
    """Return the OpenAPI document."""
    shapes = [operation.body for operation in OPERATIONS if operation.body]
    _, components = msgspec.json.schema_components(shapes, ref_template="#/components/schemas/{name}")
    components["NewTurn"]["properties"]["prompt"] |= {"minLength": 1, "maxLength": turns.MAX_PROMPT}
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Breakglass", "version": __version__, "license": {"name": "Apache-2.0"}},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": {**components, "Session": _SESSION, "Problem": _PROBLEM},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    path_parameters = [
        {"name": name, "in": "path", "required": True, "schema": schema}
        for name, schema in PATH_PARAMETERS.items()
        if f"{{{name}}}" in operation.path
    ]
    described: dict[str, Any] = {
        "summary": operation.summary,
        "parameters": path_parameters + [{"name": name, **PARAMETERS[name]} for name in operation.parameters],
        "responses": {str(operation.success): _success(operation), **_failures(operation)},
    }
    if operation.path == "/health":
        described["security"] = []
    if operation.body:
        schema = {"$ref": f"#/components/schemas/{operation.body.__name__}"}
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return described


def _success(operation: Operation) -> dict[str, Any]:
    if operation.answer is not None:
        return {
            "description": operation.summary,
            "content": {"application/json": {"schema": operation.answer}},
        }
    text = {"schema": {"type": "string"}}
    return {"description": "The events", "content": {"text/event-stream": text, "application/x-ndjson": text}}


def _failures(operation: Operation) -> dict[str, Any]:
    codes = (400, *operation.errors)
    if operation.path != "/health":
        codes += (401, 403)
    if operation.body:
        codes += (413, 415)
    return {str(code): {"description": ERRORS[code], "content": PROBLEM} for code in sorted(set(codes))}


_TEXT_OR_NULL = {"type": ["string", "null"]}
_SESSION = _object(
    id={"type": "string", "format": "uuid"},
    title={"type": "string"},
    agent={"type": "string"},
    model=_TEXT_OR_NULL,
    created={"type": "string", "format": "date-time"},
    updated={"type": "string", "format": "date-time"},
    last_event_id={"type": "integer", "minimum": 1},
    turn_active={"type": "boolean"},
    status={"enum": ["new", "running", "ok", "error", "cancelled", "timeout", "lost", "degraded"]},
    asking={"type": "boolean"},
    queued={"type": "integer", "minimum": 0},
)
_PROBLEM = _object(title={"type": "string"}, status={"type": "integer"}, detail={"type": "string"})
