"""A search over HTTP is sent while it runs: hits when they are found, then its end. It ends when the client leaves."""

import http.client
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from breakglass.turns import processes
from tests.help.logs import line
from tests.help.servers import TOKEN, Server, serving
from tests.help.waiting import wait_until

HEADERS = {"Authorization": f"Bearer {TOKEN}", "Accept": "text/event-stream"}
COPIES = 150
"""Sessions whose log is the same file of 2 MB. To search all of them takes minutes."""


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    """A server with a session of 60 lines that have the word `needle`."""
    with serving(tmp_path_factory.mktemp("search") / "var") as server:
        session = server.new_session(title="a <b>title")
        with server.log(session).open("ab") as log:
            log.writelines(line(number, "text", text=f"needle {number}\n<i>ü") for number in range(2, 62))
        yield server, session


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose logs take minutes to search for `hay` in prompts, because many lines must be decoded."""
    with serving(tmp_path_factory.mktemp("slow") / "var") as server:
        log = server.log(server.new_session())
        with log.open("ab") as file:
            file.writelines(line(number, "text", text="hay " * 10) for number in range(2, 20_000))
        for number in range(1, COPIES):
            copy = server.data / "sessions" / f"{number:08d}-1111-4111-8111-111111111111"
            copy.mkdir(mode=0o700)
            os.link(log, copy / log.name)
        yield server


def events_of(response: http.client.HTTPResponse) -> Iterator[tuple[str, Any]]:
    """Yield the named events of a stream."""
    name = ""
    for raw in response:
        field, _, value = raw.decode().rstrip("\n").partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)


def searching(server: Server) -> set[int]:
    """Return the processes of the server that search."""
    return {pid for pid in processes.descendants(server.process.pid) if searches(pid)}


def several(found: set[int]) -> set[int] | None:
    return found if len(found) > 1 else None


def searches(pid: int) -> bool:
    try:
        return b"store.search" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has ended
        return False


def get(server: Server, path: str, headers: dict[str, str]) -> tuple[http.client.HTTPConnection, Any]:
    connection = server.connection()
    connection.request("GET", path, headers=headers)
    return connection, connection.getresponse()


def test_a_stream_has_a_page_of_hits_and_ends_with_the_cursor(searched: tuple[Server, str]) -> None:
    server, session = searched
    connection, response = get(server, "/api/search?q=needle", HEADERS)
    assert (response.status, response.headers["Content-Type"]) == (200, "text/event-stream; charset=utf-8")
    found = [each for each in events_of(response) if each[0] != "progress"]
    connection.close()
    assert [name for name, _ in found] == ["hit"] * 50 + ["end"]
    assert found[0][1] == {"session": session, "line": 61, "kind": "text", "text": "needle 61 <i>ü"}
    connection, response = get(server, f"/api/search?q=needle&after={found[-1][1]['after']}", HEADERS)
    rest = [each for each in events_of(response) if each[0] != "progress"]
    connection.close()
    assert [name for name, _ in rest] == ["hit"] * 10 + ["end"]
    assert rest[-1][1] == {"after": None}


@pytest.mark.parametrize(("query", "status"), [("q=", 422), ("q=a&after=1", 422), ("q=a&session=x", 404)])
def test_a_wrong_search_is_refused_before_the_stream(
    searched: tuple[Server, str], query: str, status: int
) -> None:
    answered, problem, headers = searched[0].ask("GET", f"/api/search?{query}", None, HEADERS)
    assert (answered, headers["content-type"], problem["status"]) == (
        status,
        "application/problem+json",
        status,
    )


def test_head_searches_nothing(searched: tuple[Server, str]) -> None:
    for path in ("/api/search?q=needle", "/search?q=needle"):
        assert searched[0].ask("HEAD", path, None, HEADERS)[:2] == (200, b"")


@pytest.mark.parametrize(
    ("path", "accept", "sign"),
    [
        ("/api/search?q=hay&kind=user", "text/event-stream", b'data: {"searched":'),
        ("/search?q=hay&kind=user", "text/html", b"<progress max="),
        ("/api/search?q=hay&kind=user", "application/json", b""),
    ],
)
def test_a_client_that_leaves_ends_the_search(slow: Server, path: str, accept: str, sign: bytes) -> None:
    connection = slow.connection()
    connection.request("GET", path, headers={**HEADERS, "Accept": accept})
    response = connection.getresponse() if sign else None
    assert response is None or any(sign in raw for raw in response)
    working = wait_until(lambda: several(searching(slow)), "processes that search")
    connection.close()
    if response:
        response.close()
    wait_until(lambda: not any(map(searches, working)), "the end of a search without its client")


def test_a_search_that_dies_is_no_empty_result(slow: Server) -> None:
    connection, response = get(slow, "/api/search?q=hay&kind=user", HEADERS)
    found = events_of(response)
    assert next(found)[0] == "progress"
    working = wait_until(lambda: several(searching(slow)), "processes that search")
    os.kill(min(working), 9)
    *_, last = found
    connection.close()
    assert last == ("error", {"detail": "the search ended early; is there enough memory?"})


def test_the_page_says_what_was_found_in_the_end(searched: tuple[Server, str]) -> None:
    server, session = searched
    html = server.ask("GET", "/search?q=NEEDLE")[1].decode()
    assert html.count("<mark>needle</mark>") == 50
    assert f"/sessions/{session}?line=61#e61" in html
    assert "&lt;i&gt;" in html
    older = re.search(r'class="more" href="([^"]+)"', html)
    assert older
    rest = server.ask("GET", older[1].replace("&amp;", "&"))[1].decode()
    assert (rest.count("<mark>"), "These are all hits." in rest) == (10, True)
    assert html.rstrip().endswith("</html>")
