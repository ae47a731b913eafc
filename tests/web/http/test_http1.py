"""HTTP/1.1: raw bytes of a client, sent to a real server on loopback."""

from pathlib import Path

import pytest

from breakglass.web.http.limits import ConnectionLimits
from tests.help.raw_server import TIMEOUT, RawServer, raw_server, request_head

JSON = b"Content-Type: application/json"
CHUNKED = b"Transfer-Encoding: chunked"
SWITCH = b"Connection: Upgrade"
KEY = b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
SETTINGS = b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"
RAW = [
    ("both lengths", request_head(b"POST", b"Content-Length: 5", CHUNKED) + b"0\r\n\r\n", 400),
    (
        "both lengths in the other order",
        request_head(b"POST", CHUNKED, b"Content-Length: 5") + b"0\r\n\r\n",
        400,
    ),
    ("two lengths", request_head(b"POST", b"Content-Length: 0", b"Content-Length: 9"), 400),
    ("the same length twice", request_head(b"POST", b"Content-Length: 0", b"Content-Length: 0"), 400),
    ("the same length in two cases", request_head(b"POST", b"CONTENT-LENGTH: 0", b"content-length: 0"), 400),
    ("a list of lengths", request_head(b"POST", b"Content-Length: 0, 0"), 400),
    ("a length after a space before the colon", request_head(b"POST", b"Content-Length : 0"), 400),
    ("a length with a sign", request_head(b"POST", b"Content-Length: +0"), 400),
    ("bare LF between lines", request_head(b"GET").replace(b"\r", b""), 400),
    ("one bare LF", request_head(b"POST", b"X: a\nTransfer-Encoding: chunked") + b"0\r\n\r\n", 400),
    ("a bare LF at the end", request_head(b"GET")[:-2] + b"\n", 400),
    ("a bare CR", request_head(b"GET", b"X: a\rTransfer-Encoding: chunked"), 400),
    ("a folded line", request_head(b"GET", b"X: a", b" b"), 400),
    ("NUL in a field", request_head(b"GET", b"X: a\x00b"), 400),
    ("an unknown transfer coding", request_head(b"POST", b"Transfer-Encoding: xchunked"), 501),
    ("two transfer codings", request_head(b"POST", CHUNKED, b"Transfer-Encoding: identity"), 501),
    ("chunks in HTTP/1.0", request_head(b"POST", CHUNKED, version=b"1.0") + b"0\r\n\r\n", 400),
    ("a body on GET", request_head(b"GET", b"Content-Length: 4") + b"abcd", 400),
    ("no Host", b"GET /api/x HTTP/1.1\r\nAUTH\r\n\r\n", 400),
    ("no Host in HTTP/1.0", b"GET /api/x HTTP/1.0\r\nAUTH\r\n\r\n", 400),
    ("an unknown Host", b"GET /api/x HTTP/1.1\r\nHost: evil.example\r\nAUTH\r\n\r\n", 421),
    ("two Hosts", request_head(b"GET", b"Host: evil.example"), 400),
    ("the absolute form", request_head(b"GET", target=b"http://evil.example/api/x"), 400),
    ("CONNECT", request_head(b"CONNECT", target=b"127.0.0.1:22"), 405),
    ("TRACE", request_head(b"TRACE"), 405),
    ("OPTIONS *", request_head(b"OPTIONS", target=b"*"), 405),
    ("h2c", request_head(b"GET", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", SETTINGS), 400),
    ("HTTP/2 with prior knowledge", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    (
        "WebSocket",
        request_head(b"GET", SWITCH, b"Upgrade: websocket", b"Sec-WebSocket-Version: 13", KEY),
        400,
    ),
    ("a malformed WebSocket handshake", request_head(b"GET", SWITCH, b"Upgrade: websocket"), 400),
    ("a WebSocket handshake by POST", request_head(b"POST", SWITCH, b"Upgrade: websocket"), 400),
    ("a head without end", b"GET /api/x HTTP/1.1\r\nHOST\r\nX: " + b"a" * 20_000, 431),
    ("TLS to a plain port", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    ("no credential", b"GET /api/x HTTP/1.1\r\nHOST\r\n\r\n", 401),
    ("a body that does not arrive", request_head(b"POST", JSON, b"Content-Length: 9") + b"{", 408),
    ("a chunk that does not arrive", request_head(b"POST", JSON, CHUNKED) + b"5\r\n{", 408),
    ("a chunk after a bare LF", request_head(b"POST", JSON, CHUNKED) + b"5\n{", 408),
    ("a declared body too long", request_head(b"POST", JSON, b"Content-Length: 999999") + b"{", 413),
]


@pytest.mark.parametrize(("raw", "expected"), [row[1:] for row in RAW], ids=[row[0] for row in RAW])
def test_an_ambiguous_request_is_refused_and_its_connection_closed(
    server: RawServer, raw: bytes, expected: int
) -> None:
    response = server.send(raw + request_head(b"GET") if raw.endswith(b"\r\n\r\n") else raw)
    assert response.startswith(b"HTTP/1.1 %d " % expected), response[:200]
    assert response.count(b"HTTP/1.1 ") == 1
    assert server.app.seen == []
    response_head = response.partition(b"\r\n\r\n")[0].lower()
    assert b"\r\nserver:" not in response_head
    assert b"connection: close" in response_head
    assert b"x-content-type-options: nosniff" in response_head


def test_valid_requests_are_served_on_one_connection(server: RawServer) -> None:
    one = request_head(b"POST", JSON, b"Content-Length: 2") + b"{}"
    two = request_head(b"POST", JSON, CHUNKED, target=b"/api/y") + b"2\r\n[]\r\n0\r\nX: y\r\n\r\n"
    three = request_head(b"GET", b"Connection: close", target=b"/health")
    response = server.send(one + two + three)
    assert response.count(b"HTTP/1.1 200 ") == 3
    assert server.app.seen == ["POST /api/x", "POST /api/y", "GET /health"]


@pytest.mark.parametrize("after", [b"\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 100_000])
def test_nothing_is_read_after_the_last_request_of_a_connection(server: RawServer, after: bytes) -> None:
    response = server.send(
        request_head(b"POST", JSON, b"Connection: close", b"Content-Length: 2") + b"{}" + after
    )
    assert response.startswith(b"HTTP/1.1 200 ")
    assert response.count(b"HTTP/1.1 ") == 1
    assert server.app.seen == ["POST /api/x"]


def test_a_body_may_contain_bytes_that_a_head_may_not(server: RawServer) -> None:
    body = b"\n\ncontent-length: 1\n content-length: 2\r\n\r\n"
    start = request_head(b"POST", b"Connection: close", b"Content-Length: %d" % len(body), target=b"/login")
    assert b"\r\n\r\n2a\r\n" + body in server.send(start + body)


def test_a_client_that_is_still_sending_can_read_why_it_was_refused(tmp_path: Path) -> None:
    body = b"x" * (16 << 20)  # more than the socket buffers of both ends hold
    start = b"POST /api/x HTTP/1.1\r\nHOST\r\nContent-Length: %d\r\n\r\n" % len(body)
    with raw_server(tmp_path, ConnectionLimits(), drain_seconds=TIMEOUT) as server:
        assert b"Authorization: Bearer" in server.send(start + body)
