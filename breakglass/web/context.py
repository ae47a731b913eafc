"""Per-request helpers for routes: the process's Console, the caller, the named session, forms and redirects."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, cast

import quart
from quart import Response, current_app, request
from werkzeug.datastructures import MultiDict

from breakglass.access import credentials
from breakglass.errors import Forbidden
from breakglass.store import hosts, sessions
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


def data_root() -> Path:
    """Return the data root that the request reads: the copy of the host in its path, else ours. Raises NotFound."""
    data, host = console().config.data, caller().host
    return hosts.root_of(data, host) if host else data


def caller_name() -> str:
    """Return the caller's name, which events record as `by`; "" without a credential."""
    credential = caller().credential
    return credential.name if credential else ""


def has_flag(name: str) -> bool:
    """Return whether the query has the parameter `name` with another value than "" and `0`."""
    return request.args.get(name, "") not in ("", "0")


def session_named(session_id: str) -> Session:
    """Return a session by its whole id. Raises NotFound."""
    return sessions.get(data_root(), session_id)


def lasting_response(parts: AsyncGenerator[bytes], content_type: str) -> Response:
    """Return a response that is sent as it is made, however long that takes. HEAD gets no part of it.

    The generator is closed when the client disconnects.
    """
    response = Response(b"" if request.method == "HEAD" else parts, content_type=content_type)
    response.timeout = None  # Quart would cut it after 60 s
    response.headers.pop("Content-Length", None)
    response.headers["X-Accel-Buffering"] = "no"  # else nginx holds parts back
    return response


async def checked_form() -> MultiDict[str, str]:
    """Return the form that was sent. Raises Forbidden unless it carries the CSRF token of the caller's login."""
    form: MultiDict[str, str] = await request.form
    credential = caller().credential
    if credential is None or not credentials.csrf_matches(credential, form.get("csrf", "")):
        raise Forbidden(
            "This form belongs to another login, or it is too old. Reload the page and send the form again."
        )
    return form


def redirect_within(path: str) -> Response:
    """Return a redirect to a path of this application, below the path that a proxy adds."""
    return redirect(request.root_path + path)


def redirect(path: str) -> Response:
    """Return a redirect after a form."""
    return cast(Response, quart.redirect(path, 303))  # Quart declares the type of Werkzeug
