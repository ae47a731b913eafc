"""Clients that send or take nothing are disconnected at their deadline. Slow clients are kept."""

import asyncio
import socket
from pathlib import Path

import pytest

from breakglass.web.http.limits import ConnectionLimits
from breakglass.web.http.stalls import wait_while_progressing
from tests.help.raw_server import TIMEOUT, RawServer, raw_server, read_all


@pytest.mark.parametrize(
    "start", [b"", b"GET ", b"GET / HTTP/1.1\r\nHOST\r\n", b"POST / HTTP/1.1\r\nHOST\r\nX"]
)
def test_a_connection_without_a_complete_head_is_closed(server: RawServer, start: bytes) -> None:
    assert server.send(start) == b""
    assert server.app.seen == []


def test_sending_a_head_byte_by_byte_gains_no_time(server: RawServer) -> None:
    with server.connect() as sock:
        sock.settimeout(0.01)
        cut = False
        for _ in range(500):  # 5 s, ten times the deadline
            try:
                sock.sendall(b"X")
                cut = sock.recv(1) == b""
            except TimeoutError:
                continue
            except OSError:
                cut = True
            if cut:
                break
    assert cut


@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_a_client_that_stops_reading_is_disconnected(tmp_path: Path, family: str) -> None:
    unix = tmp_path / "socket" if family == "unix" else None
    with raw_server(tmp_path, ConnectionLimits(stall_seconds=0.3), unix=unix) as server:
        if unix:
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(str(unix))
        else:
            sock = server.connect(receive_buffer=4096)
        with sock:
            host = b"Host: localhost" if unix else b"HOST"
            sock.sendall(server.fill(b"GET /api/events?much HTTP/1.1\r\n" + host + b"\r\nAUTH\r\n\r\n"))
            assert server.app.stream_ended.wait(TIMEOUT), "the stream goes on though its client takes nothing"
            assert len(read_all(sock)) < 1 << 20


def test_a_client_that_waits_for_events_is_kept(tmp_path: Path) -> None:
    with (
        raw_server(tmp_path, ConnectionLimits(head_seconds=0.1, stall_seconds=0.1)) as server,
        server.connect() as sock,
    ):
        sock.sendall(server.fill(b"GET /api/events HTTP/1.1\r\nHOST\r\nAUTH\r\n\r\n"))
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert not server.app.stream_ended.wait(0.5), "five times the deadline"


@pytest.mark.parametrize(
    ("remaining", "is_stalled"), [([], True), ([90, 80, 70, 60, 50, 40, 30], False), ([90, 90, 90, 90], True)]
)
def test_a_slow_client_is_not_a_stalled_one(remaining: list[int], is_stalled: bool) -> None:
    """The remaining bytes are checked every third of the deadline. Three checks without progress are a stall."""
    checks = iter([100, *remaining])
    last = 100

    async def wait() -> None:
        if not is_stalled and last == 30:
            return
        await asyncio.get_running_loop().create_future()

    def check() -> int:
        nonlocal last
        last = next(checks, last)
        return last

    work = wait_while_progressing(wait, check, 0.003)
    if is_stalled:
        with pytest.raises(TimeoutError):
            asyncio.run(work)
    else:
        asyncio.run(work)
    assert next(checks, None) is None
