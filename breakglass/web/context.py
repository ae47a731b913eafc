"""What every route stands on while it answers: the desk of its process, who asks, and the session that was named."""

from typing import Any, cast

from quart import current_app, request

from breakglass.errors import NotFound
from breakglass.store import sessions
from breakglass.store.sessions import Session
from breakglass.web.console import Desk
from breakglass.web.guard.request import Caller


def desk() -> Desk:
    """Return what this process serves from."""
    found: Desk = current_app.extensions["breakglass"]
    return found


def visit() -> Caller:
    """Return what the guard knows of who asks."""
    found: Caller = cast(dict[str, Any], request.scope)["breakglass"]
    return found


def by() -> str:
    """Return the name of who asks, for `by`."""
    credential = visit().credential
    return credential.name if credential else ""


def session_named(session_id: str) -> Session:
    """Return a session by its whole id. Raises NotFound."""
    if not sessions.ID.fullmatch(session_id):
        raise NotFound(f"there is no session {session_id[:64]!r}")
    return sessions.get(desk().config.data, session_id)
