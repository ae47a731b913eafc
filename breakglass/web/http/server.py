"""Hypercorn, served by ourselves: how many connections there may be, how long they may take, how they end.

Knows nothing of what is served, nor of the bytes: those are web/wire.py's.
"""

import asyncio
import gc
import resource
import socket
from collections.abc import Awaitable, Callable, Container, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
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

from breakglass.errors import BadConfig
from breakglass.store import memory
from breakglass.web.guard.guard import App, Tally
from breakglass.web.guard.request import plain_address
from breakglass.web.http.http1 import SEND_CHUNK, PlainH2, Settings, StrictH11, chunk, wait_while_moving
from breakglass.web.http.listen import STALL_SECONDS

MAX_HEAD = 16 << 10
"""Bytes of a request's head."""
HIGH_WATER = 64 << 10
"""Bytes that wait in asyncio's buffer before a write has to wait: asyncio's own default."""
BACKLOG = 1024
BASE = 72 << 20
PER_CONNECTION = 32 << 10
"""Bytes that the server takes with nobody there, and for each that is attached and reads (2026-11-23)."""
DEAD = 256
"""Ended connections after which their remains are collected: each leaves 13 KiB of cycles (2026-11-23)."""
DESCRIPTORS = 16384


@dataclass(frozen=True, slots=True)
class Limits:
    """What a connection may take."""

    head_seconds: float = 5
    """From connecting, or from the last answer, to a whole head. Also for the TLS handshake."""
    stall_seconds: float = STALL_SECONDS
    """How long a client may read nothing while something is there for it."""
    grace_seconds: float = 3
    """What answers that are under way get to end in when the server stops."""
    connections: int = 8192
    """In all; never more than descriptors allow."""
    connections_per_address: int = 2048


DEFAULT = Limits()

_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
)


class Connection(TCPServer):
    """One connection, from accepted to closed: Hypercorn's, but for its protocol and for stalled clients."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        self._stall_seconds = cast(Settings, self.config).stall_seconds
        self._cut: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        sock = self.writer.get_extra_info("socket")
        tls = self.writer.get_extra_info("ssl_object")
        try:
            client = parse_socket_addr(sock.family, sock.getpeername())
            server = parse_socket_addr(sock.family, sock.getsockname())
            is_h2 = bool(tls and tls.selected_alpn_protocol() == "h2")
            protocol = PlainH2 if is_h2 else StrictH11
            state = ConnectionState({**self.state} if is_h2 else {**self.state, SEND_CHUNK: self._send_chunk})
            async with TaskGroup(self.loop) as group:
                self._task_group = group
                context = (self.app, self.config, self.context, group, state)
                made = protocol(*context, tls is not None, client, server, self.protocol_send)
                self.protocol = cast(ProtocolWrapper, made)  # the wrapper is what would switch to h2c
                await self.protocol.initiate()
                await self.idle_task.restart(group, self._idle_timeout)
                await self._read_data()
                await self.idle_task.stop()  # or the group waits for it, after everybody has left
        except OSError:
            pass
        finally:
            await self._close()

    async def protocol_send(self, event: Event) -> None:
        if isinstance(event, RawData):
            await self._write(event.data)
        elif not (isinstance(event, Updated) and event.idle and self._is_left):
            await super().protocol_send(event)

    @property
    def _is_left(self) -> bool:
        """Whether nobody is left whose next request could be waited for."""
        return self.reader.at_eof() or self.writer.transport.is_closing()

    async def _send_chunk(self, data: bytes) -> None:
        await self._write(chunk(data))

    async def _write(self, data: bytes) -> None:
        """Send, and wait while there is much to send; cut the connection where nothing is taken."""
        transport = self.writer.transport
        if not transport.get_write_buffer_size() and not transport.is_closing():
            transport.write(data)  # nobody else is sending
            if transport.get_write_buffer_size() < HIGH_WATER:
                return
            data = b""
        async with self.send_lock:
            try:
                self.writer.write(data)
                if transport.get_write_buffer_size() < HIGH_WATER:
                    await self.writer.drain()  # hears of an error, and waits for nothing
                else:
                    size = transport.get_write_buffer_size
                    await wait_while_moving(self.writer.drain, size, self._stall_seconds)
            except (OSError, RuntimeError):
                transport.abort()
                await self.protocol.handle(Closed())

    async def _initiate_server_close(self) -> None:
        # Not `_close`: that stops the idle task, which is what waits for us here.
        self._cut = self.loop.call_later(self._stall_seconds, self.writer.transport.abort)
        await super()._initiate_server_close()

    async def _close(self) -> None:
        with suppress(OSError):  # ours, or TLS's own timeout
            async with asyncio.timeout(self._stall_seconds):
                await super()._close()  # waits for what is still to be sent
        if self._cut is not None:
            self._cut.cancel()
        self.writer.transport.abort()


def configure(
    certfile: Path | None = None, keyfile: Path | None = None, *, limits: Limits = DEFAULT
) -> Settings:
    """Return Hypercorn's settings. Raises BadConfig for a certificate or a key that cannot be used."""
    config = Settings()
    config.stall_seconds = limits.stall_seconds
    config.keep_alive_timeout = config.ssl_handshake_timeout = limits.head_seconds
    config.h11_max_incomplete_size = MAX_HEAD
    config.h2_max_header_list_size = MAX_HEAD
    config.include_server_header = False
    config.loglevel = "WARNING"
    if certfile is not None and keyfile is not None:
        config.certfile, config.keyfile = str(certfile), str(keyfile)
        try:
            config.create_ssl_context()
        except OSError as error:  # ssl.SSLError is one
            raise BadConfig(
                f"tls: {certfile} and {keyfile} are no certificate with its key: {error}"
            ) from error
    return config


def raise_descriptor_limit() -> None:
    """Allow this process as many descriptors as it may have, 16,384 at most."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _room() -> int:
    """Return how many connections leave enough descriptors for logs, locks and turns, and enough memory for us."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    descriptors = DESCRIPTORS if soft == resource.RLIM_INFINITY else soft - min(512, soft // 2)
    return min(descriptors, max(16, (memory.limit() - BASE) // PER_CONNECTION))


async def serve(
    app: App,
    config: Settings,
    sockets: Iterable[socket.socket],
    *,
    stop: Callable[[], Awaitable[object]],
    on_stop: Callable[[], object] = lambda: None,
    limits: Limits = DEFAULT,
    proxies: Container[str] = (),
) -> None:
    """Serve until `stop` returns, then at most `limits.grace_seconds` more; `on_stop` is to end the streams.

    Raises what starting the application raises. Instead of Hypercorn's own loop, which takes any number of
    connections and, on Python 3.12 and later, waits for stalled ones for ever (its issue 308).
    """
    # A full collection takes 0.1 s with 1,000 clients, and all of them wait: seldom, and where connections end.
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)
    porch = _Porch(app, config, limits, proxies)
    lifespan = Lifespan(porch.app, config, porch.loop, porch.state)
    ready = porch.loop.create_task(lifespan.handle_lifespan())
    await lifespan.wait_for_startup()
    if ready.done():
        ready.result()
    tls = config.create_ssl_context()
    seconds = config.ssl_handshake_timeout if tls else None
    servers = [
        await asyncio.start_server(
            porch.accept, sock=sock, backlog=BACKLOG, ssl=tls, ssl_handshake_timeout=seconds
        )
        for sock in sockets
    ]
    try:
        await stop()
    finally:
        for server in servers:
            server.close()
        on_stop()
        await porch.clear()
        await lifespan.wait_for_shutdown()
        ready.cancel()


class _Porch:
    """The connections that are open now."""

    def __init__(self, app: App, config: Settings, limits: Limits, proxies: Container[str]):
        self.app = ASGIWrapper(cast(ASGIFramework, app))
        self.loop = asyncio.get_running_loop()
        self.state: LifespanState = {}
        self._config = config
        self._context = WorkerContext(None)
        self._limits = limits
        self._proxies = proxies
        self._count = Tally(min(limits.connections, _room()), limits.connections_per_address)
        self._open: dict[asyncio.Task[None], asyncio.WriteTransport] = {}
        self._ended = 0

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end, or refuse it where there are too many."""
        task, address = asyncio.current_task(), self._address(writer)
        if task is None or not self._count.enter(address):
            writer.write(_BUSY)
            return writer.close()
        self._open[task] = writer.transport
        parts = (self.app, self.loop, self._config, self._context, self.state, reader, writer)
        try:
            await Connection(*parts)
        except Exception as error:  # noqa: BLE001 - whatever a client's bytes do to h2, others go on
            await self._config.log.warning(f"a connection from {address} was dropped: {error!r}")
        finally:
            self._count.leave(address)
            del self._open[task]
            self._collect()

    def _collect(self) -> None:
        self._ended += 1
        if self._ended > max(DEAD, len(self._open) // 2):
            self._ended = 0
            gc.collect()

    async def clear(self) -> None:
        """Let the connections end that will, then cut the others."""
        await self._context.terminated.set()
        if self._open:
            await asyncio.wait(self._open, timeout=self._limits.grace_seconds)
        for transport in self._open.values():
            transport.abort()
        if self._open:
            await asyncio.wait(self._open, timeout=1)

    def _address(self, writer: asyncio.StreamWriter) -> str:
        peer = writer.get_extra_info("peername")
        address = plain_address(peer[0]) if isinstance(peer, tuple) else "unix"
        return "unix" if address in self._proxies else address
