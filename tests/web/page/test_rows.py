"""A session in the list: its status, its heading, its place, and whether a search finds it."""

from pathlib import Path
from typing import Any

import pytest

from breakglass.state import OpenQuestion, SessionState
from breakglass.store.sessions import Session
from breakglass.web.page.rows import SessionRow, by_urgency, matches

QUESTION = (OpenQuestion(3, "r", "Bash", ""),)


@pytest.mark.parametrize(
    ("asking", "turn", "status", "shown"),
    [
        (QUESTION, 2, "running", "asking"),
        ((), 2, "running", "running"),
        ((), None, "ok", "ok"),
        ((), None, "lost", "lost"),
        ((), None, "running", "running"),
        ((), None, "of another version", "of another version"),
    ],
)
def test_the_status_that_a_list_shows(asking: Any, turn: int | None, status: str, shown: str) -> None:
    assert SessionRow("1", SessionState(asking=asking, turn=turn, status=status)).status == shown


def test_the_heading_of_a_session_without_a_title_is_the_start_of_its_first_prompt() -> None:
    def heading(title: str, first_prompt: str) -> str:
        return SessionRow("1", SessionState(title=title, first_prompt=first_prompt)).heading

    assert heading("disk", "x") == "disk"
    assert heading("", "what\n  fills   it\n") == "what \u23ce fills it"
    assert heading("", "") == "New session"


def test_the_list_begins_with_open_questions_then_running_turns_then_the_latest() -> None:
    states = {
        "old": SessionState(updated="1"),
        "new": SessionState(updated="4"),
        "running": SessionState(updated="2", turn=2),
        "asking": SessionState(updated="1", turn=2, asking=QUESTION),
    }
    found = [(Session(Path(), name), state) for name, state in states.items()]
    assert [session.id for session, _ in by_urgency(found)] == ["asking", "running", "new", "old"]


def test_a_search_looks_for_every_word_in_the_title_or_else_in_the_first_prompt() -> None:
    titled = SessionState(title="Disk full", first_prompt="nginx")
    assert matches(titled, "")
    assert matches(titled, "full DISK")
    assert not matches(titled, "disk nginx")
    assert matches(SessionState(first_prompt="nginx"), "ngi")
