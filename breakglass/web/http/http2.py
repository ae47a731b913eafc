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
* `BoundedDecoder` refuses a head whose decoding takes long.
* `FrameBudget` counts the bytes that bring nothing: PING, SETTINGS, resets, tiny pieces. A client that sends too many
  gets GOAWAY with ENHANCE_YOUR_CALM. Input goes to h2 in small slices, and the loop serves others between them.

The invariant: one stream never harms another, and no stream keeps more than its buffer in memory. One connection never
holds the event loop for long, however small its frames are.

Rules for editors:

1. A problem of one stream resets that stream. Only CONNECT closes the connection.
2. Never wait for a client except through `wait_while_progressing`.
3. The names used here are private to Hypercorn. After an update, read the functions that
   tests/web/http/test_borrowed_names.py reports.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, cast

import h2.events
import h2.exceptions
from h2.connection import ConnectionState
from h2.errors import ErrorCodes
from hpack import Decoder, HeaderTuple, HPACKDecodingError, OversizedHeaderListError
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol.events import Body, EndBody, StreamClosed
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h2 import (
    BUFFER_HIGH_WATER,
    BUFFER_LOW_WATER,
    BufferCompleteError,
    H2Protocol,
    StreamBuffer,
)
from hypercorn.typing import Event as IOEvent

from breakglass.web.http.limits import MAX_HEAD, ServerConfig
from breakglass.web.http.stalls import wait_while_progressing

SLICE = 1 << 10
"""Bytes that h2 gets at once. It handles all their frames in one go; 1 KiB has room for 60 of them."""
BUDGET = 64 << 10
"""Bytes of frames without use that a client may send at once."""
BUDGET_PER_SECOND = 8 << 10
RESET_COST = 256
"""What a reset costs beside its bytes: a request that the client drops at once (rapid reset, CVE-2023-44487)."""
DATA_OVERHEAD = 64
"""Bytes of each DATA frame that count as no use: a body in pieces of one byte is a flood."""
SENT_CREDIT = 64
"""For each DATA frame that is sent: a client answers it with up to two WINDOW_UPDATE frames of 13 bytes."""
RESPONSE_CREDIT = 512
"""For each complete response: the head of its request."""
MAX_UPDATES = 2
"""Changes of the table's size at the beginning of a head: the smallest and the last one (RFC 7541, section 4.2)."""
GOAWAY_SECONDS = 1.0
"""From a GOAWAY to the end of the connection: cut at once, the client would often not get it."""


class Cut(Closed):
    """The connection is to be closed without waiting for the client, which would keep its place."""


class FrameBudget:
    """A token bucket of bytes: what a connection may send that is neither a body nor a request that gets a response."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic):
        self._monotonic = monotonic
        self._left = float(BUDGET)
        self._at = monotonic()

    def spend(self, count: int) -> None:
        """Take bytes from the budget."""
        self._left -= count

    def credit(self, count: int) -> None:
        """Give bytes back. The budget never exceeds its size."""
        self._left = min(BUDGET, self._left + count)

    def is_exhausted(self) -> bool:
        """Return whether the client has sent too much."""
        now = self._monotonic()
        self.credit(int((now - self._at) * BUDGET_PER_SECOND))
        self._at = now
        return self._left < 0


class BoundedDecoder(Decoder):
    """Decodes the head of a request, and refuses one whose decoding would hold the event loop for long.

    h2 collects a head from any number of frames, and decodes it in one go.
    """

    def decode(self, data: bytes, *options: Any, **named: Any) -> Iterable[HeaderTuple]:
        """Return the fields. Raises OversizedHeaderListError and HPACKDecodingError, which end the connection."""
        if len(data) > MAX_HEAD:
            raise OversizedHeaderListError(f"a head of {len(data)} bytes")
        if _begins_with_updates(data, MAX_UPDATES + 1):
            raise HPACKDecodingError("too many changes of the table's size")
        return super().decode(data, *options, **named)


def _begins_with_updates(data: bytes, count: int) -> bool:
    """Return whether a head begins with that many changes of the table's size (RFC 7541, section 6.3)."""
    at = 0
    for _ in range(count):
        if at >= len(data) or data[at] >> 5 != 1:
            return False
        long = data[at] & 31 == 31
        at += 1
        while long and at < len(data):
            long = data[at] >= 128
            at += 1
    return True


class BoundedStreamBuffer(StreamBuffer):
    """The unsent part of a response, with a size limit.

    Hypercorn's buffer lets the application go on when a small *piece* was popped. With a closed flow-control window
    every piece is empty, so the application could fill the memory.
    """

    def __init__(self, event_class: type[IOEvent], stall_seconds: float, on_sent: Callable[[], object]):
        """`on_sent` is called for each piece that is sent."""
        super().__init__(event_class)
        self._stall_seconds = stall_seconds
        self._on_sent = on_sent

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
        if data:
            self._on_sent()
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
        decoder = BoundedDecoder(self.connection.decoder.max_header_list_size)
        decoder.max_allowed_table_size = self.connection.decoder.max_allowed_table_size
        self.connection.decoder = decoder
        self._budget = FrameBudget()

    async def handle(self, event: Event) -> None:
        """Take input in small slices. Close the connection of a client that sends too many frames without use."""
        if not isinstance(event, RawData):
            return await super().handle(event)
        for start in range(0, len(event.data), SLICE):
            if self.connection.state_machine.state is ConnectionState.CLOSED:  # by an earlier slice
                return await self.send(Closed())
            piece = event.data[start : start + SLICE]
            self._budget.spend(len(piece))
            await super().handle(RawData(piece))
            if self._budget.is_exhausted():
                self.connection.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
                await self._flush()
                await asyncio.sleep(GOAWAY_SECONDS)
                return await self.send(Cut())
            await asyncio.sleep(0)  # a read that finds data does not give the event loop back
        return None

    async def _handle_events(self, events: list[h2.events.Event]) -> None:
        for event in events:
            if isinstance(event, h2.events.DataReceived):
                self._budget.credit(max(0, event.flow_controlled_length - DATA_OVERHEAD))
            elif isinstance(event, h2.events.StreamReset):
                self._budget.spend(RESET_COST)
        await super()._handle_events(events)

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
            self.stream_buffers[request.stream_id] = BoundedStreamBuffer(
                self.context.event_class, seconds, lambda: self._budget.credit(SENT_CREDIT)
            )
            await asyncio.sleep(0)  # many heads fit into one slice

    async def stream_send(self, event: StreamEvent) -> None:
        """Send one event of a response. Reset the stream if its response was broken off or its client stalls."""
        buffer = self.stream_buffers.get(event.stream_id)
        if isinstance(event, StreamClosed) and buffer is not None and not buffer._complete:
            await self._reset_stream(event.stream_id, buffer)
        if isinstance(event, Body) and (buffer is None or buffer._complete):
            await asyncio.sleep(0)  # lets the application see that the client has disconnected
        is_open = event.stream_id in self.streams  # not after a reset
        try:
            await super().stream_send(event)
            if is_open and isinstance(event, EndBody):
                self._budget.credit(RESPONSE_CREDIT)
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
