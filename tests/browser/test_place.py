"""A reload, "back" and a rotation keep the line on the screen where it was, and lead to the end only who was there."""

import pytest
from playwright.sync_api import Page, expect

from breakglass.events import Draft
from tests.browser.conftest import NewUser
from tests.browser.server import ScriptedServer
from tests.browser.user import PHONE, User

TOP = """(number) => document.querySelector(`#e${number}`).getBoundingClientRect().top"""
FIRST = """() => {
  const lines = [...document.querySelectorAll('#log > .line')];
  const line = lines.find((one) => one.getBoundingClientRect().bottom > 64);
  return [Number(line.id.slice(1)), line.getBoundingClientRect().top];
}"""


@pytest.fixture(scope="module")
def long(server: ScriptedServer) -> str:
    """A session with more lines than one part of it shows; some wrap on a phone."""
    turn: list[Draft] = [("user", {"turn": 2, "text": "go", "by": "ann"})]
    turn += [("text", {"turn": 2, "text": f"{number} " + "word " * (number % 60)}) for number in range(1200)]
    return server.written([*turn, ("turn_end", {"turn": 2, "status": "ok", "duration_ms": 1})], "long")


def read_in_the_middle(user: User, session: str, y: int) -> tuple[int, float]:
    """Open a session, scroll to `y` px before its end and return the first line on the screen and its top."""
    page = user.open(session, "#end")
    page.evaluate("(y) => scrollTo(0, document.scrollingElement.scrollHeight - y)", y)
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    number, top = page.evaluate(FIRST)
    return number, top


def assert_at(page: Page, number: int, top: float) -> None:
    page.wait_for_function("([number]) => document.querySelector(`#e${number}`)", arg=[number])
    assert abs(page.evaluate(TOP, number) - top) <= 4


def test_a_reload_and_back_keep_the_place(long: str, new_user: NewUser, server: ScriptedServer) -> None:
    user = new_user(**PHONE)
    number, top = read_in_the_middle(user, long, 4000)
    user.page.reload()
    expect(user.badge).to_have_text("Live")
    assert_at(user.page, number, top)
    user.page.goto("/")
    user.page.go_back()
    expect(user.badge).to_have_text("Live")
    assert_at(user.page, number, top)
    user.open(long, "#end")  # a link says where to go
    expect(user.page.locator(".turn_end")).to_be_in_viewport()


@pytest.mark.torture
def test_a_place_in_an_earlier_part_is_kept_too(long: str, new_user: NewUser, server: ScriptedServer) -> None:
    user = new_user()
    page = user.open(long, "?before=300#e200")
    expect(user.line(200)).to_be_in_viewport()
    page.evaluate("scrollBy(0, 333)")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    number, top = page.evaluate(FIRST)
    page.evaluate("history.replaceState(null, '', location.pathname)")
    page.reload()
    page.wait_for_url(f"**/sessions/{long}?around={number}")
    expect(user.badge).to_have_text("Live")
    assert_at(page, number, top)


@pytest.mark.torture
def test_a_rotation_keeps_the_place(long: str, new_user: NewUser, server: ScriptedServer) -> None:
    user = new_user(**PHONE)
    number, top = read_in_the_middle(user, long, 5000)
    for width, height in ((844, 390), (390, 844)):
        user.page.set_viewport_size({"width": width, "height": height})
        user.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        assert_at(user.page, number, top)


def test_who_was_at_the_end_is_there_after_a_reload(
    new_user: NewUser, server: ScriptedServer, long: str
) -> None:
    user = new_user(**PHONE)
    page = user.open(long, "#end")
    expect(page.locator("#news")).to_be_hidden()
    page.reload()
    expect(page.locator(".turn_end")).to_be_in_viewport()
    page.evaluate("scrollBy(0, -2000)")
    expect(page.locator("#news")).to_have_text("↓ To the end")
    page.locator("#news").tap()
    expect(page.locator(".turn_end")).to_be_in_viewport()
    expect(page.locator("#news")).to_be_hidden()
