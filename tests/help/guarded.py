"""A guard without a server: ASGI scopes, a client that calls the guard, and the responses."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from breakglass.access.credentials import Access
from breakglass.web.guard.guard import Guard
from breakglass.web.guard.request import Request, read_request
from breakglass.web.guard.settings import GuardSettings, map_hosts
from breakglass.web.http.accesslog import Entry
from breakglass.web.http.asgi import App, Message, Receive, Scope, Send

HOST = b"127.0.0.1:8420"
OWN_ORIGIN = b"http://127.0.0.1:8420"
SETTINGS = GuardSettings(map_hosts("127.0.0.1", 8420, origins=["https://ops.example.com"]))
JSON = (b"content-type", b"application/json")

Pair = tuple[bytes, bytes]


def scope_of(
    method: str, path: str, *pairs: Pair, host: bytes | None = HOST, peer: str = "127.0.0.1", **more: Any
) -> Scope:
    """Return the ASGI scope of a request with these header fields."""
    own = [] if host is None else [(b"host", host)]
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode("ascii", "replace"),
        "http_version": "1.1",
        "scheme": "http",
        "headers": [*own, *pairs],
        "client": None if peer == "unix" else (peer, 40000),
        "server": ("127.0.0.1", 8420),
    } | more


def request_of(
    method: str, path: str, *pairs: Pair, settings: GuardSettings = SETTINGS, **more: Any
) -> Request:
    """Return a request as the rules see it."""
    return read_request(settings, scope_of(method, path, *pairs, **more))


def status(refusal: Any) -> int | None:
    """Return the status of a refusal, None for none."""
    return None if refusal is None else refusal.status


@dataclass
class Response:
    """What a client received."""

    status: int = 0
    headers: list[Pair] = field(default_factory=list)
    body: bytes = b""
    is_complete: bool = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], message["headers"]
        else:
            self.body += message.get("body", b"")
            self.is_complete = not message.get("more_body", False)

    def __getitem__(self, name: bytes) -> bytes | None:
        values = [value for key, value in self.headers if key == name]
        assert len(values) < 2, f"{name!r} was sent twice"
        return values[0] if values else None


class Client:
    """Sends requests to a guard, with the body in pieces. It stays connected until the guard ends the request."""

    def __init__(self, guard: Guard):
        self.guard = guard

    async def request(self, scope: Scope, *pieces: bytes, is_incomplete: bool = False) -> Response:
        """Send a request and return the response. An incomplete body never ends."""
        response = Response()
        await self.guard(scope, receive_of(pieces, is_incomplete=is_incomplete), response)
        return response


def receive_of(pieces: tuple[bytes, ...], *, is_incomplete: bool = False) -> Receive:
    """Return ASGI's `receive` for a body in pieces. After the body it never returns."""
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> Message:
        if messages and not (is_incomplete and len(messages) == 1):
            return messages.pop(0)
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    return receive


def echo(seen: list[Scope], headers: list[Pair]) -> App:
    """Return an application that remembers each scope, and sends the body back with these headers."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        body = (await receive())["body"]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


@dataclass
class Guarded:
    """A data root with its token, and what reached the application and the access log."""

    access: Access
    token: str
    root: Path
    seen: list[Scope] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    app_headers: list[Pair] = field(default_factory=list)

    def client(self, app: App | None = None, **settings: Any) -> Client:
        """Return a client of a guard with these settings, in front of `app` or of `echo`."""
        values = replace(SETTINGS, drain_seconds=0.0, **settings)
        app = app or echo(self.seen, self.app_headers)
        return Client(Guard(app, values, self.access, log=self.entries.append))

    @property
    def bearer(self) -> Pair:
        return (b"authorization", b"Bearer " + self.token.encode())

    def cookie(self) -> Pair:
        """Log in and return the cookie's header field."""
        value = self.access.log_in(self.token, address="-") or ""
        return (b"cookie", b"a=b; breakglass-8420=" + value.encode())


def run(work: Awaitable[Any]) -> Any:
    """Return the result of `work`, or fail after 20 s."""

    async def bounded() -> Any:
        async with asyncio.timeout(20):
            return await work

    return asyncio.run(bounded())
