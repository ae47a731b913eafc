"""Files over HTTP: sent with a prompt, listed, and served as pictures or as downloads only."""

import hashlib
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from breakglass import verify
from breakglass.access import tokens
from tests.help.servers import Server, serving
from tests.help.waiting import wait_until

PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("files") / "var") as started:
        yield started


def form(*files: tuple[str, str, bytes], **fields: str) -> tuple[bytes, str]:
    """Return the body of a form, and its media type."""
    parts = [f'name="{name}"\r\n\r\n{value}'.encode() for name, value in fields.items()]
    parts += [
        f'name="{field}"; filename="{name}"\r\nContent-Type: image/svg+xml\r\n\r\n'.encode() + data
        for field, name, data in files
    ]
    body = b"".join(b"--xx\r\nContent-Disposition: form-data; " + part + b"\r\n" for part in parts)
    return body + b"--xx--\r\n", "multipart/form-data; boundary=xx"


def send(server: Server, session: str, name: str, data: bytes, **headers: str) -> tuple[int, Any]:
    body, media_type = form(("file", name, data))
    path = f"/api/sessions/{session}/files"
    return server.ask("POST", path, body, {"Content-Type": media_type, **headers})[:2]


def events(server: Server, session: str, kind: str) -> list[dict[str, Any]]:
    lines = server.log(session).read_bytes().split(b"\n")[:-1]
    return [event for event in map(json.loads, lines) if event["kind"] == kind]


def test_a_file_is_stored_and_recorded_once_for_each_key(server: Server) -> None:
    session = server.new_session()
    first = send(server, session, "../Panel 1.svg", PNG, **{"Idempotency-Key": "k"})
    assert first == (
        201,
        {
            "id": 2,
            "name": "Panel_1.svg",
            "path": "uploads/Panel_1.svg",
            "bytes": len(PNG),
            "sha256": hashlib.sha256(PNG).hexdigest(),
            "type": "image/png",
            "by": "owner",
        },
    )
    assert send(server, session, "../Panel 1.svg", PNG, **{"Idempotency-Key": "k"}) == first
    assert send(server, session, "other", PNG)[1]["path"] == "uploads/other"
    assert len(events(server, session, "file")) == 2
    assert (server.data / "workspaces" / session / "uploads/Panel_1.svg").read_bytes() == PNG
    assert sorted(os.listdir(server.data / "workspaces" / session / "uploads")) == ["Panel_1.svg", "other"]
    turn = {"prompt": "x"}, {"Idempotency-Key": "k"}
    assert server.ask("POST", f"/api/sessions/{session}/turns", *turn)[0] == 422
    lines = server.log(session).read_bytes().splitlines(keepends=True)
    assert [*verify.findings(lines)] == []


def test_a_prompt_names_its_files_by_path_or_by_id(server: Server) -> None:
    session = server.new_session()
    added = [send(server, session, name, b"text\n")[1] for name in ("a.log", "b.log")]
    path = f"/api/sessions/{session}/turns"
    body = {"prompt": "cat uploads/a.log", "files": [added[0]["path"], added[1]["id"], added[0]["id"]]}
    key = {"Idempotency-Key": "turn"}
    status, answer, _ = server.ask("POST", path, body, key)
    assert status == 202
    assert server.wait_for_end(session) == "ok"
    assert events(server, session, "user")[0]["files"] == ["uploads/a.log", "uploads/b.log"]
    assert events(server, session, "user")[0]["text"] == "cat uploads/a.log"
    (server.data / "workspaces" / session / "uploads/a.log").unlink()
    assert server.ask("POST", path, body, key)[:2] == (202, answer)  # it was accepted already
    refused: list[Any] = [["uploads/a.log"], ["../../token"], ["/etc/passwd"], [1], [999], [""], "x", [{}]]
    for wrong in [*refused, [f"x{number}" for number in range(21)]]:
        assert server.ask("POST", path, {"prompt": "x", "files": wrong})[0] == 422, wrong


def test_a_queued_prompt_keeps_its_files(server: Server) -> None:
    session = server.new_session()
    added = send(server, session, "a.log", b"text\n")[1]
    gate = server.data / "gate"
    server.prompt(session, f"until [ -e {gate} ]; do sleep 0.02; done")
    queued = {"prompt": "cat uploads/a.log", "files": [added["path"]], "queue": True}
    assert server.ask("POST", f"/api/sessions/{session}/turns", queued)[0] == 202
    gate.touch()
    wait_until(lambda: len(events(server, session, "turn_end")) == 2, "both turns")
    assert events(server, session, "user")[1]["files"] == [added["path"]]


@pytest.mark.parametrize(
    ("files", "status"),
    [
        ([], 422),
        ([("file", "a", b"")], 422),
        ([("file", "", b"x")], 422),
        ([("file", "a", b"x"), ("file", "b", b"x")], 422),
        ([("file", "a", bytes((20 << 20) + 1))], 413),
        ([("any", "a", b"x")], 201),
    ],
)
def test_exactly_one_file_of_at_most_20_mib_is_taken(server: Server, files: Any, status: int) -> None:
    session = server.new_session()
    body, media_type = form(*files)
    answer = server.ask("POST", f"/api/sessions/{session}/files", body, {"Content-Type": media_type})
    assert answer[0] == status, answer[1]
    assert len(events(server, session, "file")) == (status == 201)


def test_only_the_upload_takes_a_form_on_the_api(server: Server) -> None:
    session = server.new_session()
    body, media_type = form(("file", "a", b"x"))
    path = f"/api/sessions/{session}"
    for target in ("/api/sessions", f"{path}/turns", f"{path}/cancel"):
        assert server.ask("POST", target, body, {"Content-Type": media_type})[0] == 415
    for wrong in ("application/json", "text/plain", "multipart/form-data", "multipart/mixed; boundary=xx"):
        assert server.ask("POST", f"{path}/files", body, {"Content-Type": wrong})[0] == 415
    assert server.ask("POST", f"{path}/files", b"{", {"Content-Type": media_type})[0] == 422
    foreign = {"Content-Type": media_type, "Origin": "https://evil.example"}
    assert server.ask("POST", f"{path}/files", body, foreign)[0] == 403


def test_a_read_only_token_reads_files_and_sends_none(server: Server) -> None:
    session = server.new_session()
    path = send(server, session, "a.png", PNG)[1]["path"]
    watch = {"Authorization": f"Bearer {tokens.open_token(server.data, may_act=False)}"}
    assert send(server, session, "b", b"x", **watch)[0] == 403
    assert server.ask("GET", f"/api/sessions/{session}/files/{path}", None, watch)[:2] == (200, PNG)
    assert server.ask("GET", f"/api/sessions/{session}/files", None, {"Authorization": "Bearer x"})[0] == 401


HOSTILE = {
    "x.svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    "x.html": b"<!doctype html><script>alert(1)</script>",
    "x.js": b"alert(1)",
    "x.pdf": b"%PDF-1.7\n",
    "x.gif.html": b"<html>GIF89a",
}


def test_files_are_served_as_pictures_or_as_downloads(server: Server) -> None:
    session = server.new_session()
    for name, data in {**HOSTILE, "p.gif": b"GIF89a=1;alert(1)//"}.items():
        added = send(server, session, name, data)[1]
        path = f"/api/sessions/{session}/files/{added['path']}"
        for address in (path, f"/sessions/{session}?file={added['id']}"):
            status, body, headers = server.ask("GET", address)
            assert (status, body) == (200, data)
            is_picture = name == "p.gif"
            assert headers["content-type"] == ("image/gif" if is_picture else "application/octet-stream")
            assert headers["content-disposition"].startswith("inline" if is_picture else "attachment")
            assert headers["x-content-type-options"] == "nosniff"
            assert "default-src 'none'" in headers["content-security-policy"]
    head = server.ask("HEAD", f"/api/sessions/{session}/files/uploads/x.js")
    assert (head[0], head[1], head[2]["content-length"]) == (200, b"", "8")


def test_what_the_agent_leaves_can_be_listed_and_downloaded(server: Server) -> None:
    session = server.new_session()
    large = "head -c 3000000 /dev/zero > 'a b'; mkdir d; echo hi > d/ü; ln -s /etc/passwd link; mkfifo pipe"
    server.prompt(session, large)
    server.wait_for_end(session)
    listed = server.ask("GET", f"/api/sessions/{session}/files")[1]
    assert [(each["path"], each["bytes"]) for each in listed["files"]] == [("a b", 3_000_000), ("d/ü", 3)]
    assert listed["complete"] is True
    assert server.ask("GET", f"/api/sessions/{session}/files/a%20b")[1] == bytes(3_000_000)
    assert server.ask("GET", f"/sessions/{session}?path=d/%C3%BC")[1] == b"hi\n"
    for wrong in ("link", "pipe", "d", "none", "d/../d/x", "%2e%2e/x"):
        assert server.ask("GET", f"/api/sessions/{session}/files/{wrong}")[0] in (400, 404), wrong
    page = server.ask("GET", f"/sessions/{session}/files")[1].decode()
    assert ">a b</code>" in page
    assert "?path=d/%C3%BC" in page
    assert ">link</code>" not in page
