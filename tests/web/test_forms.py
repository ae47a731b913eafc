"""The plain forms over HTTP, as a browser without JavaScript sends them."""

from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from tests.help.servers import Server, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("forms") / "var") as started:
        yield started


def send(server: Server, path: str, **fields: str) -> tuple[int, str]:
    """Send a form and return the status and the redirect of the answer."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    status, _, answered = server.ask("POST", path, urlencode(fields).encode(), headers)
    return status, answered.get("location", "")


def prompts(server: Server, place: str) -> int:
    session = place.removeprefix("/sessions/").removesuffix("#end")
    return server.log(session).read_bytes().count(b'"kind":"user"')


def test_a_form_sent_twice_makes_one_session_and_runs_its_prompt_once(server: Server) -> None:
    first, again = (send(server, "/sessions", prompt="echo once", key="k-1") for _ in range(2))
    assert first == again
    assert first[0] == 303
    assert prompts(server, first[1]) == 1
    assert send(server, "/sessions", prompt="echo once", key="k-2") != first
    assert send(server, "/sessions", prompt="echo else", key="k-1") != first, "an old key, another prompt"
    assert send(server, "/sessions", prompt="echo once") != send(server, "/sessions", prompt="echo once")


@pytest.mark.parametrize("number", ["9" * 5000, "999", "-1", "x", "continue"])
def test_the_number_of_a_ready_prompt_that_does_not_exist_fills_nothing(server: Server, number: str) -> None:
    answered, body, _ = server.ask("GET", f"/?preset={number}", headers={"Accept": "text/html"})
    assert answered == 200
    assert b'enterkeyhint="enter"></textarea>' in body
