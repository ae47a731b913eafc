"""No token in the output of a server, and login addresses that work once, with real servers."""

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.help.commands import breakglass, curl
from tests.help.servers import TOKEN, Server, environment, serving
from tests.help.waiting import DEADLINE, wait_until

EXPIRED = "This login address has expired or was used already"


def log_in(server: Server, login: str, *options: str) -> str:
    """Open a login address as the page does, and return the response."""
    page, _, code = login.partition("#code=")
    return curl("-H", f"Origin: {server.address}", "-d", f"token=&code={code}", *options, page)


@pytest.mark.parametrize("token", [TOKEN, ""], ids=["configured", "generated"])
def test_a_server_without_a_terminal_prints_no_secret(tmp_path: Path, token: str) -> None:
    data = tmp_path / "var"
    with serving(data, BREAKGLASS_TOKEN=token) as server:
        wait_until(lambda: "Sessions are in" in server.printed, "the last line")
        assert "\nTo log in: breakglass login\n" in server.printed
        assert (token or (data / "token").read_text().strip()) not in server.printed
        assert "#" not in server.printed
        assert not (data / "login-codes").exists()


def test_the_hint_names_the_data_root_of_the_option(tmp_path: Path) -> None:
    data = tmp_path / "my var"
    with serving(tmp_path / "var", "--data", str(data)) as server:
        wait_until(lambda: "Sessions are in" in server.printed, "the last line")
        assert f"\nTo log in: breakglass login --data '{data}'\n" in server.printed


def test_on_a_terminal_a_server_prints_a_login_address_without_the_token(tmp_path: Path) -> None:
    data = tmp_path / "var"
    ours, theirs = pty.openpty()
    env = environment(data, BREAKGLASS_TOKEN="")
    del env["BREAKGLASS_TOKEN"]
    command = [sys.executable, "-m", "breakglass", "serve", "--port", "0"]
    process = subprocess.Popen(command, env=env, cwd=tmp_path, stdout=theirs, stderr=theirs)
    os.close(theirs)
    try:
        printed = b""
        while b"Sessions are in" not in printed:
            printed += os.read(ours, 4096)
        found = re.search(
            rb"Log in at (http://127\.0\.0\.1:[0-9]+/login)#code=([A-Za-z0-9_-]{32})\r\n", printed
        )
        assert found
        assert (data / "token").read_bytes().strip() not in printed
        assert "█".encode() in printed
        page, code = found[1].decode(), found[2].decode()
        origin = page.removesuffix("/login")
        answers = [curl("-H", f"Origin: {origin}", "-d", f"code={code}", page) for _ in range(2)]
        assert [answer.split()[1] for answer in answers] == ["303", "401"]
    finally:
        process.send_signal(signal.SIGTERM)
        os.close(ours)
        assert process.wait(DEADLINE) == 0
    assert list((data / "servers").iterdir()) == []


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_login_address_works_once_at_the_port_where_the_server_is(tmp_path: Path, workers: str) -> None:
    with serving(tmp_path / "var", "--workers", workers) as server:
        made = breakglass(tmp_path / "var", "login", BREAKGLASS_TOKEN="")  # the server's token is not needed
        login = made.stdout.strip()
        assert re.fullmatch(rf"http://127\.0\.0\.1:{server.port}/login#code=[A-Za-z0-9_-]{{32}}", login)
        assert f"ssh -L {server.port}:127.0.0.1:{server.port} " in made.stderr
        first, second = log_in(server, login), log_in(server, login)
        assert first.startswith("HTTP/1.1 303")
        assert second.startswith("HTTP/1.1 401")
        assert EXPIRED in second
        assert "breakglass login" in second
        cookie = re.search(r"set-cookie: ([^;]+)", first)
        assert cookie
        headers = {"Authorization": "", "Cookie": cookie[1]}
        assert server.ask("GET", "/api/sessions", headers=headers)[0] == 200
        assert server.stop() == 0
    assert list((tmp_path / "var" / "servers").iterdir()) == []


def test_a_read_only_login_address_opens_a_login_that_changes_nothing(tmp_path: Path) -> None:
    with serving(tmp_path / "var") as server:
        login, *code = breakglass(tmp_path / "var", "login", "--read-only", "--qr").stdout.splitlines()
        assert len(code) > 10
        assert set("".join(code)) <= set(" ▀▄█")
        cookie = re.search(r"set-cookie: ([^;]+)", log_in(server, login))
        assert cookie
        headers = {"Authorization": "", "Cookie": cookie[1], "Origin": server.address}
        assert server.ask("GET", "/api/sessions", headers=headers)[0] == 200
        assert server.ask("POST", "/api/sessions", {}, headers)[0] == 403


def test_wrong_codes_are_slowed_down_and_a_right_one_is_accepted(tmp_path: Path) -> None:
    with serving(tmp_path / "var") as server:
        login = breakglass(tmp_path / "var", "login").stdout.strip()
        wrong = f"{server.address}/login#code=wrong"
        assert [log_in(server, wrong).split()[1] for _ in range(12)] == ["401"] * 10 + ["429"] * 2
        assert log_in(server, login).startswith("HTTP/1.1 303")


def test_the_login_address_has_the_public_origin_and_prefix(tmp_path: Path) -> None:
    env = {"BREAKGLASS_ORIGINS": "https://ops.example.com", "BREAKGLASS_PREFIX": "/ops"}
    with serving(tmp_path / "var", **env):
        made = breakglass(tmp_path / "var", "login")  # without the server's settings
        assert re.fullmatch(r"https://ops\.example\.com/ops/login#code=\S{32}\n", made.stdout)
        assert made.stderr == ""


def test_a_unix_socket_has_a_login_address_only_at_a_public_origin(tmp_path: Path) -> None:
    words = ("--socket", str(tmp_path / "socket"))
    with serving(tmp_path / "var", *words) as server:
        wait_until(lambda: "Sessions are in" in server.printed, "the last line")
        assert "http" not in server.printed
        assert "name the public address in the setting origins" in server.printed
        made = breakglass(tmp_path / "var", "login")
        assert (made.returncode, made.stdout) == (1, "")
        assert f"no browser can open the socket {tmp_path}/socket" in made.stderr
    with serving(tmp_path / "other", *words, BREAKGLASS_ORIGINS="https://ops.example.com"):
        assert breakglass(tmp_path / "other", "login").stdout.startswith(
            "https://ops.example.com/login#code="
        )


def test_without_a_running_server_login_prints_no_address(tmp_path: Path) -> None:
    with serving(tmp_path / "var") as server:
        server.kill()
        made = breakglass(tmp_path / "var", "login")
    assert (made.returncode, made.stdout) == (1, "")
    expected = f"breakglass: no server runs on {tmp_path}/var; start one: breakglass serve\n"
    assert made.stderr == expected


def test_a_read_only_root_names_the_token_instead_of_a_login_address(tmp_path: Path) -> None:
    data = tmp_path / "var"
    breakglass(data, "new")
    (data / "read-only").write_text("mirror of db1\n")
    with serving(data) as server:
        wait_until(lambda: "Sessions are in" in server.printed, "the last line")
        assert (
            "To log in: breakglass token show (this data root is read-only: mirror of db1)" in server.printed
        )
        made = breakglass(data, "login")
    assert (made.returncode, made.stdout) == (1, "")
    assert "mirror of db1; log in with the token: breakglass token show" in made.stderr
    assert not (data / "servers").exists()
