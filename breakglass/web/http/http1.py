"""HTTP/1.1 with h11 and Hypercorn, made strict.

How this works
--------------
h11 turns bytes into events, and Hypercorn's `H11Protocol` turns events into ASGI messages. Both accept some
malformed bytes, as the standard allows. A proxy in front may read the same bytes differently. One request for
the proxy can be two for the server, and the proxy never checked the second (request smuggling). The
application cannot see such bytes, so they are refused here:

* `StrictReceiveBuffer` sees the raw bytes of a head before h11 does. Bare LF, folded lines and two lengths
  are errors.
* `StrictH11Connection` reads nothing after the last request of a connection.
* `StrictH11Protocol` never leaves HTTP/1.1: it opens no WebSocket and switches to no h2c. The guard sees such
  a request and refuses it.

The invariant: the guard and any proxy in front see the same requests, in the same bytes.

Rules for editors:

1. Refuse; never repair. A repaired request is one that two parsers read differently.
2. The names used here are private to h11 and Hypercorn, and a renamed one fails silently. After an update, read
   the functions that tests/web/http/test_borrowed_names.py reports, and "Why Hypercorn's settings are not enough"
   in docs/security.md.
3. What the application can see is checked by web/guard/rules.py, and not here.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import h11
from h11._receivebuffer import ReceiveBuffer
from hypercorn.protocol.h11 import H11Protocol

from breakglass.web.http.headers import NO_STORE_HEADERS

BODY_WRITER = "breakglass.body_writer"
"""Key in the ASGI `state` of an HTTP/1.1 request. Its value is a `BodyWriter`."""

_LENGTHS = re.compile(rb"\ncontent-length:([^\r\n]*)", re.IGNORECASE)
_FOLDED = re.compile(rb"\n[ \t]")


class BodyWriter(NamedTuple):
    """Sends parts of a body of unknown length on the connection itself, past ASGI and h11."""

    send: Callable[[bytes], Awaitable[None]]
    """Sends a part, and waits while much is buffered for the client."""
    write: Callable[[bytes], bool]
    """Sends a part without waiting. Returns False, and sends nothing, if data is buffered, or if the part is large."""


def encode_chunk(data: bytes) -> bytes:
    """Return data as a chunk of a body (RFC 9112, section 7.1). This costs less than the way through h11."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class StrictReceiveBuffer(ReceiveBuffer):
    """h11's buffer, but strict: a proxy in front could read tolerated bytes as the next request."""

    def maybe_extract_lines(self) -> list[bytearray] | None:
        """Return the lines up to an empty one, None if it has not arrived. Raises LocalProtocolError."""
        end = self._data.find(b"\r\n\r\n")
        head = bytes(self._data if end < 0 else self._data[:end])
        lengths = _LENGTHS.findall(head)
        if head.count(b"\n") != head.count(b"\r\n") or _FOLDED.search(head):
            raise h11.LocalProtocolError("a line ends in a bare LF, or is folded")
        if len(lengths) > 1 or b"," in b"".join(lengths):
            raise h11.LocalProtocolError("two lengths")
        return super().maybe_extract_lines()


class StrictH11Connection(h11.Connection):
    """h11's connection, except that it reads nothing after its last request."""

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Return h11's next event. Bytes after a request with `Connection: close` are dropped, and are no error."""
        if self.their_state is h11.MUST_CLOSE:
            self._receive_buffer = StrictReceiveBuffer()
        return super().next_event()


class StrictH11Protocol(H11Protocol):
    """HTTP/1.1 without any switch to another protocol: the guard sees such a request, and refuses it."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        self.connection = StrictH11Connection(h11.SERVER, self.config.h11_max_incomplete_size)
        self.connection._receive_buffer = StrictReceiveBuffer()

    async def _check_protocol(self, event: h11.Request) -> None:
        """Switch to nothing. Hypercorn answers `Upgrade: h2c` with 101 before it asks any application."""

    async def _create_stream(self, request: h11.Request) -> None:
        # Without `Connection`, Hypercorn sees no WebSocket. After a bad handshake it would never close.
        if any(name == b"upgrade" for name, _ in request.headers):
            request = h11.Request(
                method=request.method,
                target=request.target,
                headers=[pair for pair in request.headers if pair[0] != b"connection"],
                http_version=request.http_version,
            )
        if request.http_version != b"1.1":
            self.connection_state.pop(BODY_WRITER, None)  # HTTP/1.0 has no chunks
        await super()._create_stream(request)

    async def _send_error_response(self, status_code: int) -> None:
        fixed = [(b"content-length", b"0"), (b"connection", b"close"), *NO_STORE_HEADERS]
        headers = [*fixed, *self.config.response_headers("h11")]
        await self._send_h11_event(h11.Response(status_code=status_code, headers=headers))
        await self._send_h11_event(h11.EndOfMessage())
