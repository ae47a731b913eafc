"""A question is impossible to miss, shows all that would run, and vanishes everywhere once it is answered."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.visits import PHONE, House
from tests.help.questions import answers, open_turn

CARD = ".permission.open .card"


def test_an_answer_on_one_device_takes_the_question_off_the_other(visit: Visit, shared: House) -> None:
    session = shared.play("ask Bash rm -r /var/log/journal", title="the journal")
    desk, phone = visit(), visit(**PHONE)
    for person in (desk, phone):
        page = person.open(session)
        expect(page.locator(CARD)).to_be_in_viewport(ratio=1)
        expect(page).to_have_title(re.compile("^◐ "))
    phone.page.locator(".allow").tap()
    for person in (desk, phone):
        expect(person.page.locator(".turn_end")).to_be_visible()
        expect(person.page.locator(CARD)).to_have_count(0)
        expect(person.page.locator("#log")).to_contain_text("Allowed by owner.")
        expect(person.page.locator("#log > .prose")).to_have_text(re.compile("The answer to .* was allow."))
        expect(person.page).to_have_title(re.compile("^[^◐]"))


@pytest.mark.parametrize(("key", "word"), [("y", "allow"), ("n", "deny")])
def test_the_keyboard_answers_after_a_deliberate_focus(
    key: str, word: str, visit: Visit, shared: House
) -> None:
    session = shared.play("ask Bash ls")
    page = visit().open(session)
    expect(page.locator(CARD)).to_be_visible()
    page.keyboard.press(key)  # nothing is focused: no answer; `n` even leaves for the list
    if key == "n":
        page.wait_for_url("**/#prompt")
    page.goto(f"/sessions/{session}")
    expect(page.locator("#badge")).to_have_text("Live")
    assert answers(shared.data, session) == []
    page.keyboard.press("a")
    expect(page.locator(CARD)).to_be_focused()
    page.keyboard.press(key)
    expect(page.locator("#log > .prose")).to_have_text(re.compile(f"was {word}"))


def test_all_that_would_run_is_shown_however_long(visit: Visit, shared: House) -> None:
    command = "\n".join(f"rm -f /srv/{number}" for number in range(2000)) + "\nrm -rf /srv"
    with open_turn(shared.data, session := shared.new_session(), {"input": {"command": command, "a": 1}}):
        page = visit(**PHONE).open(session)
        would = page.locator(CARD).locator("pre").first
        assert would.inner_text() == command
        expect(page.locator(".allow")).to_be_in_viewport(ratio=1)
        expect(page.locator(".refuse")).to_be_in_viewport(ratio=1)
        box = page.locator(".allow").bounding_box()
        assert box and box["height"] >= 44


def test_the_list_shows_first_who_asks(visit: Visit, shared: House) -> None:
    asking = shared.new_session(title="it asks")
    shared.new_session(title="later and quiet")
    with open_turn(shared.data, asking, {}):
        page = visit().open()
        first = page.locator("#sessions li").first
        expect(first).to_have_attribute("data-id", asking)
        assert "asks" in first.inner_text()
        assert "It asks for leave." in first.inner_text()


def test_leave_for_the_session_is_asked_once(visit: Visit, shared: House) -> None:
    session = shared.play("ask Bash ls", "ask Bash df")
    page = visit().open(session)
    page.locator(".rest").click()
    expect(page.locator(".turn_end")).to_be_visible()
    given = answers(shared.data, session)
    assert [(each["allow"], each["by"]) for each in given] == [(True, "owner"), (True, "session")]


def test_an_answer_that_did_not_arrive_is_said_and_can_be_given_again(visit: Visit, shared: House) -> None:
    session = shared.play("ask Bash ls")
    person = visit()
    person.expected = "Failed to load resource"
    page = person.open(session)
    page.route("**/answers", lambda route: route.abort())
    page.locator(".refuse").click()
    silent = "Not answered: the server cannot be reached. Tap again when it is back."
    expect(page.locator("#notice")).to_have_text(silent)
    page.unroute("**/answers")
    page.locator(".refuse").click()
    expect(page.locator("#log > .prose")).to_have_text(re.compile("was deny"))
    expect(page.locator("#notice")).to_be_hidden()


def test_who_reads_another_part_is_told_of_the_question(visit: Visit, shared: House, gate: Path) -> None:
    session = shared.new_session(agent="actor")
    shared.prompt(session, "\n".join(f"say line {number} {'x' * 900}" for number in range(250)))
    shared.ended(session)
    shared.prompt(session, f"wait {gate}\nask Bash ls")
    page = visit().open(session, "?before=100")
    gate.touch()
    expect(page.locator("#notice")).to_contain_text("It asks for leave")
    page.locator("#notice a").click()
    expect(page.locator(CARD)).to_be_in_viewport()


def test_a_stopped_turn_asks_no_more(visit: Visit, shared: House) -> None:
    session = shared.play("ask Bash ls")
    page = visit().open(session)
    expect(page.locator(CARD)).to_be_visible()
    page.locator(".halt").click()
    expect(page.locator(CARD)).to_have_count(0)
    expect(page.locator(".turn_end")).to_have_text(re.compile("Stopped"))
