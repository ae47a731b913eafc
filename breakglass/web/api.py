"""The JSON API of docs/contract.md, section 3: requests into calls of `turns` and `store`, values into JSON.

Decides nothing and knows no credential but its name. What blocks runs in a thread.
"""

import asyncio
import json
import re
from typing import Any, TypeVar

from quart import Blueprint, Response, request

from breakglass.errors import NotFound
from breakglass.state import describe
from breakglass.store import sessions
from breakglass.store.pieces import read_raw
from breakglass.store.sessions import Session
from breakglass.turns.answer import answer_question
from breakglass.turns.begin import submit_prompt, withdraw_prompt
from breakglass.web import bodies, stream
from breakglass.web.context import by, desk, session_named
from breakglass.web.http import attached

T = TypeVar("T")

api = Blueprint("api", __name__, url_prefix="/api")
_LINE = re.compile(r"[1-9][0-9]{0,17}")
_EVENT_STREAM = re.compile(r"(^|,)\s*text/event-stream\s*(;|,|$)", re.IGNORECASE)


@api.post("/sessions")
async def create_session() -> Response:
    """Make a session, or find the one that came of the same key."""
    key = request.headers.get("Idempotency-Key")
    new = await _body(bodies.NewSession)
    session = await desk().write(desk().create, new.agent, new.model, by=by(), title=new.title, key=key)
    response = _json(await _described(session), 201)
    response.headers["Location"] = f"{request.root_path}/api/sessions/{session.id}"
    return response


@api.get("/sessions")
async def list_sessions() -> Response:
    """List the sessions, latest first."""
    archived = request.args.get("archived", "") not in ("", "0")
    return _json({"sessions": await asyncio.to_thread(desk().overview, archived=archived)})


@api.get("/sessions/<session_id>")
async def read_session(session_id: str) -> Response:
    """Return one session."""
    return _json(await _described(session_named(session_id)))


@api.patch("/sessions/<session_id>")
async def change_session(session_id: str) -> Response:
    """Rename or archive a session."""
    session = session_named(session_id)
    change = await _body(bodies.Change)
    await desk().write(sessions.change, session, title=change.title, archived=change.archived, by=by())
    return _json(await _described(session))


@api.get("/sessions/<session_id>/events")
async def read_events(session_id: str) -> Response:
    """Attach to a session, or return its log as it is."""
    session = session_named(session_id)
    after = stream.position(request.args.getlist("after"), "after")
    if not _EVENT_STREAM.search(request.headers.get("Accept", "")):
        return await _raw(session, after or 0)
    last = stream.position(request.headers.getlist("Last-Event-ID"), "Last-Event-ID")
    place = last if last is not None else after or 0
    return await attached.stream(desk().attach(session, place))


async def _raw(session: Session, after: int) -> Response:
    length, pieces = await read_raw(session.directory, after)
    if request.method == "HEAD":
        await anext(pieces, b"")  # once it has begun, letting it go closes the log
    response = Response(b"" if request.method == "HEAD" else pieces, content_type="application/x-ndjson")
    response.timeout = None
    response.headers["Content-Length"] = str(length)
    return response


@api.post("/sessions/<session_id>/turns")
async def start_turn(session_id: str) -> Response:
    """Begin a turn, or put its prompt in the queue."""
    session = session_named(session_id)
    key = request.headers.get("Idempotency-Key")
    new = await _body(bodies.NewTurn)
    taken = await desk().write(
        submit_prompt, desk().config, session, new.prompt, by=by(), model=new.model, key=key, queue=new.queue
    )
    return _json({taken.what: taken.id}, 202)


@api.delete("/sessions/<session_id>/queue/<queued>")
async def withdraw(session_id: str, queued: str) -> Response:
    """Take a prompt out of the queue."""
    session = session_named(session_id)
    if not _LINE.fullmatch(queued):
        raise NotFound(f"there is no prompt {queued[:64]!r} in the queue of this session")
    await desk().write(withdraw_prompt, session, int(queued), by=by())
    return _json({"withdrawn": int(queued)})


@api.post("/sessions/<session_id>/cancel")
async def cancel_turn(session_id: str) -> Response:
    """Stop the running turn."""
    session = session_named(session_id)
    return _json({"cancelled": await desk().write(desk().stop, session, by())})


@api.post("/sessions/<session_id>/answers")
async def answer(session_id: str) -> Response:
    """Answer an agent's question."""
    session = session_named(session_id)
    given = await _body(bodies.Answer)
    await desk().write(
        answer_question,
        session,
        given.request,
        allow=given.allow,
        message=given.message,
        for_session=given.for_session,
        by=by(),
    )
    return _json({}, 202)


@api.get("/openapi.json")
async def openapi() -> Response:
    """Describe this API (OpenAPI 3.1)."""
    from breakglass.web.openapi import document

    return _json(document())


async def _body(shape: type[T]) -> T:
    data = await request.get_data()
    return bodies.read(data if isinstance(data, bytes) else data.encode(), shape)


async def _described(session: Session) -> dict[str, Any]:
    return await asyncio.to_thread(lambda: describe(session.id, desk().state(session)))


def _json(value: Any, status: int = 200) -> Response:
    return Response(json.dumps(value, ensure_ascii=False), status, content_type="application/json")
