"""HTTP/2 over TLS: requests of an HTTP/2 client to a real server on loopback."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import h2.events
import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from breakglass.web.http.http2 import FrameBudget
from breakglass.web.http.limits import ConnectionLimits
from tests.help.clock import Clock
from tests.help.guarded import JSON
from tests.help.raw_server import TIMEOUT, H2Client, RawServer, raw_server, read_all


def h2_response(
    server: RawServer, path: bytes, *pairs: tuple[bytes, bytes], method: bytes = b"GET", stalls: bool = False
) -> dict[bytes, bytes]:
    """Return the headers of a response, {} if the server closes. A client that `stalls` then reads nothing more."""
    with H2Client(server) as client:
        response = client.wait_for(h2.events.ResponseReceived, client.request(path, *pairs, method=method))
        if stalls:
            server.app.stream_ended.wait(TIMEOUT)
        return dict(response.headers) if response else {}


def test_http2_over_tls_passes_the_same_guard(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    with raw_server(tmp_path, ConnectionLimits(head_seconds=2), tls=certificate) as server:
        bearer = (b"authorization", b"Bearer " + server.token.encode())
        assert h2_response(server, b"/api/x", bearer)[b":status"] == b"200"
        refused = h2_response(server, b"/api/x")
        assert (refused[b":status"], refused[b"x-frame-options"]) == (b"401", b"DENY")
        assert (
            h2_response(server, b"/api/x", bearer, (b"origin", b"http://evil.example"))[b":status"] == b"403"
        )
        assert h2_response(server, b"/api/x", bearer, method=b"TRACE")[b":status"] == b"405"
        assert server.app.seen == ["GET /api/x"]


def test_a_malformed_http2_request_resets_only_its_own_stream(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    with (
        raw_server(tmp_path, ConnectionLimits(head_seconds=2), tls=certificate) as server,
        H2Client(server) as client,
    ):
        for path, method in ((b"/\xff", b"GET"), (b"/", b"G\xff")):
            assert client.wait_for(h2.events.StreamReset, client.request(path, method=method))
        assert client.wait_for(h2.events.ResponseReceived, client.request(b"/health"))
        assert server.app.seen == ["GET /health"]


def test_a_get_over_http2_has_no_body(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    with raw_server(tmp_path, ConnectionLimits(), tls=certificate) as server, H2Client(server) as client:
        stream = client.request(b"/health", ends=False)
        client.send_body(stream, b"x")
        response = client.wait_for(h2.events.ResponseReceived, stream)
        assert dict(response.headers)[b":status"] == b"400"
        assert server.app.seen == []


def test_a_body_after_its_response_does_not_harm_other_streams(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    with raw_server(tmp_path, ConnectionLimits(), tls=certificate) as server, H2Client(server) as client:
        stream = client.request(b"/api/x", method=b"POST", ends=False)
        assert client.wait_for(h2.events.StreamEnded, stream)
        for _ in range(6):
            client.send_body(stream, b"x" * 10_000, ends=False)
        response = client.wait_for(h2.events.ResponseReceived, client.request(b"/health"))
        assert dict(response.headers)[b":status"] == b"200"


def test_a_connection_without_a_tls_handshake_is_closed(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    with (
        raw_server(tmp_path, ConnectionLimits(head_seconds=0.3), tls=certificate) as server,
        server.connect() as sock,
    ):
        assert read_all(sock) == b""


def test_an_http2_client_that_shuts_its_window_is_disconnected(
    tmp_path: Path,
    certificate: tuple[Path, Path],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with raw_server(tmp_path, ConnectionLimits(stall_seconds=0.3), tls=certificate) as server:
        bearer = (b"authorization", b"Bearer " + server.token.encode())
        assert h2_response(server, b"/api/events?much", bearer, stalls=True)[b":status"] == b"200"
        assert server.app.stream_ended.is_set()
        assert server.app.bytes_sent < 1 << 20, "the server buffered what the client did not take"
    assert "Traceback" not in capfd.readouterr().err + caplog.text, "a stall is no mistake of the server"


@pytest.mark.parametrize("extra", [[], [(b":protocol", b"websocket"), (b"sec-websocket-version", b"13")]])
def test_http2_has_no_tunnels(
    tmp_path: Path, certificate: tuple[Path, Path], extra: list[tuple[bytes, bytes]]
) -> None:
    with raw_server(tmp_path, ConnectionLimits(), tls=certificate) as server:
        assert h2_response(server, b"/api/x", *extra, method=b"CONNECT") == {}
        assert server.app.seen == []


PING = PingFrame(0, b"12345678").serialize()
SETTINGS = b"".join(SettingsFrame(0, {4: 1 << 16, 1: size}).serialize() for size in (4096, 8192))
LARGE_SETTINGS = b"\x00\x3f\xfc\x04\x00\x00\x00\x00\x00" + b"\x00\x04\x00\x01\x00\x00" * 2730
PRIORITY = b"".join(PriorityFrame(n, stream_weight=n, depends_on=0).serialize() for n in range(3, 43, 2))
WINDOW_UPDATE = WindowUpdateFrame(0, 1).serialize()
UNKNOWN = b"\x00\x00\x01\x77\x00\x00\x00\x00\x00x"
FLOODS = {
    "ping": PING,
    "settings": SETTINGS,
    "large settings": LARGE_SETTINGS,
    "priority": PRIORITY,
    "window updates": WINDOW_UPDATE,
    "unknown frames": UNKNOWN,
}
MAX_CALLBACK_SECONDS = 0.020
"""CPU time that the event loop may spend in one callback. All clients wait for it."""


class LoopTimes:
    """The CPU time of the longest callback of any event loop. Wall time would measure the load of the machine."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.longest = 0.0
        run = asyncio.Handle._run

        def timed(handle: asyncio.Handle) -> None:
            began = time.thread_time()
            run(handle)
            self.longest = max(self.longest, time.thread_time() - began)

        monkeypatch.setattr(asyncio.Handle, "_run", timed)


@pytest.fixture
def calm_server(
    tmp_path: Path, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[RawServer, LoopTimes]]:
    """A server that has served a request, and the times of its loop since then."""
    with raw_server(tmp_path, ConnectionLimits(), tls=certificate, body_seconds=TIMEOUT) as server:
        assert h2_response(server, b"/health")[b":status"] == b"200"
        yield server, LoopTimes(monkeypatch)


def check_calm(server: RawServer, times: LoopTimes) -> None:
    """Fail if one callback took long, or if the server does not serve others."""
    assert h2_response(server, b"/health")[b":status"] == b"200"
    assert times.longest <= MAX_CALLBACK_SECONDS


@pytest.mark.parametrize("frames", FLOODS.values(), ids=FLOODS.keys())
def test_a_flood_of_http2_frames_ends_its_connection_and_delays_nobody(
    calm_server: tuple[RawServer, LoopTimes], frames: bytes
) -> None:
    server, times = calm_server
    with H2Client(server) as client:
        assert client.flood(frames * ((1 << 19) // len(frames))) == ErrorCodes.ENHANCE_YOUR_CALM
        assert client.wait_for(h2.events.StreamEnded) is None, "the connection is still open"
    check_calm(server, times)


LONG_FIELD = b"\x00\x01x\xff\xe1\xd3\x03" + b"\x00" * 60_000
"""A field of 96,000 zeros: 5 bits each (RFC 7541, appendix B), so 60,000 bytes, which is 127 + 59,873."""
HEADS = {
    "a long field": LONG_FIELD,
    "many fields": b"\x00\x01a\x01b" * 12_000,
    "fields that displace others": b"\x40\x01a\x00" * 15_000,
    "changes of the table": b"\x20" * 60_000,
    "changes of the table in one frame": b"\x20" * 16_000,
    "long changes of the table": b"\x20\x3f\xe1\x1f" * 4_000,
}


def frames_of_head(head: bytes) -> bytes:
    """Return a request whose head is sent in as few frames as possible."""
    pieces = [head[at : at + 16_384] for at in range(0, len(head), 16_384)]
    frames = [HeadersFrame(1, pieces[0]), *(ContinuationFrame(1, piece) for piece in pieces[1:])]
    frames[-1].flags.add("END_HEADERS")
    return b"".join(frame.serialize() for frame in frames)


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS.keys())
def test_a_head_that_takes_long_to_decode_ends_its_connection(
    calm_server: tuple[RawServer, LoopTimes], head: bytes
) -> None:
    server, times = calm_server
    with H2Client(server) as client:
        error = client.flood(frames_of_head(head))
        assert error in (
            ErrorCodes.ENHANCE_YOUR_CALM,
            ErrorCodes.PROTOCOL_ERROR,
            ErrorCodes.COMPRESSION_ERROR,
        )
    check_calm(server, times)


@pytest.mark.parametrize("piece", [b"", b"x"])
def test_a_body_in_tiny_pieces_ends_its_connection(
    calm_server: tuple[RawServer, LoopTimes], piece: bytes
) -> None:
    server, times = calm_server
    bearer = (b"authorization", b"Bearer " + server.token.encode())
    with H2Client(server) as client:
        stream = client.request(b"/api/x", bearer, JSON, method=b"POST", ends=False)
        frame = DataFrame(stream, piece).serialize()
        assert client.flood(frame * 20_000) == ErrorCodes.ENHANCE_YOUR_CALM
    check_calm(server, times)


def test_requests_that_are_dropped_at_once_end_their_connection(
    calm_server: tuple[RawServer, LoopTimes],
) -> None:
    """Rapid reset (CVE-2023-44487)."""
    server, times = calm_server
    with H2Client(server) as client:
        frames = b""
        for _ in range(600):
            frames += client.frames_of_dropped_request(b"/health")
        assert client.flood(frames) == ErrorCodes.ENHANCE_YOUR_CALM
    assert len(server.app.seen) < 600
    check_calm(server, times)


def test_a_busy_client_keeps_its_http2_connection(calm_server: tuple[RawServer, LoopTimes]) -> None:
    """A body and requests, some of them dropped: more bytes than the budget, but they are of use."""
    server, _ = calm_server
    bearer = (b"authorization", b"Bearer " + server.token.encode())
    with H2Client(server) as client:
        stream = client.request(b"/api/x/turns", bearer, JSON, method=b"POST", ends=False)
        for number in range(3):
            client.send_body(stream, b"x" * 16_000, ends=number == 2)
        assert client.wait_for(h2.events.StreamEnded, stream)
        for number in range(150):
            stream = client.request(b"/health", (b"x-filler", b"%03d" % number * 300))
            if number % 20 == 0:
                client.reset(stream)
            else:
                assert client.wait_for(h2.events.StreamEnded, stream)


def test_the_frame_budget_is_refilled_with_time() -> None:
    clock = Clock()
    budget = FrameBudget(clock)
    budget.spend(65_536)
    assert not budget.is_exhausted()
    budget.spend(1)
    assert budget.is_exhausted()
    clock.now += 1
    assert not budget.is_exhausted()
    budget.spend(8_192)
    assert budget.is_exhausted()
    clock.now += 3600
    assert not budget.is_exhausted()
    budget.spend(65_537)
    assert budget.is_exhausted()
