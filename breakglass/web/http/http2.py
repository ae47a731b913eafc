"""HTTP/2 with h2 and Hypercorn, without tunnels and with a time limit on every wait.

How this works
--------------
One connection carries many streams. A stream is one request with its response. The application pushes the body
of a response into the stream's buffer. Hypercorn's sending task pops pieces from all buffers, each as large as
the client's window allows. A client that shuts its window takes nothing.

* `BoundedStreamBuffer` makes the application wait when the buffer is full, and raises TimeoutError when the
  client takes nothing.
* `StrictH2Protocol` refuses CONNECT, resets malformed requests alone, and resets a stream whose response was
  broken off.
* `_StreamsById` accepts data for streams that have ended. Else late data would drop the whole connection.

The invariant: one stream never harms another, and no stream keeps more than its buffer in memory.

Rules for editors:

1. A problem of one stream resets that stream. Only CONNECT closes the connection.
2. Never wait for a client except through `wait_while_progressing`.
3. The names used here are private to Hypercorn. After an update, read the functions that
   tests/web/http/test_borrowed_names.py reports.
"""

import asyncio
from contextlib import suppress
from typing import Any, cast

import h2.events
import h2.exceptions
from h2.errors import ErrorCodes
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
from hypercorn.typing import Event as IOEvent

from breakglass.web.http.limits import ServerConfig
from breakglass.web.http.stalls import wait_while_progressing


class BoundedStreamBuffer(StreamBuffer):
    """The unsent part of a response, with a size limit.

    Hypercorn's buffer lets the application go on when a small *piece* was popped. With a closed flow-control window
    every piece is empty, so the application could fill the memory.
    """

    def __init__(self, event_class: type[IOEvent], stall_seconds: float):
        super().__init__(event_class)
        self._stall_seconds = stall_seconds

    async def push(self, data: bytes) -> None:
        """Add data, and wait while the buffer is full.

        Raises BufferCompleteError after the end of the response, and TimeoutError if the client takes nothing.
        """
        if self._complete:
            raise BufferCompleteError
        self.buffer.extend(data)
        await self._is_empty.clear()
        if len(self.buffer) >= BUFFER_HIGH_WATER:
            await self._paused.clear()
            await wait_while_progressing(self._paused.wait, lambda: len(self.buffer), self._stall_seconds)

    async def drain(self) -> None:
        """Wait until all is sent. Raises TimeoutError if the client takes nothing."""
        await wait_while_progressing(self._is_empty.wait, lambda: len(self.buffer), self._stall_seconds)

    async def pop(self, max_length: int) -> bytes:
        """Return what is to be sent next, at most `max_length` bytes."""
        data = bytes(self.buffer[:max_length])
        del self.buffer[:max_length]
        if len(self.buffer) < BUFFER_LOW_WATER:
            await self._paused.set()
        if not self.buffer:
            await self._is_empty.set()
        return data


class _EndedStream:
    """Takes the place of a stream whose response is complete while its client is still sending."""

    async def handle(self, event: StreamEvent) -> None:
        """Drop the event."""


class _StreamsById(dict[int, Any]):
    """The open streams by number. Data for an unknown stream would make Hypercorn drop the connection."""

    def __missing__(self, stream_id: int) -> _EndedStream:
        return _EndedStream()


class StrictH2Protocol(H2Protocol):
    """HTTP/2 without CONNECT, which would open a WebSocket or a tunnel: CONNECT ends the connection."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        self.streams = _StreamsById()

    async def _create_stream(self, request: h2.events.RequestReceived) -> None:
        if not all(value.isascii() for name, value in request.headers if name.startswith(b":")):
            # Malformed (RFC 9113, section 8.1.1). Hypercorn would drop the whole connection.
            self.connection.reset_stream(request.stream_id, ErrorCodes.PROTOCOL_ERROR)
        elif any(name == b":method" and value.upper() == b"CONNECT" for name, value in request.headers):
            self.connection.close_connection()
            await self._flush()
            await self.send(Closed())
        else:
            await super()._create_stream(request)  # starts a task: the application has not run yet
            seconds = cast(ServerConfig, self.config).stall_seconds
            self.stream_buffers[request.stream_id] = BoundedStreamBuffer(self.context.event_class, seconds)

    async def stream_send(self, event: StreamEvent) -> None:
        """Send one event of a response. Reset the stream if its response was broken off or its client stalls."""
        buffer = self.stream_buffers.get(event.stream_id)
        if isinstance(event, StreamClosed) and buffer is not None and not buffer._complete:
            await self._reset_stream(event.stream_id, buffer)
        if isinstance(event, Body) and (buffer is None or buffer._complete):
            await asyncio.sleep(0)  # lets the application see that the client has disconnected
        try:
            await super().stream_send(event)
        except TimeoutError:
            if buffer is not None:
                await self._reset_stream(event.stream_id, buffer)
            # Tells the application that its client has disconnected.
            await self._close_stream(event.stream_id)

    async def _reset_stream(self, stream_id: int, buffer: StreamBuffer) -> None:
        """Tell the client that the response ends here. Hypercorn sends nothing, so the client would wait."""
        await buffer.close()
        self.priority.unblock(stream_id)
        await self.has_data.set()
        with suppress(h2.exceptions.ProtocolError):
            self.connection.reset_stream(stream_id, ErrorCodes.CANCEL)
        await self._flush()
