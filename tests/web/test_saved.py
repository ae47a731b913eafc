"""*Save* on the page: a session as a file, always a download. A bundle has the log byte for byte, and checks itself."""

import os
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from breakglass.store import pictures, sessions
from breakglass.store.sessions import Session
from tests.help.servers import Server, serving

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(20)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    """A server with a session of one turn."""
    with serving(tmp_path_factory.mktemp("saved") / "var") as server:
        session = server.new_session(title="<b>full</b>")
        server.prompt(session, "echo '<script>alert(1)</script>'")
        server.wait_for_end(session)
        yield server, session


def test_a_bundle_has_the_log_byte_for_byte_and_its_sums_are_right(
    saved: tuple[Server, str], tmp_path: Path
) -> None:
    server, session = saved
    page = server.ask("GET", f"/sessions/{session}")[1].decode()
    assert f'href="/sessions/{session}/save.tar.gz"' in page
    status, archive, headers = server.ask("GET", f"/sessions/{session}/save.tar.gz")
    assert (status, headers["content-type"]) == (200, "application/octet-stream")
    assert headers["content-disposition"] == f'attachment; filename="breakglass-{session[:8]}.tar.gz"'
    subprocess.run(["tar", "xz", "--strip-components=1"], input=archive, cwd=tmp_path, check=True)
    subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=tmp_path, check=True)
    assert {each.name for each in tmp_path.iterdir()} == {
        "events.jsonl",
        "session.html",
        "seal",
        "SHA256SUMS",
    }
    assert (tmp_path / "events.jsonl").read_bytes() == server.log(session).read_bytes()
    seal = server.ask("GET", f"/api/sessions/{session}")[1]["seal"]
    assert (tmp_path / "seal").read_text() == f"{seal['lines']}:{seal['sha256']}\n"


def with_pictures(server: Server) -> tuple[Session, str, str]:
    """Make a session with two pictures of a tool, the second of which was changed. Return it and their paths."""
    session = sessions.create(server.data, "claude")
    with session.open_log() as opened:
        opened.append("user", text="go", by="ann")
        opened.append("tool", turn=2, tool_id="a", name="Shot", input={})
        fd = os.open(session.directory, os.O_RDONLY)
        kept = pictures.store(fd, [PICTURE, PICTURE + b"changed"])
        os.close(fd)
        opened.append("tool_result", turn=2, tool_id="a", output="", is_error=False, pictures=kept)
        opened.append("turn_end", turn=2, status="ok", duration_ms=1)
    first, second = (each["file"] for each in kept)
    Path(session.directory, second).write_bytes(PICTURE)
    return session, first, second


def test_a_bundle_has_the_pictures_of_tools_that_are_unchanged(
    saved: tuple[Server, str], tmp_path: Path
) -> None:
    server, _ = saved
    session, first, second = with_pictures(server)
    archive = server.ask("GET", f"/sessions/{session.id}/save.tar.gz")[1]
    subprocess.run(["tar", "xz", "--strip-components=1"], input=archive, cwd=tmp_path, check=True)
    subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=tmp_path, check=True)
    assert (tmp_path / first).read_bytes() == PICTURE
    assert not (tmp_path / second).exists()
    address = f"data:image/png;base64,{b64encode(PICTURE).decode()}"
    document = (tmp_path / "session.html").read_text()
    assert (document.count("<img"), document.count(f'<img src="{address}"')) == (1, 1)


def test_a_copy_shows_the_pictures_that_were_copied_and_no_broken_ones(saved: tuple[Server, str]) -> None:
    server, _ = saved
    session, first, _ = with_pictures(server)
    copy = server.data / "hosts" / "db1" / "sessions" / session.id
    copy.mkdir(parents=True)
    shutil.copy(server.log(session.id), copy)
    path = f"/hosts/db1/sessions/{session.id}"
    pictures_on = [server.ask("GET", path)[1].decode().count("<img")]
    shutil.copytree(Path(session.directory, "pictures"), copy / "pictures")
    pictures_on.append(server.ask("GET", path)[1].decode().count("<img"))
    assert pictures_on == [0, 2]
    assert server.ask("GET", f"{path}?picture={first[9:]}")[:2] == (200, PICTURE)


@pytest.mark.parametrize(("form", "begin"), [("html", b"<!doctype html>"), ("md", b"# ")])
def test_a_document_is_a_download_too(saved: tuple[Server, str], form: str, begin: bytes) -> None:
    server, session = saved
    status, document, headers = server.ask("GET", f"/sessions/{session}/save.{form}")
    assert (status, headers["content-type"]) == (200, "application/octet-stream")
    assert document.startswith(begin)
    assert form == "md" or b"<script>" not in document


def test_another_form_and_another_session_are_not_there(saved: tuple[Server, str]) -> None:
    server, session = saved
    none = "00000000-0000-4000-8000-000000000000"
    for path in (f"{session}/save.pdf", f"{session}/save.tar", f"{none}/save.tar.gz"):
        assert server.ask("GET", f"/sessions/{path}")[0] == 404
