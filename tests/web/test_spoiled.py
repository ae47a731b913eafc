"""A log that another program damages while clients follow it: they get a reset or 404, and never mix two logs."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.help.logs import line
from tests.help.servers import Attached, Server, serving
from tests.help.validator import validate
from tests.help.waiting import wait_until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("spoiled") / "var") as started:
        yield started


def attached(server: Server) -> tuple[str, Attached]:
    """Return a session with one turn, and a client that has received all of it."""
    session = server.new_session()
    server.prompt(session, "echo hello")
    assert server.wait_for_end(session) == "ok"
    client = Attached(server, session)
    wait_until(lambda: client.has(server.state(session)["last_event_id"]), "the replay")
    return session, client


def test_a_deleted_log_ends_its_streams_and_is_not_created_again(server: Server) -> None:
    session, client = attached(server)
    server.log(session).unlink()
    wait_until(lambda: 404 in client.refused, "the client to get a reset or 404")
    client.disconnect()
    assert client.signals[-1] == "reset"
    assert client.received == []
    for path in ("", "/events"):
        assert server.ask("GET", f"/api/sessions/{session}{path}")[0] == 404
    assert server.ask("POST", f"/api/sessions/{session}/turns", {"prompt": "true"})[0] == 404
    assert not server.log(session).exists()


@pytest.mark.parametrize("how", ["replaced", "cut short"])
def test_clients_of_a_replaced_or_truncated_log_get_a_reset(how: str, server: Server) -> None:
    session, client = attached(server)
    log = server.log(session)
    if how == "cut short":
        os.truncate(log, log.read_bytes().index(b"\n") + 1)
    else:
        log.with_name("new").write_bytes(b"".join([line(1, "created", title="new"), line(2, "renamed")]))
        os.replace(log.with_name("new"), log)
    wait_until(lambda: "reset" in client.signals, "the client to get a reset or 404")
    server.ask("PATCH", f"/api/sessions/{session}", {"title": "after"})
    assert validate(log, clients=[client])[-1]["title"] == "after"


FOREIGN_LINES = {
    "text": b"hello",
    "nothing": b"",
    "bad UTF-8": b"\xff\xfe\xed\xa0\x80",
    "NUL": b"a\0b",
    "CR": b"a\rid: 99\rdata: evil\r",
    "U+2028": "a\u2028b\u2029c\x85d".encode(),
    "a frame": b"data: {}",
}


def test_foreign_lines_are_marked_and_keep_the_numbering(server: Server) -> None:
    session, client = attached(server)
    first = server.state(session)["last_event_id"] + 1
    with server.log(session).open("ab") as file:
        file.writelines(each + b"\n" for each in FOREIGN_LINES.values())
    server.ask("PATCH", f"/api/sessions/{session}", {"title": "after"})
    events = validate(server.log(session), clients=[client], foreign=True)
    assert {event["kind"] for event in events[first - 1 : -1]} == {"foreign"}
    assert events[-1]["title"] == "after"
    assert [number for number, _ in client.received] == [*range(1, len(events) + 1)]
    assert not any(set(data) & {0, 10, 13} for _, data in client.received)


@pytest.mark.parametrize("what", ["the log", "the directory"])
def test_links_in_the_data_root_are_not_followed(what: str, server: Server, tmp_path: Path) -> None:
    session, client = attached(server)
    client.disconnect()
    real = server.log(session) if what == "the log" else server.log(session).parent
    moved = tmp_path / "moved"
    real.rename(moved)
    real.symlink_to(moved)
    for method, path, body in (
        ("GET", "", None),
        ("GET", "/events", None),
        ("POST", "/turns", {"prompt": "true"}),
        ("POST", "/cancel", {}),
        ("PATCH", "", {"title": "x"}),
    ):
        assert server.ask(method, f"/api/sessions/{session}{path}", body)[0] == 404
