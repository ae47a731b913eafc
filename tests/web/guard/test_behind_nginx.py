"""The server behind nginx, with the configuration of docs/deploy.md."""

import base64
import getpass
import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from breakglass.store.sessions import Session
from tests.help.commands import curl, make_certificate
from tests.help.servers import TOKEN, Server, serving
from tests.help.session_logs import output_of
from tests.help.waiting import DEADLINE, wait_until

DEPLOY = (Path(__file__).parents[3] / "docs" / "deploy.md").read_text(encoding="utf-8")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def block(language: str, word: str) -> str:
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```$", DEPLOY, re.MULTILINE | re.DOTALL)
    return next(each for each in found if word in each)


@contextmanager
def nginx(folder: Path, port: int) -> Iterator[None]:
    """Run nginx with the configuration of docs/deploy.md, its paths replaced by paths in `folder`."""
    cert, key = make_certificate(folder)
    (folder / "htpasswd").write_text("ann:{PLAIN}secret\n")
    text = block("nginx", "X-Forwarded-User")
    for in_readme, here in (
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("/etc/nginx/ops.pem", str(cert)),
        ("/etc/nginx/ops.key", str(key)),
        ("/etc/nginx/ops.htpasswd", str(folder / "htpasswd")),
        ("/run/breakglass/socket", str(folder / "socket")),
    ):
        assert in_readme in text
        text = text.replace(in_readme, here)
    temporary_paths = "".join(
        f"{name}_temp_path {folder / name};\n" for name in "client_body proxy fastcgi uwsgi scgi".split()
    )
    user = "user root;\n" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user}daemon off;\nmaster_process on;\nworker_processes 1;\npid {folder / 'nginx.pid'};\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{temporary_paths}{text}}}\n"
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
        process.communicate(timeout=DEADLINE)


def _answers(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


class Proxied:
    """The server behind nginx, and curl as its client."""

    def __init__(self, folder: Path, port: int, server: Server) -> None:
        self.server = server
        self.at = f"https://ops.example.com:{port}/breakglass"
        self._always = (
            *("--resolve", f"ops.example.com:{port}:127.0.0.1", "--cacert", str(folder / "cert.pem")),
            "-N",
        )

    def ask(self, path: str, *words: str, user: str = "ann:secret") -> str:
        return curl(*self._always, *(("-u", user) if user else ()), *words, f"{self.at}{path}")

    def send_json(self, path: str, body: str) -> dict[str, Any]:
        """Send JSON as our own page does, and return the JSON of the response."""
        response = self.ask(path, "-H", "Sec-Fetch-Site: same-origin", "--json", body)
        found: dict[str, Any] = json.loads(response.rpartition("\n\n")[2])
        return found


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    settings = block("toml", "proxy_user_header").replace("/run/breakglass/socket", str(folder / "socket"))
    settings = settings.replace("https://ops.example.com", f"https://ops.example.com:{port}")
    assert '"unix:www-data"' in settings
    settings = settings.replace("unix:www-data", f"unix:{getpass.getuser()}")
    (folder / "breakglass.toml").write_text(settings)
    with serving(folder / "var", "--config", str(folder / "breakglass.toml")) as server, nginx(folder, port):
        yield Proxied(folder, port, server)


def test_behind_nginx_events_name_its_user(proxied: Proxied) -> None:
    session = proxied.send_json("/api/sessions", '{"title":"behind nginx"}')["id"]
    proxied.send_json(f"/api/sessions/{session}/turns", '{"prompt":"echo hello"}')
    log = proxied.server.log(session)
    wait_until(lambda: b'"turn_end"' in log.read_bytes(), "the end of the turn")
    events = [json.loads(line) for line in log.read_bytes().splitlines()]
    assert [event["by"] for event in events if event["kind"] in ("created", "user")] == ["ann", "ann"]


def test_behind_nginx_a_user_header_from_the_client_is_ignored(proxied: Proxied) -> None:
    forged = ("-H", "X-Forwarded-User: root")
    assert " 401 " in proxied.ask("/api/sessions", *forged, user="").splitlines()[0]
    response = proxied.ask("/api/sessions", *forged, "-H", "Sec-Fetch-Site: same-origin", "--json", "{}")
    session = json.loads(response.rpartition("\n\n")[2])["id"]
    assert json.loads(proxied.server.log(session).read_bytes().split(b"\n")[0])["by"] == "ann"


def test_an_agent_of_the_proxys_user_names_no_user_at_the_socket(proxied: Proxied) -> None:
    session = proxied.send_json("/api/sessions", "{}")["id"]
    socket_path = proxied.server.data.parent / "socket"
    words = "-si -H 'X-Forwarded-User: root' http://localhost/breakglass/api/sessions"
    call = f"$(command -v curl) --unix-socket {socket_path} {words}"
    script = f"{call}; env -i {call}; env -i setsid --wait {call}; echo over"
    proxied.send_json(f"/api/sessions/{session}/turns", json.dumps({"prompt": script}))
    log = proxied.server.log(session)
    wait_until(lambda: b'"turn_end"' in log.read_bytes(), "the end of the turn")
    output = output_of(Session(proxied.server.data, session))
    assert re.findall("^HTTP/1.1 ([0-9]+)", output, re.MULTILINE) == ["401", "401", "401"]
    assert "over" in output


def test_behind_nginx_events_arrive_as_they_are_appended(proxied: Proxied) -> None:
    session = proxied.send_json("/api/sessions", "{}")["id"]
    proxied.send_json(f"/api/sessions/{session}/turns", '{"prompt":"echo one; sleep 4; echo two"}')
    seen = proxied.ask(
        f"/api/sessions/{session}/events", "-H", "Accept: text/event-stream", "--max-time", "2"
    )
    assert '"output":"one\\n"' in seen, "the output did not arrive while the turn was running"
    assert "two" not in seen.replace("echo two", "")
    assert "x-accel-buffering" not in seen.lower(), "nginx removes the field that is meant for it"


def test_behind_nginx_another_site_is_refused(proxied: Proxied) -> None:
    foreign = ("-H", "Origin: https://evil.example", "-H", "Sec-Fetch-Site: cross-site", "--json", "{}")
    assert " 403 " in proxied.ask("/api/sessions", *foreign).splitlines()[0]
    silent = proxied.ask("/api/sessions", "--json", "{}")
    assert " 403 " in silent.splitlines()[0], (
        "a proxy user alone does not prove that our page sent the request"
    )
    assert " 421 " in proxied.ask("/", "-H", "Host: evil.example").splitlines()[0]


def test_behind_nginx_every_link_of_a_page_is_below_the_prefix(proxied: Proxied) -> None:
    session = proxied.send_json("/api/sessions", "{}")["id"]
    for path in ("/", f"/sessions/{session}", "/login"):
        page = proxied.ask(path)
        assert page.startswith("HTTP/1.1 200")
        found = re.findall(r'(?:href|src|action|data-prefix|data-static)="(/[^"]*)"', page)
        assert found
        assert [each for each in found if not each.startswith("/breakglass")] == []
        style = re.search(r'href="/breakglass(/static/[^"]*\.css)"', page)
        assert style
        assert proxied.ask(style[1]).startswith("HTTP/1.1 200")
    made = proxied.ask("/api/sessions", "-H", "Sec-Fetch-Site: same-origin", "--json", "{}")
    assert re.search(r"^location: /breakglass/api/sessions/", made, re.MULTILINE | re.IGNORECASE)


def test_behind_nginx_the_token_is_still_valid(proxied: Proxied) -> None:
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
