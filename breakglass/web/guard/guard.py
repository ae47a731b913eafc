"""The guard: one piece of ASGI in front of the application. What it refuses, no route ever sees.

    request ─▶ rules.check ─▶ who is it? ─▶ rules.admit ─▶ the body, whole ─▶ the application

Owns the doing: refusals, the headers of every answer, the deadline of a body, the limits on streams and
their end when a credential ends. What is refused is said in web/rules.py. Knows nothing of Quart.
"""

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http import HTTPStatus
from typing import Any

from breakglass.access.credentials import Access, Credential, cookie_name, cookies_named
from breakglass.web.guard.request import HEALTH, SAFE, STATIC, Door, Refusal, Request, Visit, read
from breakglass.web.guard.rules import admit, check, client_address, own_origin, proxy_user, too_large
from breakglass.web.http.accesslog import Entry

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Fields = list[tuple[bytes, bytes]]

ALWAYS: Fields = [
    (
        b"content-security-policy",
        (
            b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; "
            b"connect-src 'self'; manifest-src 'self'; worker-src 'self'; form-action 'self'; "
            b"base-uri 'none'; frame-ancestors 'none'; "
            b"require-trusted-types-for 'script'; trusted-types breakglass"
        ),
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
"""On every answer. No Strict-Transport-Security: with a certificate that has run out it locks people out."""

NO_STORE: Fields = [*ALWAYS, (b"cache-control", b"no-store")]
_OURS = frozenset(name for name, _ in NO_STORE)
_MAX_AGE = re.compile(rb"max-age=[0-9]+")
_STREAMS = (b"text/event-stream", b"application/x-ndjson")
"""The types of answers that may go on for long: what an answer is, it says itself, whatever was asked for."""


class Tally:
    """How many there are, in all and of each address."""

    def __init__(self, total: int, per_address: int):
        self._total = total
        self._per_address = per_address
        self._count: Counter[str] = Counter()
        self._all = 0

    def enter(self, address: str) -> bool:
        """Count one more and return True; where there are too many, count nothing and return False.

        What comes through a Unix socket comes from a proxy that stands for many: it has no limit of its own.
        """
        many = address != "unix" and self._count[address] >= self._per_address
        if many or self._all >= self._total:
            return False
        self._count[address] += 1
        self._all += 1
        return True

    def leave(self, address: str) -> None:
        """Take back one `enter` that returned True."""
        self._all -= 1
        self._count[address] -= 1
        if not self._count[address]:
            del self._count[address]


class Guard:
    """The ASGI application around another one. `log` gets an entry an answer."""

    def __init__(
        self, app: App, door: Door, access: Access, *, log: Callable[[Entry], None] = lambda entry: None
    ):
        self._app = app
        self._door = door
        self._access = access
        self._log = log
        self._tally = Tally(door.streams, door.streams_per_address)
        self._streams: set[_Stream] = set()
        self._sweeper: asyncio.TimerHandle | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif scope["type"] == "websocket":
            self._log(
                Entry(
                    None, read(self._door, {"method": "GET", **scope}).peer, "GET", scope["raw_path"], 403, 0
                )
            )
            await _refuse_websocket(scope, send)
        else:
            await self._app(scope, receive, send)

    def end_streams(self) -> None:
        """End every open stream now, as when its client had left: for shutting down."""
        for stream in self._streams:
            stream.end()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        request = read(self._door, scope)
        reply = _Reply(send, request, self._door)
        address, credential = client_address(self._door, request), None
        try:
            refusal = check(self._door, request)
            if refusal is None:
                credential = self._identify(request)
                guessed = credential is None and request.bearer is not None and request.path != HEALTH
                refusal = self._slow_down(address) if guessed else None
                refusal = refusal or admit(self._door, request, credential)
            if refusal is not None:
                return await reply.refuse(refusal, receive)
            scope["root_path"] = self._door.prefix
            scope["breakglass"] = Visit(own_origin(self._door, request).decode(), address, credential)
            await self._pass(scope, request, receive, reply)
        except Exception:
            if not reply.status:
                await reply.refuse(
                    Refusal(500, "Something failed here. The server's log has the rest."), receive
                )
            raise
        finally:
            ms = (time.perf_counter() - began) * 1000
            by = credential.name if credential else None
            self._log(Entry(by, address, request.method, request.raw_path, reply.status, ms))

    def _identify(self, request: Request) -> Credential | None:
        bearer = request.bearer
        name = cookie_name(own_origin(self._door, request).decode())
        cookies = cookies_named(name, request.fields.get(b"cookie", b""))
        found = self._access.identify(bearer, cookies)
        if found is None and bearer is None and (user := proxy_user(self._door, request)):
            return self._access.proxied(user.decode())
        return found

    def _slow_down(self, address: str) -> Refusal | None:
        """Count a wrong token, wherever it was shown: a page that knows the right one would tell them apart."""
        seconds = self._access.throttle.wrong(address)
        return wait(seconds) if seconds else None

    async def _pass(self, scope: Scope, request: Request, receive: Receive, reply: "_Reply") -> None:
        body = await read_body(request, receive, self._door.body_seconds)
        if isinstance(body, Refusal):
            await reply.refuse(body, receive)
        elif body is not None and request.method in SAFE:
            await self._read(scope, _replay(body, receive), reply)
        elif body is not None:
            await self._app(scope, _replay(body, receive), reply)

    async def _read(self, scope: Scope, receive: Receive, reply: "_Reply") -> None:
        """Pass on what changes nothing. Once the answer turns out to be a stream, it is counted and swept."""
        visit: Visit = scope["breakglass"]
        stream = _Stream(receive, visit.credential)

        def begin() -> None:
            if not self._tally.enter(visit.address):
                raise _TooManyStreams
            self._streams.add(stream)
            self._sweep_later()

        reply.on_stream = begin
        try:
            await self._app(scope, stream.receive, reply)
            if not reply.is_measured:  # else its length says that it was broken off
                await reply.finish()
        except _TooManyStreams:
            busy = Refusal(503, "Too many streams are open.", ((b"retry-after", b"5"),))
            await reply.refuse(busy, _replay(b"", receive))  # the application has read what there was
        finally:
            if stream in self._streams:
                self._streams.remove(stream)
                self._tally.leave(visit.address)

    def _sweep_later(self) -> None:
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(self._door.sweep_seconds, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        for stream in self._streams:
            if stream.credential is not None and not self._access.still_valid(stream.credential):
                stream.end()
        if self._streams:
            self._sweep_later()


def wait(seconds: int) -> Refusal:
    """Return the refusal of somebody who guesses. The right token is taken all the while."""
    return Refusal(429, "Too many wrong tokens.", ((b"retry-after", str(seconds).encode()),))


async def read_body(request: Request, receive: Receive, seconds: float) -> bytes | Refusal | None:
    """Return the whole body, or why it is refused, or None where the client left."""
    parts, size = [], 0
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if refusal := too_large(request, size):
                    return refusal
                if not message.get("more_body"):
                    return b"".join(parts)
    except TimeoutError:
        return Refusal(408, f"The body was not here within {seconds:.0f} s.")


def _replay(body: bytes, receive: Receive) -> Receive:
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return first.pop() if first else await receive()

    return next_message


class _TooManyStreams(Exception):
    """An answer is a stream, and there is no place for one more. Nothing of it was sent."""


class _Stream:
    """An answer that may be a stream. It is ended by telling the application that its client left, at the one place
    where every application waits for that: cancelling its task instead would leave Quart's own tasks behind."""

    __slots__ = ("_ended", "_receive", "_waiting", "credential")

    def __init__(self, receive: Receive, credential: Credential | None):
        self.credential = credential
        self._receive = receive
        self._waiting: asyncio.Task[Any] | None = None
        self._ended = False

    async def receive(self) -> Message:
        if self._ended:
            return {"type": "http.disconnect"}
        task = self._waiting = asyncio.current_task()
        try:
            return await self._receive()
        except asyncio.CancelledError:
            if task is None or self._waiting is task:
                raise
            task.uncancel()  # it was `end` that cancelled it
            return {"type": "http.disconnect"}
        finally:
            self._waiting = None

    def end(self) -> None:
        self._ended = True
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()


class _Reply:
    """What the application sends through: every answer leaves with our headers."""

    __slots__ = ("_door", "_finished", "_request", "_send", "is_measured", "on_stream", "status")

    def __init__(self, send: Send, request: Request, door: Door):
        self._send = send
        self._request = request
        self._door = door
        self._finished = False
        self.status: int | None = None
        """None until the answer has begun."""
        self.is_measured = False
        """Whether the answer told its length before its body."""
        self.on_stream: Callable[[], object] = lambda: None
        """Told of an answer that is a stream before anything of it is sent."""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            fields = {name.lower(): value for name, value in message.get("headers", ())}
            if fields.get(b"content-type", b"").startswith(_STREAMS):
                self.on_stream()
            self.status, self.is_measured = message["status"], b"content-length" in fields
            may_keep = self._request.path.startswith(STATIC) and self.status in (200, 206, 304)
            message["headers"] = dress(message.get("headers", ()), may_keep=may_keep)
        elif message["type"] == "http.response.body" and not message.get("more_body"):
            self._finished = True
        await self._send(message)

    async def finish(self) -> None:
        """End an answer that the application broke off, so that a client sees an end and not a hang."""
        if self.status is not None and not self._finished:
            await self({"type": "http.response.body", "body": b"", "more_body": False})

    async def refuse(self, refusal: Refusal, receive: Receive) -> None:
        """Send a refusal, then read away for a moment what the client is still sending."""
        body = problem(refusal)
        headers = [*refusal.headers, (b"content-type", b"application/problem+json")]
        headers.append((b"content-length", str(len(body)).encode()))
        if self._request.version != "2":  # there the field is forbidden (RFC 9113, 8.2.2)
            headers.append((b"connection", b"close"))
        await self({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await self({"type": "http.response.body", "body": body, "more_body": True})
        await _linger(receive, self._door.linger_seconds)
        await self.finish()


def dress(headers: Iterable[tuple[bytes, bytes]], *, may_keep: bool) -> Fields:
    """Return the headers of an answer with ours in place of the application's own.

    Of an answer that a browser `may_keep`, the application says how long (`max-age`); it is private always.
    """
    own = [(name.lower(), value) for name, value in headers]
    kept = [pair for pair in own if pair[0] not in _OURS and not pair[0].startswith(b"access-control-")]
    if not may_keep:
        return kept + NO_STORE
    age = _MAX_AGE.search(b" ".join(value for name, value in own if name == b"cache-control"))
    return [*kept, *ALWAYS, (b"cache-control", b"private, " + (age[0] if age else b"no-cache"))]


def problem(refusal: Refusal) -> bytes:
    """Return the body of a refusal (RFC 9457)."""
    title = HTTPStatus(refusal.status).phrase
    return json.dumps({"title": title, "status": refusal.status, "detail": refusal.detail}).encode() + b"\n"


async def _linger(receive: Receive, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            while (await receive()).get("more_body"):
                pass
    except TimeoutError:
        pass


async def _refuse_websocket(scope: Scope, send: Send) -> None:
    refusal = Refusal(403, "There are no WebSockets here.")
    body = problem(refusal)
    headers = [(b"content-type", b"application/problem+json"), *NO_STORE]
    if scope["http_version"] != "2":
        headers.append((b"connection", b"close"))
    if "websocket.http.response" in scope.get("extensions", {}):
        start = {"type": "websocket.http.response.start", "status": refusal.status, "headers": headers}
        await send(start)
        await send({"type": "websocket.http.response.body", "body": body, "more_body": False})
    else:
        await send({"type": "websocket.close", "code": 1008})
