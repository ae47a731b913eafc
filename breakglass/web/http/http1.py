"""HTTP/1.1 and HTTP/2 as Hypercorn speaks them, made strict.

Owns bytes and frames. Reaches into h11 and Hypercorn, so docs/security.md says what their versions 0.16 and
0.18 let through, and tests/web/http/test_listen.py fails where another version needs another answer.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, cast

import h2.events
import h2.exceptions
import h11
from h2.errors import ErrorCodes
from h11._receivebuffer import ReceiveBuffer
from hypercorn.config import Config
from hypercorn.events import Closed
from hypercorn.protocol.events import Body, StreamClosed
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h2 import (
    BUFFER_HIGH_WATER,
    BUFFER_LOW_WATER,
    BufferCompleteError,
    H2Protocol,
    StreamBuffer,
)
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.typing import Event as IOEvent

from breakglass.web.guard.guard import NO_STORE
from breakglass.web.http.listen import STALL_SECONDS

SEND_CHUNK = "breakglass.send_chunk"
"""In the ASGI `state` of an HTTP/1.1 request: what sends a piece of a body of unknown length, after the head."""


def chunk(data: bytes) -> bytes:
    """Return a piece of a body as a chunk (RFC 9112, 7.1), for which h11 and Hypercorn take 16 µs (2026-11-23)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Settings(Config):
    """Hypercorn's settings, and one that it does not have."""

    stall_seconds: float = STALL_SECONDS


async def wait_while_moving(
    wait: Callable[[], Awaitable[object]], left: Callable[[], int], seconds: float
) -> None:
    """Await `wait()`, however slowly `left()` becomes less. Raises TimeoutError once it has not for `seconds`.

    `wait` is begun anew several times. Found after 4/3 of `seconds` at the latest.
    """
    before, quiet = left(), 0
    while True:
        try:
            async with asyncio.timeout(seconds / 3):
                await wait()
                return
        except TimeoutError:
            now = left()
            quiet = quiet + 1 if now >= before else 0
            before = now
            if quiet == 3:
                raise


# --- HTTP/1.1, strictly -------------------------------------------------------------------------


class StrictBuffer(ReceiveBuffer):
    """h11's buffer without its leniency: what it forgives, a proxy in front may read as the next request."""

    def maybe_extract_lines(self) -> list[bytearray] | None:
        """Return the lines before an empty one, None while that is not there. Raises LocalProtocolError."""
        end = self._data.find(b"\r\n\r\n")
        head = bytes(self._data if end < 0 else self._data[:end])
        lengths = _LENGTHS.findall(head)
        if head.count(b"\n") != head.count(b"\r\n") or _FOLDED.search(head):
            raise h11.LocalProtocolError("a line ends in a bare LF, or is folded")
        if len(lengths) > 1 or b"," in b"".join(lengths):
            raise h11.LocalProtocolError("two lengths")
        return super().maybe_extract_lines()


class StrictConnection(h11.Connection):
    """h11's connection, but that after its last request nothing is read."""

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Return what h11 makes of the bytes. What follows a `Connection: close` is nobody's, and no error of that."""
        if self.their_state is h11.MUST_CLOSE:
            self._receive_buffer = StrictBuffer()
        return super().next_event()


_LENGTHS = re.compile(rb"\ncontent-length:([^\r\n]*)", re.IGNORECASE)
_FOLDED = re.compile(rb"\n[ \t]")


class StrictH11(H11Protocol):
    """HTTP/1.1 and no way out of it: asking for h2c reaches the guard as a request, and is refused there."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        self.connection = StrictConnection(h11.SERVER, self.config.h11_max_incomplete_size)
        self.connection._receive_buffer = StrictBuffer()

    async def _check_protocol(self, event: h11.Request) -> None:
        """Switch to nothing. Hypercorn answers `Upgrade: h2c` with 101 before any application is asked."""

    async def _create_stream(self, request: h11.Request) -> None:
        # Without this field no WebSocket is seen. Of a bad one Hypercorn keeps the connection for ever.
        if any(name == b"upgrade" for name, _ in request.headers):
            request = h11.Request(
                method=request.method,
                target=request.target,
                headers=[pair for pair in request.headers if pair[0] != b"connection"],
                http_version=request.http_version,
            )
        if request.http_version != b"1.1":
            self.connection_state.pop(SEND_CHUNK, None)
        await super()._create_stream(request)

    async def _send_error_response(self, status_code: int) -> None:
        fixed = [(b"content-length", b"0"), (b"connection", b"close"), *NO_STORE]
        headers = [*fixed, *self.config.response_headers("h11")]
        await self._send_h11_event(h11.Response(status_code=status_code, headers=headers))
        await self._send_h11_event(h11.EndOfMessage())


# --- HTTP/2, with an end to patience ------------------------------------------------------------


class FullBuffer(StreamBuffer):
    """Hypercorn's buffer of what a stream has still to send, but full where it says full.

    Hypercorn lets the application go on when a *piece* taken out was small, and of a client whose window is
    shut it takes pieces of no bytes: such a client could fill the memory.
    """

    def __init__(self, event_class: type[IOEvent], stall_seconds: float):
        super().__init__(event_class)
        self._stall_seconds = stall_seconds

    async def push(self, data: bytes) -> None:
        """Add data, and wait while there is too much.

        Raises BufferCompleteError after the end, and TimeoutError where the client takes nothing.
        """
        if self._complete:
            raise BufferCompleteError
        self.buffer.extend(data)
        await self._is_empty.clear()
        if len(self.buffer) >= BUFFER_HIGH_WATER:
            await self._paused.clear()
            await wait_while_moving(self._paused.wait, lambda: len(self.buffer), self._stall_seconds)

    async def drain(self) -> None:
        """Wait until all is sent. Raises TimeoutError where the client takes nothing."""
        await wait_while_moving(self._is_empty.wait, lambda: len(self.buffer), self._stall_seconds)

    async def pop(self, max_length: int) -> bytes:
        """Return what is to be sent next, at most `max_length` bytes."""
        data = bytes(self.buffer[:max_length])
        del self.buffer[:max_length]
        if len(self.buffer) < BUFFER_LOW_WATER:
            await self._paused.set()
        if not self.buffer:
            await self._is_empty.set()
        return data


class _Gone:
    """A stream whose answer is through, for what its client is still sending."""

    async def handle(self, event: StreamEvent) -> None:
        pass


class _Streams(dict[int, Any]):
    """The streams that are open. For data of any other Hypercorn would drop the connection, with all its streams."""

    def __missing__(self, stream_id: int) -> _Gone:
        return _Gone()


class PlainH2(H2Protocol):
    """HTTP/2 without CONNECT, which would open a WebSocket or a tunnel: it ends the connection."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        self.streams = _Streams()

    async def _create_stream(self, request: h2.events.RequestReceived) -> None:
        if not all(value.isascii() for name, value in request.headers if name.startswith(b":")):
            self.connection.reset_stream(request.stream_id, ErrorCodes.PROTOCOL_ERROR)  # RFC 9113, 8.1.1
        elif any(name == b":method" and value.upper() == b"CONNECT" for name, value in request.headers):
            self.connection.close_connection()
            await self._flush()
            await self.send(Closed())
        else:
            await super()._create_stream(request)  # the application runs once this has returned
            seconds = cast(Settings, self.config).stall_seconds
            self.stream_buffers[request.stream_id] = FullBuffer(self.context.event_class, seconds)

    async def stream_send(self, event: StreamEvent) -> None:
        buffer = self.stream_buffers.get(event.stream_id)
        if isinstance(event, StreamClosed) and buffer is not None and not buffer._complete:
            await self._break_off(event.stream_id, buffer)
        if isinstance(event, Body) and (buffer is None or buffer._complete):
            await asyncio.sleep(0)  # else an application with much to say never hears that nobody listens
        try:
            await super().stream_send(event)
        except TimeoutError:
            if buffer is not None:
                await self._break_off(event.stream_id, buffer)
            await self._close_stream(event.stream_id)  # the application hears that its client has left

    async def _break_off(self, stream_id: int, buffer: StreamBuffer) -> None:
        """Say that the answer ends here. Hypercorn says nothing, and a client waits for the rest."""
        await buffer.close()
        self.priority.unblock(stream_id)
        await self.has_data.set()
        with suppress(h2.exceptions.ProtocolError):
            self.connection.reset_stream(stream_id, ErrorCodes.CANCEL)
        await self._flush()
