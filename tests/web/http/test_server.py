"""The limit on connections, and their end when a client resets or the server stops."""

import socket
import struct
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from breakglass.web.http import clients
from breakglass.web.http.limits import ConnectionLimits
from tests.help.raw_server import TIMEOUT, RawServer, raw_server, read_all, request_head


@pytest.mark.parametrize("request_bytes", [b"", b"GET /api/events HTTP/1.1\r\nHOST\r\nAUTH\r\n\r\n"])
def test_connections_are_limited_per_address(tmp_path: Path, request_bytes: bytes) -> None:
    health = request_head(b"GET", b"Connection: close", target=b"/health")
    with raw_server(tmp_path, ConnectionLimits(connections_per_address=2, head_seconds=1000)) as server:
        with server.connect() as one, server.connect() as two:
            for sock in (one, two):
                sock.sendall(server.fill(request_bytes))
                assert not request_bytes or sock.recv(15) == b"HTTP/1.1 200 \r\n"
            refused = server.send(b"")
            assert refused.startswith(b"HTTP/1.1 503 ")
            assert b"retry-after: 5" in refused
        deadline = time.monotonic() + TIMEOUT
        while not server.send(health).startswith(b"HTTP/1.1 200 "):
            assert time.monotonic() < deadline, "closed connections are still counted"


def test_a_flood_without_a_credential_drops_its_own_oldest_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        clients, "is_local", lambda address: False
    )  # the tests have addresses of this machine only
    limits = ConnectionLimits(connections=16, head_seconds=1000)
    with raw_server(tmp_path, limits) as server, ExitStack() as open_ones:
        user = open_ones.enter_context(server.connect())
        user.sendall(server.fill(b"GET /api/events HTTP/1.1\r\nHOST\r\nAUTH\r\n\r\n"))
        assert user.recv(15) == b"HTTP/1.1 200 \r\n"
        flood = [open_ones.enter_context(server.connect()) for _ in range(40)]
        assert read_all(flood[0]) == b"", "the oldest one is still open"
        health = request_head(b"GET", b"Connection: close", target=b"/health")
        assert server.send(health).startswith(b"HTTP/1.1 200 ")
        assert not server.app.stream_ended.is_set()


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
