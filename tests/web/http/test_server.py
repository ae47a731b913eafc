"""The limit on connections, and their end when a client resets or the server stops."""

import asyncio
import gc
import os
import socket
import struct
import time
from collections.abc import Container
from contextlib import ExitStack
from pathlib import Path

import h2.events
import pytest

from breakglass.web.http.asgi import Receive, Scope, Send
from breakglass.web.http.limits import ConnectionLimits, configure
from breakglass.web.http.listen import open_tcp
from breakglass.web.http.server import BACKLOG, serve
from tests.help.raw_server import TIMEOUT, H2Client, RawServer, raw_server, read_all, request_head

STREAM = b"GET /api/events HTTP/1.1\r\nHOST\r\nAUTH\r\n\r\n"
HEALTH = request_head(b"GET", b"Connection: close", target=b"/health")


def test_connections_are_limited_per_address(tmp_path: Path) -> None:
    with raw_server(tmp_path, ConnectionLimits(connections_per_address=2, head_seconds=1000)) as server:
        with server.connect() as one, server.connect() as two:
            for sock in (one, two):
                sock.sendall(server.fill(STREAM))
                assert sock.recv(15) == b"HTTP/1.1 200 \r\n"
            refused = server.send(b"")
            assert refused.startswith(b"HTTP/1.1 503 ")
            assert b"retry-after: 5" in refused
        deadline = time.monotonic() + TIMEOUT
        while not server.send(HEALTH).startswith(b"HTTP/1.1 200 "):
            assert time.monotonic() < deadline, "closed connections are still counted"


@pytest.mark.parametrize("per_address", [2, 1000])
def test_a_flood_without_a_credential_drops_its_own_oldest_connections(
    per_address: int, tmp_path: Path
) -> None:
    limits = ConnectionLimits(connections=16, connections_per_address=per_address, head_seconds=1000)
    with raw_server(tmp_path, limits) as server, ExitStack() as open_ones:
        user = open_ones.enter_context(server.connect())
        user.sendall(server.fill(STREAM))
        assert user.recv(15) == b"HTTP/1.1 200 \r\n"
        flood = [open_ones.enter_context(server.connect()) for _ in range(40)]
        assert read_all(flood[0]) == b"", "the oldest one is still open"
        assert server.send(HEALTH).startswith(b"HTTP/1.1 200 ")
        assert not server.app.stream_ended.is_set()


class Descriptors(Container[str]):
    """Proxies, of which there are none. Notes how many descriptors are open when each connection is counted."""

    def __init__(self, connections: int) -> None:
        self.counts: list[int] = []
        self.all_are_counted = asyncio.Event()
        self._connections = connections

    def __contains__(self, peer: object) -> bool:
        self.counts.append(len(os.listdir("/proc/self/fd")))
        if len(self.counts) == self._connections:
            self.all_are_counted.set()
        return False


async def answer_lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": f"{(await receive())['type']}.complete"})


async def test_a_burst_of_connections_takes_few_descriptors_before_it_is_counted() -> None:
    found, limits = Descriptors(200), ConnectionLimits(connections=16, head_seconds=1000, grace_seconds=0)
    with ExitStack() as burst:
        (sock,) = open_tcp("127.0.0.1", 0)
        sock.listen(BACKLOG)
        for _ in range(200):
            burst.enter_context(socket.create_connection(sock.getsockname()))
        before, stop = len(os.listdir("/proc/self/fd")), found.all_are_counted.wait
        await serve(
            answer_lifespan, configure(limits=limits), [sock], stop=stop, limits=limits, proxies=found
        )
    assert max(found.counts) - before < 100, "some groups of 16: open, dropped, and not counted yet"


def test_clients_that_begin_no_tls_take_places_and_give_way(
    certificate: tuple[Path, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    limits = ConnectionLimits(connections=16, head_seconds=1000)
    with raw_server(tmp_path, limits, tls=certificate) as server, ExitStack() as open_ones:
        flood = [open_ones.enter_context(server.connect()) for _ in range(40)]
        assert read_all(flood[0]) == b"", "it waits for a handshake, and holds a descriptor"
        client = open_ones.enter_context(H2Client(server))
        stream = client.request(b"/health")
        assert client.wait_for(h2.events.StreamEnded, stream)
    gc.collect()
    assert not capfd.readouterr().err


def test_a_reset_connection_ends_its_stream(server: RawServer) -> None:
    with server.connect() as sock:
        sock.sendall(server.fill(b"GET /api/events HTTP/1.1\r\nHOST\r\nAUTH\r\n\r\n"))
        assert sock.recv(15)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert server.app.stream_ended.wait(TIMEOUT)


def test_stopping_ends_streams_and_cuts_stalled_clients(server: RawServer) -> None:
    with server.connect() as reading, server.connect(receive_buffer=4096) as stalled, server.connect():
        reading.sendall(server.fill(b"GET /api/events HTTP/1.1\r\nHOST\r\nAUTH\r\n\r\n"))
        assert reading.recv(15)
        stalled.sendall(server.fill(b"GET /api/events?much HTTP/1.1\r\nHOST\r\nAUTH\r\n\r\n"))
        assert stalled.recv(15)
        server.stop()
        assert read_all(reading).endswith(b"0\r\n\r\n"), "the stream was broken off and not ended"
        server.thread.join(TIMEOUT)
        assert not server.thread.is_alive()
