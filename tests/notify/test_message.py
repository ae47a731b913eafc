"""A notification says what `detail` allows, and ends with the address and the log's length and seal."""

import pytest

from breakglass.notify import Detail
from breakglass.notify.causes import Cause
from breakglass.notify.message import Subject, write

SUBJECT = Subject("db1", "https://ops.example.com/sessions/0a1b", "Backups", 41, "ab12", 40)
END = "https://ops.example.com/sessions/0a1b\nlog: 41 lines; seal of lines 1-40: ab12"
QUESTION = Cause("question", 3, 0.0, 0.0, "Bash", "rm -rf /srv/old")


@pytest.mark.parametrize(
    ("detail", "body"),
    [
        ("none", END),
        ("title", f"Backups\nTool: Bash\n\n{END}"),
        ("full", f"Backups\nBash\nrm -rf /srv/old\n\n{END}"),
    ],
)
def test_the_detail_decides_what_a_lock_screen_shows(detail: Detail, body: str) -> None:
    assert write(QUESTION, SUBJECT, detail) == ("Breakglass on db1: A question waits", body)


def test_a_turn_is_told_with_how_long_it_took() -> None:
    assert (
        write(Cause("failed", 9, 0.0, 200.0), SUBJECT, "none").title
        == "Breakglass on db1: A turn failed after 3 min 20 s"
    )


def test_text_of_an_agent_is_short_and_cannot_hide_anything() -> None:
    body = write(QUESTION._replace(text="a\u202eb" + "x" * 9_000), SUBJECT, "full").body
    assert "a⟨U+202E⟩b" in body
    assert len(body) < 600


def test_a_log_without_a_seal_says_so() -> None:
    body = write(QUESTION, SUBJECT._replace(seal="", sealed=0), "none").body
    assert body.endswith("log: 41 lines, no seal yet")


def test_a_login_has_no_log() -> None:
    login = Cause("login", 1, 0.0, 0.0, "owner from 10.0.0.1", "Firefox")
    assert write(login, Subject("db1", "https://ops.example.com/"), "title").body == (
        "owner from 10.0.0.1\nFirefox\n\nhttps://ops.example.com/"
    )
