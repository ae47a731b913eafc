"""HTTP/2 over TLS: requests of an HTTP/2 client to a real server on loopback."""

from pathlib import Path

import h2.events
import pytest

from breakglass.web.http.limits import ConnectionLimits
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
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    with raw_server(tmp_path, ConnectionLimits(stall_seconds=0.3), tls=certificate) as server:
        bearer = (b"authorization", b"Bearer " + server.token.encode())
        assert h2_response(server, b"/api/events?much", bearer, stalls=True)[b":status"] == b"200"
        assert server.app.stream_ended.is_set()
        assert server.app.bytes_sent < 1 << 20, "the server buffered what the client did not take"


@pytest.mark.parametrize("extra", [[], [(b":protocol", b"websocket"), (b"sec-websocket-version", b"13")]])
def test_http2_has_no_tunnels(
    tmp_path: Path, certificate: tuple[Path, Path], extra: list[tuple[bytes, bytes]]
) -> None:
    with raw_server(tmp_path, ConnectionLimits(), tls=certificate) as server:
        assert h2_response(server, b"/api/x", *extra, method=b"CONNECT") == {}
        assert server.app.seen == []
