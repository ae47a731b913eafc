"""The rules: which requests are refused, and with which status."""

from dataclasses import replace
from typing import Any

import pytest

from breakglass.access.credentials import Credential
from breakglass.web.guard.request import PUBLIC_PATHS
from breakglass.web.guard.rules import admit, check, opened_origin
from breakglass.web.guard.settings import GuardSettings, map_hosts
from tests.help.guarded import HOST, JSON, OWN_ORIGIN, SETTINGS, Pair, request_of, status

OWNER = Credential("owner", may_act=True, kind="token", key=b"k")
COOKIE = Credential("owner", may_act=True, kind="cookie", key=b"k")
PROXY = Credential("ann", may_act=True, kind="proxy", key=b"k")
READ_ONLY = Credential("watcher", may_act=False, kind="token", key=b"k")
WATCHER = Credential("watcher", may_act=False, kind="cookie", key=b"k")
JSON_UTF8 = (b"content-type", b"application/json; charset=UTF-8")
JSON_UTF7 = (b"content-type", b"application/json;charset=utf-7")
PASSED = 0

FOR_EVERY_CALLER = [
    ("a page", "GET", "/", (), {}, PASSED),
    ("HTTP/1.0 with a Host", "GET", "/", (), {"http_version": "1.0"}, PASSED),
    ("HTTP/2 over TLS", "GET", "/", (), {"http_version": "2", "scheme": "https"}, PASSED),
    ("HTTP/2 without TLS", "GET", "/", (), {"http_version": "2"}, 400),
    ("HTTP/0.9", "GET", "/", (), {"http_version": "0.9"}, 400),
    ("OPTIONS", "OPTIONS", "/", (), {}, 405),
    ("TRACE", "TRACE", "/", (), {}, 405),
    ("CONNECT", "CONNECT", "/", (), {}, 405),
    ("PUT", "PUT", "/api/sessions", (), {}, 405),
    ("an invented method", "BREW", "/", (), {}, 405),
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
    ("our name as a subdomain", "GET", "/", (), {"host": b"127.0.0.1.evil.example:8420"}, 421),
    ("our name with a user before it", "GET", "/", (), {"host": b"evil@127.0.0.1:8420"}, 421),
    ("another port", "GET", "/", (), {"host": b"127.0.0.1:8421"}, 421),
    ("no port", "GET", "/", (), {"host": b"127.0.0.1"}, 421),
    ("a trailing dot", "GET", "/", (), {"host": b"localhost.:8420"}, 421),
    ("IPv6 without brackets", "GET", "/", (), {"host": b"::1:8420"}, 421),
    ("an unknown Host for a public path", "GET", "/login", (), {"host": b"evil.example"}, 421),
    ("an unknown Host for a monitor", "GET", "/health", (), {"host": b"evil.example"}, PASSED),
    ("no Host for a monitor", "GET", "/health", (), {"host": None}, PASSED),
    ("an unknown Host below /health", "GET", "/health/x", (), {"host": b"evil.example"}, 421),
    ("a body", "POST", "/", ((b"content-length", b"3"),), {}, PASSED),
    ("a chunked body", "POST", "/", ((b"transfer-encoding", b"chunked"),), {}, PASSED),
    ("both lengths", "POST", "/", ((b"content-length", b"3"), (b"transfer-encoding", b"chunked")), {}, 400),
    ("two lengths", "POST", "/", ((b"content-length", b"3"), (b"content-length", b"3")), {}, 400),
    ("a length with a sign", "POST", "/", ((b"content-length", b"+3"),), {}, 400),
    ("a length with underscores", "POST", "/", ((b"content-length", b"1_0"),), {}, 400),
    ("an unknown transfer coding", "POST", "/", ((b"transfer-encoding", b"gzip, chunked"),), {}, 400),
    ("chunks in HTTP/1.0", "POST", "/", ((b"transfer-encoding", b"chunked"),), {"http_version": "1.0"}, 400),
    ("a GET with a body", "GET", "/", ((b"content-length", b"3"),), {}, 400),
    ("a GET with chunks", "GET", "/", ((b"transfer-encoding", b"chunked"),), {}, 400),
    ("a GET with length 0", "GET", "/", ((b"content-length", b"0"),), {}, PASSED),
    ("WebSocket", "GET", "/", ((b"upgrade", b"websocket"),), {}, 400),
    ("h2c", "GET", "/", ((b"upgrade", b"h2c"), (b"http2-settings", b"AAMAAABk")), {}, 400),
    ("the absolute form", "GET", "http://evil.example/", (), {}, 400),
    ("an asterisk", "GET", "*", (), {}, 400),
    ("an empty segment", "GET", "//evil.example", (), {}, 400),
    ("a parent directory", "GET", "/static/../api/sessions", (), {}, 400),
    ("an encoded parent directory", "GET", "/static/../api", (), {"raw_path": b"/static/%2e%2e/api"}, 400),
    ("an encoded slash", "GET", "/static/a/b", (), {"raw_path": b"/static/a%2fb"}, 400),
    ("an encoded backslash", "GET", "/static/a\\b", (), {"raw_path": b"/static/a%5Cb"}, 400),
    ("NUL", "GET", "/a\x00", (), {"raw_path": b"/a%00"}, 400),
    ("a trailing newline", "GET", "/api/sessions/x\n", (), {"raw_path": b"/api/sessions/x%0a"}, 400),
    ("a line separator", "GET", "/\u2028", (), {"raw_path": b"/%e2%80%a8"}, 400),
    ("invalid UTF-8", "GET", "/\ufffd", (), {"raw_path": b"/%ff"}, 400),
    ("an incomplete escape", "GET", "/%4", (), {"raw_path": b"/%4"}, 400),
    ("a letter beyond ASCII", "GET", "/ä", (), {"raw_path": b"/%c3%a4"}, PASSED),
]


@pytest.mark.parametrize(("method", "path", "pairs", "more", "expected"), [row[1:] for row in FOR_EVERY_CALLER],
                         ids=[row[0] for row in FOR_EVERY_CALLER])  # fmt: skip
def test_ambiguous_and_unsupported_requests_are_refused(
    method: str, path: str, pairs: tuple[Pair, ...], more: dict[str, Any], expected: int
) -> None:
    assert (status(check(SETTINGS, request_of(method, path, *pairs, **more))) or PASSED) == expected


SITE, ORIGIN = b"sec-fetch-site", b"origin"
LINK = ((b"sec-fetch-mode", b"navigate"), (b"sec-fetch-dest", b"document"))
FRAME = ((b"sec-fetch-mode", b"navigate"), (b"sec-fetch-dest", b"iframe"))
SITES = [
    ("curl", "POST", "/api/sessions", (), PASSED),
    ("our page", "POST", "/api/sessions", ((SITE, b"same-origin"), (ORIGIN, OWN_ORIGIN)), PASSED),
    ("our page on plain HTTP", "POST", "/api/sessions", ((ORIGIN, OWN_ORIGIN),), PASSED),
    ("our plain form under no-referrer", "POST", "/x", ((SITE, b"same-origin"), (ORIGIN, b"null")), PASSED),
    ("the address bar", "GET", "/", ((SITE, b"none"), *LINK), PASSED),
    ("a form of another site", "POST", "/x", ((SITE, b"cross-site"), (ORIGIN, b"https://evil.example")), 403),
    ("fetch by another site", "POST", "/api/sessions", ((ORIGIN, b"https://evil.example"),), 403),
    ("an EventSource of another site", "GET", "/api/x/events", ((ORIGIN, b"https://evil.example"),), 403),
    ("an image of another site", "GET", "/api/sessions", ((SITE, b"cross-site"),), 403),
    ("an image of another site, of a public path", "GET", "/health", ((SITE, b"cross-site"),), 403),
    ("a sandboxed frame", "POST", "/x", ((ORIGIN, b"null"),), 403),
    ("a sandboxed frame with Sec-Fetch-Site", "POST", "/x", ((SITE, b"cross-site"), (ORIGIN, b"null")), 403),
    ("another port of this host", "GET", "/api/sessions", ((SITE, b"same-site"),), 403),
    ("another port's origin", "POST", "/x", ((ORIGIN, b"http://127.0.0.1:3000"),), 403),
    ("another name of this server", "POST", "/x", ((ORIGIN, b"http://localhost:8420"),), 403),
    ("our origin with a suffix", "POST", "/x", ((ORIGIN, OWN_ORIGIN + b".evil.example"),), 403),
    ("our origin with another scheme", "POST", "/x", ((ORIGIN, b"https://127.0.0.1:8420"),), 403),
    ("our origin in capitals", "POST", "/x", ((ORIGIN, b"HTTP://127.0.0.1:8420"),), 403),
    ("a browser extension", "POST", "/x", ((ORIGIN, b"moz-extension://0"),), 403),
    ("two origins", "POST", "/x", ((ORIGIN, OWN_ORIGIN), (ORIGIN, b"https://evil.example")), 400),
    ("a link on another site", "GET", "/sessions/x", ((SITE, b"cross-site"), *LINK), PASSED),
    ("a link on another site to the API", "GET", "/api/sessions", ((SITE, b"cross-site"), *LINK), 403),
    ("a frame of another site", "GET", "/sessions/x", ((SITE, b"cross-site"), *FRAME), 403),
    ("a form of another site, as a navigation", "POST", "/sessions/x", ((SITE, b"cross-site"), *LINK), 403),
]


@pytest.mark.parametrize(("method", "path", "pairs", "expected"), [row[1:] for row in SITES],
                         ids=[row[0] for row in SITES])  # fmt: skip
def test_no_other_site_acts_or_reads_through_a_browser(
    method: str, path: str, pairs: tuple[Pair, ...], expected: int
) -> None:
    assert (status(check(SETTINGS, request_of(method, path, *pairs))) or PASSED) == expected


PROXIED_BY_TLS = (b"x-forwarded-proto", b"https")


@pytest.mark.parametrize(
    ("host", "pairs", "scheme", "expected"),
    [
        (b"127.0.0.1:8399", (), "http", "http://127.0.0.1:8399"),
        (b"127.0.0.1:8399", LINK, "http", "http://127.0.0.1:8399"),
        (b"[::1]:8399", LINK, "http", "http://[::1]:8399"),
        (b"VM:8420", (), "http", "http://vm:8420"),
        (b"vm", (), "http", "http://vm"),
        (b"vm:8443", (), "https", "https://vm:8443"),
        (b"www.example.com", LINK, "http", "https://www.example.com"),
        (b"www.example.com", (PROXIED_BY_TLS,), "http", "https://www.example.com"),
        (b"www.example.com", ((b"x-forwarded-proto", b"<b>"),), "http", "http://www.example.com"),
        (b"a_b:1", (), "http", ""),
        (b"vm:99999", (), "http", ""),
        (b"<script>", (), "http", ""),
        (b'x", "https://evil.example', (), "http", ""),
    ],
)
def test_the_opened_address_is_named_as_the_setting_origins_spells_it(
    host: bytes, pairs: tuple[Pair, ...], scheme: str, expected: str
) -> None:
    settings = replace(SETTINGS, scheme=scheme)
    request = request_of("GET", "/", *pairs, host=host)
    assert opened_origin(settings, request) == expected
    refusal = check(settings, request)
    assert refusal is not None
    assert f'`origins = ["{expected or "https://ops.example.com"}"]`' in refusal.detail
    if expected:
        assert f"This server does not answer for {expected}." in refusal.detail


FORM = (b"content-type", b"application/x-www-form-urlencoded")
LONG = (b"content-length", b"300000")
TOO_LONG = (b"content-length", b"2097153")
FOR_CREDENTIALS = [
    ("anonymous, API", "GET", "/api/sessions", (), None, 401),
    ("anonymous, API, POST of a form", "POST", "/api/sessions", (FORM,), None, 401),
    ("anonymous, a page", "GET", "/sessions/x", (), None, 303),
    ("anonymous, an unknown path", "GET", "/nothing", (), None, 303),
    ("anonymous, a public path with another method", "POST", "/health", (), None, 303),
    ("anonymous, a path that resembles a static file", "GET", "/staticx", (), None, 303),
    ("anonymous, a static file by POST", "POST", "/static/a.css", (), None, 303),
    ("anonymous, a static file", "GET", "/static/a.css", (), None, PASSED),
    ("anonymous, logging in", "POST", "/login", (FORM,), None, PASSED),
    ("token", "POST", "/api/sessions", (JSON,), OWNER, PASSED),
    ("token, JSON in UTF-8", "POST", "/api/x", (JSON_UTF8,), OWNER, PASSED),
    ("token, no body at all", "POST", "/api/sessions/x/cancel", (), OWNER, PASSED),
    ("token, an empty body", "POST", "/api/sessions/x/cancel", ((b"content-length", b"0"),), OWNER, PASSED),
    ("token, a body without a type", "POST", "/api/sessions", ((b"content-length", b"2"),), OWNER, 415),
    ("token, chunks without a type", "POST", "/api/sessions", ((b"transfer-encoding", b"chunked"),), OWNER, 415),
    ("token, a form", "POST", "/api/sessions", (FORM,), OWNER, 415),
    ("token, text", "POST", "/api/sessions", ((b"content-type", b"text/plain"),), OWNER, 415),
    ("token, a type that begins like JSON", "PATCH", "/api/x", ((b"content-type", b"application/jsonx"),), OWNER, 415),
    ("token, JSON in UTF-7", "PATCH", "/api/x", (JSON_UTF7,), OWNER, 415),
    ("cookie without either header", "POST", "/api/sessions", (JSON,), COOKIE, 403),
    ("cookie, from the address bar", "POST", "/api/sessions", (JSON, (SITE, b"none")), COOKIE, 403),
    ("cookie from our page", "POST", "/api/sessions", (JSON, (SITE, b"same-origin")), COOKIE, PASSED),
    ("cookie from our page, plain HTTP", "DELETE", "/api/x", ((ORIGIN, OWN_ORIGIN),), COOKIE, PASSED),
    ("cookie, reading", "GET", "/api/sessions", (), COOKIE, PASSED),
    ("proxy user without either header", "POST", "/api/sessions", (JSON,), PROXY, 403),
    ("read-only, reading", "GET", "/api/sessions", (), READ_ONLY, PASSED),
    ("read-only, acting", "POST", "/api/sessions", (JSON,), READ_ONLY, 403),
    ("read-only, renaming", "PATCH", "/api/sessions/x", (JSON,), READ_ONLY, 403),
    ("read-only, a plain form", "POST", "/sessions/x/turns", (FORM,), READ_ONLY, 403),
    ("read-only, logging out", "POST", "/logout", (FORM,), READ_ONLY, PASSED),
    ("read-only token, a subscription", "POST", "/api/push", (JSON,), READ_ONLY, 403),
    ("read-only login, a subscription", "POST", "/api/push", (JSON, (ORIGIN, OWN_ORIGIN)), WATCHER, PASSED),
    ("read-only login, acting", "POST", "/api/sessions", (JSON, (ORIGIN, OWN_ORIGIN)), WATCHER, 403),
    ("token, reading a copy", "GET", "/hosts/db1/api/sessions", (), OWNER, PASSED),
    ("token, acting on a copy", "POST", "/hosts/db1/api/sessions", (JSON,), OWNER, 403),
    ("anonymous, a copy", "GET", "/hosts/db1/", (), None, 303),
    ("anonymous, the search of a copy", "GET", "/hosts/db1/search", (), None, 303),
    ("anonymous, the sessions of a copy", "GET", "/hosts/db1/api/sessions", (), None, 401),
    ("a long body", "POST", "/api/sessions", (JSON, LONG), OWNER, 413),
    ("a long prompt", "POST", "/api/sessions/x/turns", (JSON, LONG), OWNER, PASSED),
    ("a prompt too long", "POST", "/api/sessions/x/turns", (JSON, TOO_LONG), OWNER, 413),
    ("a login form of 8 KiB", "POST", "/login", (FORM, (b"content-length", b"8192")), None, PASSED),
    ("a longer login form", "POST", "/login", (FORM, (b"content-length", b"8193")), None, 413),
    ("a longer login form with a token", "POST", "/login", (FORM, (b"content-length", b"8193")), OWNER, 413),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "pairs", "who", "expected"), [row[1:] for row in FOR_CREDENTIALS],
                         ids=[row[0] for row in FOR_CREDENTIALS])  # fmt: skip
def test_a_caller_may_do_what_its_credential_allows(
    method: str, path: str, pairs: tuple[Pair, ...], who: Credential | None, expected: int
) -> None:
    request = request_of(method, path, *pairs)
    assert check(SETTINGS, request) is None
    assert (status(admit(SETTINGS, request, who)) or PASSED) == expected


def test_only_these_paths_and_static_files_are_open() -> None:
    assert set(PUBLIC_PATHS) == {"/health", "/login", "/favicon.ico", "/manifest.webmanifest", "/sw.js"}
    assert {path for path, methods in PUBLIC_PATHS.items() if methods - {"GET", "HEAD"}} == {"/login"}


def test_nothing_is_served_outside_the_prefix() -> None:
    settings = replace(SETTINGS, prefix="/bg")
    outside = ["/health", "/static/bg/api/sessions", "/bgx/health", "/x/bg/health", "/bg"]
    assert [status(check(settings, request_of("GET", path, settings=settings))) for path in outside] == [
        400
    ] * 5
    inside = request_of("GET", "/bg/static/bg/api", settings=settings)
    assert (inside.path, check(settings, inside)) == ("/static/bg/api", None)


def test_bound_to_all_addresses_the_connected_address_is_a_valid_host() -> None:
    settings = GuardSettings(map_hosts("0.0.0.0", 8420), is_bound_to_all=True)
    connected: dict[str, Any] = {"server": ("192.0.2.7", 8420), "host": b"192.0.2.7:8420"}
    assert check(settings, request_of("GET", "/", settings=settings, **connected)) is None
    assert (
        check(
            settings,
            request_of("POST", "/", (ORIGIN, b"http://192.0.2.7:8420"), settings=settings, **connected),
        )
        is None
    )
    assert status(check(SETTINGS, request_of("GET", "/", **connected))) == 421
    unknown = connected | {"host": b"192.0.2.8:8420"}
    assert status(check(settings, request_of("GET", "/", settings=settings, **unknown))) == 421
