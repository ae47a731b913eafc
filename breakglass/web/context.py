"""Per-request helpers for routes: the process's Console, the caller, and the session named in the URL."""

from typing import Any, cast

from quart import current_app, request

from breakglass.store import sessions
from breakglass.store.sessions import Session
from breakglass.web.console import CONSOLE, Console
from breakglass.web.guard.request import CALLER, Caller


def console() -> Console:
    """Return the Console of this process."""
    found: Console = current_app.extensions[CONSOLE]
    return found


def caller() -> Caller:
    """Return what the guard knows about the sender of this request."""
    found: Caller = cast(dict[str, Any], request.scope)[CALLER]
    return found


def caller_name() -> str:
    """Return the caller's name, which events record as `by`; "" without a credential."""
    credential = caller().credential
    return credential.name if credential else ""


def has_flag(name: str) -> bool:
    """Return whether the query has the parameter `name` with another value than "" and `0`."""
    return request.args.get(name, "") not in ("", "0")


def session_named(session_id: str) -> Session:
    """Return a session by its whole id. Raises NotFound."""
    return sessions.get(console().config.data, session_id)
