"""What one operation of the HTTP API is, and which errors it may have. Pure."""

from typing import Any

import msgspec

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
    """Keys of `schemas.PARAMETERS`."""
    success: int = 200
    takes_file: bool = False
    """Whether the body is a form (`multipart/form-data`) with a file in the field `file`."""
    response: dict[str, Any] | None = None
    """The JSON Schema of a successful response; None if the response is no JSON."""
    media_types: tuple[str, ...] = ()
    """The media types of a response that is no JSON."""
    errors: dict[int, str] = {}
    """The error statuses of this operation, with their meanings. `error_meanings` adds those that many share."""


COMMON_ERRORS = {400: "The request cannot be parsed"}
"""Errors of every operation."""
CREDENTIAL_ERRORS = {
    401: "No credential, or a wrong one",
    403: "A foreign origin, a read-only credential, or a read-only data root",
}
"""Errors of every operation that needs a credential."""
BODY_ERRORS = {413: "The body is too large", 415: "The body has another media type than expected"}
"""Errors of every operation that reads a body."""


def needs_no_credential(operation: Operation) -> bool:
    """Return whether the guard lets anonymous callers use the operation."""
    return operation.method in PUBLIC_PATHS.get(operation.path, ())


def error_meanings(operation: Operation) -> dict[int, str]:
    """Return every error status of the operation, ascending, with its meaning."""
    found = {
        **COMMON_ERRORS,
        **({} if needs_no_credential(operation) else CREDENTIAL_ERRORS),
        **(BODY_ERRORS if operation.body or operation.takes_file else {}),
        **operation.errors,
    }
    return dict(sorted(found.items()))
