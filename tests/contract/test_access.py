"""Section 5 of the contract: which requests are accepted, and what each credential allows."""

import hashlib
import re
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import urlencode

import pytest

from tests.contract.driver import ANONYMOUS, DataRoot, Server, Stream, serving
from tests.contract.lists import ROUTES

pytestmark = pytest.mark.contract


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose token was generated and is in its data root."""
    data = DataRoot(tmp_path_factory.mktemp("token-file"))
    del data.env["BREAKGLASS_TOKEN"]
    with serving(data, data.ok("token", "show").strip()) as server:
        yield server


class LoginForm(HTMLParser):
    """The form at /login: the fields that it sends by itself, and the one that the user fills in."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.hidden: dict[str, str] = {}
        self.asked = ""
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        field = {name: value or "" for name, value in attrs}
        if tag == "input" and field.get("type") == "hidden":
            self.hidden[field["name"]] = field.get("value", "")
        elif tag == "input":
            self.asked = field["name"]


def log_in(server: Server, token: str) -> dict[str, str]:
    """Log in as a browser without JavaScript does, and return the headers that it sends from then on."""
    form = LoginForm(server.ask("GET", "/login", headers=ANONYMOUS).body)
    sent = urlencode({**form.hidden, form.asked: token}).encode()
    headers = {**ANONYMOUS, "Content-Type": "application/x-www-form-urlencoded"}
    cookie = server.ask("POST", "/login", sent, headers).headers["set-cookie"].partition(";")[0]
    return {**ANONYMOUS, "Cookie": cookie, "Origin": f"http://127.0.0.1:{server.port}"}


def status(server: Server, headers: dict[str, str]) -> int:
    return server.ask("GET", "/api/sessions", headers=headers).status


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_a_login_address_holds_a_code_that_logs_in_once_instead_of_the_token(server: Server) -> None:
    server.program.wait_for(rb"To log in: breakglass login\n")
    address = server.data.ok("login").strip()
    assert re.fullmatch(rf"http://127\.0\.0\.1:{server.port}/login#code=\S+", address)
    assert server.token not in address
    sent = urlencode({"code": address.partition("#code=")[2]}).encode()
    headers = {**ANONYMOUS, "Content-Type": "application/x-www-form-urlencoded"}
    responses = [server.ask("POST", "/login", sent, headers) for _ in range(2)]
    assert [response.status for response in responses] == [303, 401]
    cookie = responses[0].headers["set-cookie"].partition(";")[0]
    assert status(server, {**ANONYMOUS, "Cookie": cookie}) == 200


def test_without_a_credential_the_api_is_401_and_a_page_redirects_to_login(server: Server) -> None:
    assert [status(server, headers) for headers in (ANONYMOUS, bearer("w" * 43))] == [401, 401]
    page = server.ask("GET", "/", headers=ANONYMOUS)
    assert (page.status // 100, page.headers["location"]) == (3, "/login")


def test_a_login_cookie_replaces_the_token_until_it_is_revoked(server: Server) -> None:
    cookie = log_in(server, server.token)
    assert server.ask("POST", "/api/sessions", {}, cookie).status == 201
    kept, value = (server.data.root / "logins.jsonl").read_text(), cookie["Cookie"].partition("=")[2]
    assert hashlib.sha256(value.encode()).hexdigest() in kept
    assert value not in kept
    login = server.data.ok("logins").split()[0]
    server.data.ok("logins", "--revoke", login)
    assert status(server, cookie) == 401
    assert server.data.run("logins", "--revoke", login).returncode == 1


@pytest.mark.parametrize("by_cookie", [False, True])
def test_the_read_only_token_can_read_and_change_nothing(server: Server, by_cookie: bool) -> None:
    session, token = server.new(), server.data.ok("token", "show", "--read-only").strip()
    watcher = log_in(server, token) if by_cookie else bearer(token)
    assert status(server, watcher) == 200
    with Stream(server, session, headers=watcher) as stream:
        assert len(stream.replay()) == 1
    for method, path in ROUTES:
        if method != "GET" and not (path == "/api/push" and by_cookie):  # it changes only this login
            response = server.ask(method, path.format(id=session, queued=1, name="disks"), {}, watcher)
            assert response.status == 403, (method, path)
    assert len(server.data.lines(session)) == 1


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]"])
def test_all_names_of_loopback_are_one_host(server: Server, name: str) -> None:
    assert status(server, {"Host": f"{name}:{server.port}"}) == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{}", "127.0.0.1:1", "127.0.0.1.example:{}"])
def test_another_host_is_421_even_with_the_token(server: Server, host: str) -> None:
    assert status(server, {"Host": host.format(server.port)}) == 421


@pytest.mark.parametrize(
    ("name", "value"),
    [("Origin", "https://evil.example"), ("Origin", "null"), ("Sec-Fetch-Site", "cross-site")],
)
def test_a_request_from_another_site_is_403_even_with_the_token(
    server: Server, name: str, value: str
) -> None:
    assert status(server, {name: value}) == 403
    assert server.ask("POST", "/api/sessions", {}, {name: value}).status == 403


def test_a_user_header_from_a_peer_that_is_no_listed_proxy_is_ignored(server: Server) -> None:
    assert status(server, {**ANONYMOUS, "X-User": "ann", "X-Forwarded-User": "ann"}) == 401


def test_rotating_the_token_ends_its_logins_and_streams_within_15_seconds(server: Server) -> None:
    session, old, cookie = server.new(), bearer(server.token), log_in(server, server.token)
    with Stream(server, session, headers=old) as first, Stream(server, session, headers=cookie) as second:
        assert [len(stream.replay()) for stream in (first, second)] == [1, 1]
        rotated = time.monotonic()
        server.token = server.data.ok("token", "rotate").strip()
        assert [stream.frame() for stream in (first, second)] == [b"", b""]
        assert time.monotonic() - rotated < 15
    assert [status(server, headers) for headers in (old, cookie, bearer(server.token))] == [401, 401, 200]
