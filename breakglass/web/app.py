"""The Quart application: its routes put together, and every error mapped to its answer, here and nowhere else."""

import logging
from http import HTTPStatus

from quart import Quart, Response, request
from werkzeug.exceptions import HTTPException

from breakglass.access.credentials import Access
from breakglass.config import Config
from breakglass.errors import (
    BadInput,
    BreakglassError,
    CannotRecord,
    Conflict,
    Forbidden,
    Malformed,
    NotFound,
    TooLarge,
)
from breakglass.web.api import api
from breakglass.web.console import Desk
from breakglass.web.forms import forms
from breakglass.web.guard import guard
from breakglass.web.guard.request import Refusal
from breakglass.web.http.attached import Connection
from breakglass.web.pages import error_page, pages

STATUS: dict[type[BreakglassError], int] = {
    TooLarge: 413,
    Malformed: 400,
    BadInput: 422,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    CannotRecord: 507,
    BreakglassError: 500,
}
"""The most particular first: the first that an error is an instance of counts."""

_log = logging.getLogger(__name__)


def create_app(config: Config, access: Access) -> Quart:
    """Return the application, to be served behind a `Guard`. It reads and writes nothing before it serves."""
    app = Quart(__name__, static_folder=None)
    app.asgi_http_class = Connection
    app.config["MAX_CONTENT_LENGTH"] = 4 << 20  # the guard in front is stricter
    app.register_blueprint(api)
    app.register_blueprint(pages)
    app.register_blueprint(forms)

    @app.before_serving
    async def open_desk() -> None:
        app.extensions["breakglass"] = Desk(config, access)
        app.extensions["breakglass"].look_around()

    @app.after_serving
    async def close_desk() -> None:
        await app.extensions["breakglass"].close()

    app.register_error_handler(BreakglassError, _refused)
    app.register_error_handler(HTTPException, _unroutable)
    app.register_error_handler(Exception, _failed)
    return app


def _refused(error: BreakglassError) -> Response:
    status = next(code for kind, code in STATUS.items() if isinstance(error, kind))
    return problem(status, str(error))


def _unroutable(error: HTTPException) -> Response:
    return problem(error.code or 500, error.description or "")


def _failed(error: Exception) -> Response:
    _log.error("a request failed", exc_info=error)
    return problem(500, "Breakglass made a mistake here; its own log says which. Nothing else is affected.")


def problem(status: int, detail: str) -> Response:
    """Return an RFC 9457 problem, or, outside /api and for a browser, a page that says the same."""
    if not request.path.startswith("/api/") and "text/html" in request.headers.get("Accept", ""):
        return error_page(status, HTTPStatus(status).phrase, detail)
    return Response(guard.problem(Refusal(status, detail)), status, content_type="application/problem+json")
