"""The sockets, and what raw bytes of a client come to: a real server on loopback, a tiny application."""

import asyncio
import os
import socket
import ssl
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest

from breakglass.access.credentials import Access
from breakglass.errors import BadConfig
from breakglass.store import memory
from breakglass.web.guard.guard import Guard
from breakglass.web.guard.settings import GuardSettings, map_hosts
from breakglass.web.http import limits
from breakglass.web.http.asgi import Receive, Scope, Send
from breakglass.web.http.limits import ConnectionLimits, configure
from breakglass.web.http.listen import SEND_BUFFER, open_tcp, open_unix, refuse_exposed
from breakglass.web.http.server import serve
from breakglass.web.http.stalls import STALL_SECONDS, wait_while_progressing

PATIENCE = 20
"""Seconds after which a test gives up. None waits for them when all is well."""


@dataclass
class Backend:
    """An application that remembers what reached it."""

    seen: list[str] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)
    """Set when an endless answer has ended."""
    sent: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        self.seen.append(scope["method"] + " " + scope["path"])
        body = b"" if scope["method"] == "GET" else (await receive())["body"]
        is_stream = scope["path"].endswith("/events")
        headers = [(b"content-type", b"text/event-stream")] if is_stream else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if is_stream:
            await self._stream(b"." * (64 << 10) if scope["query_string"] else b".", receive, send)
        await send({"type": "http.response.body", "body": body})

    async def _live(self, receive: Receive, send: Send) -> None:
        for _ in range(2):
            message = await receive()
            await send({"type": f"{message['type']}.complete"})

    async def _stream(self, chunk: bytes, receive: Receive, send: Send) -> None:
        async def leave() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        leaving = asyncio.ensure_future(leave())
        try:
            while not leaving.done():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                self.sent += len(chunk)
                if len(chunk) == 1:
                    await leaving
        finally:
            leaving.cancel()
            self.left.set()


@dataclass
class House:
    port: int
    token: str
    backend: Backend
    stop: Callable[[], object]
    thread: threading.Thread

    def connect(self, *, receive_buffer: int = 0) -> socket.socket:
        sock = socket.socket()
        sock.settimeout(PATIENCE)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.connect(("127.0.0.1", self.port))
        return sock

    def say(self, raw: bytes) -> bytes:
        """Return all that comes back until the server closes. `HOST` and `AUTH` stand for the right lines."""
        with self.connect() as sock:
            sock.sendall(self.fill(raw))
            return read_all(sock)

    def fill(self, raw: bytes) -> bytes:
        host = b"Host: 127.0.0.1:%d" % self.port
        return raw.replace(b"HOST", host).replace(b"AUTH", b"Authorization: Bearer " + self.token.encode())


def read_all(sock: socket.socket) -> bytes:
    parts = []
    with suppress(ConnectionResetError):
        while part := sock.recv(65536):
            parts.append(part)
    return b"".join(parts)


@contextmanager
def living_in(
    root: Path,
    limits: ConnectionLimits,
    *,
    tls: tuple[Path, Path] | None = None,
    unix: Path | None = None,
    **door: Any,
) -> Iterator[House]:
    backend, ready, port = Backend(), threading.Event(), 80
    access = Access(root)
    sockets = [open_unix(unix)] if unix else open_tcp("127.0.0.1", 0)
    for sock in sockets:
        sock.listen()  # a client may connect from now on, and is served once the server is up
    if not unix:
        port = sockets[0].getsockname()[1]
    settings: dict[str, Any] = {"linger_seconds": 0.2, "body_seconds": 0.2} | door
    scheme = "https" if tls else "http"
    guard = Guard(
        backend, GuardSettings(map_hosts("127.0.0.1", port, scheme), scheme=scheme, **settings), access
    )
    stops: list[Callable[[], object]] = []

    async def main() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        stops.append(lambda: loop.call_soon_threadsafe(stop.set))
        config = configure(*(tls or ()), limits=limits)
        ready.set()
        await serve(guard, config, sockets, stop=stop.wait, on_stop=guard.end_streams, limits=limits)

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    assert ready.wait(PATIENCE)
    token = (root / "token").read_text().strip()
    try:
        yield House(port, token, backend, stops[0], thread)
    finally:
        if thread.is_alive():
            stops[0]()
        thread.join(PATIENCE)
        assert not thread.is_alive(), "the server did not stop"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with living_in(tmp_path, ConnectionLimits(head_seconds=0.5, grace_seconds=0.5)) as house:
        yield house


# --- raw requests -------------------------------------------------------------------------------


def head(method: bytes, *lines: bytes, target: bytes = b"/api/x", version: bytes = b"1.1") -> bytes:
    """Return the head of a request with the right Host and token, and `lines` beside them."""
    start = method + b" " + target + b" HTTP/" + version
    return b"\r\n".join([start, b"HOST", b"AUTH", *lines, b"", b""])


JSON = b"Content-Type: application/json"
CHUNKED = b"Transfer-Encoding: chunked"
SWITCH = b"Connection: Upgrade"
KEY = b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
SETTINGS = b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"

RAW = [
    ("both lengths", head(b"POST", b"Content-Length: 5", CHUNKED) + b"0\r\n\r\n", 400),
    ("both lengths, the other way round", head(b"POST", CHUNKED, b"Content-Length: 5") + b"0\r\n\r\n", 400),
    ("two lengths", head(b"POST", b"Content-Length: 0", b"Content-Length: 9"), 400),
    ("the same length twice", head(b"POST", b"Content-Length: 0", b"Content-Length: 0"), 400),
    ("the same length in two cases", head(b"POST", b"CONTENT-LENGTH: 0", b"content-length: 0"), 400),
    ("a list of lengths", head(b"POST", b"Content-Length: 0, 0"), 400),
    ("a length after a blank", head(b"POST", b"Content-Length : 0"), 400),
    ("a length with a sign", head(b"POST", b"Content-Length: +0"), 400),
    ("bare LF between lines", head(b"GET").replace(b"\r", b""), 400),
    ("one bare LF", head(b"POST", b"X: a\nTransfer-Encoding: chunked") + b"0\r\n\r\n", 400),
    ("a bare LF at the end", head(b"GET")[:-2] + b"\n", 400),
    ("a bare CR", head(b"GET", b"X: a\rTransfer-Encoding: chunked"), 400),
    ("a folded line", head(b"GET", b"X: a", b" b"), 400),
    ("NUL in a field", head(b"GET", b"X: a\x00b"), 400),
    ("another coding", head(b"POST", b"Transfer-Encoding: xchunked"), 501),
    ("two codings", head(b"POST", CHUNKED, b"Transfer-Encoding: identity"), 501),
    ("chunks in HTTP/1.0", head(b"POST", CHUNKED, version=b"1.0") + b"0\r\n\r\n", 400),
    ("a body on GET", head(b"GET", b"Content-Length: 4") + b"abcd", 400),
    ("no Host", b"GET /api/x HTTP/1.1\r\nAUTH\r\n\r\n", 400),
    ("no Host in HTTP/1.0", b"GET /api/x HTTP/1.0\r\nAUTH\r\n\r\n", 400),
    ("another Host", b"GET /api/x HTTP/1.1\r\nHost: evil.example\r\nAUTH\r\n\r\n", 421),
    ("two Hosts", head(b"GET", b"Host: evil.example"), 400),
    ("the absolute form", head(b"GET", target=b"http://evil.example/api/x"), 400),
    ("CONNECT", head(b"CONNECT", target=b"127.0.0.1:22"), 405),
    ("TRACE", head(b"TRACE"), 405),
    ("OPTIONS *", head(b"OPTIONS", target=b"*"), 405),
    ("h2c", head(b"GET", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", SETTINGS), 400),
    ("HTTP/2 out of the blue", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ("WebSocket", head(b"GET", SWITCH, b"Upgrade: websocket", b"Sec-WebSocket-Version: 13", KEY), 400),
    ("a WebSocket that is none", head(b"GET", SWITCH, b"Upgrade: websocket"), 400),
    ("a WebSocket by POST", head(b"POST", SWITCH, b"Upgrade: websocket"), 400),
    ("a head without end", b"GET /api/x HTTP/1.1\r\nHOST\r\nX: " + b"a" * 20_000, 431),
    ("TLS to a plain port", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    ("no credential", b"GET /api/x HTTP/1.1\r\nHOST\r\n\r\n", 401),
    ("a body that never comes", head(b"POST", JSON, b"Content-Length: 9") + b"{", 408),
    ("a chunk that never comes", head(b"POST", JSON, CHUNKED) + b"5\r\n{", 408),
    ("a chunk after a bare LF", head(b"POST", JSON, CHUNKED) + b"5\n{", 408),
    ("a declared body too long", head(b"POST", JSON, b"Content-Length: 999999") + b"{", 413),
]


@pytest.mark.parametrize(("raw", "expected"), [row[1:] for row in RAW], ids=[row[0] for row in RAW])
def test_such_a_request_is_refused_the_connection_closed_and_what_follows_ignored(
    house: House, raw: bytes, expected: int
) -> None:
    answer = house.say(raw + head(b"GET") if raw.endswith(b"\r\n\r\n") else raw)
    assert answer.startswith(b"HTTP/1.1 %d " % expected), answer[:200]
    assert answer.count(b"HTTP/1.1 ") == 1
    assert house.backend.seen == []
    said = answer.partition(b"\r\n\r\n")[0].lower()
    assert b"\r\nserver:" not in said
    assert b"connection: close" in said
    assert b"x-content-type-options: nosniff" in said


def test_a_sound_request_passes_and_the_connection_is_kept(house: House) -> None:
    one = head(b"POST", JSON, b"Content-Length: 2") + b"{}"
    two = head(b"POST", JSON, CHUNKED, target=b"/api/y") + b"2\r\n[]\r\n0\r\nX: y\r\n\r\n"
    three = head(b"GET", b"Connection: close", target=b"/health")
    answer = house.say(one + two + three)
    assert answer.count(b"HTTP/1.1 200 ") == 3
    assert house.backend.seen == ["POST /api/x", "POST /api/y", "GET /health"]


@pytest.mark.parametrize("after", [b"\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 100_000])
def test_after_the_last_request_of_a_connection_nothing_is_read(house: House, after: bytes) -> None:
    answer = house.say(head(b"POST", JSON, b"Connection: close", b"Content-Length: 2") + b"{}" + after)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert house.backend.seen == ["POST /api/x"]


def test_a_body_may_hold_what_a_head_may_not(house: House) -> None:
    body = b"\n\ncontent-length: 1\n content-length: 2\r\n\r\n"
    start = head(b"POST", b"Connection: close", b"Content-Length: %d" % len(body), target=b"/login")
    assert b"\r\n\r\n2a\r\n" + body in house.say(start + body)


def test_a_client_that_is_refused_while_it_sends_reads_why(tmp_path: Path) -> None:
    body = b"x" * (16 << 20)  # more than two kernels hold
    start = b"POST /api/x HTTP/1.1\r\nHOST\r\nContent-Length: %d\r\n\r\n" % len(body)
    with living_in(tmp_path, ConnectionLimits(), linger_seconds=PATIENCE) as house:
        assert b"Authorization: Bearer" in house.say(start + body)


# --- deadlines and limits -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "start", [b"", b"GET ", b"GET / HTTP/1.1\r\nHOST\r\n", b"POST / HTTP/1.1\r\nHOST\r\nX"]
)
def test_a_head_that_does_not_come_is_cut(house: House, start: bytes) -> None:
    assert house.say(start) == b""
    assert house.backend.seen == []


def test_a_head_that_drips_gains_no_time(house: House) -> None:
    with house.connect() as sock:
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


@pytest.mark.parametrize("place", ["tcp", "unix"])
def test_a_reader_that_stalls_is_dropped(tmp_path: Path, place: str) -> None:
    unix = tmp_path / "socket" if place == "unix" else None
    with living_in(tmp_path, ConnectionLimits(stall_seconds=0.3), unix=unix) as house:
        if unix:
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(str(unix))
        else:
            sock = house.connect(receive_buffer=4096)
        with sock:
            host = b"Host: localhost" if unix else b"HOST"
            sock.sendall(house.fill(b"GET /api/events?much HTTP/1.1\r\n" + host + b"\r\nAUTH\r\n\r\n"))
            assert house.backend.left.wait(PATIENCE), "the stream goes on for nobody"
            assert len(read_all(sock)) < 1 << 20


def test_a_reader_that_waits_for_news_is_kept(tmp_path: Path) -> None:
    with (
        living_in(tmp_path, ConnectionLimits(head_seconds=0.1, stall_seconds=0.1)) as house,
        house.connect() as sock,
    ):
        sock.sendall(house.fill(b"GET /api/events HTTP/1.1\r\nHOST\r\nAUTH\r\n\r\n"))
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert not house.backend.left.wait(0.5), "five times the deadline"


@pytest.mark.parametrize("said", [b"", b"GET /api/events HTTP/1.1\r\nHOST\r\nAUTH\r\n\r\n"])
def test_connections_are_limited_per_address_and_the_place_is_given_back(tmp_path: Path, said: bytes) -> None:
    health = head(b"GET", b"Connection: close", target=b"/health")
    with living_in(tmp_path, ConnectionLimits(connections_per_address=2, head_seconds=1000)) as house:
        with house.connect() as one, house.connect() as two:
            for sock in (one, two):
                sock.sendall(house.fill(said))
                assert not said or sock.recv(15) == b"HTTP/1.1 200 \r\n"
            refused = house.say(b"")
            assert refused.startswith(b"HTTP/1.1 503 ")
            assert b"retry-after: 5" in refused
        patience = time.monotonic() + PATIENCE
        while not house.say(health).startswith(b"HTTP/1.1 200 "):
            assert time.monotonic() < patience, "the places were not given back"


def test_a_client_that_resets_leaves_nothing_running(house: House) -> None:
    with house.connect() as sock:
        sock.sendall(house.fill(b"GET /api/events HTTP/1.1\r\nHOST\r\nAUTH\r\n\r\n"))
        assert sock.recv(15)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert house.backend.left.wait(PATIENCE)


def test_stopping_ends_streams_cuts_who_stalls_and_waits_for_nobody(house: House) -> None:
    with house.connect() as reading, house.connect(receive_buffer=4096) as stalled, house.connect():
        reading.sendall(house.fill(b"GET /api/events HTTP/1.1\r\nHOST\r\nAUTH\r\n\r\n"))
        assert reading.recv(15)
        stalled.sendall(house.fill(b"GET /api/events?much HTTP/1.1\r\nHOST\r\nAUTH\r\n\r\n"))
        assert stalled.recv(15)
        house.stop()
        assert read_all(reading).endswith(b"0\r\n\r\n"), "the stream was broken off and not ended"
        house.thread.join(PATIENCE)
        assert not house.thread.is_alive()


def test_the_descriptor_limit_is_raised_as_far_as_it_may_be() -> None:
    script = (
        "import resource as r; from breakglass.web.http.limits import max_connections, raise_descriptor_limit\n"
        "r.setrlimit(r.RLIMIT_NOFILE, (64, 512)); small = max_connections(); raise_descriptor_limit()\n"
        "print(small, r.getrlimit(r.RLIMIT_NOFILE), max_connections())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "32 (512, 512) 256\n"


# --- TLS and HTTP/2 -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("tls")
    made = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=localhost",
    ]
    files = ["-keyout", str(root / "key"), "-out", str(root / "cert")]
    subprocess.run(["openssl", *made, *files], check=True, capture_output=True)
    return root / "cert", root / "key"


class Talk:
    """An HTTP/2 connection."""

    def __init__(self, house: House):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        config = h2.config.H2Configuration(header_encoding=None, validate_outbound_headers=False)
        self._host = b"127.0.0.1:%d" % house.port
        self._connection = h2.connection.H2Connection(config)
        self._connection.initiate_connection()
        self._sock = context.wrap_socket(house.connect())
        assert self._sock.selected_alpn_protocol() == "h2"

    def __enter__(self) -> "Talk":
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()

    def ask(self, path: bytes, *pairs: tuple[bytes, bytes], method: bytes = b"GET", ends: bool = True) -> int:
        """Send a request, to its end or without, and return its stream."""
        stream = self._connection.get_next_available_stream_id()
        pseudo = [(b":method", method), (b":scheme", b"https"), (b":authority", self._host), (b":path", path)]
        self._connection.send_headers(stream, [*pseudo, *pairs], end_stream=ends)
        self._sock.sendall(self._connection.data_to_send())
        return stream

    def give(self, stream: int, data: bytes, *, ends: bool = True) -> None:
        """Send a body."""
        self._connection.send_data(stream, data, end_stream=ends)
        self._sock.sendall(self._connection.data_to_send())

    def until(self, kind: type[Any], stream: int) -> Any:
        """Return the next event of that kind in a stream, None where the server hung up."""
        with suppress(OSError):
            while data := self._sock.recv(65536):
                for event in self._connection.receive_data(data):
                    if isinstance(event, kind) and event.stream_id == stream:
                        return event
        return None


def speak_h2(
    house: House, path: bytes, *pairs: tuple[bytes, bytes], method: bytes = b"GET", stay: bool = False
) -> dict[bytes, bytes]:
    """Return the headers of an HTTP/2 answer, empty where the server hung up; `stay` reads no more of it."""
    with Talk(house) as talk:
        answer = talk.until(h2.events.ResponseReceived, talk.ask(path, *pairs, method=method))
        if stay:
            house.backend.left.wait(PATIENCE)
        return dict(answer.headers) if answer else {}


def test_http2_over_tls_passes_the_same_guard(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    with living_in(tmp_path, ConnectionLimits(head_seconds=2), tls=certificate) as house:
        bearer = (b"authorization", b"Bearer " + house.token.encode())
        assert speak_h2(house, b"/api/x", bearer)[b":status"] == b"200"
        refused = speak_h2(house, b"/api/x")
        assert (refused[b":status"], refused[b"x-frame-options"]) == (b"401", b"DENY")
        assert speak_h2(house, b"/api/x", bearer, (b"origin", b"http://evil.example"))[b":status"] == b"403"
        assert speak_h2(house, b"/api/x", bearer, method=b"TRACE")[b":status"] == b"405"
        assert house.backend.seen == ["GET /api/x"]


def test_http2_that_is_malformed_breaks_its_own_stream_only(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    with living_in(tmp_path, ConnectionLimits(head_seconds=2), tls=certificate) as house, Talk(house) as talk:
        for path, method in ((b"/\xff", b"GET"), (b"/", b"G\xff")):
            assert talk.until(h2.events.StreamReset, talk.ask(path, method=method))
        assert talk.until(h2.events.ResponseReceived, talk.ask(b"/health"))
        assert house.backend.seen == ["GET /health"]


def test_over_http2_too_a_get_has_no_body(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    with living_in(tmp_path, ConnectionLimits(), tls=certificate) as house, Talk(house) as talk:
        stream = talk.ask(b"/health", ends=False)
        talk.give(stream, b"x")
        answer = talk.until(h2.events.ResponseReceived, stream)
        assert dict(answer.headers)[b":status"] == b"400"
        assert house.backend.seen == []


def test_a_body_that_comes_after_its_answer_harms_nobody(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    with living_in(tmp_path, ConnectionLimits(), tls=certificate) as house, Talk(house) as talk:
        stream = talk.ask(b"/api/x", method=b"POST", ends=False)
        assert talk.until(h2.events.StreamEnded, stream)
        for _ in range(6):
            talk.give(stream, b"x" * 10_000, ends=False)
        answer = talk.until(h2.events.ResponseReceived, talk.ask(b"/health"))
        assert dict(answer.headers)[b":status"] == b"200"


def test_a_tls_handshake_that_does_not_come_is_cut(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    with (
        living_in(tmp_path, ConnectionLimits(head_seconds=0.3), tls=certificate) as house,
        house.connect() as sock,
    ):
        assert read_all(sock) == b""


def test_http2_that_shuts_its_window_is_dropped(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    with living_in(tmp_path, ConnectionLimits(stall_seconds=0.3), tls=certificate) as house:
        bearer = (b"authorization", b"Bearer " + house.token.encode())
        assert speak_h2(house, b"/api/events?much", bearer, stay=True)[b":status"] == b"200"
        assert house.backend.left.is_set()
        assert house.backend.sent < 1 << 20, "what the client did not take was kept for it"


@pytest.mark.parametrize(
    ("taken", "dropped"), [([], True), ([90, 80, 70, 60, 50, 40, 30], False), ([90, 90, 90, 90], True)]
)
def test_slow_is_not_stalled(taken: list[int], dropped: bool) -> None:
    """What is left becomes less with every look, or it does not; a look comes every third of the deadline."""
    left = iter([100, *taken])
    last = 100

    async def wait() -> None:
        if not dropped and last == 30:
            return
        await asyncio.get_running_loop().create_future()

    def look() -> int:
        nonlocal last
        last = next(left, last)
        return last

    work = wait_while_progressing(wait, look, 0.003)
    if dropped:
        with pytest.raises(TimeoutError):
            asyncio.run(work)
    else:
        asyncio.run(work)
    assert next(left, None) is None


@pytest.mark.parametrize("extra", [[], [(b":protocol", b"websocket"), (b"sec-websocket-version", b"13")]])
def test_http2_has_no_tunnels(
    tmp_path: Path, certificate: tuple[Path, Path], extra: list[tuple[bytes, bytes]]
) -> None:
    with living_in(tmp_path, ConnectionLimits(), tls=certificate) as house:
        assert speak_h2(house, b"/api/x", *extra, method=b"CONNECT") == {}
        assert house.backend.seen == []


def test_a_certificate_that_cannot_be_used_refuses_to_start(certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    for wrong in ((cert, cert), (key, key), (cert, Path("/nonexistent"))):
        with pytest.raises(BadConfig, match="no certificate with its key"):
            configure(*wrong)


# --- sockets ------------------------------------------------------------------------------------


def test_what_a_listening_socket_is_set_to_its_connections_inherit() -> None:
    [listening] = open_tcp("127.0.0.1", 0)
    with listening:
        listening.listen()
        with socket.create_connection(listening.getsockname()), listening.accept()[0] as accepted:
            timeout = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            assert timeout == STALL_SECONDS * 1000
            assert (
                accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 2 * SEND_BUFFER
            )  # as Linux counts


def test_localhost_is_both_families_on_one_port() -> None:
    sockets = open_tcp("localhost", 0)
    assert len({sock.getsockname()[1] for sock in sockets}) == 1
    families = {found[0] for found in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
    assert {sock.family for sock in sockets} <= families
    for sock in sockets:
        sock.close()


@pytest.mark.parametrize(
    ("host", "words", "expected"),
    [
        ("127.0.0.1", {}, True),
        ("127.8.9.10", {}, True),
        ("::1", {}, True),
        ("localhost", {}, True),
        ("0.0.0.0", {}, False),
        ("::", {}, False),
        ("192.0.2.1", {}, False),
        ("0.0.0.0", {"tls": True}, True),
        ("0.0.0.0", {"proxied": True}, True),
        ("0.0.0.0", {"allow_plain": True}, True),
    ],
)
def test_beyond_loopback_something_must_be_said(host: str, words: dict[str, bool], expected: bool) -> None:
    said = {"tls": False, "proxied": False, "allow_plain": False} | words
    if expected:
        refuse_exposed(host, **said)
        return
    with pytest.raises(BadConfig, match=r"--tls-cert.*proxies.*--allow-plain"):
        refuse_exposed(host, **said)


def test_a_place_that_cannot_be_had_is_named_with_what_to_do() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(BadConfig, match=r"127.0.0.1 port \d+: it is in use already.*--port"):
            open_tcp("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(BadConfig, match="does not have that address"):
        open_tcp("192.0.2.1", 0)
    with pytest.raises(BadConfig, match="expected a name or an IP address"):
        open_tcp("no such name", 0)


def test_a_unix_socket_is_ours_alone_from_the_first_moment(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with open_unix(tmp_path / "socket"):
            assert stat.S_IMODE((tmp_path / "socket").stat().st_mode) == 0o600
        (tmp_path / "shared").mkdir()
        (tmp_path / "shared").chmod(0o2750)
        with open_unix(tmp_path / "shared" / "socket"):
            assert stat.S_IMODE((tmp_path / "shared" / "socket").stat().st_mode) == 0o660
        assert os.umask(0) == 0, "the umask is put back"
    finally:
        os.umask(before)


def test_a_dead_servers_socket_is_replaced_and_nothing_else_is(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    open_unix(path).close()
    with open_unix(path) as living:
        living.listen()
        with pytest.raises(BadConfig, match="it is in use already"):
            open_unix(path)
    path.unlink()
    path.write_text("a file")
    with pytest.raises(BadConfig, match="it is in use already"):
        open_unix(path)
    assert path.read_text() == "a file"


def test_little_memory_is_few_connections_and_never_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for megabytes, connections in ((24, 16), (80, 256)):
        monkeypatch.setattr(memory, "limit", lambda megabytes=megabytes: megabytes << 20)
        assert limits.max_connections() == connections
