"""The guard: the table of rules, and what the middleware does around the application."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from quart import Quart, Response

from breakglass.access.credentials import Access, Credential
from breakglass.errors import BadConfig
from breakglass.web.guard.guard import Guard
from breakglass.web.guard.request import OPEN_PATHS, Caller, Request, read_request
from breakglass.web.guard.rules import admit, check
from breakglass.web.guard.settings import GuardSettings, map_hosts
from breakglass.web.http.accesslog import Entry
from breakglass.web.http.asgi import App, Message, Receive, Scope, Send
from breakglass.web.http.clients import AddressCounter
from breakglass.web.http.headers import SECURITY_HEADERS

HOST = b"127.0.0.1:8420"
OURS = b"http://127.0.0.1:8420"
SETTINGS = GuardSettings(map_hosts("127.0.0.1", 8420, origins=["https://ops.example.com"]))
OWNER = Credential("owner", may_act=True, kind="token", key=b"k")
COOKIE = Credential("owner", may_act=True, kind="cookie", key=b"k")
PROXY = Credential("ann", may_act=True, kind="proxy", key=b"k")
WATCHER = Credential("watcher", may_act=False, kind="token", key=b"k")
JSON = (b"content-type", b"application/json")
JSON_UTF8 = (b"content-type", b"application/json; charset=UTF-8")
JSON_UTF7 = (b"content-type", b"application/json;charset=utf-7")

Pair = tuple[bytes, bytes]


def scope_of(
    method: str, path: str, *pairs: Pair, host: bytes | None = HOST, peer: str = "127.0.0.1", **more: Any
) -> Scope:
    own = [] if host is None else [(b"host", host)]
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode("ascii", "replace"),
        "http_version": "1.1",
        "scheme": "http",
        "headers": [*own, *pairs],
        "client": None if peer == "unix" else (peer, 40000),
        "server": ("127.0.0.1", 8420),
    } | more


def request_of(
    method: str, path: str, *pairs: Pair, settings: GuardSettings = SETTINGS, **more: Any
) -> Request:
    return read_request(settings, scope_of(method, path, *pairs, **more))


def status(refusal: Any) -> int | None:
    return None if refusal is None else refusal.status


# --- the rules that hold for everybody ----------------------------------------------------------

PASSED = 0

PLAIN = [
    ("a page", "GET", "/", (), {}, PASSED),
    ("HTTP/1.0 with a Host", "GET", "/", (), {"http_version": "1.0"}, PASSED),
    ("HTTP/2 over TLS", "GET", "/", (), {"http_version": "2", "scheme": "https"}, PASSED),
    ("HTTP/2 in clear", "GET", "/", (), {"http_version": "2"}, 400),
    ("HTTP/0.9", "GET", "/", (), {"http_version": "0.9"}, 400),
    ("OPTIONS", "OPTIONS", "/", (), {}, 405),
    ("TRACE", "TRACE", "/", (), {}, 405),
    ("CONNECT", "CONNECT", "/", (), {}, 405),
    ("PUT", "PUT", "/api/sessions", (), {}, 405),
    ("a method of one's own", "BREW", "/", (), {}, 405),
    ("two Hosts", "GET", "/", ((b"host", b"evil.example"),), {}, 400),
    ("the same Host twice", "GET", "/", ((b"host", HOST),), {}, 400),
    ("no Host", "GET", "/", (), {"host": None}, 400),
    ("an empty Host", "GET", "/", (), {"host": b""}, 400),
    ("localhost", "GET", "/", (), {"host": b"localhost:8420"}, PASSED),
    ("the IPv6 loopback", "GET", "/", (), {"host": b"[::1]:8420"}, PASSED),
    ("a Host in capitals", "GET", "/", (), {"host": b"LOCALHOST:8420"}, PASSED),
    ("a public name", "GET", "/", (), {"host": b"ops.example.com"}, PASSED),
    ("a public name with its port", "GET", "/", (), {"host": b"ops.example.com:443"}, PASSED),
    ("a name that was rebound to us", "GET", "/", (), {"host": b"evil.example:8420"}, 421),
    ("our name below another", "GET", "/", (), {"host": b"127.0.0.1.evil.example:8420"}, 421),
    ("our name with a user", "GET", "/", (), {"host": b"evil@127.0.0.1:8420"}, 421),
    ("another port", "GET", "/", (), {"host": b"127.0.0.1:8421"}, 421),
    ("no port", "GET", "/", (), {"host": b"127.0.0.1"}, 421),
    ("a trailing dot", "GET", "/", (), {"host": b"localhost.:8420"}, 421),
    ("IPv6 without brackets", "GET", "/", (), {"host": b"::1:8420"}, 421),
    ("another Host for /health too", "GET", "/health", (), {"host": b"evil.example"}, 421),
    ("a body", "POST", "/", ((b"content-length", b"3"),), {}, PASSED),
    ("a chunked body", "POST", "/", ((b"transfer-encoding", b"chunked"),), {}, PASSED),
    ("both lengths", "POST", "/", ((b"content-length", b"3"), (b"transfer-encoding", b"chunked")), {}, 400),
    ("two lengths", "POST", "/", ((b"content-length", b"3"), (b"content-length", b"3")), {}, 400),
    ("a length with a sign", "POST", "/", ((b"content-length", b"+3"),), {}, 400),
    ("a length with underscores", "POST", "/", ((b"content-length", b"1_0"),), {}, 400),
    ("another coding", "POST", "/", ((b"transfer-encoding", b"gzip, chunked"),), {}, 400),
    ("chunks in HTTP/1.0", "POST", "/", ((b"transfer-encoding", b"chunked"),), {"http_version": "1.0"}, 400),
    ("a GET with a body", "GET", "/", ((b"content-length", b"3"),), {}, 400),
    ("a GET with chunks", "GET", "/", ((b"transfer-encoding", b"chunked"),), {}, 400),
    ("a GET that says it has none", "GET", "/", ((b"content-length", b"0"),), {}, PASSED),
    ("WebSocket", "GET", "/", ((b"upgrade", b"websocket"),), {}, 400),
    ("h2c", "GET", "/", ((b"upgrade", b"h2c"), (b"http2-settings", b"AAMAAABk")), {}, 400),
    ("the absolute form", "GET", "http://evil.example/", (), {}, 400),
    ("an asterisk", "GET", "*", (), {}, 400),
    ("an empty segment", "GET", "//evil.example", (), {}, 400),
    ("a parent", "GET", "/static/../api/sessions", (), {}, 400),
    ("an encoded parent", "GET", "/static/../api", (), {"raw_path": b"/static/%2e%2e/api"}, 400),
    ("an encoded slash", "GET", "/static/a/b", (), {"raw_path": b"/static/a%2fb"}, 400),
    ("an encoded backslash", "GET", "/static/a\\b", (), {"raw_path": b"/static/a%5Cb"}, 400),
    ("NUL", "GET", "/a\x00", (), {"raw_path": b"/a%00"}, 400),
    ("a trailing newline", "GET", "/api/sessions/x\n", (), {"raw_path": b"/api/sessions/x%0a"}, 400),
    ("a line separator", "GET", "/\u2028", (), {"raw_path": b"/%e2%80%a8"}, 400),
    ("what is no UTF-8", "GET", "/\ufffd", (), {"raw_path": b"/%ff"}, 400),
    ("half an escape", "GET", "/%4", (), {"raw_path": b"/%4"}, 400),
    ("a letter that is none of ASCII", "GET", "/ä", (), {"raw_path": b"/%c3%a4"}, PASSED),
]


@pytest.mark.parametrize(("method", "path", "pairs", "more", "expected"), [row[1:] for row in PLAIN],
                         ids=[row[0] for row in PLAIN])  # fmt: skip
def test_a_request_that_could_mean_two_things_is_refused(
    method: str, path: str, pairs: tuple[Pair, ...], more: dict[str, Any], expected: int
) -> None:
    assert (status(check(SETTINGS, request_of(method, path, *pairs, **more))) or PASSED) == expected


SITE, ORIGIN = b"sec-fetch-site", b"origin"
LINK = ((b"sec-fetch-mode", b"navigate"), (b"sec-fetch-dest", b"document"))
FRAME = ((b"sec-fetch-mode", b"navigate"), (b"sec-fetch-dest", b"iframe"))

SITES = [
    ("curl", "POST", "/api/sessions", (), PASSED),
    ("our page", "POST", "/api/sessions", ((SITE, b"same-origin"), (ORIGIN, OURS)), PASSED),
    ("our page on plain HTTP", "POST", "/api/sessions", ((ORIGIN, OURS),), PASSED),
    ("our plain form under no-referrer", "POST", "/x", ((SITE, b"same-origin"), (ORIGIN, b"null")), PASSED),
    ("the address bar", "GET", "/", ((SITE, b"none"), *LINK), PASSED),
    ("a form elsewhere", "POST", "/x", ((SITE, b"cross-site"), (ORIGIN, b"https://evil.example")), 403),
    ("fetch elsewhere", "POST", "/api/sessions", ((ORIGIN, b"https://evil.example"),), 403),
    ("an EventSource elsewhere", "GET", "/api/x/events", ((ORIGIN, b"https://evil.example"),), 403),
    ("an image elsewhere", "GET", "/api/sessions", ((SITE, b"cross-site"),), 403),
    ("an image elsewhere, of an open path", "GET", "/health", ((SITE, b"cross-site"),), 403),
    ("a sandboxed frame", "POST", "/x", ((ORIGIN, b"null"),), 403),
    ("a sandboxed frame that says so", "POST", "/x", ((SITE, b"cross-site"), (ORIGIN, b"null")), 403),
    ("another port of this host", "GET", "/api/sessions", ((SITE, b"same-site"),), 403),
    ("another port's origin", "POST", "/x", ((ORIGIN, b"http://127.0.0.1:3000"),), 403),
    ("another name of ours", "POST", "/x", ((ORIGIN, b"http://localhost:8420"),), 403),
    ("our origin, prolonged", "POST", "/x", ((ORIGIN, OURS + b".evil.example"),), 403),
    ("our origin, by another scheme", "POST", "/x", ((ORIGIN, b"https://127.0.0.1:8420"),), 403),
    ("our origin in capitals", "POST", "/x", ((ORIGIN, b"HTTP://127.0.0.1:8420"),), 403),
    ("an extension", "POST", "/x", ((ORIGIN, b"moz-extension://0"),), 403),
    ("two origins", "POST", "/x", ((ORIGIN, OURS), (ORIGIN, b"https://evil.example")), 400),
    ("a link elsewhere", "GET", "/sessions/x", ((SITE, b"cross-site"), *LINK), PASSED),
    ("a link elsewhere to the API", "GET", "/api/sessions", ((SITE, b"cross-site"), *LINK), 403),
    ("a frame elsewhere", "GET", "/sessions/x", ((SITE, b"cross-site"), *FRAME), 403),
    ("a form elsewhere, as a link", "POST", "/sessions/x", ((SITE, b"cross-site"), *LINK), 403),
]


@pytest.mark.parametrize(("method", "path", "pairs", "expected"), [row[1:] for row in SITES],
                         ids=[row[0] for row in SITES])  # fmt: skip
def test_no_other_site_acts_or_reads_through_a_browser(
    method: str, path: str, pairs: tuple[Pair, ...], expected: int
) -> None:
    assert (status(check(SETTINGS, request_of(method, path, *pairs))) or PASSED) == expected


# --- the rules that depend on who it is ---------------------------------------------------------

FORM = (b"content-type", b"application/x-www-form-urlencoded")
LONG = (b"content-length", b"300000")
TOO_LONG = (b"content-length", b"2097153")

KNOWN = [
    ("nobody, API", "GET", "/api/sessions", (), None, 401),
    ("nobody, API, POST of a form", "POST", "/api/sessions", (FORM,), None, 401),
    ("nobody, a page", "GET", "/sessions/x", (), None, 303),
    ("nobody, what does not exist", "GET", "/nothing", (), None, 303),
    ("nobody, an open path by a closed method", "POST", "/health", (), None, 303),
    ("nobody, beside a static file", "GET", "/staticx", (), None, 303),
    ("nobody, a static file by POST", "POST", "/static/a.css", (), None, 303),
    ("nobody, a static file", "GET", "/static/a.css", (), None, PASSED),
    ("nobody, logging in", "POST", "/login", (FORM,), None, PASSED),
    ("token", "POST", "/api/sessions", (JSON,), OWNER, PASSED),
    ("token, JSON in UTF-8", "POST", "/api/x", (JSON_UTF8,), OWNER, PASSED),
    ("token, no body at all", "POST", "/api/sessions/x/cancel", (), OWNER, PASSED),
    ("token, an empty body", "POST", "/api/sessions/x/cancel", ((b"content-length", b"0"),), OWNER, PASSED),
    ("token, a body of no type", "POST", "/api/sessions", ((b"content-length", b"2"),), OWNER, 415),
    ("token, chunks of no type", "POST", "/api/sessions", ((b"transfer-encoding", b"chunked"),), OWNER, 415),
    ("token, a form", "POST", "/api/sessions", (FORM,), OWNER, 415),
    ("token, text", "POST", "/api/sessions", ((b"content-type", b"text/plain"),), OWNER, 415),
    ("token, JSON's cousin", "PATCH", "/api/x", ((b"content-type", b"application/jsonx"),), OWNER, 415),
    ("token, JSON in UTF-7", "PATCH", "/api/x", (JSON_UTF7,), OWNER, 415),
    ("cookie without either header", "POST", "/api/sessions", (JSON,), COOKIE, 403),
    ("cookie, typed in", "POST", "/api/sessions", (JSON, (SITE, b"none")), COOKIE, 403),
    ("cookie from our page", "POST", "/api/sessions", (JSON, (SITE, b"same-origin")), COOKIE, PASSED),
    ("cookie from our page, plain HTTP", "DELETE", "/api/x", ((ORIGIN, OURS),), COOKIE, PASSED),
    ("cookie, reading", "GET", "/api/sessions", (), COOKIE, PASSED),
    ("a proxy's user without either header", "POST", "/api/sessions", (JSON,), PROXY, 403),
    ("watcher, reading", "GET", "/api/sessions", (), WATCHER, PASSED),
    ("watcher, acting", "POST", "/api/sessions", (JSON,), WATCHER, 403),
    ("watcher, renaming", "PATCH", "/api/sessions/x", (JSON,), WATCHER, 403),
    ("watcher, a plain form", "POST", "/sessions/x/turns", (FORM,), WATCHER, 403),
    ("watcher, leaving", "POST", "/logout", (FORM,), WATCHER, PASSED),
    ("a long body", "POST", "/api/sessions", (JSON, LONG), OWNER, 413),
    ("a long prompt", "POST", "/api/sessions/x/turns", (JSON, LONG), OWNER, PASSED),
    ("a prompt too long", "POST", "/api/sessions/x/turns", (JSON, TOO_LONG), OWNER, 413),
    ("a long form of a stranger", "POST", "/login", (FORM, LONG), None, 413),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "pairs", "who", "expected"), [row[1:] for row in KNOWN],
                         ids=[row[0] for row in KNOWN])  # fmt: skip
def test_a_caller_may_do_what_its_credential_allows(
    method: str, path: str, pairs: tuple[Pair, ...], who: Credential | None, expected: int
) -> None:
    request = request_of(method, path, *pairs)
    assert check(SETTINGS, request) is None
    assert (status(admit(SETTINGS, request, who)) or PASSED) == expected


def test_what_is_open_is_this_list_and_static_files() -> None:
    assert set(OPEN_PATHS) == {"/health", "/login", "/favicon.ico", "/manifest.webmanifest", "/sw.js"}
    assert {path for path, methods in OPEN_PATHS.items() if methods - {"GET", "HEAD"}} == {"/login"}


def test_outside_a_prefix_there_is_nothing_and_no_open_path() -> None:
    settings = replace(SETTINGS, prefix="/bg")
    outside = ["/health", "/static/bg/api/sessions", "/bgx/health", "/x/bg/health", "/bg"]
    assert [status(check(settings, request_of("GET", path, settings=settings))) for path in outside] == [
        400
    ] * 5
    inside = request_of("GET", "/bg/static/bg/api", settings=settings)
    assert (inside.path, check(settings, inside)) == ("/static/bg/api", None)


def test_bound_to_all_addresses_the_one_connected_to_is_a_host() -> None:
    settings = GuardSettings(map_hosts("0.0.0.0", 8420), is_bound_to_all=True)
    there: dict[str, Any] = {"server": ("192.0.2.7", 8420), "host": b"192.0.2.7:8420"}
    assert check(settings, request_of("GET", "/", settings=settings, **there)) is None
    assert (
        check(
            settings, request_of("POST", "/", (ORIGIN, b"http://192.0.2.7:8420"), settings=settings, **there)
        )
        is None
    )
    assert status(check(SETTINGS, request_of("GET", "/", **there))) == 421
    elsewhere = there | {"host": b"192.0.2.8:8420"}
    assert status(check(settings, request_of("GET", "/", settings=settings, **elsewhere))) == 421


@pytest.mark.parametrize(
    ("host", "port", "scheme", "origins", "expected"),
    [
        ("db1.lan", 8420, "http", [], {b"db1.lan:8420": b"http://db1.lan:8420"}),
        ("fd00::1", 8420, "https", [], {b"[fd00::1]:8420": b"https://[fd00::1]:8420"}),
        ("db1.lan", 443, "https", [], {b"db1.lan": b"https://db1.lan", b"db1.lan:443": b"https://db1.lan"}),
        ("DB1", 80, "http", [], {b"db1": b"http://db1", b"db1:80": b"http://db1"}),
        ("a", 1, "http", ["https://b:444"], {b"a:1": b"http://a:1", b"b:444": b"https://b:444"}),
    ],
)
def test_a_host_belongs_to_one_origin(
    host: str, port: int, scheme: str, origins: list[str], expected: dict[bytes, bytes]
) -> None:
    assert map_hosts(host, port, scheme, origins) == expected


@pytest.mark.parametrize(
    "origin", ["ops.example.com", "https://OPS", "https://a/b", "*", "https://*.example.com", ""]
)
def test_an_origin_is_named_exactly(origin: str) -> None:
    with pytest.raises(BadConfig, match="expected https://NAME"):
        map_hosts("127.0.0.1", 8420, origins=[origin])


# --- the middleware -----------------------------------------------------------------------------


@dataclass
class Answer:
    status: int = 0
    headers: list[Pair] = field(default_factory=list)
    body: bytes = b""
    ended: bool = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], message["headers"]
        else:
            self.body += message.get("body", b"")
            self.ended = not message.get("more_body", False)

    def __getitem__(self, name: bytes) -> bytes | None:
        values = [value for key, value in self.headers if key == name]
        assert len(values) < 2, f"{name!r} was sent twice"
        return values[0] if values else None


class Client:
    """Sends one request at a time to a guard, in pieces, and then stays until told to leave."""

    def __init__(self, guard: Guard):
        self._guard = guard

    async def ask(self, scope: Scope, *pieces: bytes, stays: bool = False) -> Answer:
        answer = Answer()
        await self._guard(scope, self.receive(pieces, stays=stays), answer)
        return answer

    def receive(self, pieces: tuple[bytes, ...], *, stays: bool = False) -> Receive:
        messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        messages.append({"type": "http.request", "body": b"", "more_body": False})

        async def receive() -> Message:
            if messages and not (stays and len(messages) == 1):
                return messages.pop(0)
            return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

        return receive


def echo(seen: list[Scope], headers: list[Pair]) -> App:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        body = (await receive())["body"]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


@dataclass
class House:
    access: Access
    token: str
    root: Path
    seen: list[Scope] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    own_headers: list[Pair] = field(default_factory=list)

    def client(self, app: App | None = None, **settings: Any) -> Client:
        values = replace(SETTINGS, linger_seconds=0.0, **settings)
        return Client(
            Guard(app or echo(self.seen, self.own_headers), values, self.access, log=self.entries.append)
        )

    @property
    def bearer(self) -> Pair:
        return (b"authorization", b"Bearer " + self.token.encode())

    def cookie(self) -> Pair:
        return (
            b"cookie",
            b"a=b; breakglass-8420=" + (self.access.log_in(self.token, address="-") or "").encode(),
        )


@pytest.fixture
def house(tmp_path: Path) -> House:
    access = Access(tmp_path)
    return House(access, (tmp_path / "token").read_text().strip(), tmp_path)


def run(work: Awaitable[Any]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(20):
            return await work

    return asyncio.run(bounded())


def test_the_application_learns_who_came_and_gets_the_body_whole(house: House) -> None:
    answer = run(house.client().ask(scope_of("POST", "/api/x", JSON, house.bearer), b'{"a"', b":1}"))
    assert (answer.status, answer.body, answer.ended) == (200, b'{"a":1}', True)
    caller = house.seen[0]["breakglass"]
    assert isinstance(caller, Caller)
    assert (caller.origin, caller.address) == (OURS.decode(), "127.0.0.1")
    assert caller.credential is not None
    assert (caller.credential.name, caller.credential.kind) == ("owner", "token")


def test_a_refused_request_never_reaches_the_application(house: House) -> None:
    answer = run(house.client().ask(scope_of("POST", "/api/x", JSON), b"{}"))
    assert (answer.status, answer[b"www-authenticate"], answer[b"connection"]) == (401, b"Bearer", b"close")
    assert answer[b"content-type"] == b"application/problem+json"
    problem = json.loads(answer.body)
    assert (problem["title"], problem["status"], answer.ended) == ("Unauthorized", 401, True)
    assert house.seen == []


def test_a_page_sends_a_stranger_to_the_login(house: House) -> None:
    answer = run(house.client().ask(scope_of("GET", "/sessions/x")))
    assert (answer.status, answer[b"location"]) == (303, b"/login")
    behind = run(house.client(prefix="/bg").ask(scope_of("GET", "/bg/sessions/x")))
    assert behind[b"location"] == b"/bg/login"


def test_over_http2_a_refusal_has_no_connection_field(house: House) -> None:
    answer = run(house.client().ask(scope_of("GET", "/api/x", http_version="2", scheme="https")))
    assert (answer.status, answer[b"connection"]) == (401, None)


async def broken(scope: Scope, receive: Receive, send: Send) -> None:
    raise ZeroDivisionError("/secret/path")


def test_every_answer_carries_the_security_headers(house: House) -> None:
    house.own_headers += [(b"Cache-Control", b"public"), (b"x-frame-options", b"ALLOW")]
    house.own_headers += [(b"access-control-allow-origin", b"*")]
    asked = [("GET", "/health"), ("GET", "/api/x"), ("GET", "/x"), ("OPTIONS", "/"), ("GET", "/static/../x")]
    for method, path in asked:
        answer = run(house.client().ask(scope_of(method, path)))
        assert {pair for pair in SECURITY_HEADERS if answer[pair[0]] == pair[1]} == set(SECURITY_HEADERS)
        assert answer[b"cache-control"] == b"no-store"
        assert answer[b"access-control-allow-origin"] is None


def test_a_failure_of_the_application_is_an_answer_with_the_headers_and_without_a_reason(
    house: House,
) -> None:
    answer = Answer()
    client = house.client(broken)
    with pytest.raises(ZeroDivisionError):
        run(client._guard(scope_of("GET", "/health"), client.receive(()), answer))
    assert (answer.status, answer[b"x-frame-options"]) == (500, b"DENY")
    assert b"secret" not in answer.body
    assert house.entries[-1].status == 500


def test_only_a_static_file_is_kept_by_the_browser_and_only_privately(house: House) -> None:
    client = house.client()
    assert run(client.ask(scope_of("GET", "/static/a.css")))[b"cache-control"] == b"private, no-cache"
    house.own_headers[:] = [(b"Cache-Control", b"public, max-age=60"), (b"etag", b'"1"')]
    kept = run(client.ask(scope_of("GET", "/static/a.css")))
    assert (kept[b"cache-control"], kept[b"etag"]) == (b"private, max-age=60", b'"1"')
    assert run(client.ask(scope_of("GET", "/health")))[b"cache-control"] == b"no-store"
    assert run(client.ask(scope_of("GET", "/static/../a.css")))[b"cache-control"] == b"no-store"


def test_a_body_is_measured_as_it_comes_whatever_it_declares(house: House) -> None:
    chunked = (b"transfer-encoding", b"chunked")
    pieces = [b"x" * 65536] * 4
    ask = scope_of("POST", "/api/x", JSON, house.bearer, chunked)
    assert run(house.client().ask(dict(ask), *pieces)).status == 200
    assert run(house.client().ask(dict(ask), *pieces, b"x")).status == 413
    assert len(house.seen) == 1


def test_a_body_that_does_not_come_is_given_up(house: House) -> None:
    ask = scope_of("POST", "/api/x", JSON, house.bearer, (b"content-length", b"9"))
    answer = run(house.client(body_seconds=0.02).ask(ask, b"{", stays=True))
    assert (answer.status, answer[b"connection"], house.seen) == (408, b"close", [])


def test_the_right_token_is_never_locked_out(house: House) -> None:
    async def hammer() -> list[int]:
        client = house.client()
        wrong = [scope_of("GET", "/api/x", (b"authorization", b"Bearer " + b"\xff" * n)) for n in range(40)]
        return [
            (await client.ask(scope)).status for scope in [*wrong, scope_of("GET", "/api/x", house.bearer)]
        ]

    assert run(hammer()) == [401] * 10 + [429] * 30 + [200]


def test_a_wrong_token_counts_wherever_it_is_shown(house: House) -> None:
    async def guess() -> list[int]:
        client = house.client()
        wrong = (b"authorization", b"Bearer wrong")
        return [(await client.ask(scope_of("GET", "/login", wrong))).status for _ in range(12)]

    assert run(guess()) == [200] * 10 + [429] * 2


def test_a_monitor_with_an_old_token_still_hears_of_the_servers_health(house: House) -> None:
    async def watch() -> set[int]:
        wrong = (b"authorization", b"Bearer wrong")
        return {(await house.client().ask(scope_of("GET", "/health", wrong))).status for _ in range(30)}

    assert run(watch()) == {200}


def test_a_wrong_bearer_token_is_not_saved_by_a_cookie(house: House) -> None:
    wrong = (b"authorization", b"bearer nonsense")
    assert run(house.client().ask(scope_of("GET", "/api/x", wrong, house.cookie()))).status == 401
    basic = (b"authorization", b"Basic Zm9vOmJhcg==")  # a proxy's own password, passed on
    assert run(house.client().ask(scope_of("GET", "/api/x", basic, house.cookie()))).status == 200


def test_a_websocket_is_refused(house: House) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = scope_of("GET", "/api/x", house.bearer, type="websocket", extensions={})
    run(house.client()._guard(scope, lambda: pytest.fail("was asked"), send))
    assert [message["type"] for message in sent] == ["websocket.close"]
    assert house.entries[-1].status == 403


# --- behind a proxy -----------------------------------------------------------------------------

PROXIED: dict[str, Any] = {
    "proxies": frozenset({"192.0.2.1", "unix"}),
    "user_header": b"x-user",
    "address_header": b"x-forwarded-for",
}
USER = (b"x-user", b"ann")

NAMED = [
    ("from the proxy", "192.0.2.1", (USER,), 200, "ann"),
    ("through its socket", "unix", (USER,), 200, "ann"),
    ("from the proxy, in IPv6's clothes", "::ffff:192.0.2.1", (USER,), 200, "ann"),
    ("beside a wrong token", "192.0.2.1", (USER, (b"authorization", b"Bearer x")), 401, None),
    ("forged", "192.0.2.66", (USER,), 401, None),
    ("forged, twice", "192.0.2.66", (USER, USER), 401, None),
    ("twice", "192.0.2.1", (USER, (b"x-user", b"root")), 400, None),
    ("twice the same", "192.0.2.1", (USER, USER), 400, None),
    ("with a newline's cousin", "192.0.2.1", ((b"x-user", b"ann\x0b"),), 400, None),
    ("empty", "192.0.2.1", ((b"x-user", b""),), 401, None),
    ("missing", "192.0.2.1", (), 401, None),
]


@pytest.mark.parametrize(
    ("peer", "pairs", "expected", "by"), [row[1:] for row in NAMED], ids=[row[0] for row in NAMED]
)
def test_a_proxys_user_counts_from_a_listed_peer_only(
    house: House, peer: str, pairs: tuple[Pair, ...], expected: int, by: str | None
) -> None:
    answer = run(house.client(**PROXIED).ask(scope_of("GET", "/api/x", *pairs, peer=peer)))
    assert (answer.status, house.entries[-1].by) == (expected, by)


def test_without_the_setting_a_users_name_says_nothing(house: House) -> None:
    unnamed = PROXIED | {"user_header": None}
    assert run(house.client(**unnamed).ask(scope_of("GET", "/api/x", USER, peer="192.0.2.1"))).status == 401


def test_an_address_counts_from_a_listed_peer_and_of_several_the_last(house: House) -> None:
    chain = ((b"x-forwarded-for", b"203.0.113.9, 198.51.100.1"), (b"x-forwarded-for", b"198.51.100.2"))
    client = house.client(**PROXIED)
    for peer in ("192.0.2.1", "192.0.2.66"):
        run(client.ask(scope_of("GET", "/health", *chain, peer=peer)))
    assert [entry.address for entry in house.entries] == ["198.51.100.2", "192.0.2.66"]


# --- streams ------------------------------------------------------------------------------------


def streaming(closed: list[str]) -> App:
    """A Quart application, because its tasks are the ones that must not outlive a stream."""
    app = Quart("streaming")

    @app.get("/api/events")
    @app.get("/sessions/x/stream")
    async def events() -> Response:
        async def lines() -> AsyncIterator[bytes]:
            try:
                yield b": hello\n\n"
                await asyncio.get_running_loop().create_future()
            finally:
                closed.append("closed")

        return Response(lines(), content_type="text/event-stream")

    return app  # type: ignore[return-value]


class Streams:
    """Several clients that hold a stream each."""

    def __init__(self, client: Client):
        self._client = client
        self.tasks: list[asyncio.Task[Answer]] = []

    async def open(self, *pairs: Pair, peer: str = "127.0.0.1", path: str = "/api/events") -> Answer:
        answer = Answer()
        scope = scope_of("GET", path, *pairs, peer=peer, query_string=b"")
        work = self._client._guard(scope, self._client.receive((), stays=False), answer)
        self.tasks.append(asyncio.ensure_future(work))  # type: ignore[arg-type]
        await until(lambda: bool(answer.body))
        return answer

    async def wait(self) -> None:
        await asyncio.gather(*self.tasks)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - the condition is the application's, and knows of no event
        await asyncio.sleep(0.001)


async def rotate(house: House) -> None:
    from breakglass.access.tokens import rotate_token

    rotate_token(house.root)


async def revoke(house: House) -> None:
    for login in house.access.logins():
        Access(house.root).revoke(login.id)


@pytest.mark.parametrize(("kind", "end"), [("bearer", rotate), ("cookie", rotate), ("cookie", revoke)])
def test_a_stream_ends_soon_after_its_credential(
    house: House, kind: str, end: Callable[[House], Awaitable[None]]
) -> None:
    async def story() -> None:
        closed: list[str] = []
        streams = Streams(house.client(streaming(closed), recheck_seconds=0.01))
        answer = await streams.open(house.bearer if kind == "bearer" else house.cookie())
        before = len(asyncio.all_tasks())
        await end(house)
        await streams.wait()
        assert (closed, answer.ended) == (["closed"], True)
        assert len(asyncio.all_tasks()) < before, "a task of the application was left behind"

    run(story())


def test_an_application_that_waits_for_its_client_hears_that_it_left(house: House) -> None:
    heard: list[str] = []

    async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b".", "more_body": True})
        heard.append((await receive())["type"])
        heard.append((await receive())["type"])

    async def story() -> None:
        streams = Streams(house.client(waiting))
        answer = await streams.open(house.bearer)
        streams._client._guard.end_streams()
        await streams.wait()
        assert (heard, answer.ended) == (["http.disconnect"] * 2, True)

    run(story())


def test_a_stream_goes_on_while_its_credential_holds(house: House) -> None:
    async def story() -> None:
        closed: list[str] = []
        streams = Streams(house.client(streaming(closed), recheck_seconds=0.001))
        kept = await streams.open(house.bearer)
        ended = await streams.open(house.cookie())
        await revoke(house)
        await until(lambda: ended.ended)
        assert not kept.ended
        streams._client._guard.end_streams()
        await streams.wait()
        assert kept.ended

    run(story())


@pytest.mark.parametrize("accept", [b"*/*", b"text/event-stream", b"text/html"])
@pytest.mark.parametrize("path", ["/api/events", "/sessions/x/stream"])
def test_what_a_stream_is_says_the_answer_whatever_was_asked_for(
    house: House, path: str, accept: bytes
) -> None:
    async def story() -> None:
        closed: list[str] = []
        streams = Streams(house.client(streaming(closed), recheck_seconds=0.01, max_streams_per_address=1))
        answer = await streams.open(house.bearer, (b"accept", accept), path=path)
        refused = await streams.open(house.bearer, (b"accept", accept), path=path)
        assert (answer.status, refused.status) == (200, 503)
        await rotate(house)
        await streams.wait()
        assert answer.ended
        assert "closed" in closed

    run(story())


def test_streams_are_limited_per_address_and_in_all(house: House) -> None:
    async def story() -> None:
        streams = Streams(house.client(streaming([]), max_streams=3, max_streams_per_address=2))
        tries = ["192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.3"]
        answers = [await streams.open(house.bearer, peer=peer) for peer in tries]
        assert [answer.status for answer in answers] == [200, 200, 503, 200, 503]
        assert answers[2][b"retry-after"] == b"5"
        other = await streams._client.ask(scope_of("GET", "/health", query_string=b""))
        assert other.status == 404, "no stream, so no limit; this application has no such route"
        streams._client._guard.end_streams()
        await streams.wait()
        again = await streams.open(house.bearer, peer="192.0.2.3")
        assert again.status == 200
        streams._client._guard.end_streams()
        await streams.wait()

    run(story())


def test_a_counter_gives_back_what_was_taken() -> None:
    counter = AddressCounter(3, 2)
    taken = [counter.add(address) for address in ("a", "a", "a", "b", "b")]
    assert taken == [True, True, False, True, False]
    counter.remove("a")
    assert counter.add("b")
    assert [AddressCounter(9, 1).add("unix") for _ in range(3)] == [True] * 3
