"""A question is always visible, shows all that would run, and closes on every device when it is answered."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import NewUser
from tests.browser.server import ScriptedServer
from tests.browser.user import PHONE
from tests.help.questions import LATER, answers, open_turn

CARD = ".permission.open .card"


def test_what_is_allowed_for_the_session_is_in_the_menu_and_can_be_taken_back(
    new_user: NewUser, server: ScriptedServer, gate: Path
) -> None:
    session = server.run_script("ask Bash one", "ask Bash two", f"wait {gate}", "ask Bash three", "say Done.")
    user = new_user()
    page = user.open(session)
    page.get_by_role("button", name="Allow every Bash in this session").click()
    expect(page.locator("#log")).to_contain_text("The answer to two was allow.")
    page.locator("main .menu summary").first.click()
    page.locator("#allowed").get_by_role("button", name="Ask again before Bash").click()
    expect(page.locator("#log")).to_contain_text("Bash needs permission again, by")
    gate.touch()
    expect(page.locator(".permission.open")).to_contain_text("three")
    expect(page.locator("#allowed")).not_to_contain_text("Bash")
    page.get_by_role("button", name="Refuse").click()
    expect(page.locator("#log")).to_contain_text("The answer to three was deny.")


def test_an_answer_on_one_device_closes_the_question_on_the_other(
    new_user: NewUser, server: ScriptedServer
) -> None:
    session = server.run_script("ask Bash rm -r /var/log/journal", title="the journal")
    desktop, phone = new_user(), new_user(**PHONE)
    for user in (desktop, phone):
        page = user.open(session)
        expect(page.locator(CARD)).to_be_in_viewport(ratio=1)
        expect(page).to_have_title(re.compile("^◐ "))
    phone.page.locator(".allow").tap()
    for user in (desktop, phone):
        expect(user.page.locator(".turn_end")).to_be_visible()
        expect(user.page.locator(CARD)).to_have_count(0)
        expect(user.page.locator("#log")).to_contain_text("Allowed by owner.")
        expect(user.page.locator("#log > .prose")).to_have_text(re.compile("The answer to .* was allow."))
        expect(user.page).to_have_title(re.compile("^[^◐]"))


@pytest.mark.parametrize(
    ("key", "word"), [("y", "allow"), pytest.param("n", "deny", marks=pytest.mark.torture)]
)
def test_the_answer_keys_work_only_while_the_question_has_the_focus(
    key: str, word: str, new_user: NewUser, server: ScriptedServer
) -> None:
    session = server.run_script("ask Bash ls")
    page = new_user().open(session)
    expect(page.locator(CARD)).to_be_visible()
    page.keyboard.press(key)  # the question has no focus, so the key does not answer it; `n` opens the list
    if key == "n":
        page.wait_for_url("**/#prompt")
    page.goto(f"/sessions/{session}")
    expect(page.locator("#badge")).to_have_text("Live")
    assert answers(server.data, session) == []
    page.keyboard.press("a")
    expect(page.locator(CARD)).to_be_focused()
    page.keyboard.press(key)
    expect(page.locator("#log > .prose")).to_have_text(re.compile(f"was {word}"))


LONG = "\n".join(f"rm -f /srv/{number}" for number in range(2000)) + "\nrm -rf /srv"


def test_the_whole_command_is_shown_even_if_it_is_long(new_user: NewUser, server: ScriptedServer) -> None:
    with open_turn(server.data, session := server.new_session(), {"input": {"command": LONG, "a": 1}}):
        page = new_user(**PHONE).open(session)
        would = page.locator(CARD).locator("pre").first
        assert would.inner_text() == LONG
        expect(page.locator(".allow")).to_be_in_viewport(ratio=1)
        expect(page.locator(".refuse")).to_be_in_viewport(ratio=1)
        box = page.locator(".allow").bounding_box()
        assert box and box["height"] >= 44


@pytest.mark.parametrize("seen_by", ["scrolling", "show all", "the keyboard"])
def test_permission_can_be_given_only_after_the_end_of_the_command_was_seen(
    seen_by: str, new_user: NewUser, server: ScriptedServer
) -> None:
    with open_turn(server.data, session := server.new_session(), {"input": {"command": LONG}}):
        page = new_user().open(session)
        buttons = page.locator(f"{CARD} :is(.allow, .allow-session)")
        expect(page.locator(".rest")).to_contain_text(re.compile("^[0-9]{4} more lines below"))
        assert [button.is_disabled() for button in buttons.all()] == [True, True]
        expect(page.locator(".refuse")).to_be_enabled()
        page.locator(CARD).focus()
        page.keyboard.press("y")
        expect(page.locator("#notice")).to_have_text("Not allowed: read to the end first, or show all.")
        if seen_by == "scrolling":
            page.locator(".proposed").evaluate("one => { one.scrollTop = one.scrollHeight; }")
        elif seen_by == "the keyboard":
            page.locator(".proposed").focus()
            page.keyboard.press("End")
        else:
            page.get_by_role("button", name="Show all").click()
            for name in (
                ".card summary",
                ".allow",
                ".refuse",
            ):  # they stay in sight beside a text of any length
                expect(page.locator(f".permission.open {name}").first).to_be_in_viewport(ratio=1)
        expect(page.locator(".allow")).to_be_enabled()
        assert answers(server.data, session) == []
        page.locator(CARD).focus()
        page.keyboard.press("y")
        expect(page.locator("#log")).to_contain_text("Allowed by owner.")


@pytest.mark.torture
def test_permission_for_a_command_that_is_in_sight_needs_no_scrolling(
    new_user: NewUser, server: ScriptedServer
) -> None:
    with open_turn(server.data, session := server.new_session(), {"input": {"command": "ls"}}):
        page = new_user(**PHONE).open(session)
        expect(page.locator(".allow")).to_be_enabled()
        expect(page.locator(".rest")).to_be_hidden()


@pytest.mark.torture
def test_a_refusal_that_did_not_arrive_gives_no_permission_to_an_unread_command(
    new_user: NewUser, server: ScriptedServer
) -> None:
    with open_turn(server.data, session := server.new_session(), {"input": {"command": LONG}}):
        user = new_user()
        user.expected = "status of 503|ERR_"
        page = user.open(session)
        page.route("**/answers", lambda route: route.abort())
        page.locator(".refuse").click()
        expect(page.locator("#notice")).to_contain_text("Not answered")
        expect(page.locator(".refuse")).to_be_enabled()
        expect(page.locator(".allow")).to_be_disabled()


@pytest.mark.parametrize("javascript", [True, pytest.param(False, marks=pytest.mark.torture)])
def test_a_refusal_takes_its_reason_along(
    new_user: NewUser, server: ScriptedServer, *, javascript: bool
) -> None:
    session = server.new_session()
    with open_turn(server.data, session, {"request": 'r "1"'}, {"request": "r2"}):
        page = new_user(**PHONE, java_script_enabled=javascript).page
        page.goto(f"/sessions/{session}")
        page.get_by_label("Reason or remark").last.fill("use the replica")
        page.locator(".refuse").last.click()
        expect(page.locator("#log")).to_contain_text("Refused by owner: use the replica.")
        [answer] = answers(server.data, session)
        assert (answer["request"], answer["allow"], answer["message"]) == ("r2", False, "use the replica")


def test_a_tool_that_waits_shows_no_running_clock_and_a_refused_one_no_duration(
    new_user: NewUser, server: ScriptedServer
) -> None:
    session = server.new_session()
    with open_turn(server.data, session) as log:
        turn = 2  # after `created`
        log.append("tool", turn=turn, tool_id="t1", name="Bash", input={"command": "ls"})
        asked = {"name": "Bash", "input": {"command": "ls"}, "expires": LATER, "tool_id": "t1"}
        log.append("permission", turn=turn, request="r", **asked)
        page = new_user().open(session)
        outcome = page.locator(".tool .outcome")
        expect(outcome).to_have_text(re.compile("waits [0-9]+ s$"))
        page.locator(".refuse").click()
        expect(page.locator("#log")).to_contain_text("Refused by owner.")
        log.append("tool_result", turn=turn, tool_id="t1", output="no", is_error=True)
        expect(outcome).to_have_text("refused ⊘")
        log.append("turn_end", turn=turn, status="ok", duration_ms=41_000, refused=1)
        expect(page.locator(".turn_end")).to_contain_text("Ended after 41 s: 1 refused")


def test_the_list_begins_with_sessions_that_wait_for_permission(
    new_user: NewUser, server: ScriptedServer
) -> None:
    asking = server.new_session(title="waiting")
    server.new_session(title="later and quiet")
    with open_turn(server.data, asking, {}):
        page = new_user().open()
        first = page.locator("#sessions li").first
        expect(first).to_have_attribute("data-id", asking)
        assert "asks" in first.inner_text()
        expect(first.locator(".last-line")).to_have_text("Asks: rm x")
        expect(first.locator(".cost")).to_have_text("shell")
        first.locator("a").click()
        expect(page.get_by_role("button", name="Refuse")).to_be_in_viewport(ratio=1)


@pytest.mark.torture
def test_permission_for_the_session_is_asked_only_once(new_user: NewUser, server: ScriptedServer) -> None:
    session = server.run_script("ask Bash ls", "ask Bash df")
    page = new_user().open(session)
    page.locator(".allow-session").click()
    expect(page.locator(".turn_end")).to_be_visible()
    given = answers(server.data, session)
    assert [(each["allow"], each["by"]) for each in given] == [(True, "owner"), (True, "session")]


@pytest.mark.torture
def test_an_answer_that_did_not_arrive_is_reported_and_can_be_repeated(
    new_user: NewUser, server: ScriptedServer
) -> None:
    session = server.run_script("ask Bash ls")
    user = new_user()
    user.expected = "Failed to load resource"
    page = user.open(session)
    page.route("**/answers", lambda route: route.abort())
    page.locator(".refuse").click()
    silent = "Not answered: the server cannot be reached. Tap again when the server is back."
    expect(page.locator("#notice")).to_have_text(silent)
    page.unroute("**/answers")
    page.locator(".refuse").click()
    expect(page.locator("#log > .prose")).to_have_text(re.compile("was deny"))
    expect(page.locator("#notice")).to_be_hidden()


@pytest.mark.torture
def test_a_page_that_shows_an_older_part_links_to_the_question(
    new_user: NewUser, server: ScriptedServer, gate: Path
) -> None:
    session = server.new_session(agent="scripted")
    server.prompt(session, "\n".join(f"say line {number} {'x' * 900}" for number in range(250)))
    server.wait_for_end(session)
    server.prompt(session, f"wait {gate}\nask Bash ls")
    page = new_user().open(session, "?before=100")
    gate.touch()
    expect(page.locator("#notice")).to_contain_text("Waiting for permission")
    page.locator("#notice a").click()
    expect(page.locator(CARD)).to_be_in_viewport()


def test_stopping_the_turn_closes_its_question(new_user: NewUser, server: ScriptedServer) -> None:
    session = server.run_script("ask Bash ls")
    page = new_user().open(session)
    expect(page.locator(CARD)).to_be_visible()
    page.locator(".stop").click()
    expect(page.locator(CARD)).to_have_count(0)
    expect(page.locator(".turn_end")).to_have_text(re.compile("Stopped"))
