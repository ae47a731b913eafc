"""A client that is attached: its answer goes on until it leaves, and thousands may be attached at once.

Quart finds the route and makes the answer; then all that it keeps for a request is let go, and the chunks
are sent from here, by the connection's short way where it has one (web/wire.py). Knows nothing of logs.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, cast

from hypercorn.typing import (
    ASGIReceiveCallable,
    ASGISendCallable,
    HTTPResponseBodyEvent,
    HTTPResponseStartEvent,
)
from quart import Quart, Request, Response
from quart.asgi import ASGIHTTPConnection
from quart.typing import ResponseTypes
from quart.utils import cancel_tasks, encode_headers, raise_task_exceptions

from breakglass.web.http.http1 import SEND_CHUNK

Write = Callable[[bytes], Awaitable[object]]


class Stream(Response):
    """An answer that goes on until the client leaves, its first chunk in hand."""

    timeout = None  # Quart cuts a response after RESPONSE_TIMEOUT, 60 s

    def __init__(self, first: bytes, rest: AsyncGenerator[bytes, None]):
        super().__init__(content_type="text/event-stream; charset=utf-8")
        self.first = first
        self.rest = rest
        self.headers.remove("Content-Length")
        self.headers["X-Accel-Buffering"] = "no"  # nginx would hold events back


async def stream(chunks: AsyncGenerator[bytes, None], hello: bytes = b"") -> Stream:
    """Return the answer, `hello` and the first chunk in hand: what fails must fail before the head goes out."""
    return Stream(hello + await anext(chunks, b""), chunks)


class Connection(ASGIHTTPConnection):
    """Quart's, but that a `Stream` is sent once Quart is through with the request."""

    def __init__(self, app: Quart, scope: Any):
        super().__init__(app, scope)
        self._stream: Stream | None = None
        self._has_left = False

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        try:
            await super().__call__(receive, send)
            if self._stream is not None and not self._has_left:
                first, chunks = self._stream.first, self._stream.rest
                self._stream = None
                async with aclosing(chunks):
                    await _go_on(first, chunks, receive, self._writer(send))
        finally:
            if self._stream is not None:  # refused, or its client left, before it began
                await self._stream.rest.aclose()

    async def handle_messages(self, request: Request, receive: ASGIReceiveCallable) -> None:
        await super().handle_messages(request, receive)
        self._has_left = True

    async def _send_response(self, send: ASGISendCallable, response: ResponseTypes) -> None:
        if isinstance(response, Stream) and self.scope["method"] == "HEAD":
            await response.rest.aclose()
            await super()._send_response(send, response)
        elif isinstance(response, Stream):
            self._stream, headers = response, encode_headers(response.headers)
            start = {"type": "http.response.start", "status": 200, "headers": headers}
            await send(cast(HTTPResponseStartEvent, start))
        else:
            await super()._send_response(send, response)

    def _writer(self, send: ASGISendCallable) -> Write:
        short: Write | None = self.scope.get("state", {}).get(SEND_CHUNK)

        async def write(chunk: bytes) -> None:
            message = {"type": "http.response.body", "body": chunk, "more_body": True}
            await send(cast(HTTPResponseBodyEvent, message))

        return short or write


async def _go_on(
    first: bytes, chunks: AsyncGenerator[bytes, None], receive: ASGIReceiveCallable, write: Write
) -> None:
    """Write all chunks, until the client leaves."""
    both = [asyncio.ensure_future(_leave(receive)), asyncio.ensure_future(_write(first, chunks, write))]
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel_tasks({task for task in both if not task.done()})
    raise_task_exceptions({task for task in both if task.done()})


async def _leave(receive: ASGIReceiveCallable) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _write(first: bytes, chunks: AsyncGenerator[bytes, None], write: Write) -> None:
    await write(first)
    async for chunk in chunks:
        await write(chunk)
