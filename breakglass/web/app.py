"""The Quart application: its routes put together, and every error mapped to its answer, here and nowhere else."""

import json
import logging
from http import HTTPStatus

from quart import Quart, Response
from werkzeug.exceptions import HTTPException

from breakglass import __version__
from breakglass.config import Config
from breakglass.errors import (
    BadInput,
    BreakglassError,
    CannotRecord,
    Conflict,
    Malformed,
    NotFound,
    TooLarge,
)
from breakglass.web.api import api
from breakglass.web.desk import Desk

STATUS: dict[type[BreakglassError], int] = {
    TooLarge: 413,
    Malformed: 400,
    BadInput: 422,
    NotFound: 404,
    Conflict: 409,
    CannotRecord: 507,
    BreakglassError: 500,
}
"""The most particular first: the first that an error is an instance of counts."""

_log = logging.getLogger(__name__)


def create_app(config: Config) -> Quart:
    """Return the application. It reads and writes nothing before it serves."""
    app = Quart(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = 4 << 20  # the guard in front is stricter
    app.register_blueprint(api)

    @app.before_serving
    async def open_desk() -> None:
        app.extensions["breakglass"] = Desk(config)

    @app.get("/health")
    async def health() -> Response:
        return _answer(
            200, {"status": "ok", "service": "breakglass", "version": __version__}, "application/json"
        )

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
    """Return an RFC 9457 problem."""
    value = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return _answer(status, value, "application/problem+json")


def _answer(status: int, value: object, content_type: str) -> Response:
    return Response(json.dumps(value, ensure_ascii=False), status, content_type=content_type)
