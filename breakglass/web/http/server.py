"""The server: accepts connections, serves each with Hypercorn's protocols, and ends them all when it stops.

How this works
--------------
`serve` starts the application, listens, waits for `stop`, and closes everything. It replaces Hypercorn's own
loop, which accepts any number of connections. On Python 3.12 and later, that loop also waits forever for stalled
clients when it stops (Hypercorn's issue 308).

* `_Connections` has one task for each open connection. It counts them against the limits, answers 503 over a
  limit, and ends what is left when the server stops.
* `ClientConnection` is Hypercorn's `TCPServer` for one connection. It chooses the protocol by ALPN alone
  (`StrictH2Protocol` for `h2`, else `StrictH11Protocol`), and puts a time limit on every write and close.
* The protocols (http1.py, http2.py) turn bytes into requests, and responses into bytes. The application is the guard.

The invariant: a client that sends no complete head, or takes no data, loses its connection at a deadline. A head
must be complete within `head_seconds`. A write must progress, and a close must end, within `stall_seconds`. A
client that takes what is sent may stay attached forever, even if it sends nothing.

Rules for editors:

1. Every wait for a head, a write or a close has a deadline. The guard has one for bodies. Add no wait without one.
2. Hypercorn's `ProtocolWrapper` stays out: it switches to HTTP/2 in clear text on request.
3. Most functions overridden here are private to Hypercorn. tests/web/http/test_borrowed_names.py lists each one,
   and fails when Hypercorn changes it.
"""

import asyncio
import gc
import socket
import ssl
from collections.abc import Awaitable, Callable, Container, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, cast

from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.lifespan import Lifespan
from hypercorn.asyncio.task_group import TaskGroup
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol import ProtocolWrapper
from hypercorn.typing import ASGIFramework, ConnectionState, LifespanState
from hypercorn.utils import parse_socket_addr

from breakglass.web.http.asgi import App
from breakglass.web.http.clients import PROXY, SHOW_CREDENTIAL, Places
from breakglass.web.http.http1 import BODY_WRITER, BodyWriter, StrictH11Protocol, encode_chunk
from breakglass.web.http.http2 import Cut, StrictH2Protocol
from breakglass.web.http.limits import DEFAULT_LIMITS, ConnectionLimits, ServerConfig, max_connections
from breakglass.web.http.peers import peer_name
from breakglass.web.http.stalls import wait_while_progressing

HIGH_WATER = 64 << 10
"""A write waits if asyncio's buffer has this many bytes: asyncio's own default."""
BACKLOG = 1024
"""Connections that the kernel holds until they are accepted."""
ACCEPTED_AT_ONCE = 16
"""Connections that are accepted before the first of them is counted. Each takes a descriptor, also over a limit."""
CONNECTIONS_PER_COLLECTION = 256
"""Ended connections after which garbage is collected: each leaves reference cycles of several KiB."""

_TOO_MANY_CONNECTIONS = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
)


async def serve(
    app: App,
    config: ServerConfig,
    sockets: Iterable[socket.socket],
    *,
    stop: Callable[[], Awaitable[object]],
    on_stop: Callable[[], object] = lambda: None,
    limits: ConnectionLimits = DEFAULT_LIMITS,
    proxies: Container[str] = (),
) -> None:
    """Serve until `stop` returns, then at most `limits.grace_seconds` more.

    `on_stop` is called first when stopping: it must end the application's streams. Connections of `proxies`
    have no limit per address. Raises what the start of the application raises.
    """
    # A full collection pauses all clients, so it runs rarely, and when connections end.
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)
    connections = _Connections(app, config, limits, proxies)
    lifespan = Lifespan(connections.app, config, connections.loop, connections.state)
    lifespan_task = connections.loop.create_task(lifespan.handle_lifespan())
    await lifespan.wait_for_startup()
    if lifespan_task.done():
        lifespan_task.result()
    servers = [await _listen(connections, sock) for sock in sockets]
    try:
        await stop()
    finally:
        for server in servers:
            server.close()
        on_stop()
        await connections.close_all()
        await lifespan.wait_for_shutdown()
        lifespan_task.cancel()


async def _listen(connections: "_Connections", sock: socket.socket) -> asyncio.Server:
    # asyncio accepts as many connections at once as it has let the kernel hold.
    server = await asyncio.start_server(connections.accept, sock=sock, backlog=ACCEPTED_AT_ONCE)
    sock.listen(BACKLOG)
    return server


class _Connections:
    """The open connections of this process."""

    def __init__(self, app: App, config: ServerConfig, limits: ConnectionLimits, proxies: Container[str]):
        self.app = ASGIWrapper(cast(ASGIFramework, app))
        self.loop = asyncio.get_running_loop()
        self.state: LifespanState = {}
        self._config = config
        self._context = WorkerContext(None)
        self._limits = limits
        self._proxies = proxies
        max_open = min(limits.connections, max_connections())
        self._places = Places(max_open, limits.connections_per_address)
        self._tls = config.create_ssl_context()
        self._open: dict[asyncio.Task[None], Callable[[], None]] = {}
        """The function that cuts the connection of each task."""
        self._ended = 0

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end, or refuse it over a limit: with 503, or without a TLS handshake."""
        task, peer = asyncio.current_task(), peer_name(writer)
        assert task
        address = PROXY if peer in self._proxies else peer

        def drop() -> None:
            if self._tls and writer.get_extra_info("ssl_object") is None:
                task.cancel()  # aborted during the handshake, asyncio would report errors of its own
            else:
                writer.transport.abort()

        place = self._places.take(address, drop)
        if place is None:
            writer.write(b"" if self._tls else _TOO_MANY_CONNECTIONS)
            return writer.close()
        self._open[task] = drop
        state = LifespanState({**self.state, SHOW_CREDENTIAL: partial(self._places.show_credential, place)})
        parts = (self.app, self.loop, self._config, self._context, state, reader, writer)
        try:
            # Not by asyncio's server, which would hold a descriptor for each client that does not go on.
            if self._tls is None or await self._shake_hands(writer, self._tls):
                await ClientConnection(*parts, peer=peer)
        except Exception as error:  # noqa: BLE001 - bytes of one client that break h2 must not stop the others
            await self._config.log.warning(f"a connection from {address} was dropped: {error!r}")
        finally:
            self._places.leave(place)
            del self._open[task]
            self._collect_garbage()

    async def _shake_hands(self, writer: asyncio.StreamWriter, tls: ssl.SSLContext) -> bool:
        """Begin TLS in time and return True, or cut the connection."""
        plain = writer.transport
        try:
            await writer.start_tls(tls, ssl_handshake_timeout=self._config.ssl_handshake_timeout)
        except (OSError, asyncio.CancelledError):
            # If it is cancelled, that is by `drop`: this connection gave way, and its task ends here.
            plain.abort()
            return False
        return True

    async def close_all(self) -> None:
        """Give connections `grace_seconds` to end, then cut the others."""
        await self._context.terminated.set()
        if self._open:
            await asyncio.wait(self._open, timeout=self._limits.grace_seconds)
        for drop in self._open.values():
            drop()
        if self._open:
            await asyncio.wait(self._open, timeout=1)

    def _collect_garbage(self) -> None:
        self._ended += 1
        if self._ended > max(CONNECTIONS_PER_COLLECTION, len(self._open) // 2):
            self._ended = 0
            gc.collect()


class ClientConnection(TCPServer):
    """One connection: Hypercorn's `TCPServer`, with strict protocols and time limits for stalled clients."""

    def __init__(self, *args: Any, peer: str):
        super().__init__(*args)
        self._peer = peer
        self._stall_seconds = cast(ServerConfig, self.config).stall_seconds
        self._abort_timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Serve the connection until one side closes it."""
        sock = self.writer.get_extra_info("socket")
        tls = self.writer.get_extra_info("ssl_object")
        try:
            client = parse_socket_addr(sock.family, sock.getpeername()) or (self._peer, 0)
            server = parse_socket_addr(sock.family, sock.getsockname())
            is_h2 = bool(tls and tls.selected_alpn_protocol() == "h2")
            protocol_class = StrictH2Protocol if is_h2 else StrictH11Protocol
            state = ConnectionState({**self.state})
            if not is_h2:
                state[BODY_WRITER] = BodyWriter(self._send_chunk, self._write_chunk)
            async with TaskGroup(self.loop) as group:
                self._task_group = group
                context = (self.app, self.config, self.context, group, state)
                protocol = protocol_class(*context, tls is not None, client, server, self.protocol_send)
                self.protocol = cast(ProtocolWrapper, protocol)  # the wrapper would switch to h2c
                await self.protocol.initiate()
                await self.idle_task.restart(group, self._idle_timeout)
                await self._read_data()
                # Otherwise the task group waits for the idle timer.
                await self.idle_task.stop()
        except OSError:
            pass
        finally:
            await self._close()

    async def protocol_send(self, event: Event) -> None:
        """Carry out an event of the protocol: send bytes, close, or start and stop the idle timer."""
        if isinstance(event, RawData):
            await self._write(event.data)
        elif isinstance(event, Cut):
            self.writer.transport.abort()
        elif not (isinstance(event, Updated) and event.idle and self._is_disconnected):
            await super().protocol_send(event)

    @property
    def _is_disconnected(self) -> bool:
        """Whether the client has disconnected, so no further request will come."""
        return self.reader.at_eof() or self.writer.transport.is_closing()

    async def _send_chunk(self, data: bytes) -> None:
        await self._write(encode_chunk(data))

    def _write_chunk(self, data: bytes) -> bool:
        transport = self.writer.transport
        if len(data) >= HIGH_WATER or transport.get_write_buffer_size() or transport.is_closing():
            return False
        transport.write(encode_chunk(data))  # the buffer was empty, so no task is sending
        return True

    async def _write(self, data: bytes) -> None:
        """Send, and wait while much is buffered. Cut the connection if the client takes nothing."""
        transport = self.writer.transport
        if not transport.get_write_buffer_size() and not transport.is_closing():
            transport.write(data)  # the buffer was empty, so no other task is sending
            if transport.get_write_buffer_size() < HIGH_WATER:
                return
            data = b""
        async with self.send_lock:
            try:
                self.writer.write(data)
                if transport.get_write_buffer_size() < HIGH_WATER:
                    await self.writer.drain()  # raises a pending error, and does not wait
                else:
                    size = transport.get_write_buffer_size
                    await wait_while_progressing(self.writer.drain, size, self._stall_seconds)
            except (OSError, RuntimeError):
                transport.abort()
                await self.protocol.handle(Closed())

    async def _initiate_server_close(self) -> None:
        # Not `_close`: it stops the idle task, and this code runs in the idle task.
        self._abort_timer = self.loop.call_later(self._stall_seconds, self.writer.transport.abort)
        await super()._initiate_server_close()

    async def _close(self) -> None:
        with suppress(OSError):  # our timeout, or that of TLS
            async with asyncio.timeout(self._stall_seconds):
                await super()._close()  # waits until everything is sent
        if self._abort_timer is not None:
            self._abort_timer.cancel()
        self.writer.transport.abort()
