"""What the guard sends: every response with the security headers, and refusals as problems (RFC 9457) or pages.

Must not know the rules. Works on ASGI messages.
"""

import asyncio
import html
import json
import re
from collections.abc import Callable, Iterable
from http import HTTPStatus

from breakglass.web.guard.request import STATIC_PREFIX, Refusal, Request
from breakglass.web.http.asgi import Headers, Message, Receive, Scope, Send
from breakglass.web.http.headers import NO_STORE_HEADERS, PERMISSIONS_POLICY, SECURITY_HEADERS

_OWN_NAMES = frozenset(name for name, _ in NO_STORE_HEADERS)
_FOR_DOCUMENTS = frozenset({b"content-security-policy", b"x-frame-options", b"cross-origin-opener-policy"})
_PARTS_OF_PAGES = (b"text/javascript", b"text/css")
"""Static files that are no documents. A first visit loads many of them, and each header counts on a weak link."""
_MAX_AGE = re.compile(rb"max-age=[0-9]+")
_STREAM_TYPES = (b"text/event-stream", b"application/x-ndjson")
"""Media types of streams. The request's Accept header does not matter."""


class GuardedResponse:
    """The `send` of an application behind the guard. It adds the guard's headers, and remembers the status."""

    __slots__ = (
        "_drain_seconds",
        "_is_finished",
        "_request",
        "_send",
        "cookie",
        "has_length",
        "on_stream",
        "status",
    )

    def __init__(self, send: Send, request: Request, drain_seconds: float):
        self._send = send
        self._request = request
        self._drain_seconds = drain_seconds
        self._is_finished = False
        self.status: int | None = None
        """None until the response has begun."""
        self.has_length = False
        """Whether the response has a Content-Length."""
        self.cookie: bytes | None = None
        """The value of a Set-Cookie field, unless the application sets a cookie itself."""
        self.on_stream: Callable[[], object] = lambda: None
        """Called before the first byte of a stream is sent. An exception from it stops the response."""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            fields = {name.lower(): value for name, value in message.get("headers", ())}
            if fields.get(b"content-type", b"").startswith(_STREAM_TYPES):
                self.on_stream()
            self.status, self.has_length = message["status"], b"content-length" in fields
            may_keep = self._request.path.startswith(STATIC_PREFIX) and self.status in (200, 206, 304)
            message["headers"] = replace_headers(message.get("headers", ()), may_keep=may_keep)
            if fields.get(b"content-type", b"").startswith(b"text/html"):
                message["headers"].append(PERMISSIONS_POLICY)
            if self.cookie is not None and b"set-cookie" not in fields:
                message["headers"].append((b"set-cookie", self.cookie))
        elif message["type"] == "http.response.body" and not message.get("more_body"):
            self._is_finished = True
        await self._send(message)

    async def finish(self) -> None:
        """End a response that the application broke off, so that the client does not wait for the rest."""
        if self.status is not None and not self._is_finished:
            await self({"type": "http.response.body", "body": b"", "more_body": False})

    async def refuse(self, refusal: Refusal, receive: Receive) -> None:
        """Send a refusal. Then read and drop what the client is still sending, for `drain_seconds`."""
        is_html = self._request.wants_html
        body = _problem_page(refusal) if is_html else problem_body(refusal)
        media_type = b"text/html; charset=utf-8" if is_html else b"application/problem+json"
        headers = [*refusal.headers, (b"content-type", media_type)]
        headers.append((b"content-length", str(len(body)).encode()))
        if self._request.version != "2":  # HTTP/2 forbids the field (RFC 9113, section 8.2.2)
            headers.append((b"connection", b"close"))
        await self({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await self({"type": "http.response.body", "body": body, "more_body": True})
        await _drop_body(receive, self._drain_seconds)
        await self.finish()


def replace_headers(headers: Iterable[tuple[bytes, bytes]], *, may_keep: bool) -> Headers:
    """Return the application's headers, with the guard's in place of its own.

    If browsers `may_keep` the response, the application sets the `max-age`. It is always private.
    """
    own = [(name.lower(), value) for name, value in headers]
    kept = [pair for pair in own if pair[0] not in _OWN_NAMES and not pair[0].startswith(b"access-control-")]
    if not may_keep:
        return kept + NO_STORE_HEADERS
    values = dict(own)
    age = _MAX_AGE.search(values.get(b"cache-control", b""))
    left_off = _FOR_DOCUMENTS if values.get(b"content-type", b"").startswith(_PARTS_OF_PAGES) else ()
    security = [pair for pair in SECURITY_HEADERS if pair[0] not in left_off]
    return [*kept, *security, (b"cache-control", b"private, " + (age[0] if age else b"no-cache"))]


def problem_body(refusal: Refusal) -> bytes:
    """Return the body of a refusal (RFC 9457)."""
    title = HTTPStatus(refusal.status).phrase
    return json.dumps({"title": title, "status": refusal.status, "detail": refusal.detail}).encode() + b"\n"


def _problem_page(refusal: Refusal) -> bytes:
    """Return a refusal as a page for a browser. It loads nothing: under an unknown host the style sheet is refused."""
    title = HTTPStatus(refusal.status).phrase
    detail = re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(refusal.detail))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title} · Breakglass</title><h1>{title}</h1><p>{refusal.status}</p><p>{detail}</p></html>\n"
    ).encode()


async def refuse_websocket(scope: Scope, send: Send) -> None:
    """Refuse a WebSocket handshake, with a problem if the server can send one."""
    refusal = Refusal(403, "This server has no WebSockets.")
    headers = [(b"content-type", b"application/problem+json"), *NO_STORE_HEADERS]
    if scope["http_version"] != "2":
        headers.append((b"connection", b"close"))
    if "websocket.http.response" in scope.get("extensions", {}):
        start = {"type": "websocket.http.response.start", "status": refusal.status, "headers": headers}
        await send(start)
        body = problem_body(refusal)
        await send({"type": "websocket.http.response.body", "body": body, "more_body": False})
    else:
        await send({"type": "websocket.close", "code": 1008})


async def _drop_body(receive: Receive, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            while (await receive()).get("more_body"):
                pass
    except TimeoutError:
        pass
