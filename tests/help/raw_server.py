"""The server of web/http in a thread of the test, a small application behind its guard, and raw clients."""

import asyncio
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
from h2.errors import ErrorCodes

from breakglass.access.credentials import Access
from breakglass.web.guard.guard import Guard
from breakglass.web.guard.settings import GuardSettings, map_hosts
from breakglass.web.http.asgi import Receive, Scope, Send
from breakglass.web.http.limits import ConnectionLimits, configure
from breakglass.web.http.listen import open_tcp, open_unix
from breakglass.web.http.server import serve

TIMEOUT = 90
"""Seconds after which a test fails. It never waits that long unless the server is broken."""


@dataclass
class RecordingApp:
    """An application that records the requests that reach it.

    It sends the body back. A path that ends in `/events` gets a stream until the client disconnects. The stream is one
    byte, or with a query string as many bytes as the client accepts.
    """

    seen: list[str] = field(default_factory=list)
    stream_ended: threading.Event = field(default_factory=threading.Event)
    bytes_sent: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._run_lifespan(receive, send)
            return
        self.seen.append(scope["method"] + " " + scope["path"])
        body = b"" if scope["method"] == "GET" else (await receive())["body"]
        is_stream = scope["path"].endswith("/events")
        headers = [(b"content-type", b"text/event-stream")] if is_stream else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if is_stream:
            await self._stream(b"." * (64 << 10) if scope["query_string"] else b".", receive, send)
        await send({"type": "http.response.body", "body": body})

    async def _run_lifespan(self, receive: Receive, send: Send) -> None:
        for _ in range(2):
            message = await receive()
            await send({"type": f"{message['type']}.complete"})

    async def _stream(self, chunk: bytes, receive: Receive, send: Send) -> None:
        async def wait_for_disconnect() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        leaving = asyncio.ensure_future(wait_for_disconnect())
        try:
            while not leaving.done():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                self.bytes_sent += len(chunk)
                if len(chunk) == 1:
                    await leaving
        finally:
            leaving.cancel()
            self.stream_ended.set()


@dataclass
class RawServer:
    """A running server."""

    port: int
    token: str
    app: RecordingApp
    stop: Callable[[], object]
    thread: threading.Thread

    def connect(self, *, receive_buffer: int = 0) -> socket.socket:
        """Return a connected socket."""
        sock = socket.socket()
        sock.settimeout(TIMEOUT)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.connect(("127.0.0.1", self.port))
        return sock

    def send(self, raw: bytes) -> bytes:
        """Send bytes, filled in by `fill`, and return all bytes that the server sends before it closes."""
        with self.connect() as sock:
            sock.sendall(self.fill(raw))
            return read_all(sock)

    def fill(self, raw: bytes) -> bytes:
        """Return `raw` with the server's Host line for `HOST`, and the token's line for `AUTH`."""
        host = b"Host: 127.0.0.1:%d" % self.port
        return raw.replace(b"HOST", host).replace(b"AUTH", b"Authorization: Bearer " + self.token.encode())


def read_all(sock: socket.socket) -> bytes:
    """Return all bytes until the other end closes or resets."""
    parts = []
    with suppress(ConnectionResetError):
        while part := sock.recv(65536):
            parts.append(part)
    return b"".join(parts)


@contextmanager
def raw_server(
    root: Path,
    limits: ConnectionLimits,
    *,
    tls: tuple[Path, Path] | None = None,
    unix: Path | None = None,
    **guard_settings: Any,
) -> Iterator[RawServer]:
    """Serve while in the context."""
    app, ready, port = RecordingApp(), threading.Event(), 80
    access = Access(root)
    sockets = [open_unix(unix)] if unix else open_tcp("127.0.0.1", 0)
    for sock in sockets:
        sock.listen()  # clients may connect from here on, and are served once the server is up
    if not unix:
        port = sockets[0].getsockname()[1]
    values: dict[str, Any] = {"drain_seconds": 0.2, "body_seconds": 0.2} | guard_settings
    scheme = "https" if tls else "http"
    settings = GuardSettings(map_hosts("127.0.0.1", port, scheme), scheme=scheme, **values)
    guard = Guard(app, settings, access)
    stops: list[Callable[[], object]] = []

    async def main() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        stops.append(lambda: loop.call_soon_threadsafe(stop.set))
        config = configure(*(tls or ()), limits=limits)
        ready.set()
        await serve(guard, config, sockets, stop=stop.wait, on_stop=guard.end_streams, limits=limits)

    # A daemon: a server that does not stop must fail its test, and not keep the tests from ending.
    thread = threading.Thread(target=asyncio.run, args=(main(),), daemon=True)
    thread.start()
    assert ready.wait(TIMEOUT)
    token = (root / "token").read_text().strip()
    try:
        yield RawServer(port, token, app, stops[0], thread)
    finally:
        if thread.is_alive():
            stops[0]()
        thread.join(TIMEOUT)
        assert not thread.is_alive(), "the server did not stop"


def request_head(method: bytes, *lines: bytes, target: bytes = b"/api/x", version: bytes = b"1.1") -> bytes:
    """Return the head of a request with the right Host and token, followed by `lines`. For `RawServer.fill`."""
    start = method + b" " + target + b" HTTP/" + version
    return b"\r\n".join([start, b"HOST", b"AUTH", *lines, b"", b""])


class H2Client:
    """An HTTP/2 connection to a server with TLS."""

    def __init__(self, server: RawServer):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        config = h2.config.H2Configuration(header_encoding=None, validate_outbound_headers=False)
        self._host = b"127.0.0.1:%d" % server.port
        self._connection = h2.connection.H2Connection(config)
        self._connection.initiate_connection()
        self._sock = context.wrap_socket(server.connect())
        assert self._sock.selected_alpn_protocol() == "h2"

    def __enter__(self) -> "H2Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()

    def request(
        self, path: bytes, *pairs: tuple[bytes, bytes], method: bytes = b"GET", ends: bool = True
    ) -> int:
        """Send the head of a request and return its stream. Unless it `ends`, a body may follow."""
        stream = self._connection.get_next_available_stream_id()
        pseudo = [(b":method", method), (b":scheme", b"https"), (b":authority", self._host), (b":path", path)]
        self._connection.send_headers(stream, [*pseudo, *pairs], end_stream=ends)
        self._sock.sendall(self._connection.data_to_send())
        return stream

    def send_body(self, stream: int, data: bytes, *, ends: bool = True) -> None:
        """Send a piece of a body."""
        self._connection.send_data(stream, data, end_stream=ends)
        self._sock.sendall(self._connection.data_to_send())

    def reset(self, stream: int) -> None:
        """Drop a request."""
        self._connection.reset_stream(stream)
        self._sock.sendall(self._connection.data_to_send())

    def frames_of_dropped_request(self, path: bytes) -> bytes:
        """Return a request and its reset, unsent."""
        stream = self._connection.get_next_available_stream_id()
        pseudo = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", self._host), (b":path", path)]
        self._connection.send_headers(stream, pseudo, end_stream=True)
        self._connection.reset_stream(stream)
        return self._connection.data_to_send()

    def flood(self, frames: bytes) -> ErrorCodes | int | None:
        """Send frames until the server closes. Return the error code of its GOAWAY, None without one.

        It reads before each write. After a write to a closed connection, what has arrived may be lost.
        """
        unsent = bytearray(self._connection.data_to_send() + frames)
        self._sock.setblocking(False)
        try:
            while True:
                select.select([self._sock], [self._sock] if unsent else [], [], TIMEOUT)
                with suppress(ssl.SSLWantReadError):
                    received = self._sock.recv(65536)
                    for event in self._connection.receive_data(received):
                        if isinstance(event, h2.events.ConnectionTerminated):
                            return event.error_code
                    if not received:
                        return None
                with suppress(ssl.SSLWantWriteError):
                    del unsent[: self._sock.send(unsent[:16384])]
        except ConnectionError:
            return None
        finally:
            self._sock.settimeout(TIMEOUT)

    def wait_for(self, kind: type[Any], stream: int | None = None) -> Any:
        """Return the next event of that kind in a stream or the connection, None if the server closes first."""
        with suppress(OSError):
            while data := self._sock.recv(65536):
                for event in self._connection.receive_data(data):
                    if isinstance(event, kind) and (stream is None or event.stream_id == stream):
                        return event
        return None
