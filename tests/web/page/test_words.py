"""A session's status and heading as lists show them."""

import pytest

from breakglass.web.page import words


@pytest.mark.parametrize(
    ("asking", "active", "status", "shown"),
    [
        (True, True, "running", "asking"),
        (False, True, "running", "running"),
        (False, False, "ok", "ok"),
        (False, False, "lost", "lost"),
        (False, False, "running", "running"),
        (False, False, "of another version", "new"),
    ],
)
def test_the_status_that_a_list_shows(asking: bool, active: bool, status: str, shown: str) -> None:
    assert words.shown_status({"asking": asking, "turn_active": active, "status": status}) == shown


def test_a_session_without_title_is_called_by_its_first_words() -> None:
    assert words.heading({"title": "disk", "first_prompt": "x"}) == "disk"
    assert words.heading({"title": None, "first_prompt": "what\nfills it"}) == "what fills it"
    assert words.heading({"title": "", "first_prompt": ""}) == "New session"
