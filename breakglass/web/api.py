"""The JSON API: a function for each row of the table of operations (`operations.py`).

A function gets values that are already checked, calls `turns` or `store`, and returns a value for JSON. It must not
decide what is allowed: the guard and `turns` do that. Calls that block run in threads.
"""

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

from quart import Blueprint, Response, request

from breakglass import __version__
from breakglass.errors import NotFound
from breakglass.state import describe
from breakglass.store import fleet, sessions
from breakglass.store.pieces import read_raw
from breakglass.store.sessions import Session
from breakglass.turns import actions, answer
from breakglass.turns.begin import submit_prompt, withdraw_prompt
from breakglass.web import bodies, files, push, searching, stream
from breakglass.web.context import (
    caller,
    caller_name,
    console,
    data_root,
    has_flag,
    lasting_response,
    session_named,
)
from breakglass.web.http import attached
from breakglass.web.openapi import document
from breakglass.web.operations import OPERATIONS

Json: TypeAlias = dict[str, Any]
Result: TypeAlias = Json | tuple[Json, dict[str, str]] | Response
"""What a function returns: JSON, JSON with headers, or a whole response."""
Handler = TypeVar("Handler", bound=Callable[..., Awaitable[Result]])

api = Blueprint("api", __name__)
_EVENT_ID = re.compile(r"[1-9][0-9]{0,17}")
_EVENT_STREAM = re.compile(r"(^|,)\s*text/event-stream\s*(;|,|$)", re.IGNORECASE)


def operation(handler: Handler) -> Handler:
    """Route the operation of the function's name to it.

    The function gets `session` if the path has `{id}`, `body` if the operation has one, and other path parameters.
    """
    row = OPERATIONS[handler.__name__]

    async def respond(**arguments: Any) -> Response:
        if "id" in arguments:
            arguments["session"] = session_named(arguments.pop("id"))
        if row.body:
            arguments["body"] = bodies.read(await _request_body(), row.body)
        return _response(await handler(**arguments), row.success)

    rule = row.path.replace("{path}", "<path:path>").replace("{", "<").replace("}", ">")
    api.add_url_rule(rule, handler.__name__, respond, methods=[row.method])
    return handler


def _wants_stream() -> bool:
    return _EVENT_STREAM.search(request.headers.get("Accept", "")) is not None


async def _request_body() -> bytes:
    data = await request.get_data()
    return data if isinstance(data, bytes) else data.encode()


def _response(result: Result, status: int) -> Response:
    if isinstance(result, Response):
        return result
    value, headers = result if isinstance(result, tuple) else (result, {})
    text = json.dumps(value, ensure_ascii=False)
    return Response(text, status, headers, content_type="application/json")


@operation
async def health() -> Result:
    return {"status": "ok", "service": "breakglass", "version": __version__}


@operation
async def create_session(body: bodies.NewSession) -> Result:
    key = request.headers.get("Idempotency-Key")
    session = await console().write(
        console().create,
        body.agent,
        body.model,
        by=caller_name(),
        title=body.title,
        target=body.target,
        key=key,
    )
    return await _describe(session), {"Location": f"{request.root_path}/api/sessions/{session.id}"}


@operation
async def list_hosts() -> Result:
    found = await asyncio.to_thread(fleet.list_hosts, console().config.data, time.time())
    return {"hosts": [host.described() for host in found]}


@operation
async def read_push() -> Result:
    return await asyncio.to_thread(push.describe, console(), caller().credential)


@operation
async def subscribe(body: bodies.Subscription) -> Result:
    await console().write(push.subscribe, console(), caller().credential, body)
    console().senders.start()
    return {"on": True}


@operation
async def unsubscribe() -> Result:
    await console().write(push.unsubscribe, console(), caller().credential)
    return {"on": False}


@operation
async def search() -> Result:
    asked = searching.wanted(request.args)
    if _wants_stream():
        searching.check(data_root(), asked)  # a refusal is no stream
        return lasting_response(searching.frames(data_root(), asked), "text/event-stream; charset=utf-8")
    found = await searching.find(data_root(), asked)
    return {"hits": [hit.as_json() for hit in found.hits], "after": found.after}


@operation
async def list_sessions() -> Result:
    archived = has_flag("archived")
    found = await asyncio.to_thread(console().list_sessions, data_root(), archived=archived)
    return Response(found, content_type="application/json")


@operation
async def read_session(session: Session) -> Result:
    return await _describe(session)


@operation
async def change_session(session: Session, body: bodies.Change) -> Result:
    await console().write(
        sessions.change, session, title=body.title, archived=body.archived, by=caller_name()
    )
    return await _describe(session)


async def _describe(session: Session) -> Json:
    return await asyncio.to_thread(lambda: describe(session.id, console().state(session)))


@operation
async def read_events(session: Session) -> Result:
    after = request.args.getlist("after")
    if not _wants_stream():
        return await _raw_log(session, stream.line_number(after, "after") or 0)
    last = stream.last_seen(after, request.headers.getlist("Last-Event-ID"))
    chunks = console().attach(session, last, attached.direct_write(request))
    return await attached.streaming_response(chunks)


async def _raw_log(session: Session, after: int) -> Response:
    length, pieces = await read_raw(session.directory, after)
    if request.method == "HEAD":
        await anext(pieces, b"")  # a generator closes the log only if it has started
    response = Response(b"" if request.method == "HEAD" else pieces, content_type="application/x-ndjson")
    response.timeout = None
    response.headers["Content-Length"] = str(length)
    return response


@operation
async def start_turn(session: Session, body: bodies.NewTurn) -> Result:
    key = request.headers.get("Idempotency-Key")
    accepted = await console().write(
        submit_prompt,
        console().config,
        session,
        body.prompt,
        by=caller_name(),
        model=body.model,
        agent=body.agent,
        key=key,
        queue=body.queue,
        over_budget=body.over_budget,
        steer=body.steer,
        files=body.files,
    )
    return {accepted.what: accepted.id}


@operation
async def add_file(session: Session) -> Result:
    return await files.add(session, await files.only_file(), request.headers.get("Idempotency-Key"))


@operation
async def list_files(session: Session) -> Result:
    return await asyncio.to_thread(files.listed, session)


@operation
async def read_file(session: Session, path: str) -> Result:
    return await files.response_of(session, path)


@operation
async def withdraw(session: Session, queued: str) -> Result:
    if not _EVENT_ID.fullmatch(queued):
        raise NotFound(f"there is no prompt {queued[:64]!r} in the queue of this session")
    await console().write(withdraw_prompt, session, int(queued), by=caller_name())
    return {"withdrawn": int(queued)}


@operation
async def cancel_turn(session: Session) -> Result:
    cancelled, killed = await console().write(console().stop_turn, session, caller_name())
    return {"cancelled": cancelled} | ({"killed": killed} if killed else {})


@operation
async def answer_question(session: Session, body: bodies.Answer) -> Result:
    await console().write(
        answer.answer_question,
        session,
        body.request,
        allow=body.allow,
        message=body.message,
        for_session=body.for_session,
        answers={name: [one] if isinstance(one, str) else one for name, one in body.answers.items()},
        by=caller_name(),
    )
    return {}


@operation
async def revoke_tool(session: Session, body: bodies.Revocation) -> Result:
    await console().write(answer.revoke_tool, session, body.name, by=caller_name())
    return {"revoked": body.name}


@operation
async def list_actions() -> Result:
    config = console().config
    targets = tuple(config.targets)
    return {"actions": [each.described(config.this_machine, targets) for each in config.actions.values()]}


@operation
async def start_action(session: Session, name: str, body: bodies.RunAction) -> Result:
    return await _run_action(name, body, session)


@operation
async def start_action_alone(name: str, body: bodies.RunAction) -> Result:
    return await _run_action(name, body, None)


async def _run_action(name: str, body: bodies.RunAction, session: Session | None) -> Json:
    wanted = actions.Request(
        action=name,
        params=body.params,
        by=caller_name(),
        confirm=body.confirm,
        reason=body.reason,
        key=request.headers.get("Idempotency-Key"),
        beside=body.beside,
    )
    started = await console().write(actions.start_action, console().config, wanted, session)
    return {"session": started.session.id, "turn": started.turn}


@operation
async def read_vitals() -> Result:
    found = await console().vitals()
    assert found is not None
    return found.described()


@operation
async def describe_api() -> Result:
    return document()
