"""The list of sessions when there are more than one page shows."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from breakglass.store import sessions
from breakglass.web.page.queries import MAX_ROWS
from tests.help.servers import Server, serving

MORE = 5


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data: Path = tmp_path_factory.mktemp("list") / "var"
    with serving(data) as started:
        sessions.create(data, "shell", title="the oldest of them all")
        for number in range(MAX_ROWS + MORE - 1):
            sessions.create(data, "shell", title=f"number {number}")
        yield started


def listed(server: Server, path: str) -> tuple[int, str]:
    """Return the number of sessions that a page lists, and the page."""
    status, page, _ = server.ask("GET", path)
    assert status == 200
    return page.count(b"<li data-id="), page.decode()


def test_a_page_lists_the_latest_and_says_how_many_there_are(server: Server) -> None:
    latest = sessions.create(server.data, "shell", title="the latest")
    for path in ("/", f"/sessions/{latest.id}"):
        count, page = listed(server, path)
        assert count == MAX_ROWS
        assert "the latest" in page
        assert "the oldest" not in page
        assert '<a href="/?all=1">All 206 sessions</a>' in page


def test_all_sessions_are_listed_on_request_and_a_search_covers_all(server: Server) -> None:
    count, page = listed(server, "/?all=1")
    assert count > MAX_ROWS
    assert "the oldest" in page
    assert "All " not in page
    count, page = listed(server, "/?q=OLDEST+them")
    assert count == 1
    assert "the oldest of them all" in page
    count, page = listed(server, "/?q=nothing+like+it")
    assert count == 0
    assert 'No session found. <a href="/?archived=1&amp;q=nothing%20like%20it">' in page
    count, page = listed(server, "/?q=nothing+like+it&archived=1")
    assert count == 0
    assert "No session found.</li>" in page.replace("\n", "")


def test_the_link_to_all_results_of_a_search_keeps_the_query(server: Server) -> None:
    count, page = listed(server, "/?q=number")
    assert count == MAX_ROWS
    assert '<a href="/?all=1&amp;q=number">All 204 sessions</a>' in page
