"""Responses that last until the client disconnects, for thousands of attached clients.

How this works
--------------
Quart keeps two tasks, a request and its contexts until a response ends. For thousands of attached clients that
would take much memory, so Quart's part ends before the response does:

1. A route returns a `StreamingResponse`, made by `streaming_response`, with its first chunk already there.
2. `StreamingHTTPConnection._send_response` sends the head only, and remembers the response.
3. Quart returns, and frees what it keeps for a request.
4. `StreamingHTTPConnection.__call__` sends the chunks. Over HTTP/1.1 it writes them to the connection itself
   (`BodyWriter`), which costs less than the way through ASGI, Hypercorn and h11.

The generator may also write to the connection, with `direct_write`, while it is asked for its next chunk. One task can
so write to many clients.

The invariants: the generator of chunks is closed exactly once, however the response ends. Chunks are sent in order,
because the next one is asked for only after the last one was sent.

Rules for editors:

1. Everything that can fail must fail before the head is sent: with the first chunk, in the route.
2. Sending and waiting for the disconnect run side by side; the first to end stops the other. Only sending has a task
   of its own: thousands of clients wait here.
3. Nothing here knows what a chunk holds.
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

from breakglass.web.http.http1 import BODY_WRITER, BodyWriter

Write = Callable[[bytes], Awaitable[object]]


class StreamingResponse(Response):
    """A response that lasts until the client disconnects."""

    timeout = None  # Quart would cut the response after RESPONSE_TIMEOUT, 60 s

    def __init__(self, first: bytes, rest: AsyncGenerator[bytes, None]):
        super().__init__(content_type="text/event-stream; charset=utf-8")
        self.first = first
        self.rest = rest
        self.headers.remove("Content-Length")
        self.headers["X-Accel-Buffering"] = "no"  # else nginx holds events back


async def streaming_response(chunks: AsyncGenerator[bytes, None], start: bytes = b"") -> StreamingResponse:
    """Return a response of `start` and all chunks. Raises what the first chunk raises."""
    return StreamingResponse(start + await anext(chunks, b""), chunks)


def direct_write(request: Request) -> Callable[[bytes], bool] | None:
    """Return `BodyWriter.write` of the connection of a request, None if there is only the way through ASGI.

    Only the generator of the response's chunks may use it, and not before it is asked for its second chunk.
    """
    writer = _body_writer(request.scope)
    return writer.write if writer else None


def _body_writer(scope: Any) -> BodyWriter | None:
    writer: BodyWriter | None = scope.get("state", {}).get(BODY_WRITER)
    return writer


class StreamingHTTPConnection(ASGIHTTPConnection):
    """Quart's handling of one request. A `StreamingResponse` is sent after Quart's part has ended."""

    def __init__(self, app: Quart, scope: Any):
        super().__init__(app, scope)
        self._response: StreamingResponse | None = None
        self._is_disconnected = False

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        try:
            await super().__call__(receive, send)
            if self._response is not None and not self._is_disconnected:
                first, rest = self._response.first, self._response.rest
                self._response = None
                async with aclosing(rest):
                    await _write_until_disconnect(first, rest, receive, self._writer(send))
        finally:
            if self._response is not None:  # the guard refused it, or the client disconnected before
                await self._response.rest.aclose()

    async def handle_messages(self, request: Request, receive: ASGIReceiveCallable) -> None:
        """Pass the body on to Quart until the client disconnects."""
        await super().handle_messages(request, receive)
        self._is_disconnected = True

    async def _send_response(self, send: ASGISendCallable, response: ResponseTypes) -> None:
        if isinstance(response, StreamingResponse) and self.scope["method"] == "HEAD":
            await response.rest.aclose()
            await super()._send_response(send, response)
        elif isinstance(response, StreamingResponse):
            self._response, headers = response, encode_headers(response.headers)
            start = {"type": "http.response.start", "status": 200, "headers": headers}
            await send(cast(HTTPResponseStartEvent, start))
        else:
            await super()._send_response(send, response)

    def _writer(self, send: ASGISendCallable) -> Write:
        """Return the function that sends one chunk: the connection's own, or else one through ASGI."""
        if direct := _body_writer(self.scope):
            return direct.send

        async def write(chunk: bytes) -> None:
            message = {"type": "http.response.body", "body": chunk, "more_body": True}
            await send(cast(HTTPResponseBodyEvent, message))

        return write


async def _write_until_disconnect(
    first: bytes, rest: AsyncGenerator[bytes, None], receive: ASGIReceiveCallable, write: Write
) -> None:
    """Write all chunks, but stop when the client disconnects."""
    loop = asyncio.get_running_loop()
    writing = asyncio.ensure_future(_write_all(first, rest, write))

    def stop_waiting(_: object) -> None:
        until_written.reschedule(loop.time())

    try:
        async with asyncio.timeout(None) as until_written:
            writing.add_done_callback(stop_waiting)
            await _wait_for_disconnect(receive)
    except TimeoutError:
        pass  # all chunks were written, or one could not be
    finally:
        writing.remove_done_callback(stop_waiting)
        if not writing.done():
            await cancel_tasks({writing})
    raise_task_exceptions({writing})


async def _wait_for_disconnect(receive: ASGIReceiveCallable) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _write_all(first: bytes, rest: AsyncGenerator[bytes, None], write: Write) -> None:
    await write(first)
    async for chunk in rest:
        await write(chunk)
