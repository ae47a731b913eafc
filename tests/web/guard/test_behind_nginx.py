"""The server behind an nginx that names the user, with the configuration of docs/deploy.md."""

import base64
import json
import re
from collections.abc import Iterator

import pytest

from breakglass.store.sessions import Session
from tests.help.commands import curl
from tests.help.proxies import Proxied, proxied
from tests.help.servers import TOKEN
from tests.help.session_logs import output_of
from tests.help.waiting import wait_until


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    folder = tmp_path_factory.mktemp("nginx")
    (folder / "ops.htpasswd").write_text("ann:{PLAIN}secret\n")
    with proxied(folder, "nginx with users", user="ann:secret") as made:
        yield made


def test_behind_nginx_events_name_its_user(nginx: Proxied) -> None:
    session = nginx.send_json("/api/sessions", '{"title":"behind nginx"}')["id"]
    nginx.send_json(f"/api/sessions/{session}/turns", '{"prompt":"echo hello"}')
    log = nginx.server.log(session)
    wait_until(lambda: b'"turn_end"' in log.read_bytes(), "the end of the turn")
    events = [json.loads(line) for line in log.read_bytes().splitlines()]
    assert [event["by"] for event in events if event["kind"] in ("created", "user")] == ["ann", "ann"]


def test_behind_nginx_a_user_header_from_the_client_is_ignored(nginx: Proxied) -> None:
    forged = ("-H", "X-Forwarded-User: root")
    assert " 401 " in nginx.ask("/api/sessions", *forged, user="").splitlines()[0]
    response = nginx.ask("/api/sessions", *forged, "-H", "Sec-Fetch-Site: same-origin", "--json", "{}")
    session = json.loads(response.rpartition("\n\n")[2])["id"]
    assert json.loads(nginx.server.log(session).read_bytes().split(b"\n")[0])["by"] == "ann"


def test_an_agent_of_the_proxys_user_names_no_user_at_the_socket(nginx: Proxied) -> None:
    session = nginx.send_json("/api/sessions", "{}")["id"]
    socket_path = nginx.server.data.parent / "socket"
    words = "-si -H 'X-Forwarded-User: root' http://localhost/breakglass/api/sessions"
    call = f"$(command -v curl) --unix-socket {socket_path} {words}"
    script = f"{call}; env -i {call}; env -i setsid --wait {call}; echo over"
    nginx.send_json(f"/api/sessions/{session}/turns", json.dumps({"prompt": script}))
    log = nginx.server.log(session)
    wait_until(lambda: b'"turn_end"' in log.read_bytes(), "the end of the turn")
    output = output_of(Session(nginx.server.data, session))
    assert re.findall("^HTTP/1.1 ([0-9]+)", output, re.MULTILINE) == ["401", "401", "401"]
    assert "over" in output


def test_behind_nginx_a_stream_has_no_field_for_nginx(nginx: Proxied) -> None:
    session = nginx.send_json("/api/sessions", "{}")["id"]
    with nginx.following(session) as events:
        assert next(events)["kind"] == "created"
    head = nginx.head.read_text().lower()
    assert "content-type: text/event-stream" in head
    assert "x-accel-buffering" not in head, "nginx removes the field that is meant for it"


def test_behind_nginx_another_site_is_refused(nginx: Proxied) -> None:
    foreign = ("-H", "Origin: https://evil.example", "-H", "Sec-Fetch-Site: cross-site", "--json", "{}")
    assert " 403 " in nginx.ask("/api/sessions", *foreign).splitlines()[0]
    silent = nginx.ask("/api/sessions", "--json", "{}")
    assert " 403 " in silent.splitlines()[0], (
        "a proxy user alone does not prove that our page sent the request"
    )
    assert " 421 " in nginx.ask("/", "-H", "Host: evil.example").splitlines()[0]


def test_behind_nginx_every_link_of_a_page_is_below_the_prefix(nginx: Proxied) -> None:
    session = nginx.send_json("/api/sessions", "{}")["id"]
    for path in ("/", f"/sessions/{session}", "/login"):
        page = nginx.ask(path)
        assert page.startswith("HTTP/1.1 200")
        found = re.findall(r'(?:href|src|action|data-prefix|data-static)="(/[^"]*)"', page)
        assert found
        assert [each for each in found if not each.startswith("/breakglass")] == []
        style = re.search(r'href="/breakglass(/static/[^"]*\.css)"', page)
        assert style
        assert nginx.ask(style[1]).startswith("HTTP/1.1 200")
    made = nginx.ask("/api/sessions", "-H", "Sec-Fetch-Site: same-origin", "--json", "{}")
    assert re.search(r"^location: /breakglass/api/sessions/", made, re.MULTILINE | re.IGNORECASE)


def test_behind_nginx_the_token_is_still_valid(nginx: Proxied) -> None:
    socket_path = nginx.server.data.parent / "socket"
    words = ("--unix-socket", str(socket_path), "-H", f"Authorization: Bearer {TOKEN}")
    assert curl(*words, "http://localhost/breakglass/api/sessions").startswith("HTTP/1.1 200")
    assert curl(*words, "http://localhost/api/sessions").startswith("HTTP/1.1 400")
    basic = base64.b64encode(b"root:x").decode()
    assert curl(
        "--unix-socket",
        str(socket_path),
        "-H",
        f"Authorization: Basic {basic}",
        "http://localhost/breakglass/api/sessions",
    ).startswith("HTTP/1.1 401")
