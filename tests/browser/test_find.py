"""The search in one session: hits are counted, and each is shown, also in folded text and on a part not loaded."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from breakglass.events import Draft
from tests.browser.conftest import NewUser
from tests.browser.server import ScriptedServer
from tests.browser.user import DESKTOP, PHONE

MARKED = "() => [...(CSS.highlights.get('found') ?? [])].map((range) => String(range))"
SEEN = """(number) => {
    const range = [...CSS.highlights.get('found')][0], box = range?.getBoundingClientRect();
    const bar = document.querySelector('#find').getBoundingClientRect();
    const dock = document.querySelector('#dock').getBoundingClientRect();
    return document.getElementById(`e${number}`)?.contains(range?.startContainer)
        && box.height > 0 && box.top >= bar.bottom && box.bottom <= dock.top;
}"""


def history(lines: int) -> Iterator[Draft]:
    """Yield a turn with hits at the beginning, in the middle of an output that the page cuts, and at the end."""
    yield "user", {"turn": 2, "text": "Where is the NEEDLE?", "by": "ann"}
    for number in range(3, lines):
        yield "notice", {"turn": 2, "text": f"hay {number}"}
    yield "tool", {"turn": 2, "tool_id": "t", "name": "Bash", "input": {"command": "cat hay"}}
    output = "hay\n" * 3000 + "a needle in it\n" + "hay\n" * 3000
    yield "tool_result", {"turn": 2, "tool_id": "t", "output": output, "is_error": False}
    yield "text", {"turn": 2, "text": "Hay **and** hay.\n\n" * 40 + "The *nee*dle is here."}
    yield "turn_end", {"turn": 2, "status": "ok", "duration_ms": 1}


def line_of(server: ScriptedServer, session: str, kind: str) -> int:
    return next(int(event["id"]) for event in server.events(session) if event["kind"] == kind)


def test_hits_are_counted_and_shown_in_folds_and_on_parts_that_are_not_loaded(
    new_user: NewUser, server: ScriptedServer
) -> None:
    session = server.written(history(1200))
    output = line_of(server, session, "tool_result")
    user = new_user(**DESKTOP)
    page = user.open(session)
    page.keyboard.press("/")
    field, count = page.locator("#find input[type=search]"), page.locator("#find output")
    expect(field).to_be_focused()
    field.fill("needle")
    expect(count).to_have_text("2 of 2")
    page.wait_for_function(SEEN, arg=output)
    assert page.evaluate(MARKED) == ["needle"]
    field.press("Enter")
    page.wait_for_url("**?around=2&find=needle#e2")
    expect(count).to_have_text("1 of 2")
    page.wait_for_function(SEEN, arg=2)
    assert page.evaluate(MARKED) == ["NEEDLE"]
    field.fill('"hay and hay" dle')
    field.press("Enter")
    expect(count).to_have_text("No hits")
    field.fill('"hay 7"')
    expect(count).to_have_text("1 of 111")
    page.wait_for_function(SEEN, arg=7)
    field.press("Escape")
    expect(field).to_be_hidden()
    assert page.evaluate(MARKED) == []


@pytest.mark.torture
def test_a_phone_finds_by_the_menu_and_a_browser_without_scripts_by_a_page(
    new_user: NewUser, server: ScriptedServer
) -> None:
    session = server.written(history(300))
    page = new_user(**PHONE).open(session)
    page.get_by_label("Menu").click()
    page.locator("#find input[type=search]").fill("needle")
    page.locator("#find button").click()
    expect(page.locator("#find output")).to_have_text("2 of 2")
    page.wait_for_function(SEEN, arg=line_of(server, session, "tool_result"))
    page.get_by_label("Previous hit").click()
    page.wait_for_function(SEEN, arg=2)
    expect(page.locator("#find output")).to_have_text("1 of 2")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_label("Close the search").click()
    plain = new_user(java_script_enabled=False).page
    plain.goto(f"/sessions/{session}")
    plain.get_by_label("Menu").click()
    plain.locator("#find input[type=search]").fill("needle")
    plain.locator("#find button").click()
    expect(plain.locator("#hits li:not(.progress, .hint)")).to_have_count(2)
