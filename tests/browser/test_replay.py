"""The replay of a session: its lines appear one by one, in their order, and no new event appears in it."""

import re

from playwright.sync_api import expect

from breakglass.events import Draft
from tests.browser.conftest import NewUser
from tests.browser.server import ScriptedServer
from tests.browser.user import NETWORK, PHONE

PAST: list[Draft] = [
    ("user", {"turn": 2, "text": "What fills the disk?", "by": "ann"}),
    ("tool", {"turn": 2, "tool_id": "t", "name": "Bash", "input": {"command": "df"}}),
    ("permission", {"turn": 2, "request": "r", "name": "Bash", "input": {"command": "df"}, "expires": ""}),
    ("answer", {"turn": 2, "request": "r", "allow": True, "by": "ann"}),
    ("tool_result", {"turn": 2, "tool_id": "t", "output": "all full", "is_error": False}),
    ("text", {"turn": 2, "text": "The journal."}),
    ("turn_end", {"turn": 2, "status": "ok", "duration_ms": 1}),
]


def test_a_replay_shows_line_after_line_and_returns_to_the_present(
    new_user: NewUser, server: ScriptedServer
) -> None:
    session = server.written(PAST)
    user = new_user(**PHONE, reduced_motion="reduce")
    user.expected = NETWORK
    page = user.open(session)
    page.get_by_label("Menu").click()
    page.get_by_role("button", name="Replay").click()
    expect(user.badge).to_have_text("Replay")
    expect(page.locator("#replay-bar output")).to_contain_text("line 1 of 9")
    assert user.shown() == [1]
    expect(page.locator("#prompt")).to_be_hidden()
    for number in (2, 3, 4):
        page.get_by_role("button", name="Next line").click()
        expect(page.locator("#replay-bar output")).to_contain_text(f"line {number} of 9")
    expect(page.locator("#e4 button").first).to_be_hidden()
    expect(page.get_by_text("all full")).to_have_count(0)
    server.appended(session, "renamed", title="the present", by="ann")
    page.get_by_label("Speed").select_option("100")
    page.get_by_role("button", name="Play").click()
    expect(page.locator("#replay-bar output")).to_contain_text("the end")
    assert {6, 7, 8} <= {*user.shown()}
    page.get_by_label("From line").fill("7")
    page.get_by_label("From line").press("Enter")
    expect(page.locator("#replay-bar output")).to_contain_text("line 7 of 9")
    assert user.shown() == [7]
    page.get_by_role("button", name="Close").click()
    expect(user.badge).to_have_text("Live")
    expect(page.locator("h1")).to_have_text("the present")
    assert re.search("around=7#e7$", page.url)
    expect(page.locator("#prompt")).to_be_visible()
