"""The pages over HTTP, opened at any line of a log."""

import re
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from breakglass.web.page.render import static_root
from tests.help.servers import Server, serving
from tests.help.waiting import wait_until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("pages") / "var") as started:
        yield started


@pytest.fixture(scope="module")
def session(server: Server) -> str:
    made = server.new_session()
    server.prompt(made, "echo hello")
    server.wait_for_end(made)
    return made


def shown(server: Server, session: str, query: str) -> list[int]:
    """Return the numbers of the lines that a page shows."""
    status, page, _ = server.ask("GET", f"/sessions/{session}{query}")
    assert status == 200, query
    return [int(number) for number in re.findall(rb' id="e([0-9]+)" data-kind', page)]


def test_a_page_before_the_first_or_after_the_last_line_is_empty(server: Server, session: str) -> None:
    last = server.state(session)["last_event_id"]
    for query in ("?before=0", "?before=1", f"?after={last}", f"?after={last + 1}", "?after=" + "9" * 40):
        assert shown(server, session, query) == []
    assert shown(server, session, f"?after={last - 1}") == [last]
    assert shown(server, session, "?before=2") == [1]


def test_a_line_beyond_the_end_shows_the_last_line(server: Server, session: str) -> None:
    last = server.state(session)["last_event_id"]
    for line in (str(last), str(last + 1), "9" * 40):
        assert shown(server, session, f"?line={line}") == [last]
    assert shown(server, session, "?line=2") == [2]


def test_only_static_files_of_the_current_version_may_be_cached_for_a_year(server: Server) -> None:
    for root, kept in (
        (static_root(), "private, max-age=31536000"),
        ("/static/000000000000", "private, no-cache"),
    ):
        status, _, headers = server.ask("GET", f"{root}/app.js")
        assert (status, headers["cache-control"]) == (200, kept)


def test_a_log_without_a_complete_line_is_shown_empty(server: Server) -> None:
    session = server.new_session()
    log = server.log(session)
    log.write_bytes(log.read_bytes()[:-1])
    for query in ("", "?line=1"):
        assert shown(server, session, query) == []


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/sessions/gone", "There is no session &#39;gone&#39;."),
        ("/nothing", "There is nothing at this address."),
    ],
)
def test_the_page_for_a_wrong_address_says_what_is_not_there(server: Server, path: str, words: str) -> None:
    status, body, _ = server.ask("GET", path, headers={"Accept": "text/html"})
    page = body if isinstance(body, str) else body.decode()
    assert (status, words in page, "<h1>Not found</h1>" in page) == (404, True, True)


def form(server: Server, path: str, **fields: str) -> tuple[int, bytes, dict[str, str]]:
    """Send a form of the page at `path`, without the ending that the form adds."""
    page = server.ask("GET", path.removesuffix("/delete"))[1].decode()
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found
    body = urlencode({"csrf": found[1], **fields}).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": server.address}
    return server.ask("POST", path, body, headers)


def test_the_page_deletes_a_session_from_the_archive_only(server: Server) -> None:
    session = server.new_session(title="the old disk")
    at = f"/sessions/{session}"
    assert "Delete" not in server.ask("GET", at)[1].decode()
    refused, problem, _ = form(server, f"{at}/delete")
    assert (refused, b"Archive it first" in server.ask("GET", f"{at}/delete")[1]) == (409, True), problem
    form(server, at, archived="1")
    assert f'href="{at}/delete"' in server.ask("GET", at)[1].decode()
    question = server.ask("GET", f"{at}/delete")[1].decode()
    assert re.search(r"the old disk.*2 lines · [0-9]+ KB on disk", question, re.DOTALL)
    assert (server.log(session).exists(), f'action="{at}/delete"' in question) == (True, True)
    assert form(server, f"{at}/delete")[0] == 303
    assert not server.log(session).parent.exists()
    assert not (server.data / "workspaces" / session).exists()
    assert server.ask("GET", at)[0] == 404
    wait_until(
        lambda: f"session {session} was deleted by owner" in server.printed, "a line in the server's log"
    )
