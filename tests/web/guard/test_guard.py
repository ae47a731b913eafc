"""The guard around an application: headers, bodies, wrong tokens, and users that a proxy names."""

import json
from typing import Any

import pytest

from breakglass.access.credentials import Access
from breakglass.web.guard.request import CALLER, Caller
from breakglass.web.http.asgi import Message, Receive, Scope, Send
from breakglass.web.http.headers import SECURITY_HEADERS
from tests.help.clock import Clock
from tests.help.guarded import JSON, OWN_ORIGIN, Guarded, Pair, Response, receive_of, run, scope_of


def test_the_application_gets_the_caller_and_the_whole_body(guarded: Guarded) -> None:
    response = run(
        guarded.client().request(scope_of("POST", "/api/x", JSON, guarded.bearer), b'{"a"', b":1}")
    )
    assert (response.status, response.body, response.is_complete) == (200, b'{"a":1}', True)
    caller = guarded.seen[0][CALLER]
    assert isinstance(caller, Caller)
    assert (caller.origin, caller.address) == (OWN_ORIGIN.decode(), "127.0.0.1")
    assert caller.credential is not None
    assert (caller.credential.name, caller.credential.kind) == ("owner", "token")


def test_a_refused_request_never_reaches_the_application(guarded: Guarded) -> None:
    response = run(guarded.client().request(scope_of("POST", "/api/x", JSON), b"{}"))
    assert (response.status, response[b"www-authenticate"], response[b"connection"]) == (
        401,
        b"Bearer",
        b"close",
    )
    assert response[b"content-type"] == b"application/problem+json"
    problem = json.loads(response.body)
    assert (problem["title"], problem["status"], response.is_complete) == ("Unauthorized", 401, True)
    assert guarded.seen == []


def test_a_page_redirects_an_anonymous_caller_to_the_login(guarded: Guarded) -> None:
    response = run(guarded.client().request(scope_of("GET", "/sessions/x")))
    assert (response.status, response[b"location"]) == (303, b"/login")
    behind = run(guarded.client(prefix="/bg").request(scope_of("GET", "/bg/sessions/x")))
    assert behind[b"location"] == b"/bg/login"


HTML = (b"accept", b"text/html,application/xhtml+xml,*/*;q=0.8")


def test_a_browser_gets_a_refusal_as_a_page(guarded: Guarded) -> None:
    scope = scope_of("GET", "/", HTML, host=b"vm:8399")
    response = run(guarded.client().request(scope))
    assert (response.status, response[b"content-type"]) == (421, b"text/html; charset=utf-8")
    page = response.body.decode()
    assert "<h1>Misdirected Request</h1>" in page
    assert "<code>origins = [&quot;http://vm:8399&quot;]</code>" in page
    evil = run(guarded.client().request(scope_of("POST", "/x", HTML, (b"origin", b"https://evil.example"))))
    assert (evil.status, b"<p>The request comes from another site.</p>" in evil.body) == (403, True)
    markup = run(guarded.client().request(scope_of("GET", "/", HTML, host=b"<script>alert(1)</script>")))
    assert (markup.status, b"<script>" in markup.body) == (421, False)


def test_a_refusal_of_the_api_is_a_problem_for_a_browser_too(guarded: Guarded) -> None:
    response = run(guarded.client().request(scope_of("GET", "/api/x", HTML, host=b"vm:8399")))
    assert (response.status, response[b"content-type"]) == (421, b"application/problem+json")
    assert 'origins = ["http://vm:8399"]' in json.loads(response.body)["detail"]


def cookie_of(guarded: Guarded, **more: Any) -> Pair:
    """Log in as a page does, and return the cookie's header field."""
    value = guarded.access.log_in(guarded.token, address="-", **more) or ""
    return (b"cookie", b"breakglass-8420=" + value.encode())


def test_a_stolen_cookie_reads_but_does_not_act(guarded: Guarded) -> None:
    """A program on another port of this host gets the cookie, and can send any header. It lacks the CSRF token."""
    stolen, origin = cookie_of(guarded, csrf="c" * 64), (b"origin", OWN_ORIGIN)
    for given, expected in ((b"c" * 64, 200), (b"", 403), (b"c" * 63, 403), (b"\xff", 403)):
        for method in ("POST", "PATCH", "DELETE"):
            scope = scope_of(method, "/api/x", JSON, stolen, origin, (b"x-csrf-token", given))
            assert run(guarded.client().request(scope)).status == expected, (method, given)
    assert run(guarded.client().request(scope_of("POST", "/api/x", JSON, stolen, origin))).status == 403
    assert run(guarded.client().request(scope_of("GET", "/api/x", stolen))).status == 200
    plain = cookie_of(guarded)  # a login without scripts
    assert run(guarded.client().request(scope_of("POST", "/api/x", JSON, plain, origin))).status == 200


def test_a_login_in_use_is_renewed_with_its_cookie(guarded: Guarded) -> None:
    clock = Clock()
    guarded.access = Access(guarded.root, now=clock)
    pair = cookie_of(guarded, idle=43_200)
    client = guarded.client()
    assert run(client.request(scope_of("GET", "/x", pair)))[b"set-cookie"] is None
    clock.now += 3600
    assert run(client.request(scope_of("GET", "/static/a.css", pair)))[b"set-cookie"] is None
    renewed = run(client.request(scope_of("GET", "/x", pair)))[b"set-cookie"]
    assert renewed == pair[1] + b"; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"
    assert run(client.request(scope_of("GET", "/x", pair)))[b"set-cookie"] is None
    clock.now += 43_199
    assert run(client.request(scope_of("GET", "/x", pair))).status == 200
    clock.now += 43_200
    assert run(client.request(scope_of("GET", "/x", pair))).status == 303


def test_a_browser_whose_login_has_ended_is_told_to_forget_its_pages(guarded: Guarded) -> None:
    client, pair = guarded.client(), guarded.cookie()
    assert run(client.request(scope_of("GET", "/x", pair)))[b"clear-site-data"] is None
    guarded.access.revoke(guarded.access.logins()[0].id)
    for path, expected in (
        ("/x", (303, None)),
        ("/api/x", (401, b'"cache"')),
    ):  # WebKit hangs with the redirect
        response = run(client.request(scope_of("GET", path, pair)))
        assert (response.status, response[b"clear-site-data"]) == expected
        assert run(client.request(scope_of("GET", path)))[b"clear-site-data"] is None


def test_over_http2_a_refusal_has_no_connection_field(guarded: Guarded) -> None:
    response = run(guarded.client().request(scope_of("GET", "/api/x", http_version="2", scheme="https")))
    assert (response.status, response[b"connection"]) == (401, None)


def test_the_security_headers_are(guarded: Guarded) -> None:
    """Spelled out: each value is a defence, and a weaker one must be seen in a review."""
    guarded.app_headers += [(b"content-type", b"text/html; charset=utf-8")]
    page = run(guarded.client().request(scope_of("GET", "/login")))
    assert dict(page.headers) == {
        b"content-type": b"text/html; charset=utf-8",
        b"content-security-policy": b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        b"font-src 'self'; connect-src 'self'; manifest-src 'self'; worker-src 'self'; form-action 'self'; "
        b"base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types breakglass",
        b"x-content-type-options": b"nosniff",
        b"referrer-policy": b"same-origin",
        b"x-frame-options": b"DENY",
        b"permissions-policy": b"accelerometer=(), camera=(), display-capture=(), "
        b"geolocation=(), gyroscope=(), hid=(), magnetometer=(), microphone=(), midi=(), payment=(), serial=(), "
        b"usb=()",
        b"cross-origin-opener-policy": b"same-origin",
        b"cross-origin-resource-policy": b"same-origin",
        b"cache-control": b"no-store",
    }


async def broken(scope: Scope, receive: Receive, send: Send) -> None:
    raise ZeroDivisionError("/secret/path")


def test_every_response_carries_the_security_headers(guarded: Guarded) -> None:
    guarded.app_headers += [(b"Cache-Control", b"public"), (b"x-frame-options", b"ALLOW")]
    guarded.app_headers += [(b"access-control-allow-origin", b"*")]
    requests = [
        ("GET", "/health"),
        ("GET", "/api/x"),
        ("GET", "/x"),
        ("OPTIONS", "/"),
        ("GET", "/static/../x"),
    ]
    for method, path in requests:
        response = run(guarded.client().request(scope_of(method, path)))
        assert {pair for pair in SECURITY_HEADERS if response[pair[0]] == pair[1]} == set(SECURITY_HEADERS)
        assert response[b"cache-control"] == b"no-store"
        assert response[b"access-control-allow-origin"] is None


@pytest.mark.parametrize(("media_type", "is_document"), [("text/css", False), ("image/svg+xml", True)])
def test_static_styles_and_scripts_carry_what_protects_no_document(
    guarded: Guarded, media_type: str, is_document: bool
) -> None:
    guarded.app_headers += [(b"content-type", media_type.encode() + b"; charset=utf-8")]
    response = run(guarded.client().request(scope_of("GET", "/static/1/a")))
    for name in (b"content-security-policy", b"x-frame-options", b"cross-origin-opener-policy"):
        assert (response[name] is not None) == is_document
    assert response[b"x-content-type-options"] == b"nosniff"
    assert response[b"cross-origin-resource-policy"] == b"same-origin"
    elsewhere = run(guarded.client().request(scope_of("GET", "/health")))
    assert elsewhere[b"content-security-policy"]


def test_an_error_of_the_application_becomes_a_500_without_details(guarded: Guarded) -> None:
    response = Response()
    client = guarded.client(broken)
    with pytest.raises(ZeroDivisionError):
        run(client.guard(scope_of("GET", "/health"), receive_of(()), response))
    assert (response.status, response[b"x-frame-options"]) == (500, b"DENY")
    assert b"secret" not in response.body
    assert b'"detail": "The server made a mistake. Its log has the details."}' in response.body
    assert guarded.entries[-1].status == 500


def test_only_static_files_may_be_cached_and_only_privately(guarded: Guarded) -> None:
    client = guarded.client()
    assert run(client.request(scope_of("GET", "/static/a.css")))[b"cache-control"] == b"private, no-cache"
    guarded.app_headers[:] = [(b"Cache-Control", b"public, max-age=60"), (b"etag", b'"1"')]
    kept = run(client.request(scope_of("GET", "/static/a.css")))
    assert (kept[b"cache-control"], kept[b"etag"]) == (b"private, max-age=60", b'"1"')
    assert run(client.request(scope_of("GET", "/health")))[b"cache-control"] == b"no-store"
    assert run(client.request(scope_of("GET", "/static/../a.css")))[b"cache-control"] == b"no-store"


def test_a_body_is_limited_by_its_received_size(guarded: Guarded) -> None:
    chunked = (b"transfer-encoding", b"chunked")
    pieces = [b"x" * 65536] * 4
    scope = scope_of("POST", "/api/x", JSON, guarded.bearer, chunked)
    assert run(guarded.client().request(dict(scope), *pieces)).status == 200
    assert run(guarded.client().request(dict(scope), *pieces, b"x")).status == 413
    assert len(guarded.seen) == 1


def test_an_incomplete_body_times_out(guarded: Guarded) -> None:
    scope = scope_of("POST", "/api/x", JSON, guarded.bearer, (b"content-length", b"9"))
    response = run(guarded.client(body_seconds=0.02).request(scope, b"{", is_incomplete=True))
    assert (response.status, response[b"connection"], guarded.seen) == (408, b"close", [])


def test_the_right_token_is_never_locked_out(guarded: Guarded) -> None:
    async def guess() -> list[int]:
        client = guarded.client()
        wrong = [scope_of("GET", "/api/x", (b"authorization", b"Bearer " + b"\xff" * n)) for n in range(40)]
        return [
            (await client.request(scope)).status
            for scope in [*wrong, scope_of("GET", "/api/x", guarded.bearer)]
        ]

    assert run(guess()) == [401] * 10 + [429] * 30 + [200]


def test_a_wrong_token_counts_on_every_path(guarded: Guarded) -> None:
    async def guess() -> list[int]:
        client = guarded.client()
        wrong = (b"authorization", b"Bearer wrong")
        return [(await client.request(scope_of("GET", "/login", wrong))).status for _ in range(12)]

    assert run(guess()) == [200] * 10 + [429] * 2


def test_health_is_public_for_a_monitor_with_an_old_token(guarded: Guarded) -> None:
    async def monitor() -> set[int]:
        wrong = (b"authorization", b"Bearer wrong")
        return {(await guarded.client().request(scope_of("GET", "/health", wrong))).status for _ in range(30)}

    assert run(monitor()) == {200}


def test_a_cookie_does_not_replace_a_wrong_bearer_token(guarded: Guarded) -> None:
    wrong = (b"authorization", b"bearer nonsense")
    assert run(guarded.client().request(scope_of("GET", "/api/x", wrong, guarded.cookie()))).status == 401
    basic = (b"authorization", b"Basic Zm9vOmJhcg==")  # a proxy's own password, which it passes on
    assert run(guarded.client().request(scope_of("GET", "/api/x", basic, guarded.cookie()))).status == 200


def test_a_websocket_is_refused(guarded: Guarded) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = scope_of("GET", "/api/x", guarded.bearer, type="websocket", extensions={})
    run(guarded.client().guard(scope, lambda: pytest.fail("the guard read from the socket"), send))
    assert [message["type"] for message in sent] == ["websocket.close"]
    assert guarded.entries[-1].status == 403


PROXIED: dict[str, Any] = {
    "proxies": frozenset({"192.0.2.1", "unix"}),
    "user_header": b"x-user",
    "address_header": b"x-forwarded-for",
}
USER = (b"x-user", b"ann")
USERS = [
    ("from the proxy", "192.0.2.1", (USER,), 200, "ann"),
    ("through its socket", "unix", (USER,), 200, "ann"),
    ("through its socket, as any user", "unix:33", (USER,), 200, "ann"),
    ("by a process of a turn", "turn", (USER,), 401, None),
    ("with a name of ours", "unix:33", ((b"x-user", b"owner"),), 200, "proxy:owner"),
    ("with a name that looks like ours", "unix:33", ((b"x-user", b"proxy:owner"),), 400, None),
    ("from the proxy, as an IPv4-mapped IPv6 address", "::ffff:192.0.2.1", (USER,), 200, "ann"),
    ("beside a wrong token", "192.0.2.1", (USER, (b"authorization", b"Bearer x")), 401, None),
    ("forged", "192.0.2.66", (USER,), 401, None),
    ("forged, twice", "192.0.2.66", (USER, USER), 401, None),
    ("twice", "192.0.2.1", (USER, (b"x-user", b"root")), 400, None),
    ("twice the same", "192.0.2.1", (USER, USER), 400, None),
    ("with a vertical tab", "192.0.2.1", ((b"x-user", b"ann\x0b"),), 400, None),
    ("empty", "192.0.2.1", ((b"x-user", b""),), 401, None),
    ("missing", "192.0.2.1", (), 401, None),
]


@pytest.mark.parametrize(
    ("peer", "pairs", "expected", "by"), [row[1:] for row in USERS], ids=[row[0] for row in USERS]
)
def test_a_proxy_user_counts_only_from_a_listed_peer(
    guarded: Guarded, peer: str, pairs: tuple[Pair, ...], expected: int, by: str | None
) -> None:
    response = run(guarded.client(**PROXIED).request(scope_of("GET", "/api/x", *pairs, peer=peer)))
    assert (response.status, guarded.entries[-1].by) == (expected, by)


@pytest.mark.parametrize(
    ("peer", "expected"), [("unix:33", 200), ("unix:34", 401), ("unix", 401), ("turn", 401)]
)
def test_only_the_listed_user_of_the_socket_is_a_proxy(guarded: Guarded, peer: str, expected: int) -> None:
    client = guarded.client(**PROXIED | {"proxies": frozenset({"unix:33"})})
    assert run(client.request(scope_of("GET", "/api/x", USER, peer=peer))).status == expected


def test_without_the_setting_the_user_header_is_ignored(guarded: Guarded) -> None:
    unnamed = PROXIED | {"user_header": None}
    scope = scope_of("GET", "/api/x", USER, peer="192.0.2.1")
    assert run(guarded.client(**unnamed).request(scope)).status == 401


def test_the_last_forwarded_address_of_a_listed_peer_counts(guarded: Guarded) -> None:
    chain = ((b"x-forwarded-for", b"203.0.113.9, 198.51.100.1"), (b"x-forwarded-for", b"198.51.100.2"))
    client = guarded.client(**PROXIED)
    for peer in ("192.0.2.1", "192.0.2.66"):
        run(client.request(scope_of("GET", "/health", *chain, peer=peer)))
    assert [entry.address for entry in guarded.entries] == ["198.51.100.2", "192.0.2.66"]
