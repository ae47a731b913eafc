"""Tokens and logins of a real server, from the command line and over HTTP, and its access log."""

import json
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from breakglass.web.operations import OPERATIONS
from tests.help.commands import breakglass, curl
from tests.help.credentials import make_token
from tests.help.servers import TOKEN, Server, serving
from tests.help.waiting import wait_until


def ask_as(token: str, server: Server, method: str, path: str, body: Any = None) -> int:
    return server.ask(method, path, body, {"Authorization": f"Bearer {token}"})[0]


def test_rotating_the_token_ends_its_logins_and_streams_within_15_s(tmp_path: Path) -> None:
    data = tmp_path / "var"
    with serving(data, BREAKGLASS_TOKEN="") as server:
        old = breakglass(data, "token", "show", BREAKGLASS_TOKEN="").stdout.strip()
        made = server.ask("POST", "/api/sessions", {}, {"Authorization": f"Bearer {old}"})[1]
        connection = server.connection()
        headers = {"Authorization": f"Bearer {old}", "Accept": "text/event-stream"}
        connection.request("GET", f"/api/sessions/{made['id']}/events", headers=headers)
        stream = connection.getresponse()
        assert stream.status == 200
        new = breakglass(data, "token", "rotate", BREAKGLASS_TOKEN="").stdout.strip()
        began = time.monotonic()
        assert (ask_as(old, server, "GET", "/api/sessions"), ask_as(new, server, "GET", "/api/sessions")) == (
            401,
            200,
        )
        assert b"event: caught-up" in stream.read()  # returns when the stream has ended
        assert time.monotonic() - began < 15
        connection.close()


def test_a_login_is_listed_with_its_address_and_ends_when_revoked(tmp_path: Path) -> None:
    data = tmp_path / "var"
    with serving(data) as server:
        at = server.address
        jar = ("-b", str(tmp_path / "jar"), "-c", str(tmp_path / "jar"), "-A", "Phone\x1b[2J")
        curl(*jar, "-d", f"token={TOKEN}", "-H", f"Origin: {at}", f"{at}/login")
        assert curl(*jar, f"{at}/").startswith("HTTP/1.1 200")
        (row,) = breakglass(data, "logins").stdout.splitlines()
        assert re.fullmatch(r"[0-9a-f]{8}  .* UTC  owner +full +127\.0\.0\.1 +Phone␛\[2J", row)
        (void,) = breakglass(data, "logins", BREAKGLASS_TOKEN=make_token("another")).stdout.splitlines()
        assert "void, by another token" in void
        assert breakglass(data, "logins", "--revoke", row[:8]).returncode == 0
        assert curl(*jar, f"{at}/").startswith("HTTP/1.1 303")
        again = breakglass(data, "logins", "--revoke", row[:8])
        assert (again.returncode, "there is no login" in again.stderr) == (1, True)


def test_the_read_only_token_reads_everything_and_changes_nothing(tmp_path: Path) -> None:
    data = tmp_path / "var"
    watcher = breakglass(data, "token", "show", "--read-only").stdout.strip()
    with serving(data) as server:
        session = server.new_session()
        server.prompt(session, "echo hello")
        server.wait_for_end(session)
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
            *(
                (row.method, row.path.format(id=session, queued=2, name="top", path="x"), {})
                for row in OPERATIONS.values()
                if row.method != "GET"
            ),
        ):
            assert ask_as(watcher, server, method, path, body) == 403, path
        assert server.log(session).read_bytes() == lines
        page = server.ask("GET", f"/sessions/{session}", headers={"Authorization": f"Bearer {watcher}"})[
            1
        ].decode()
        assert "Read-only: this login can view sessions but not act." in page
        assert '<form id="box" hidden' in page


def test_the_token_command_rotates_a_kept_token_but_not_a_configured_one(tmp_path: Path) -> None:
    data = tmp_path / "var"
    shown = breakglass(data, "token", "show", BREAKGLASS_TOKEN="").stdout
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}\n", shown)
    assert breakglass(data, "token", "show", BREAKGLASS_TOKEN="").stdout == shown
    rotated = breakglass(data, "token", "rotate", BREAKGLASS_TOKEN="").stdout
    assert rotated != shown
    assert rotated == (data / "token").read_text()
    watch = breakglass(data, "token", "show", "--read-only", BREAKGLASS_TOKEN="").stdout
    assert watch == (data / "token.readonly").read_text() != rotated
    assert breakglass(data, "token", "show").stdout == f"{TOKEN}\n"
    refused = breakglass(data, "token", "rotate")
    assert (refused.returncode, "BREAKGLASS_TOKEN" in refused.stderr, TOKEN in refused.stderr) == (
        2,
        True,
        False,
    )
    assert breakglass(data, "token").returncode == 2


def test_the_access_log_names_caller_and_request_but_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "access.jsonl"
    with serving(tmp_path / "var", BREAKGLASS_ACCESS_LOG=str(path)) as server:
        session = server.new_session()
        server.ask("GET", f"/api/sessions/{session}/events?after=1&token={TOKEN}")
        server.ask("GET", "/api/sessions", headers={"Authorization": "Bearer wrong"})
        server.ask("GET", "/%0a%22by%22", headers={"Authorization": "Bearer wrong"})
        wait_until(lambda: path.read_bytes().count(b"\n") == 4, "a line for each response")
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


@pytest.mark.parametrize("workers", [1, 2])
def test_a_hangup_opens_the_access_log_again_and_ends_no_server(tmp_path: Path, workers: int) -> None:
    log = tmp_path / "log"
    with serving(tmp_path / "var", "--workers", str(workers), BREAKGLASS_ACCESS_LOG=str(log)) as server:
        os.kill(server.process.pid, signal.SIGHUP)  # perhaps before the server is ready
        server.ask("GET", "/health")
        log.rename(tmp_path / "log.1")
        os.kill(server.process.pid, signal.SIGHUP)
        server.ask("GET", "/health")
        wait_until(lambda: log.exists() and log.stat().st_size, "a line in the new log")
        assert server.stop() == 0
