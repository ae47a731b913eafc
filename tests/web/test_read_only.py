"""The server on a read-only data root: it reads and follows, keeps logins in memory, and refuses every change."""

import re
from pathlib import Path

import pytest

from breakglass.store import log, sessions
from breakglass.store import root as data_root
from tests.help.commands import breakglass
from tests.help.credentials import make_token
from tests.help.servers import TOKEN, Attached, serving
from tests.help.waiting import wait_until

MESSAGE = "this data root is read-only: mirror of db1"


@pytest.fixture
def mirror(root: Path) -> Path:
    """A marked root with a turn that runs elsewhere."""
    data_root.prepare(root)
    with sessions.create(root, "shell").open_log() as opened:
        opened.append("user", text="true", by="ann")
    (root / "read-only").write_text("mirror of db1")
    return root


def names_in(root: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in (root, *root.rglob("*"))}


def test_a_read_only_root_is_served_for_reading_and_each_write_is_403_with_the_reason(mirror: Path) -> None:
    (session,) = sessions.ids(mirror)
    before = names_in(mirror)
    with serving(mirror) as server:
        assert server.ask("GET", f"/api/sessions/{session}")[1]["status"] == "running"
        for method, path, body in (
            ("POST", "", {}),
            ("PATCH", f"/{session}", {"title": "other"}),
            ("POST", f"/{session}/turns", {"prompt": "true"}),
            ("POST", f"/{session}/cancel", None),
            ("POST", f"/{session}/answers", {"request": "r", "allow": True}),
            ("DELETE", f"/{session}/queue/2", None),
        ):
            status, answer, _ = server.ask(method, f"/api/sessions{path}", body)
            assert (status, answer["detail"]) == (403, MESSAGE), (method, path)
        for path in ("/", f"/sessions/{session}"):
            page = str(server.ask("GET", path)[1])
            assert 'id="read-only"' in page
            assert "mirror of db1" in page
            assert re.search(r'<form id="box" hidden', page)
        assert MESSAGE in server.printed
    assert names_in(mirror) == before


def test_a_login_on_a_read_only_root_is_valid_until_the_server_ends(mirror: Path) -> None:
    before = names_in(mirror)
    with serving(mirror) as server:
        connection = server.connection()
        form = {"Content-Type": "application/x-www-form-urlencoded", "Origin": server.address}
        connection.request("POST", "/login", f"token={TOKEN}", form)
        response = connection.getresponse()
        response.read()
        assert response.status == 303
        cookie = str(response.getheader("Set-Cookie")).partition(";")[0]
        connection.request("GET", "/", headers={"Cookie": cookie})
        response = connection.getresponse()
        assert response.status == 200
        csrf = re.findall(rb'name="csrf" value="([0-9a-f]+)"', response.read())[0].decode()
        connection.request("POST", "/logout", f"csrf={csrf}", {**form, "Cookie": cookie})
        response = connection.getresponse()
        assert response.status == 303
        response.read()
        connection.request("GET", "/", headers={"Cookie": cookie})
        assert connection.getresponse().status == 303
    assert names_in(mirror) == before


def test_a_log_that_another_program_extends_is_followed_in_a_read_only_root(mirror: Path) -> None:
    (session,) = sessions.ids(mirror)
    with serving(mirror) as server:
        client = Attached(server, session)
        wait_until(lambda: client.has(2), "the lines so far")
        with log.open_log(f"{mirror}/sessions/{session}") as opened:  # as rsync --append does
            opened.append("turn_end", turn=2, status="ok", duration_ms=1)
        wait_until(lambda: client.has(3), "the new line")
        client.disconnect()
        assert server.ask("GET", f"/api/sessions/{session}")[1]["status"] == "ok"


def test_a_root_that_becomes_read_only_while_it_is_served_takes_no_more_writes(root: Path) -> None:
    with serving(root) as server:
        session = server.new_session()
        (root / "read-only").write_text("mirror of db1")
        assert server.ask("PATCH", f"/api/sessions/{session}", {"title": "x"})[0] == 403
        (root / "read-only").unlink()
        assert server.ask("PATCH", f"/api/sessions/{session}", {"title": "x"})[0] == 200


@pytest.mark.parametrize(
    ("words", "env", "expected"),
    [
        (("serve", "--port", "0"), {"BREAKGLASS_TOKEN": ""}, "set BREAKGLASS_TOKEN"),
        (("serve", "--port", "0", "--workers", "2"), {}, "--workers: expected 1"),
        (
            ("serve", "--port", "0"),
            {"BREAKGLASS_ACCESS_LOG": "DATA/access"},
            "DATA/access would be made in it",
        ),
        (("serve", "--socket", "DATA/socket"), {}, "DATA/socket would be made in it"),
        (("token", "show"), {"BREAKGLASS_TOKEN": ""}, "set BREAKGLASS_TOKEN"),
    ],
)
def test_what_needs_a_new_file_in_a_read_only_root_says_what_to_do(
    words: tuple[str, ...], env: dict[str, str], expected: str, mirror: Path
) -> None:
    before = names_in(mirror)
    typed = [word.replace("DATA", str(mirror)) for word in words]
    done = breakglass(
        mirror, *typed, **{key: value.replace("DATA", str(mirror)) for key, value in env.items()}
    )
    assert done.returncode in (1, 2)
    assert MESSAGE in done.stderr
    assert expected.replace("DATA", str(mirror)) in done.stderr
    assert names_in(mirror) == before


def test_the_token_file_of_a_read_only_root_is_read(mirror: Path) -> None:
    (mirror / "token").write_text(make_token("t") + "\n")
    (mirror / "token").chmod(0o600)
    assert breakglass(mirror, "token", "show", BREAKGLASS_TOKEN="").stdout == make_token("t") + "\n"
