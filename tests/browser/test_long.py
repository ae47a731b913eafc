"""Long transcripts open at their end, stay bounded, and load earlier parts without moving what the user reads."""

import gzip
import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import NewUser
from tests.browser.server import ScriptedServer
from tests.browser.user import PHONE, User, assert_complete
from tests.help.logs import line

LINES = 100_000
LINES_ON_PAGE = "document.querySelectorAll('#log li').length"


@pytest.fixture(scope="module")
def long(server: ScriptedServer) -> str:
    """A session of 100,000 lines, in turns of 1,000 lines."""
    session = server.new_session(title="long")
    lines = []
    for number in range(2, LINES + 1):
        turn = max(2, (number - 1) // 1000 * 1000 + 1)
        said = {"turn": turn, "text": f"line {number} " + "word " * (number % 40)}
        if number == turn:
            lines.append(line(number, "user", **said, queued=None))
        elif number % 1000 == 0:
            lines.append(line(number, "turn_end", turn=turn))
        else:
            lines.append(line(number, "text", **said, parent=None))
    with server.log(session).open("ab") as file:
        file.write(b"".join(lines))
    return session


def test_a_log_of_100_000_lines_opens_at_its_end_within_a_budget_of_bytes(
    long: str, new_user: NewUser, server: ScriptedServer
) -> None:
    status, html, headers = server.ask("GET", f"/sessions/{long}", headers={"Accept-Encoding": "gzip"})
    assert status == 200
    assert headers["content-encoding"] == "gzip"
    print(f"{len(html):,} bytes, {len(gzip.decompress(html)):,} of HTML")
    assert len(html) < 128 << 10
    user = new_user(**PHONE)
    page = user.open(long)
    expect(user.line(LINES)).to_be_in_viewport()
    assert page.evaluate(LINES_ON_PAGE) < 3000
    timing = "performance.getEntriesByType('navigation')[0]"
    print(f"first byte after {page.evaluate(timing + '.responseStart'):.0f} ms")
    streamed = [url for url in user.requests if "/stream?" in url]
    assert re.search(rf"after={LINES}$", streamed[0])  # no line is sent again


@pytest.mark.torture
def test_scrolling_up_far_removes_the_last_lines_and_moves_nothing_on_the_screen(
    long: str, new_user: NewUser, server: ScriptedServer
) -> None:
    user = new_user()
    page = user.open(long)
    while user.shown()[-1] == LINES:  # until the page is at its limit
        load_earlier_part(user)
    page.evaluate("scrollTo(0, document.scrollingElement.scrollHeight)")
    page.locator("#later a.to-end").click()
    expect(user.line(LINES)).to_be_in_viewport()
    expect(user.badge).to_have_text("Live")


def test_scrolling_up_loads_earlier_parts_and_moves_nothing_on_the_screen(
    long: str, new_user: NewUser, server: ScriptedServer
) -> None:
    user = new_user()
    user.open(long)
    for _ in range(2):
        load_earlier_part(user)


def load_earlier_part(user: User) -> None:
    """Scroll up, and fail unless the next earlier part arrives and what the user reads stays where it is."""
    page = user.page
    first = page.evaluate("document.querySelector('#log > .line').id")
    # In one task: the first visible line after scrolling up, and its position after the earlier part has arrived.
    moved = page.evaluate(
        """async (first) => {
          scrollTo(0, 100);
          const lines = [...document.querySelectorAll('#log > .line')];
          const seen = lines.find((line) => line.getBoundingClientRect().top > 60);
          const top = seen.getBoundingClientRect().top;
          while (document.querySelector('#log > .line').id === first) await new Promise(requestAnimationFrame);
          return seen.getBoundingClientRect().top - top;
        }""",
        first,
    )
    assert abs(moved) < 2
    assert page.evaluate(LINES_ON_PAGE) <= 3000 + 2000
    shown = user.shown()
    assert shown == list(range(shown[0], shown[-1] + 1))


def test_a_link_to_a_line_of_a_long_log_opens_there_and_scrolling_loads_the_rest(
    long: str, new_user: NewUser, server: ScriptedServer
) -> None:
    user = new_user()
    page = user.page
    page.goto(f"/sessions/{long}#e50000")
    page.wait_for_url(re.compile(r"\?around="))
    expect(user.line(50_000)).to_be_in_viewport()
    last = user.shown()[-1]
    for _ in range(2):
        page.evaluate("scrollTo(0, document.scrollingElement.scrollHeight)")
        page.wait_for_function(
            "(last) => document.querySelector('#log > .line:last-child').id > `e${last}`", arg=last
        )
    shown = user.shown()
    assert shown == list(range(shown[0], shown[-1] + 1))


@pytest.mark.torture
def test_the_page_stays_bounded_during_a_long_live_turn(new_user: NewUser, server: ScriptedServer) -> None:
    session = server.new_session(agent="many")
    user = new_user()
    page = user.open(session)
    server.prompt(session, "3300")
    server.wait_for_end(session)
    last = server.events(session)[-1]["id"]
    expect(user.line(last)).to_be_in_viewport()
    expect(user.badge).to_have_text("Live")
    assert page.evaluate(LINES_ON_PAGE) <= 3000
    assert_complete(user, session)


def test_a_long_output_is_folded_shows_its_size_and_can_be_opened(
    new_user: NewUser, server: ScriptedServer
) -> None:
    session = server.run_script("call t Bash seq", "call t bytes 200000", "say Done.")
    server.wait_for_end(session)
    page = new_user().open(session)
    page.locator(".tool summary").click()
    output = page.locator(".tool .output")
    assert len(output.text_content() or "") < 40_000
    every = output.locator("a.show-all")
    expect(every).to_have_text(re.compile("show all 195 KB"))
    every.click()
    expect(every).to_have_count(0)
    said = next(event["output"] for event in server.events(session) if "output" in event)
    assert output.locator("pre").text_content() == said
