"""The search over HTTP, on its page and on the command line.

All find the same lines. HTTP and the page give 50 hits at a time, with a cursor. They are sent while the search runs,
and it ends when the client leaves.
"""

import http.client
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from breakglass.turns import processes
from tests.cli.program import Data
from tests.help.logs import line
from tests.help.servers import TOKEN, Server, serving
from tests.help.waiting import wait_until

HEADERS = {"Authorization": f"Bearer {TOKEN}", "Accept": "text/event-stream"}
COPIES = 150
"""Sessions whose log is the same file of 2 MB. To search all of them takes minutes."""
LONG = "long-" * 200
TEXTS = (
    'he said "no space" left',
    "first line\n\tsecond line",
    "Grüße aus der Straße",
    "cafe\u0301 combined",
    "a.*b[0-9]+$ (x|y)",
    r"C:\Users\u00e4",
    "smile 😀 \u2028 end",
    "nul\0byte and \x1b[31mred",
    "<script>alert('x')</script>",
    "-e --kind=user %s %00 &amp; #tag",
    f"x{LONG}x",
    "ﬁle KELVIN \u212a",
)
"""Line N of the log, from line 2 on."""
FOREIGN = (
    rb'{"id":14,"ts":"2026-11-23T01:02:03.004Z","kind":"text","turn":2,"text":"sch\u00f6n \ud83d\ude80 \ud800!"}',
    b"plain text of another program \xff, sch\xc3\xb6n",
)
"""Lines 14 and 15: JSON as others write it, with a half of a pair, and no JSON."""
WORDS = {
    '"no space"': [2],
    '"said \'no"': [],
    "said left": [2],
    '"first line second"': [3],
    "LINE": [3],
    "grüsse": [4],
    "GRÜSSE STRASSE": [4],
    "STRAẞE": [4],
    "gru\u0308ße": [4],
    "café": [5],
    "CAFE\u0301": [5],
    ".*b[0-9]+$": [6],
    "(x|y)": [6],
    r"C:\Users": [7],
    r"\u00e4": [7],
    "😀": [8],
    "\u2028": None,
    "nul\0byte": [9],
    "\x1b[31m": [9],
    "<SCRIPT>": [10],
    "--KIND=user": [11],
    "-e --kind": [11],
    "%00": [11],
    "&amp;": [11],
    LONG: [12],
    "FILE kelvin": [13],
    "schön": [14, 15],
    "🚀": [14],
    "\ufffd!": [14],
    "another program": [15],
    "program \ufffd,": [15],
}
"""Lines that have the words; None: no words, so the search is refused."""


class Searched(NamedTuple):
    """A server with two sessions: one with 120 lines that have the word `needle`, one with `TEXTS` and `FOREIGN`."""

    server: Server
    session: str
    data: Data


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searched]:
    folder = tmp_path_factory.mktemp("search")
    with serving(folder / "var") as server:
        session = server.new_session(title="a <b>title")
        with server.log(session).open("ab") as log:
            log.writelines(
                line(number, "text", text=f"a Needle\n<i>{number}</i> ü") for number in range(2, 122)
            )
        with server.log(server.new_session(title="t")).open("ab") as log:
            log.writelines(line(number, "text", text=text) for number, text in enumerate(TEXTS, 2))
            log.writelines(each + b"\n" for each in FOREIGN)
        yield Searched(server, session, Data(folder))


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


def test_hits_come_50_at_a_time_and_the_cursor_leads_to_the_rest(searched: Searched) -> None:
    hits: list[dict[str, Any]] = []
    sizes, after = list[int](), ""
    while True:
        status, body, _ = searched.server.ask("GET", f"/api/search?q=needle&after={after}")
        assert (status, {*body}) == (200, {"hits", "after"})
        sizes.append(len(body["hits"]))
        hits += body["hits"]
        if body["after"] is None:
            break
        after = body["after"]
    assert sizes == [50, 50, 20]
    assert [hit["line"] for hit in hits] == [*range(121, 1, -1)]
    assert hits[-1] == {"session": searched.session, "line": 2, "kind": "text", "text": "a Needle <i>2</i> ü"}


def test_a_stream_has_the_same_hits_and_ends_with_the_cursor(searched: Searched) -> None:
    hits, after = list[Any](), ""
    for expected in ([50, "end"], [50, "end"], [20, "end"]):
        connection, response = get(searched.server, f"/api/search?q=needle&after={after}", HEADERS)
        assert (response.status, response.headers["Content-Type"]) == (
            200,
            "text/event-stream; charset=utf-8",
        )
        found = [each for each in events_of(response) if each[0] != "progress"]
        connection.close()
        hits = [hit for name, hit in found if name == "hit"]
        assert [len(hits), found[-1][0]] == expected
        after = found[-1][1]["after"]
    assert hits[-1] == {"session": searched.session, "line": 2, "kind": "text", "text": "a Needle <i>2</i> ü"}
    assert after is None


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 422),
        ("q=%22%22", 422),
        ("q=a&kind=weather", 422),
        ("q=a&after=1", 422),
        ("q=a&session=x", 404),
        ("q=a&session=00000000-0000-4000-8000-000000000000", 404),
        ("q=" + "x" * 1001, 422),
    ],
)
def test_a_wrong_search_is_refused_before_a_stream_begins(
    searched: Searched, query: str, status: int
) -> None:
    assert searched.server.ask("GET", f"/api/search?{query}")[0] == status
    answered, problem, headers = searched.server.ask("GET", f"/api/search?{query}", None, HEADERS)
    assert (answered, problem["status"]) == (status, status)
    assert headers["content-type"] == "application/problem+json"


def test_head_searches_nothing(searched: Searched) -> None:
    for path in ("/api/search?q=needle", "/search?q=needle"):
        assert searched.server.ask("HEAD", path, None, HEADERS)[:2] == (200, b"")


def test_the_page_shows_hits_with_links_and_escapes_them(searched: Searched) -> None:
    server, session = searched.server, searched.session
    html = page(server, "/search?q=NEEDLE")
    assert html.count("<mark>Needle</mark>") == 50
    assert f"/sessions/{session}?line=121#e121" in html
    assert "&lt;i&gt;121&lt;/i&gt;" in html
    assert "<script" not in html
    assert html.rstrip().endswith("</html>")
    for expected in (50, 20):
        older = re.search(r'class="more" href="([^"]+)"', html)
        assert older
        html = page(server, older[1].replace("&amp;", "&"))
        assert html.count("<mark>") == expected
    assert "These are all hits." in html
    assert "Nothing was found" in page(server, "/search?q=nowhere")
    assert "Nothing was found" in page(server, "/search?q=needle&kind=user")
    assert "expected words" in page(server, "/search?q=%22%22")


def page(server: Server, path: str) -> str:
    """Return the HTML of a page."""
    status, body, _ = server.ask("GET", path)
    assert status == 200
    return str(body.decode())


@pytest.mark.parametrize(("words", "lines"), WORDS.items(), ids=range(len(WORDS)))
def test_hostile_words_find_their_lines(searched: Searched, words: str, lines: list[int] | None) -> None:
    status, body, _ = searched.server.ask("GET", f"/api/search?q={quote(words)}")
    if lines is None:
        assert status == 422
        return
    assert (status, sorted(hit["line"] for hit in body["hits"])) == (200, lines)
    html = page(searched.server, f"/search?q={quote(words)}")
    assert html.count("<mark>") == len(lines)
    assert "<script>" not in html


def test_the_command_finds_the_same(searched: Searched) -> None:
    for words, lines in WORDS.items():
        if lines is not None and "\0" not in words:
            done = searched.data.run("grep", "--json", "--", words)
            found = [json.loads(each)["line"] for each in done.stdout.decode().splitlines()]
            assert (sorted(found), done.returncode) == (lines, 0 if lines else 1), words


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
