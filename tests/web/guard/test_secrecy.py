"""What a real server reveals: to anonymous callers, in errors, in paths, and to other users of the machine."""

import os
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from breakglass.access.credentials import Access
from breakglass.config import Config
from breakglass.web.app import create_app
from breakglass.web.guard.request import CALLER, Caller
from tests.help.commands import breakglass, curl
from tests.help.servers import TOKEN, RealServer, killed_later, serving
from tests.help.waiting import wait_until

OPEN = {
    ("GET", "/health"),
    ("GET", "/login"),
    ("POST", "/login"),
    ("GET", "/static/<version>/<name>"),
    ("GET", "/sw.js"),
    ("GET", "/manifest.webmanifest"),
    ("GET", "/favicon.ico"),
}
"""All routes that answer an anonymous caller."""


def test_every_route_outside_a_short_list_is_closed_to_anonymous_callers(tmp_path: Path) -> None:
    root = tmp_path / "routes"
    root.mkdir(mode=0o700)
    rules = [*create_app(Config(data=root), Access(root, token=TOKEN)).url_map.iter_rules()]
    assert len(rules) > 20
    anonymous = {"Authorization": "", "Sec-Fetch-Site": "same-origin"}
    with serving(tmp_path / "var") as server:
        session = server.new_session()
        log = server.log(session).read_bytes()
        for rule in rules:
            path = re.sub(r"<session_id>", session, rule.rule)
            path = re.sub(r"<[a-z_:]+>", "1", path)
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                body: dict[str, Any] | None = None if method in ("GET", "DELETE") else {}
                status = server.ask(method, path, body, anonymous)[0]
                if (method, rule.rule) in OPEN:
                    assert status in (200, 401, 404), (method, path)
                else:
                    assert status == (401 if path.startswith(("/api", "/metrics")) else 303), (method, path)
        for method in ("OPTIONS", "TRACE", "PUT", "CONNECT", "BREW"):
            assert server.ask(method, "/api/sessions", None, anonymous)[0] in (400, 405)
        assert server.log(session).read_bytes() == log


async def test_an_anonymous_caller_does_not_learn_the_name_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "vault7")
    tmp_path.chmod(0o700)
    client = create_app(Config(data=tmp_path), Access(tmp_path, token=TOKEN)).test_client()
    anonymous = {CALLER: Caller("http://127.0.0.1:8420", "127.0.0.1", None)}
    for path in ("/login", "/health", "/manifest.webmanifest"):
        response = await client.get(path, headers={"Accept": "text/html"}, scope_base=anonymous)
        assert response.status_code == 200
        assert "vault7" not in str(await response.get_data(as_text=True))


def test_the_token_is_only_in_its_file(tmp_path: Path) -> None:
    data, record = tmp_path / "var", tmp_path / "access.jsonl"
    started = RealServer(data, BREAKGLASS_TOKEN="", BREAKGLASS_ACCESS_LOG=str(record))
    with killed_later(started) as server:
        token = (data / "token").read_text().strip()
        bearer = {"Authorization": f"Bearer {token}"}
        session = server.ask("POST", "/api/sessions", {}, bearer)[1]["id"]
        jar, at = ("-c", str(tmp_path / "jar"), "-b", str(tmp_path / "jar")), server.address
        response = curl(*jar, "-d", f"token={token}", "-H", f"Origin: {at}", f"{at}/login")
        page = curl(*jar, f"{at}/sessions/{session}")
        server.ask("POST", f"/api/sessions/{session}/turns", {"prompt": "env; ps axww -o args"}, bearer)
        wait_until(lambda: b'"turn_end"' in server.log(session).read_bytes(), "the end of the turn")
        command = Path(f"/proc/{server.process.pid}/cmdline").read_text()
        texts = [response, page, command, record.read_text(), (data / "logins.jsonl").read_text()]
        texts.append(server.log(session).read_text())
    assert [text for text in texts if token in text] == []
    assert page.startswith("HTTP/1.1 200")
    assert "referrer-policy: same-origin" in page


def test_an_error_reveals_no_traceback_and_no_path(tmp_path: Path) -> None:
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


def test_a_session_id_is_never_used_as_a_path(tmp_path: Path) -> None:
    with serving(tmp_path / "var") as server:
        session = server.new_session()
        (tmp_path / "var" / "sessions" / "link").symlink_to(tmp_path / "var" / "sessions" / session)
        names = ["..", "%2e%2e", "..%2f..%2ftoken", "%00", f"{session}%0a", f"{session}/../{session}"]
        for name in [*names, session.upper(), f"{session}.", "link"]:
            assert server.ask("GET", f"/api/sessions/{name}")[0] in (400, 404), name
            assert server.ask("POST", f"/api/sessions/{name}/turns", {"prompt": "id"})[0] in (400, 404), name


@pytest.mark.parametrize("mode", [0o777, 0o750, 0o701])
def test_a_data_root_open_to_other_users_prevents_the_start(mode: int, tmp_path: Path) -> None:
    data = tmp_path / "var"
    data.mkdir()
    data.chmod(mode)
    done = breakglass(data, "serve", "--port", "0")
    assert done.returncode == 2
    assert "chmod 700" in done.stderr


def test_files_are_private_under_any_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with serving(
            tmp_path / "var", BREAKGLASS_TOKEN="", BREAKGLASS_ACCESS_LOG=str(tmp_path / "var/access")
        ) as server:
            token = (tmp_path / "var/token").read_text().strip()
            bearer = {"Authorization": f"Bearer {token}"}
            session = server.ask("POST", "/api/sessions", {}, bearer)[1]["id"]
            server.ask("POST", f"/api/sessions/{session}/turns", {"prompt": "echo mine > file"}, bearer)
            wait_until(lambda: b'"turn_end"' in server.log(session).read_bytes(), "the end of the turn")
            curl("-d", f"token={token}", "-H", f"Origin: {server.address}", f"{server.address}/login")
    finally:
        os.umask(before)
    assert (tmp_path / "var").stat().st_mode & 0o077 == 0, "the data root is open to other users"
    for path in (tmp_path / "var").rglob("*"):
        if "workspaces" not in path.parts:
            assert path.lstat().st_mode & 0o077 == 0, path
