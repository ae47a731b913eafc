"""Finding a line of a long log: filters, the ways to the next prompt or failure, and a line by its number."""

import re
from typing import NamedTuple

import pytest
from playwright.sync_api import Page, expect

from breakglass.events import Draft
from breakglass.store import sessions
from tests.browser.conftest import NewUser
from tests.browser.server import ScriptedServer
from tests.browser.user import PHONE, send_prompt


class Long(NamedTuple):
    """A session of about 4,000 lines in two turns, with one failed tool call in the first."""

    id: str
    failed: int
    prompted: int
    """The line of the second prompt."""


@pytest.fixture(scope="module")
def long(server: ScriptedServer) -> Long:
    session = server.new_session(agent="shell", title="slow")
    failed = prompted = 0
    with sessions.get(server.data, session).open_log() as log:
        for prompt in ("why is it slow", "and now?"):
            turn = prompted = log.append("user", text=prompt, by="ann")
            for number in range(2_000):
                log.append("text", turn=turn, text=f"{number} " + "word " * 30)
                if number % 100 == 0:
                    call = {"turn": turn, "tool_id": f"t{number}"}
                    log.append("tool", **call, name="Bash", input={"command": f"ls {number}"})
                    is_error = number == 1_000 and not failed
                    line = log.append("tool_result", **call, output="no such file", is_error=is_error)
                    failed = line if is_error else failed
            log.append("turn_end", turn=turn, status="ok", duration_ms=1)
    return Long(session, failed, prompted)


def shown_lines(page: Page) -> list[int]:
    """Return the lines that take part in the layout."""
    js = """[...document.querySelectorAll('#log > .line')].filter((one) => one.getBoundingClientRect().height > 0)
      .map((one) => Number(one.id.slice(1)))"""
    found: list[int] = page.evaluate(js)
    return found


@pytest.mark.torture
def test_a_phone_goes_to_the_failure_and_the_prompt_that_are_not_loaded(
    long: Long, new_user: NewUser, server: ScriptedServer
) -> None:
    user = new_user(**PHONE)
    page = user.open(long.id, "?around=500#e500")
    page.evaluate("scrollBy(0, 1)")
    page.get_by_role("button", name="Next failure").tap()
    page.wait_for_url(re.compile(rf"\?around={long.failed}#e{long.failed}$"))
    expect(user.line(long.failed)).to_be_in_viewport()
    expect(user.badge).to_have_text("Live")
    page.evaluate("scrollBy(0, 1)")
    page.get_by_role("button", name="Next failure").tap()
    expect(page.locator("#notice")).to_have_text(f"No failure after line {long.failed}.")
    page.get_by_role("button", name="Next prompt").tap()
    expect(user.line(long.prompted)).to_be_in_viewport()
    expect(user.badge).to_have_text("Live")
    page.evaluate("scrollBy(0, 1)")
    page.get_by_role("button", name="Previous prompt").tap()
    expect(user.line(2)).to_be_in_viewport()


@pytest.mark.torture
def test_the_menu_goes_to_a_line_by_its_number(long: Long, new_user: NewUser, server: ScriptedServer) -> None:
    user = new_user(**PHONE)
    page = user.open(long.id)
    for number in (4_000, 77):
        page.locator(".bar .menu > summary").tap()
        page.locator("#go input").fill(str(number))
        page.locator("#go button").tap()
        expect(user.line(number)).to_be_in_viewport()
        expect(user.badge).to_have_text("Live")
    page.locator(".bar .menu > summary").tap()
    expect(page.locator(".bar .menu .outline a")).to_have_count(2)  # of the whole log
    page.get_by_role("link", name="Last line").tap()
    expect(page.locator(".turn_end").last).to_be_in_viewport()


def test_the_list_of_turns_and_the_keys_cover_the_whole_log(
    long: Long, new_user: NewUser, server: ScriptedServer
) -> None:
    user = new_user()
    page = user.open(long.id)
    expect(page.locator("aside .outline a")).to_have_text(
        [re.compile("^2why is"), re.compile(f"^{long.prompted}and now")]
    )
    for number in (long.prompted, 2):
        page.keyboard.press("k")
        expect(user.line(number)).to_be_in_viewport()
        expect(user.badge).to_have_text("Live")
    expect(user.badge).to_have_text("Live")
    expect(page.locator("#ways button").first).to_be_attached()
    page.keyboard.press("f")
    expect(user.line(long.failed)).to_be_in_viewport()
    expect(user.badge).to_have_text("Live")
    page.keyboard.press("g")
    expect(user.line(1)).to_be_in_viewport()
    page.goto(f"/sessions/{long.id}#end")
    expect(user.badge).to_have_text("Live")
    expect(page.locator(".turn_end").last).to_be_in_viewport()
    page.keyboard.press("f")  # there is none below, so the last one above
    expect(user.line(long.failed)).to_be_in_viewport()


def test_a_filter_shows_failures_of_the_whole_log_and_those_that_the_stream_brings(
    new_user: NewUser, server: ScriptedServer
) -> None:
    session = server.run_script(
        "call a Bash ls", "call a fine", "call b Bash rm", "fail b no", "say Half of it."
    )
    server.wait_for_end(session)
    failed = [e["id"] for e in server.events(session) if e["kind"] == "tool" and e["tool_id"] == "b"]
    user = new_user()
    page = user.open(session, "?show=failures#end")
    assert shown_lines(page) == failed
    send_prompt(page, "say Now it works.\ncall c Bash mv\nfail c twice")
    expect(page.locator(".tool[data-outcome=error]").nth(1)).to_be_visible()
    server.wait_for_end(session)
    last = server.events(session)[-1]["id"]
    page.wait_for_function("(last) => document.getElementById(`e${last}`)", arg=last)
    assert shown_lines(page) == [*failed, int((page.locator(".tool").last.get_attribute("id") or "")[1:])]
    page.locator(f"#e{failed[0]} > .number").click()  # leads to the line among all others
    expect(page.locator("#log .user").first).to_be_visible()
    expect(user.line(failed[0])).to_be_in_viewport()


def test_the_filters_work_without_javascript(long: Long, new_user: NewUser, server: ScriptedServer) -> None:
    page = new_user(java_script_enabled=False).page
    page.goto(f"/sessions/{long.id}?show=failures")
    assert shown_lines_without_scripts(page) == [long.failed - 1, long.failed]
    assert [each.is_visible() for each in page.locator("#log > .line").all()] == [True, True]
    page.locator(f"#e{long.failed} > .number").click()
    assert page.url.endswith(f"?around={long.failed}#e{long.failed}")
    expect(page.locator(f"#e{long.failed}")).to_be_in_viewport()
    page.locator(".bar .menu > summary").click()
    page.get_by_role("link", name="Prompts and answers").click()
    lines = shown_lines_without_scripts(page)
    assert lines[-1] > long.prompted
    page.locator("#earlier a").click()
    earlier = shown_lines_without_scripts(page)
    assert earlier[-1] == lines[0] - 1
    page.locator(".bar .menu > summary").click()
    page.locator("#go input").fill("1234")
    page.locator("#go button").click()
    expect(page.locator("#e1234")).to_be_in_viewport()
    page.goto(f"/sessions/{server.new_session()}?show=failures")
    expect(page.get_by_text("None in lines 1 to 1.")).to_be_visible()


def shown_lines_without_scripts(page: Page) -> list[int]:
    page.wait_for_load_state()
    found: list[int] = page.locator("#log > .line").evaluate_all(
        "(lines) => lines.map((line) => Number(line.id.slice(1)))"
    )
    return found


@pytest.mark.torture
def test_a_link_to_a_line_before_long_lines_opens_there(new_user: NewUser, server: ScriptedServer) -> None:
    turn = 2
    drafts: list[Draft] = [("user", {"turn": turn, "text": "go", "by": "ann"})]
    for number in range(300):
        drafts += [("notice", {"turn": turn, "text": f"{number} " + "word " * 2_000})]
    session = server.written([*drafts, ("turn_end", {"turn": turn, "status": "ok", "duration_ms": 1})])
    user = new_user()
    user.page.goto(f"/sessions/{session}#e150")
    expect(user.line(150)).to_be_in_viewport()
    expect(user.badge).to_have_text("Live")
    expect(user.page.locator("#notice")).to_be_empty()


@pytest.mark.torture
def test_the_keyboard_skips_to_the_question_while_there_is_one(
    new_user: NewUser, server: ScriptedServer
) -> None:
    session = server.run_script("say واضح جدا", "ask Bash ls")
    user = new_user()
    page = user.open(session)
    skip = page.get_by_role("link", name="Skip to the question")
    expect(skip).to_be_attached()
    skip.focus()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('.permission.open') !== null")
    said = page.locator(".prose:not(.live) .body")
    assert said.evaluate("(body) => getComputedStyle(body).direction") == "rtl"
    page.locator(".allow").click()
    server.wait_for_end(session)
    expect(page.locator("#to-question")).to_have_attribute("hidden", "")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "Every word must be in an event"),
        ("nowherefound", "Nothing was found"),
        ("%22%22", "expected words"),
    ],
)
def test_the_search_of_all_sessions_says_why_it_shows_no_hit(
    new_user: NewUser, query: str, said: str
) -> None:
    page = new_user().page
    page.goto(f"/search?q={query}")
    expect(page.get_by_text(said)).to_be_visible()
