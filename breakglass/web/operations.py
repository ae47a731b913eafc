"""The operations of the HTTP API, in one table. Pure.

The routes and the reading of bodies (`api.py`), the OpenAPI document (`openapi.py`) and docs/api.md are made from it.
A new operation is one row here, and in `api.py` one function with the row's name.
"""

from breakglass.uploads import PICTURES
from breakglass.web import bodies
from breakglass.web.operation import Operation
from breakglass.web.schemas import (
    ACTION_REF,
    BAD_CALL,
    HOST_REF,
    SESSION_REF,
    SIGN,
    STARTED,
    STATUS,
    described,
    object_of,
    with_optional,
)

_NO_SESSION = {404: "No such session"}
_DISK = {507: "The disk refused the write; nothing was changed"}

OPERATIONS: dict[str, Operation] = {
    "health": Operation(
        method="GET",
        path="/health",
        summary="Report that the server answers",
        response=object_of(
            status={"const": "ok"}, service={"const": "breakglass"}, version={"type": "string"}
        ),
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
        errors={422: "An unknown agent or target, or a bad model, title or key", **_DISK},
    ),
    "list_sessions": Operation(
        method="GET",
        path="/api/sessions",
        summary="List the sessions, latest first",
        details="An archived session in which a turn runs is always listed.",
        parameters=("archived",),
        response=object_of(sessions={"type": "array", "items": SESSION_REF}),
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
        media_types=("text/event-stream", "application/x-ndjson"),
        errors=_NO_SESSION,
    ),
    "start_turn": Operation(
        method="POST",
        path="/api/sessions/{id}/turns",
        summary="Start a turn, or queue its prompt",
        details="The response has `turn`. With `queue` or `steer`, while another turn runs, it has `queued`. "
        "With `steer` the running agent gets the prompt while it runs a tool (the event `steered`), if its program can "
        "read it then. Otherwise the turn of the prompt is the next one. "
        "Both are ids of events. With `agent` the session goes on with another agent. It gets what it did not see of "
        "the session before the prompt, as a quoted record. "
        "A repeated `Idempotency-Key` returns the same response again and starts no second turn.",
        body=bodies.NewTurn,
        parameters=("Idempotency-Key",),
        success=202,
        response={"oneOf": [object_of(turn={"type": "integer"}), object_of(queued={"type": "integer"})]},
        errors={
            **_NO_SESSION,
            402: "The budget of the day is spent; send it again with `over_budget`",
            409: "A turn is running",
            413: "The prompt or the body is too large",
            422: "A blank prompt, an unknown agent, a file that is not there, or a bad model or key",
            **_DISK,
        },
    ),
    "add_file": Operation(
        method="POST",
        path="/api/sessions/{id}/files",
        summary="Send a file for a prompt",
        details="The form has the file in the field `file`; at most 20 MiB. Its bytes are then in the workspace, and "
        "the log has a `file` event. `name` is made safe, `type` is read from the first bytes. `files` of a turn names "
        "it by `path` or `id`. A repeated `Idempotency-Key` returns the same response again and stores nothing.",
        takes_file=True,
        parameters=("Idempotency-Key",),
        success=201,
        response=object_of(
            id={"type": "integer", "minimum": 1},
            name={"type": "string"},
            path=described("string", "In the workspace"),
            bytes={"type": "integer"},
            sha256={"type": "string"},
            type={"type": "string"},
            by={"type": "string"},
        ),
        errors={
            **_NO_SESSION,
            409: "The session has too many files, or too large ones",
            422: "No file, more than one, an empty one, or a bad key",
            507: "The disk is nearly full, or refused the write; nothing was stored",
        },
    ),
    "list_files": Operation(
        method="GET",
        path="/api/sessions/{id}/files",
        summary="List the files in the workspace",
        details="Up to 1,000 plain files, those of the upper directories first. `complete` is false if there are more.",
        response=object_of(
            files={
                "type": "array",
                "items": object_of(
                    path={"type": "string"},
                    bytes={"type": "integer"},
                    modified={"type": "string", "format": "date-time"},
                ),
            },
            complete={"type": "boolean"},
        ),
        errors=_NO_SESSION,
    ),
    "read_file": Operation(
        method="GET",
        path="/api/sessions/{id}/files/{path}",
        summary="Download a file from the workspace",
        details="PNG, JPEG, GIF and WebP files have their own media type. Every other file is a download of the type "
        "`application/octet-stream`. No link is followed.",
        media_types=("application/octet-stream", *PICTURES),
        errors={404: "No such session, or no such plain file"},
    ),
    "withdraw": Operation(
        method="DELETE",
        path="/api/sessions/{id}/queue/{queued}",
        summary="Withdraw a prompt from the queue",
        response=object_of(withdrawn={"type": "integer"}),
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
        details="`cancelled` is false if no turn was running. `killed` is there only if a process of the session had "
        "to be killed, because it was stopped or hung: a sentence about each.",
        response=with_optional(
            object_of(cancelled={"type": "boolean"}), killed={"type": "array", "items": {"type": "string"}}
        ),
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
    "revoke_tool": Operation(
        method="POST",
        path="/api/sessions/{id}/revoke",
        summary="Let a tool that was allowed for the session need permission again",
        body=bodies.Revocation,
        response=object_of(revoked={"type": "string"}),
        errors={**_NO_SESSION, 409: "The tool is not allowed for the session", 422: "A bad name", **_DISK},
    ),
    "list_actions": Operation(
        method="GET",
        path="/api/actions",
        summary="List the actions: commands that need no model",
        response=object_of(actions={"type": "array", "items": ACTION_REF}),
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
        response=STARTED,
        errors={
            404: "No such session or action",
            409: "A turn is running, or another action disrupts the target",
            422: BAD_CALL,
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
        response=STARTED,
        errors={
            404: "No such action",
            409: "Another action disrupts the target",
            422: BAD_CALL,
            **_DISK,
        },
    ),
    "read_vitals": Operation(
        method="GET",
        path="/api/vitals",
        summary="Read the vital signs of the machine, and whether each agent is ready",
        details="Each probe has two seconds. One that hangs or fails is `unknown`, never `ok`. The signs may be ten "
        "seconds old, those of the agents five minutes. A check of `breakglass doctor` that is bad is a sign too.",
        response=object_of(
            taken={"type": "string", "format": "date-time"},
            status={**STATUS, "description": "The worst status of all signs"},
            signs=described("object", "By name", additionalProperties=SIGN),
        ),
    ),
    "list_hosts": Operation(
        method="GET",
        path="/api/hosts",
        summary="List the hosts whose sessions are copied here",
        details="Those that ask first. `link` says how true the copy is: `live`, `behind`, `lost` (not heard), "
        "`diverged`, `fenced` (two machines claim the name), `stopped` (no mirror runs here) or `copy` (another "
        "program writes it). `told` is the same for a user. `breakglass hosts --json` prints the same.",
        response=object_of(hosts={"type": "array", "items": HOST_REF}),
    ),
    "read_push": Operation(
        method="GET",
        path="/api/push",
        summary="Read whether the caller's browser takes notifications (Web Push)",
        details="`key` is what a browser needs to subscribe; `null` if this server cannot send, and `reason` says why.",
        response=object_of(
            on=described("boolean", "Whether the caller's login takes notifications"),
            told=described("array", "What it is told, in words", items={"type": "string"}),
            key={"type": ["string", "null"]},
            reason={"type": ["string", "null"]},
        ),
    ),
    "subscribe": Operation(
        method="POST",
        path="/api/push",
        summary="Let the caller's browser take notifications",
        details="The body is the browser's `PushSubscription`. It belongs to the caller's login, and ends with it: by "
        "logout, expiry, `breakglass logins --revoke` or a rotation of the token. A login holds at most one. A "
        "read-only login may subscribe.",
        body=bodies.Subscription,
        response=object_of(on={"const": True}),
        errors={
            409: "The caller has no login, or this server cannot send",
            422: "No address of a known push service, or bad keys",
            **_DISK,
        },
    ),
    "unsubscribe": Operation(
        method="DELETE",
        path="/api/push",
        summary="End the notifications of the caller's login",
        response=object_of(on={"const": False}),
        errors=_DISK,
    ),
    "search": Operation(
        method="GET",
        path="/api/search",
        summary="Search the events of all sessions for words",
        details="Up to 50 hits, the newest log first, in it the newest line. `text` is the text around the first word. "
        "`after` is null if there are no more. Case does not matter. The search ends when the client disconnects. "
        "`breakglass grep` finds the same. With `Accept: text/event-stream` each hit comes when it is found, as an "
        "event `hit`. Events `progress` have `searched` and `total` in bytes, and `end` has `after`. If the search "
        "fails after the beginning, the last event is `error` with `detail`.",
        parameters=("q", "kind", "session", "cursor"),
        response=object_of(
            hits={
                "type": "array",
                "items": object_of(
                    session={"type": "string", "format": "uuid"},
                    line={"type": "integer", "minimum": 1},
                    kind={"type": "string"},
                    text={"type": "string"},
                ),
            },
            after={"type": ["string", "null"]},
        ),
        errors={**_NO_SESSION, 422: "No words, an unknown kind, or a bad cursor"},
    ),
    "describe_api": Operation(
        method="GET",
        path="/api/openapi.json",
        summary="Describe this API (OpenAPI 3.1)",
        response={"type": "object"},
    ),
}
"""Every operation, by the name of its function in `api.py`."""
