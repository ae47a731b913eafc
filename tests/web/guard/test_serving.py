"""A real server at each kind of address: loopback, all addresses, TLS, a Unix socket. And wrong settings."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.help.commands import breakglass, curl, make_certificate
from tests.help.servers import serving
from tests.help.waiting import wait_until


def test_listening_beyond_loopback_prevents_the_start_and_says_how_to_allow_it(tmp_path: Path) -> None:
    done = breakglass(tmp_path / "var", "serve", "--host", "0.0.0.0", "--port", "0")
    assert done.returncode == 2
    assert re.search("--tls-cert.*proxies.*--allow-plain", done.stderr)
    assert len(done.stderr.splitlines()) == 1


def test_allow_plain_serves_beyond_loopback_and_prints_a_reachable_address(tmp_path: Path) -> None:
    with serving(tmp_path / "var", "--host", "0.0.0.0", "--allow-plain") as server:
        assert "0.0.0.0" not in server.printed
        assert server.ask("GET", "/health")[0] == 200
        assert server.ask("GET", "/health", headers={"Host": "evil.example"})[0] == 200
        assert server.ask("GET", "/api/sessions", headers={"Host": "evil.example"})[0] == 421


def test_with_tls_the_server_speaks_http2_and_sets_a_secure_cookie(tmp_path: Path) -> None:
    cert, key = make_certificate(tmp_path)
    words = ("--host", "localhost", "--tls-cert", str(cert), "--tls-key", str(key))
    with serving(tmp_path / "var", *words, BREAKGLASS_TOKEN="") as server:
        token = breakglass(tmp_path / "var", "token", "show", BREAKGLASS_TOKEN="").stdout.strip()
        at, trust = f"https://localhost:{server.port}", ("--cacert", str(cert))
        wait_until(lambda: "To log in" in server.printed, "the last address")
        assert token not in server.printed
        assert breakglass(tmp_path / "var", "login").stdout.startswith(f"{at}/login#code=")
        assert curl("--http2", *trust, f"{at}/health").startswith("HTTP/2 200")
        response = curl("--http2", *trust, "-d", f"token={token}", "-H", f"Origin: {at}", f"{at}/login")
        cookie = re.search(r"^set-cookie: (.*)$", response, re.MULTILINE)
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


def test_a_unix_socket_is_served_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with serving(tmp_path / "var", "--socket", str(path)) as server:
        assert f"Breakglass is at {path}" in server.printed
        assert path.stat().st_mode & 0o777 == 0o600
        assert curl("--unix-socket", str(path), "http://localhost/health").startswith("HTTP/1.1 200")
        assert curl("--unix-socket", str(path), "http://localhost/api/sessions").startswith("HTTP/1.1 401")
        assert curl("--unix-socket", str(path), "http://evil.example/login").startswith("HTTP/1.1 421")


@pytest.mark.parametrize(
    ("env", "message"),
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
def test_a_wrong_setting_prevents_the_start(tmp_path: Path, env: dict[str, str], message: str) -> None:
    done = breakglass(tmp_path / "var", "serve", "--port", "0", **env)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert message in done.stderr
    assert "a short one" not in done.stderr
