"""The Quart application: all routes together, and the only mapping of errors to HTTP responses."""

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
    OverBudget,
    ReadOnly,
    TooLarge,
)
from breakglass.web.action_pages import action_pages
from breakglass.web.api import api
from breakglass.web.console import CONSOLE, Console
from breakglass.web.forms import forms
from breakglass.web.guard.request import Refusal
from breakglass.web.guard.responses import problem_body
from breakglass.web.http.attached import StreamingHTTPConnection
from breakglass.web.hub_forms import hub_forms
from breakglass.web.metrics import metrics
from breakglass.web.pages import error_page, pages
from breakglass.web.search_pages import search_pages
from breakglass.web.stats_pages import stats_pages

HTTP_STATUS: dict[type[BreakglassError], int] = {
    TooLarge: 413,
    Malformed: 400,
    BadInput: 422,
    Forbidden: 403,
    NotFound: 404,
    OverBudget: 402,
    Conflict: 409,
    ReadOnly: 403,
    CannotRecord: 507,
    BreakglassError: 500,
}
"""The first class that an error is an instance of counts, so subclasses come before their bases."""

_log = logging.getLogger(__name__)


def create_app(config: Config, access: Access) -> Quart:
    """Return the application, which must run behind a `Guard`. It opens no file until it serves."""
    app = Quart(__name__, static_folder=None)
    app.asgi_http_class = StreamingHTTPConnection
    app.config["MAX_CONTENT_LENGTH"] = 24 << 20  # a second limit: the guard in front has a lower one
    app.config["MAX_FORM_MEMORY_SIZE"] = 2 << 20  # of the fields of a form that are no files
    app.register_blueprint(api)
    app.register_blueprint(pages)
    app.register_blueprint(forms)
    app.register_blueprint(hub_forms)
    app.register_blueprint(action_pages)
    app.register_blueprint(search_pages)
    app.register_blueprint(stats_pages)
    app.register_blueprint(metrics)

    @app.before_serving
    async def open_console() -> None:
        app.extensions[CONSOLE] = Console(config, access)
        app.extensions[CONSOLE].lost_turns.check_all()
        app.extensions[CONSOLE].senders.start()
        await app.extensions[CONSOLE].vitals(patience=0)  # the first page has them then

    @app.after_serving
    async def close_console() -> None:
        await app.extensions[CONSOLE].close()

    app.register_error_handler(BreakglassError, _respond_to_breakglass_error)
    app.register_error_handler(HTTPException, _respond_to_routing_error)
    app.register_error_handler(Exception, _respond_to_unexpected_error)
    return app


def _respond_to_breakglass_error(error: BreakglassError) -> Response:
    status = next(code for kind, code in HTTP_STATUS.items() if isinstance(error, kind))
    return problem(status, str(error))


def _respond_to_routing_error(error: HTTPException) -> Response:
    if error.code == 404:  # Werkzeug's text speaks of a URL and of spelling
        return problem(404, "There is nothing at this address.")
    return problem(error.code or 500, error.description or "")


def _respond_to_unexpected_error(error: Exception) -> Response:
    _log.error("a request failed", exc_info=error)
    return problem(500, "Breakglass made a mistake; its own log has the details. Nothing else is affected.")


def problem(status: int, detail: str) -> Response:
    """Return an RFC 9457 problem. A browser outside /api gets a page with the same text."""
    if not request.path.startswith("/api/") and "text/html" in request.headers.get("Accept", ""):
        return error_page(status, HTTPStatus(status).phrase.capitalize(), _sentence(detail))
    return Response(problem_body(Refusal(status, detail)), status, content_type="application/problem+json")


def _sentence(text: str) -> str:
    """Return the text of an error as a sentence. Only its first character changes: the rest may be a name."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}"
