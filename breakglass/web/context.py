"""Per-request helpers for routes: the process's Console, the caller, and the session named in the URL."""

from typing import Any, cast

from quart import current_app, request

from breakglass.store import sessions
from breakglass.store.sessions import Session
from breakglass.web.console import Console
from breakglass.web.guard.request import Caller


def console() -> Console:
    """Return the Console of this process."""
    found: Console = current_app.extensions["breakglass"]
    return found


def caller() -> Caller:
    """Return what the guard knows about the sender of this request."""
    found: Caller = cast(dict[str, Any], request.scope)["breakglass"]
    return found


def caller_name() -> str:
    """Return the caller's name, which events record as `by`; "" without a credential."""
    credential = caller().credential
    return credential.name if credential else ""


def session_named(session_id: str) -> Session:
    """Return a session by its whole id. Raises NotFound."""
    return sessions.get(console().config.data, session_id)
