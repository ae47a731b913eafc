"""The door of a real server: its settings, its credentials, TLS, a Unix socket, and nginx in front."""

import base64
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from breakglass.access.credentials import Access
from breakglass.config import Config
from breakglass.web.app import create_app
from tests.help.servers import PATIENCE, TOKEN, Server, environment, serving, wait_until

README = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")


def cli(data: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "breakglass", *words],
        env={key: value for key, value in environment(data, **env).items() if value},
        cwd=data.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def curl(*words: str) -> str:
    """Return what curl prints: the head of the answer and its body."""
    done = subprocess.run(
        ["curl", "-sS", "-i", "--max-time", "20", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode in (0, 28), done.stderr
    return done.stdout


def certificate(folder: Path) -> tuple[Path, Path]:
    """Return a certificate for localhost and ops.example.com, and its key."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    )
    names = "subjectAltName=DNS:localhost,DNS:ops.example.com,IP:127.0.0.1"
    subprocess.run(
        [*command.split(), "-addext", names, "-keyout", key, "-out", cert], check=True, capture_output=True
    )
    return cert, key


# --- where it listens -----------------------------------------------------------------------------


def test_beyond_loopback_it_refuses_to_start_and_says_how_to_allow_it(tmp_path: Path) -> None:
    done = cli(tmp_path / "var", "serve", "--host", "0.0.0.0", "--port", "0")
    assert done.returncode == 2
    assert re.search("--tls-cert.*proxies.*--allow-plain", done.stderr)
    assert len(done.stderr.splitlines()) == 1


def test_an_explicit_word_allows_it_and_the_address_can_be_opened_from_elsewhere(tmp_path: Path) -> None:
    with serving(tmp_path / "var", "--host", "0.0.0.0", "--allow-plain") as server:
        assert "0.0.0.0" not in server.printed
        assert server.ask("GET", "/health")[0] == 200
        assert server.ask("GET", "/health", headers={"Host": "evil.example"})[0] == 421


def test_tls_of_its_own_speaks_http2_and_binds_the_cookie_to_it(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    words = ("--host", "localhost", "--tls-cert", str(cert), "--tls-key", str(key))
    with serving(tmp_path / "var", *words, BREAKGLASS_TOKEN="") as server:
        token = cli(tmp_path / "var", "token", "show", BREAKGLASS_TOKEN="").stdout.strip()
        at, trust = f"https://localhost:{server.port}", ("--cacert", str(cert))
        wait_until(lambda: "Log in at" in server.printed, "the login address")
        assert f"Log in at {at}/login#{token}" in server.printed
        assert curl("--http2", *trust, f"{at}/health").startswith("HTTP/2 200")
        answer = curl("--http2", *trust, "-d", f"token={token}", "-H", f"Origin: {at}", f"{at}/login")
        cookie = re.search(r"^set-cookie: (.*)$", answer, re.MULTILINE)
        assert cookie
        assert cookie[1].startswith(f"__Host-breakglass-{server.port}=")
        assert cookie[1].endswith("; Path=/; Max-Age=2592000; HttpOnly; SameSite=Strict; Secure")
        with_cookie = ("-H", f"Cookie: {cookie[1].partition(';')[0]}")
        assert curl("--http2", *trust, *with_cookie, f"{at}/").startswith("HTTP/2 200")
        made = curl(
            "--http2", *trust, "-H", f"Authorization: Bearer {token}", "--json", "{}", f"{at}/api/sessions"
        )
        session = json.loads(made.partition("\n\n")[2])["id"]
        stream = curl(
            *("--http2", "-N", "--max-time", "2", *trust, *with_cookie, "-H", "Accept: text/event-stream"),
            f"{at}/api/sessions/{session}/events",
        )
        assert "event: caught-up" in stream
        refused = subprocess.run(
            ["curl", "-sS", f"http://localhost:{server.port}/health"], capture_output=True, check=False
        )
        assert b'"ok"' not in refused.stdout


def test_a_unix_socket_is_served_and_is_ours_alone(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with serving(tmp_path / "var", "--socket", str(path)) as server:
        assert f"Breakglass is at {path}" in server.printed
        assert path.stat().st_mode & 0o777 == 0o600
        assert curl("--unix-socket", str(path), "http://localhost/health").startswith("HTTP/1.1 200")
        assert curl("--unix-socket", str(path), "http://localhost/api/sessions").startswith("HTTP/1.1 401")
        assert curl("--unix-socket", str(path), "http://evil.example/health").startswith("HTTP/1.1 421")


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"BREAKGLASS_TLS_CERT": "cert.pem"}, "expected both or neither"),
        ({"BREAKGLASS_TLS_CERT": "no.pem", "BREAKGLASS_TLS_KEY": "no.pem"}, "no certificate with its key"),
        ({"BREAKGLASS_ORIGINS": "ops.example.com"}, "expected https://NAME"),
        ({"BREAKGLASS_ORIGINS": "https://ops.example.com/"}, "expected https://NAME"),
        ({"BREAKGLASS_PREFIX": "breakglass"}, "a path such as /breakglass"),
        ({"BREAKGLASS_PREFIX": "/a/../b"}, "a path such as /breakglass"),
        ({"BREAKGLASS_PROXIES": "10.0.0.0/8"}, "IP addresses"),
        ({"BREAKGLASS_PROXY_USER_HEADER": "X-User"}, "expected proxies as well"),
        ({"BREAKGLASS_PROXIES": "127.0.0.1", "BREAKGLASS_PROXY_USER_HEADER": "X User"}, "name of a header"),
        ({"BREAKGLASS_ALLOW_PLAIN": "perhaps"}, "true or false"),
        ({"BREAKGLASS_TOKEN": "a short one"}, "is no token"),
    ],
)
def test_a_setting_of_the_door_that_is_wrong_refuses_to_start(
    tmp_path: Path, env: dict[str, str], said: str
) -> None:
    done = cli(tmp_path / "var", "serve", "--port", "0", **env)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert said in done.stderr
    assert "a short one" not in done.stderr


# --- credentials ----------------------------------------------------------------------------------


def ask_as(token: str, server: Server, method: str, path: str, body: Any = None) -> int:
    return server.ask(method, path, body, {"Authorization": f"Bearer {token}"})[0]


def test_a_new_token_ends_the_old_one_its_logins_and_its_open_streams_within_15_s(tmp_path: Path) -> None:
    data = tmp_path / "var"
    with serving(data, BREAKGLASS_TOKEN="") as server:
        old = cli(data, "token", "show", BREAKGLASS_TOKEN="").stdout.strip()
        made = server.ask("POST", "/api/sessions", {}, {"Authorization": f"Bearer {old}"})[1]
        connection = server.connection()
        headers = {"Authorization": f"Bearer {old}", "Accept": "text/event-stream"}
        connection.request("GET", f"/api/sessions/{made['id']}/events", headers=headers)
        stream = connection.getresponse()
        assert stream.status == 200
        new = cli(data, "token", "rotate", BREAKGLASS_TOKEN="").stdout.strip()
        began = time.monotonic()
        assert (ask_as(old, server, "GET", "/api/sessions"), ask_as(new, server, "GET", "/api/sessions")) == (
            401,
            200,
        )
        assert b"event: caught-up" in stream.read()  # returns when the stream has ended
        assert time.monotonic() - began < 15
        connection.close()


def test_a_login_is_listed_with_where_it_came_from_and_ends_when_revoked(tmp_path: Path) -> None:
    data = tmp_path / "var"
    with serving(data) as server:
        at = server.address
        jar = ("-b", str(tmp_path / "jar"), "-c", str(tmp_path / "jar"), "-A", "Phone\x1b[2J")
        curl(*jar, "-d", f"token={TOKEN}", "-H", f"Origin: {at}", f"{at}/login")
        assert curl(*jar, f"{at}/").startswith("HTTP/1.1 200")
        (row,) = cli(data, "logins").stdout.splitlines()
        assert re.fullmatch(r"[0-9a-f]{8}  .* UTC  owner +full +127\.0\.0\.1 +Phone", row)
        (void,) = cli(data, "logins", BREAKGLASS_TOKEN="another" * 8).stdout.splitlines()
        assert "void, by another token" in void
        assert cli(data, "logins", "--revoke", row[:8]).returncode == 0
        assert curl(*jar, f"{at}/").startswith("HTTP/1.1 303")
        again = cli(data, "logins", "--revoke", row[:8])
        assert (again.returncode, "there is no login" in again.stderr) == (1, True)


def test_who_watches_sees_everything_and_may_do_nothing(tmp_path: Path) -> None:
    data = tmp_path / "var"
    watcher = cli(data, "token", "show", "--read-only").stdout.strip()
    with serving(data) as server:
        session = server.new_session()
        server.prompt(session, "echo hello")
        server.ended(session)
        base = f"/api/sessions/{session}"
        for path in ("/api/sessions", base, f"{base}/events", "/", f"/sessions/{session}"):
            assert ask_as(watcher, server, "GET", path) == 200
        lines = server.log(session).read_bytes()
        for method, path, body in (
            ("POST", "/api/sessions", {}),
            ("PATCH", base, {"title": "mine"}),
            ("POST", f"{base}/turns", {"prompt": "id"}),
            ("POST", f"{base}/cancel", {}),
            ("POST", f"{base}/answers", {"request": "r", "allow": True}),
            ("DELETE", f"{base}/queue/2", None),
            ("POST", "/sessions", {}),
            ("POST", f"/sessions/{session}/turns", {}),
        ):
            assert ask_as(watcher, server, method, path, body) == 403, path
        assert server.log(session).read_bytes() == lines
        page = server.ask("GET", f"/sessions/{session}", headers={"Authorization": f"Bearer {watcher}"})[
            1
        ].decode()
        assert "You are watching" in page
        assert '<form id="box" hidden' in page


def test_the_token_is_shown_and_changed_and_a_set_one_is_not_changed_here(tmp_path: Path) -> None:
    data = tmp_path / "var"
    shown = cli(data, "token", "show", BREAKGLASS_TOKEN="").stdout
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}\n", shown)
    assert cli(data, "token", "show", BREAKGLASS_TOKEN="").stdout == shown
    rotated = cli(data, "token", "rotate", BREAKGLASS_TOKEN="").stdout
    assert rotated != shown
    assert rotated == (data / "token").read_text()
    watch = cli(data, "token", "show", "--read-only", BREAKGLASS_TOKEN="").stdout
    assert watch == (data / "token.readonly").read_text() != rotated
    assert cli(data, "token", "show").stdout == f"{TOKEN}\n"
    refused = cli(data, "token", "rotate")
    assert (refused.returncode, "BREAKGLASS_TOKEN" in refused.stderr, TOKEN in refused.stderr) == (
        2,
        True,
        False,
    )
    assert cli(data, "token").returncode == 2


def test_a_login_address_can_be_had_as_a_qr_code(tmp_path: Path) -> None:
    env = {
        "BREAKGLASS_TOKEN": "",
        "BREAKGLASS_ORIGINS": "https://ops.example.com",
        "BREAKGLASS_PREFIX": "/door",
    }
    token, login, *code = cli(tmp_path / "var", "token", "show", "--qr", **env).stdout.splitlines()
    assert login == f"https://ops.example.com/door/login#{token}"
    assert len(code) > 10
    assert set("".join(code)) <= set(" ▀▄█")


# --- the record -----------------------------------------------------------------------------------


def test_the_access_log_says_who_did_what_from_where_and_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "access.jsonl"
    with serving(tmp_path / "var", BREAKGLASS_ACCESS_LOG=str(path)) as server:
        session = server.new_session()
        server.ask("GET", f"/api/sessions/{session}/events?after=1&token={TOKEN}")
        server.ask("GET", "/api/sessions", headers={"Authorization": "Bearer wrong"})
        server.ask("GET", "/%0a%22by%22", headers={"Authorization": "Bearer wrong"})
        wait_until(lambda: path.read_bytes().count(b"\n") == 4, "a line an answer")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(row["by"], row["from"], row["method"], row["status"]) for row in rows] == [
        ("owner", "127.0.0.1", "POST", 201),
        ("owner", "127.0.0.1", "GET", 200),
        (None, "127.0.0.1", "GET", 401),
        (None, "127.0.0.1", "GET", 400),
    ]
    assert TOKEN not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_access_log_may_go_to_standard_error(tmp_path: Path) -> None:
    with serving(tmp_path / "var", BREAKGLASS_ACCESS_LOG="-") as server:
        server.ask("GET", "/health")
        wait_until(lambda: '"path":"/health","status":200' in server.printed, "the line")


# --- nginx in front -------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def block(language: str, word: str) -> str:
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return next(each for each in found if word in each)


@contextmanager
def nginx(folder: Path, port: int) -> Iterator[None]:
    """Run nginx with the README's configuration, its places put into `folder`."""
    cert, key = certificate(folder)
    (folder / "htpasswd").write_text("ann:{PLAIN}secret\n")
    text = block("nginx", "proxy_pass")
    for said, here in (
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("/etc/nginx/ops.pem", str(cert)),
        ("/etc/nginx/ops.key", str(key)),
        ("/etc/nginx/ops.htpasswd", str(folder / "htpasswd")),
        ("/run/breakglass/socket", str(folder / "socket")),
    ):
        assert said in text
        text = text.replace(said, here)
    places = "".join(
        f"{name}_temp_path {folder / name};\n" for name in "client_body proxy fastcgi uwsgi scgi".split()
    )
    user = "user root;\n" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user}daemon off;\nmaster_process on;\nworker_processes 1;\npid {folder / 'nginx.pid'};\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{places}{text}}}\n"
    )
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin") or "nginx"
    words = [program, "-p", str(folder), "-e", str(folder / "errors"), "-c", str(folder / "nginx.conf")]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: process.poll() is not None or _answers(port), "nginx")
        assert process.poll() is None, process.communicate()
        yield
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


def _answers(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


class Proxied:
    """The server behind nginx, and curl as somebody far away."""

    def __init__(self, folder: Path, port: int, server: Server) -> None:
        self.server = server
        self.at = f"https://ops.example.com:{port}/breakglass"
        self._always = (
            *("--resolve", f"ops.example.com:{port}:127.0.0.1", "--cacert", str(folder / "cert.pem")),
            "-N",
        )

    def ask(self, path: str, *words: str, user: str = "ann:secret") -> str:
        return curl(*self._always, *(("-u", user) if user else ()), *words, f"{self.at}{path}")

    def act(self, path: str, body: str) -> dict[str, Any]:
        """Send JSON as our own page would and return the JSON of the answer."""
        answer = self.ask(path, "-H", "Sec-Fetch-Site: same-origin", "--json", body)
        found: dict[str, Any] = json.loads(answer.rpartition("\n\n")[2])
        return found


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    settings = block("toml", "proxy_user_header").replace("/run/breakglass/socket", str(folder / "socket"))
    settings = settings.replace("https://ops.example.com", f"https://ops.example.com:{port}")
    (folder / "breakglass.toml").write_text(settings)
    with serving(folder / "var", "--config", str(folder / "breakglass.toml")) as server, nginx(folder, port):
        yield Proxied(folder, port, server)


def test_behind_nginx_its_user_is_who_acts(proxied: Proxied) -> None:
    session = proxied.act("/api/sessions", '{"title":"far away"}')["id"]
    proxied.act(f"/api/sessions/{session}/turns", '{"prompt":"echo hello"}')
    log = proxied.server.log(session)
    wait_until(lambda: b'"turn_end"' in log.read_bytes(), "the turn's end")
    events = [json.loads(line) for line in log.read_bytes().splitlines()]
    assert [event["by"] for event in events if event["kind"] in ("created", "user")] == ["ann", "ann"]


def test_behind_nginx_a_user_that_a_client_names_is_nobody(proxied: Proxied) -> None:
    forged = ("-H", "X-Forwarded-User: root")
    assert " 401 " in proxied.ask("/api/sessions", *forged, user="").splitlines()[0]
    answer = proxied.ask("/api/sessions", *forged, "-H", "Sec-Fetch-Site: same-origin", "--json", "{}")
    session = json.loads(answer.rpartition("\n\n")[2])["id"]
    assert json.loads(proxied.server.log(session).read_bytes().split(b"\n")[0])["by"] == "ann"


def test_behind_nginx_events_come_as_they_are_appended(proxied: Proxied) -> None:
    session = proxied.act("/api/sessions", "{}")["id"]
    proxied.act(f"/api/sessions/{session}/turns", '{"prompt":"echo one; sleep 4; echo two"}')
    seen = proxied.ask(
        f"/api/sessions/{session}/events", "-H", "Accept: text/event-stream", "--max-time", "2"
    )
    assert '"output":"one\\n"' in seen, "it came while the turn was running"
    assert "two" not in seen.replace("echo two", "")
    assert "x-accel-buffering" not in seen.lower(), "that word was for nginx"


def test_behind_nginx_another_site_is_refused(proxied: Proxied) -> None:
    foreign = ("-H", "Origin: https://evil.example", "-H", "Sec-Fetch-Site: cross-site", "--json", "{}")
    assert " 403 " in proxied.ask("/api/sessions", *foreign).splitlines()[0]
    silent = proxied.ask("/api/sessions", "--json", "{}")
    assert " 403 " in silent.splitlines()[0], "a proxy's user shows no intent"
    assert " 421 " in proxied.ask("/", "-H", "Host: evil.example").splitlines()[0]


def test_below_a_prefix_every_address_of_a_page_is_below_it(proxied: Proxied) -> None:
    session = proxied.act("/api/sessions", "{}")["id"]
    for path in ("/", f"/sessions/{session}", "/login"):
        page = proxied.ask(path)
        assert page.startswith("HTTP/1.1 200")
        found = re.findall(r'(?:href|src|action|data-root|data-static)="(/[^"]*)"', page)
        assert found
        assert [each for each in found if not each.startswith("/breakglass")] == []
        style = re.search(r'href="/breakglass(/static/[^"]*\.css)"', page)
        assert style
        assert proxied.ask(style[1]).startswith("HTTP/1.1 200")
    made = proxied.ask("/api/sessions", "-H", "Sec-Fetch-Site: same-origin", "--json", "{}")
    assert re.search(r"^location: /breakglass/api/sessions/", made, re.MULTILINE | re.IGNORECASE)


def test_behind_nginx_the_token_still_opens(proxied: Proxied) -> None:
    socket_path = proxied.server.data.parent / "socket"
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


# --- what is closed -------------------------------------------------------------------------------

OPEN = {
    ("GET", "/health"),
    ("GET", "/login"),
    ("POST", "/login"),
    ("GET", "/static/<version>/<name>"),
    ("GET", "/sw.js"),
    ("GET", "/manifest.webmanifest"),
    ("GET", "/favicon.ico"),
}
"""All that a stranger gets an answer from."""


def test_every_route_but_a_handful_is_closed_to_strangers(tmp_path: Path) -> None:
    root = tmp_path / "routes"
    root.mkdir(mode=0o700)
    rules = [*create_app(Config(data=root), Access(root, token=TOKEN)).url_map.iter_rules()]
    assert len(rules) > 20
    stranger = {"Authorization": "", "Sec-Fetch-Site": "same-origin"}
    with serving(tmp_path / "var") as server:
        session = server.new_session()
        log = server.log(session).read_bytes()
        for rule in rules:
            path = re.sub(r"<session_id>", session, rule.rule)
            path = re.sub(r"<[a-z_]+>", "1", path)
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                body: dict[str, Any] | None = None if method in ("GET", "DELETE") else {}
                status = server.ask(method, path, body, stranger)[0]
                if (method, rule.rule) in OPEN:
                    assert status in (200, 401, 404), (method, path)
                else:
                    assert status == (401 if path.startswith("/api") else 303), (method, path)
        for method in ("OPTIONS", "TRACE", "PUT", "CONNECT", "BREW"):
            assert server.ask(method, "/api/sessions", None, stranger)[0] in (400, 405)
        assert server.log(session).read_bytes() == log


def test_the_token_is_nowhere_but_in_its_file(tmp_path: Path) -> None:
    data, record = tmp_path / "var", tmp_path / "access.jsonl"
    with serving(data, BREAKGLASS_TOKEN="", BREAKGLASS_ACCESS_LOG=str(record)) as server:
        token = (data / "token").read_text().strip()
        bearer = {"Authorization": f"Bearer {token}"}
        session = server.ask("POST", "/api/sessions", {}, bearer)[1]["id"]
        jar, at = ("-c", str(tmp_path / "jar"), "-b", str(tmp_path / "jar")), server.address
        answer = curl(*jar, "-d", f"token={token}", "-H", f"Origin: {at}", f"{at}/login")
        page = curl(*jar, f"{at}/sessions/{session}")
        server.ask("POST", f"/api/sessions/{session}/turns", {"prompt": "env; ps axww -o args"}, bearer)
        wait_until(lambda: b'"turn_end"' in server.log(session).read_bytes(), "the turn's end")
        command = Path(f"/proc/{server.process.pid}/cmdline").read_text()
        said = [answer, page, command, record.read_text(), (data / "logins.jsonl").read_text()]
        said.append(server.log(session).read_text())
    assert [text for text in said if token in text] == []
    assert page.startswith("HTTP/1.1 200")
    assert "referrer-policy: no-referrer" in page


def test_of_an_error_no_traceback_and_no_path_is_told(tmp_path: Path) -> None:
    with serving(tmp_path / "var") as server:
        session = server.new_session()
        server.log(session).unlink()
        server.log(session).mkdir()
        for path in (
            f"/api/sessions/{session}",
            f"/api/sessions/{session}/events",
            f"/sessions/{session}",
            "/no",
        ):
            status, body, headers = server.ask("GET", path)
            assert 400 <= status < 600
            assert not re.search(rf"Traceback|\.py\b|{re.escape(str(tmp_path))}", str(body))
            assert headers["cache-control"] == "no-store"
            assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "name",
    ["..", "%2e%2e", "..%2f..%2ftoken", "%00", "{id}%0a", "{id}/../{id}", "{ID}", "{id}.", "link"],
)
def test_a_sessions_id_is_never_a_path(name: str, tmp_path: Path) -> None:
    with serving(tmp_path / "var") as server:
        session = server.new_session()
        (tmp_path / "var" / "sessions" / "link").symlink_to(tmp_path / "var" / "sessions" / session)
        name = name.replace("{id}", session).replace("{ID}", session.upper())
        assert server.ask("GET", f"/api/sessions/{name}")[0] in (400, 404)
        assert server.ask("POST", f"/api/sessions/{name}/turns", {"prompt": "id"})[0] in (400, 404)


@pytest.mark.parametrize("mode", [0o777, 0o750, 0o701])
def test_a_data_root_on_which_others_have_rights_refuses_to_start(mode: int, tmp_path: Path) -> None:
    data = tmp_path / "var"
    data.mkdir()
    data.chmod(mode)
    done = cli(data, "serve", "--port", "0")
    assert done.returncode == 2
    assert "chmod 700" in done.stderr


def test_whatever_the_umask_nobody_else_may_read_what_is_written(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with serving(
            tmp_path / "var", BREAKGLASS_TOKEN="", BREAKGLASS_ACCESS_LOG=str(tmp_path / "var/access")
        ) as server:
            token = (tmp_path / "var/token").read_text().strip()
            bearer = {"Authorization": f"Bearer {token}"}
            session = server.ask("POST", "/api/sessions", {}, bearer)[1]["id"]
            server.ask("POST", f"/api/sessions/{session}/turns", {"prompt": "echo mine > file"}, bearer)
            wait_until(lambda: b'"turn_end"' in server.log(session).read_bytes(), "the turn's end")
            curl("-d", f"token={token}", "-H", f"Origin: {server.address}", f"{server.address}/login")
    finally:
        os.umask(before)
    assert (tmp_path / "var").stat().st_mode & 0o077 == 0, "nobody else gets in at all"
    for path in (tmp_path / "var").rglob("*"):
        if "workspaces" not in path.parts:
            assert path.lstat().st_mode & 0o077 == 0, path
