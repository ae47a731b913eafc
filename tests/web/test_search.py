"""The search over HTTP and its page: 50 hits at a time, with a cursor, readable with the read-only token."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.help.logs import line
from tests.help.servers import Server, serving


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    """A server with a session of 120 lines that have the word `needle`."""
    with serving(tmp_path_factory.mktemp("search") / "var") as server:
        session = server.new_session(title="a <b>title")
        with server.log(session).open("ab") as log:
            log.writelines(line(number, "text", text=f"a Needle <i>{number}</i>") for number in range(2, 122))
        yield server, session


def test_hits_come_50_at_a_time_and_the_cursor_leads_to_the_rest(searched: tuple[Server, str]) -> None:
    server, session = searched
    hits: list[dict[str, Any]] = []
    sizes, after = list[int](), ""
    while True:
        status, body, _ = server.ask("GET", f"/api/search?q=needle&after={after}")
        assert (status, {*body}) == (200, {"hits", "after"})
        sizes.append(len(body["hits"]))
        hits += body["hits"]
        if body["after"] is None:
            break
        after = body["after"]
    assert sizes == [50, 50, 20]
    assert [hit["line"] for hit in hits] == [*range(121, 1, -1)]
    assert hits[-1] == {"session": session, "line": 2, "kind": "text", "text": "a Needle <i>2</i>"}


def page(server: Server, path: str) -> str:
    """Return the HTML of a page."""
    status, body, _ = server.ask("GET", path)
    assert status == 200
    return str(body.decode())


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
        ("q=needle&kind=user", 200),
    ],
)
def test_a_wrong_search_is_refused(searched: tuple[Server, str], query: str, status: int) -> None:
    assert searched[0].ask("GET", f"/api/search?{query}")[0] == status


def test_the_page_shows_hits_with_links_and_escapes_them(searched: tuple[Server, str]) -> None:
    server, session = searched
    html = page(server, "/search?q=NEEDLE")
    assert html.count("<mark>Needle</mark>") == 50
    assert f"/sessions/{session}?line=121#e121" in html
    assert "&lt;i&gt;121&lt;/i&gt;" in html
    assert "<script" not in html
    older = re.search(r'class="more" href="([^"]+)"', html)
    assert older
    assert "line 71 " in page(server, older[1].replace("&amp;", "&"))
    assert "Nothing was found" in page(server, "/search?q=nowhere")
    assert "expected words" in page(server, "/search?q=%22%22")
