"""A question with choices: each thing to decide is a group of the form, and one button sends all answers."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import NewUser
from tests.browser.server import ScriptedServer
from tests.browser.user import PHONE
from tests.help.questions import answers, open_turn

CARD = ".permission.open .card"
LABEL = 'Post\u202egres "17"'
CHOICES = [
    {
        "id": "Which database?",
        "question": "Which database?",
        "header": "Database",
        "options": [{"label": LABEL, "description": "as now"}, {"label": "SQLite"}],
    },
    {
        "id": 'Which "parts"?',
        "question": 'Which "parts"?',
        "options": [{"label": "logs"}, {"label": "mail"}, {"label": "web"}],
        "multiple": True,
    },
]
ASKED: dict[str, Any] = {"name": "AskUserQuestion", "input": {"questions": [1]}, "choices": CHOICES}


def choose(page: Page) -> None:
    """Choose the first database, and two parts with one of the user's own."""
    first, second = page.locator(f"{CARD} fieldset").all()
    expect(first).to_contain_text("Which database?")
    first.get_by_label("as now").check()
    second.get_by_label("logs").check()
    second.get_by_label("Other", exact=True).check()
    second.locator("textarea").fill("the cellar,\nall of it")


@pytest.mark.parametrize("javascript", [True, False])
def test_chosen_and_typed_answers_arrive_unchanged(
    new_user: NewUser, server: ScriptedServer, *, javascript: bool
) -> None:
    session = server.new_session()
    with open_turn(server.data, session, ASKED):
        page = new_user(**PHONE, java_script_enabled=javascript).page
        page.goto(f"/sessions/{session}")
        assert "Allow" not in page.locator(f"{CARD} .buttons").inner_text()
        choose(page)
        page.get_by_role("button", name="Send answer").click()
        expect(page.locator("#log")).to_contain_text("Answered by owner:")
        [answer] = answers(server.data, session)
        assert (answer["allow"], answer["by"]) == (True, "owner")
        assert answer["answers"] == {
            "Which database?": [LABEL],
            'Which "parts"?': ["logs", "the cellar,\nall of it"],
        }


@pytest.mark.torture
def test_typing_another_answer_replaces_the_chosen_one(new_user: NewUser, server: ScriptedServer) -> None:
    session = server.new_session()
    with open_turn(server.data, session, {**ASKED, "choices": CHOICES[:1]}):
        page = new_user().open(session)
        page.get_by_label("SQLite").check()
        page.locator(f"{CARD} fieldset textarea").fill("none")
        page.get_by_role("button", name="Send answer").click()
        expect(page.locator("#log")).to_contain_text("Answered by owner: none.")
        assert answers(server.data, session)[0]["answers"] == {"Which database?": ["none"]}


def test_an_incomplete_answer_is_not_sent_and_says_what_is_missing(
    new_user: NewUser, server: ScriptedServer
) -> None:
    session = server.new_session()
    with open_turn(server.data, session, ASKED):
        user = new_user()
        user.expected = "status of 422"
        page = user.open(session)
        page.get_by_label("SQLite").check()
        page.get_by_role("button", name="Send answer").click()
        expect(page.locator("#notice")).to_contain_text("has no answer")
        expect(page.get_by_label("SQLite")).to_be_checked()
        assert answers(server.data, session) == []
        page.get_by_role("button", name="Refuse").click()
        expect(page.locator("#log")).to_contain_text("Refused by owner.")


@pytest.mark.parametrize("javascript", [True, pytest.param(False, marks=pytest.mark.torture)])
def test_a_secret_answer_is_hidden_and_not_in_the_log(
    new_user: NewUser, server: ScriptedServer, *, javascript: bool
) -> None:
    session = server.new_session()
    link = "https://login.example/authorize?z-fI0fH"
    choice = {"id": "code", "question": "Paste the code.", "options": [], "secret": True, "link": link}
    with open_turn(server.data, session, {"name": "Log in", "input": {"address": link}, "choices": [choice]}):
        page = new_user(**PHONE, java_script_enabled=javascript).page
        page.goto(f"/sessions/{session}")
        assert page.get_by_role("link", name="Open the address").get_attribute("href") == link
        page.locator(f"{CARD} input[type=password]").fill("abc#def")
        page.get_by_role("button", name="Send answer").click()
        expect(page.locator("#log")).to_contain_text("Answered by owner: (secret).")
        assert "abc#def" not in page.content()
        assert answers(server.data, session)[0]["answers"] == {"code": ["(secret)"]}
        kept = server.data / "sessions" / session / "answer-3"
        assert (kept.read_text(), kept.stat().st_mode & 0o777) == ('{"code": ["abc#def"]}', 0o600)
