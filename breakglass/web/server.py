"""Hypercorn with its gaps closed: connections, their deadlines and limits, and strict HTTP/1.1.

Knows nothing of what is served. What Hypercorn 0.18 and h11 0.16 let through is in docs/security.md, and
tests/web/test_listen.py fails where another version of them needs another answer.
"""

import asyncio
import re
import resource
import socket
from collections.abc import Awaitable, Callable, Container, Iterable
from pathlib import Path
from typing import Any, cast

import h11
from h11._receivebuffer import ReceiveBuffer
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.lifespan import Lifespan
from hypercorn.asyncio.task_group import TaskGroup
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol import ProtocolWrapper
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.typing import ASGIFramework, ConnectionState, LifespanState
from hypercorn.utils import parse_socket_addr

from breakglass.errors import BadConfig
from breakglass.web.door import plain_address
from breakglass.web.guard import NO_STORE, App, Tally
from breakglass.web.listen import SEND_BUFFER, STALL_SECONDS

HEAD_SECONDS = 5
"""From connecting, or from the last answer, to the whole head of a request; also for the TLS handshake."""
GRACE_SECONDS = 3.0
"""What answers that are under way get to end in when the server stops."""
MAX_HEAD = 16 << 10
BACKLOG = 1024
CONNECTIONS = 8192
CONNECTIONS_PER_ADDRESS = 2048
DESCRIPTORS = 16384

_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
)


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


_LENGTHS = re.compile(rb"\ncontent-length:([^\r\n]*)", re.IGNORECASE)
_FOLDED = re.compile(rb"\n[ \t]")


class StrictH11(H11Protocol):
    """HTTP/1.1 and no way out of it: asking for h2c reaches the guard as a request, and is refused there."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        self.connection._receive_buffer = StrictBuffer()  # type: ignore[union-attr]

    async def _check_protocol(self, event: h11.Request) -> None:
        """Switch to nothing. Hypercorn answers `Upgrade: h2c` with 101 before any application is asked."""

    async def _send_error_response(self, status_code: int) -> None:
        fixed = [(b"content-length", b"0"), (b"connection", b"close"), *NO_STORE]
        headers = [*fixed, *self.config.response_headers("h11")]
        await self._send_h11_event(h11.Response(status_code=status_code, headers=headers))
        await self._send_h11_event(h11.EndOfMessage())


# --- connections --------------------------------------------------------------------------------


class Connection(TCPServer):
    """One connection, from accepted to closed: Hypercorn's, but for its protocol and for stalled clients."""

    async def run(self) -> None:
        sock = self.writer.get_extra_info("socket")
        tls = self.writer.get_extra_info("ssl_object")
        try:
            client = parse_socket_addr(sock.family, sock.getpeername())
            server = parse_socket_addr(sock.family, sock.getsockname())
            protocol = H2Protocol if tls and tls.selected_alpn_protocol() == "h2" else StrictH11
            async with TaskGroup(self.loop) as group:
                self._task_group = group
                context = (self.app, self.config, self.context, group, ConnectionState(self.state))
                made = protocol(*context, tls is not None, client, server, self.protocol_send)
                self.protocol = cast(ProtocolWrapper, made)  # the wrapper is what would switch to h2c
                await self.protocol.initiate()
                await self.idle_task.restart(group, self._idle_timeout)
                await self._read_data()
        except OSError:
            pass
        finally:
            await self._close()

    async def protocol_send(self, event: Event) -> None:
        transport = self.writer.transport
        if (
            not isinstance(event, RawData)
            or transport.get_write_buffer_size() + len(event.data) < SEND_BUFFER
        ):
            return await super().protocol_send(event)
        try:
            async with asyncio.timeout(STALL_SECONDS):
                await super().protocol_send(event)
        except TimeoutError:
            transport.abort()
            await self.protocol.handle(Closed())

    async def _initiate_server_close(self) -> None:
        await super()._initiate_server_close()
        await self._close()

    async def _close(self) -> None:
        async with asyncio.timeout(STALL_SECONDS):
            await super()._close()  # waits for what is still to be sent; lets nothing out
        self.writer.transport.abort()


def configure(certfile: Path | None = None, keyfile: Path | None = None) -> Config:
    """Return Hypercorn's settings. Raises BadConfig for a certificate or a key that cannot be used."""
    config = Config()
    config.keep_alive_timeout = HEAD_SECONDS
    config.ssl_handshake_timeout = HEAD_SECONDS
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


def raise_descriptor_limit() -> int:
    """Allow this process as many descriptors as it may have, 16,384 at most; return how many those are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return max(soft, most)


async def serve(
    app: App,
    config: Config,
    sockets: Iterable[socket.socket],
    *,
    stop: Callable[[], Awaitable[object]],
    on_stop: Callable[[], object] = lambda: None,
    tally: Tally | None = None,
    proxies: Container[str] = (),
) -> None:
    """Serve until `stop` returns, then for `GRACE_SECONDS` more at most. Raises what starting the app raises.

    `on_stop` is called then: it is to end the streams. Instead of Hypercorn's own loop, which takes any
    number of connections and, on Python 3.12 and later, waits for stalled ones for ever (its issue 308).
    """
    loop = asyncio.get_running_loop()
    wrapped, context = ASGIWrapper(cast(ASGIFramework, app)), WorkerContext(None)
    state: LifespanState = {}
    count = tally or Tally(CONNECTIONS, CONNECTIONS_PER_ADDRESS)
    living: dict[asyncio.Task[None], asyncio.WriteTransport] = {}

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = _key(writer, proxies)
        task = asyncio.current_task(loop)
        if task is None or not count.enter(address):
            writer.write(_BUSY)
            return writer.close()
        living[task] = writer.transport
        try:
            await Connection(wrapped, loop, config, context, state, reader, writer)
        except Exception as error:  # what bytes of a client did to h2; Hypercorn logs the application's own
            await config.log.warning(f"a connection from {address} was dropped: {error!r}")
        finally:
            count.leave(address)
            del living[task]

    lifespan = Lifespan(wrapped, config, loop, state)
    ready = loop.create_task(lifespan.handle_lifespan())
    await lifespan.wait_for_startup()
    if ready.done():
        ready.result()
    tls = config.create_ssl_context()
    seconds = HEAD_SECONDS if tls else None
    servers = [
        await asyncio.start_server(accept, sock=sock, backlog=BACKLOG, ssl=tls, ssl_handshake_timeout=seconds)
        for sock in sockets
    ]
    try:
        await stop()
    finally:
        for server in servers:
            server.close()
        on_stop()
        await context.terminated.set()
        await _wait_or_abort(living)
        await lifespan.wait_for_shutdown()
        ready.cancel()


def _key(writer: asyncio.StreamWriter, proxies: Container[str]) -> str:
    peer = writer.get_extra_info("peername")
    address = plain_address(peer[0]) if isinstance(peer, tuple) else "unix"
    return "unix" if address in proxies else address


async def _wait_or_abort(living: dict[asyncio.Task[None], asyncio.WriteTransport]) -> None:
    if living:
        await asyncio.wait(living, timeout=GRACE_SECONDS)
    for transport in living.values():
        transport.abort()
    if living:
        await asyncio.wait(living, timeout=1)
