"""Any number of tabs of one browser on a plain-HTTP address, where six connections serve them all."""

import re
import signal
from collections.abc import Iterable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import NewUser
from tests.browser.server import ScriptedServer, scripted_server
from tests.browser.user import NETWORK, User

POLLING = "Updated every 2 s"
SETTLED = re.compile(f"^(Live|{POLLING})$")
HIDE = "Object.defineProperty(Document.prototype, 'hidden', { get: () => Boolean(window.away) })"
LEAVE = "window.away = true; document.dispatchEvent(new Event('visibilitychange'))"
RETURN = "window.away = false; document.dispatchEvent(new Event('visibilitychange'))"
NO_LOCKS = "delete Navigator.prototype.locks"
NO_STORAGE = (
    "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('forbidden'); } })"
)


def tabs(user: User, paths: Iterable[str]) -> list[Page]:
    """Open each path in a tab of its own, and return the tabs once each shows its connection."""
    opened = []
    for path in paths:
        page = user.window()
        page.goto(path)
        expect(page.locator("#badge")).to_have_text(SETTLED)
        opened.append(page)
    return opened


def badges(pages: Iterable[Page]) -> list[str | None]:
    return [page.locator("#badge").text_content() for page in pages]


def expect_badges(pages: list[Page], *texts: str) -> None:
    for page, text in zip(pages, texts, strict=True):
        expect(page.locator("#badge")).to_have_text(text)


@pytest.mark.torture
@pytest.mark.parametrize("without", ["", NO_LOCKS])
def test_seven_tabs_all_load_show_what_is_new_and_can_stop_the_turn(
    new_user: NewUser, server: ScriptedServer, gate: Path, without: str
) -> None:
    session = server.run_script(f"wait {gate}", "say never")
    user = new_user()
    user.context.add_init_script(without)
    pages = tabs(user, [f"/sessions/{session}"] * 7)
    expect_badges(pages, *[POLLING] * 4, *["Live"] * 3)
    number = server.appended(session, "renamed", title="seen in every tab", by="ann")
    for page in pages:
        expect(page.locator(f"#e{number}")).to_be_visible()
    pages[0].locator(".stop").click()
    server.wait_for_end(session)
    for page in pages:
        expect(page.locator("[data-kind=turn_end]")).to_be_visible()
    expect_badges(pages, *[POLLING] * 4, *["Live"] * 3)


@pytest.mark.torture
def test_twelve_tabs_of_several_sessions_and_the_list_all_work(
    new_user: NewUser, server: ScriptedServer
) -> None:
    sessions = [server.new_session(agent="shell") for _ in range(3)]
    user = new_user()
    user.context.add_init_script(HIDE)
    pages = tabs(user, ["/", *(f"/sessions/{session}" for session in sessions * 3)])
    for page in pages[5:]:
        page.evaluate(LEAVE)
    pages += tabs(user, ["/", f"/sessions/{sessions[0]}"])
    first = pages[1]
    first.locator("#prompt").fill("echo from the first tab")
    first.locator("#prompt").press("Control+Enter")
    server.wait_for_end(sessions[0])
    for page in [pages[1], pages[4], pages[7], pages[11]]:
        expect(page.locator("#log")).to_contain_text("from the first tab")
    for page in pages[5:10]:
        page.evaluate(RETURN)
        expect(page.locator("#badge")).to_have_text("Live")
    assert badges(pages).count("Live") >= 2  # the two lists have no stream


def test_a_closed_tab_hands_its_stream_to_another(new_user: NewUser, server: ScriptedServer) -> None:
    session = server.new_session(agent="shell")
    pages = tabs(new_user(), [f"/sessions/{session}"] * 5)
    expect_badges(pages, POLLING, POLLING, "Live", "Live", "Live")
    pages.pop().close()
    expect_badges(pages, POLLING, "Live", "Live", "Live")
    pages[2].goto("/")
    expect_badges(pages, "Live", "Live", "Live", "Live")


@pytest.mark.torture
def test_a_hidden_tab_gives_its_stream_to_a_visible_one(new_user: NewUser, server: ScriptedServer) -> None:
    session = server.new_session(agent="shell")
    user = new_user()
    user.context.add_init_script(HIDE)
    pages = tabs(user, [f"/sessions/{session}"] * 4)
    expect_badges(pages, POLLING, "Live", "Live", "Live")
    pages[3].evaluate(LEAVE)
    expect_badges(pages, "Live", "Live", "Live", POLLING)
    pages[3].evaluate(RETURN)
    expect_badges(pages, POLLING, "Live", "Live", "Live")


def test_the_entry_of_a_crashed_tab_expires(new_user: NewUser, server: ScriptedServer) -> None:
    session = server.new_session(agent="shell")
    user = new_user()
    user.page.goto("/")
    user.page.evaluate("""() => {
      for (const name of [1, 2, 3]) localStorage.setItem(`tab:${name}`, `[false, 9e15, ${Date.now() - 91_000}]`);
    }""")
    expect_badges(tabs(user, [f"/sessions/{session}"]), "Live")


@pytest.mark.torture
def test_a_tab_without_storage_polls_and_says_so(new_user: NewUser, server: ScriptedServer) -> None:
    session = server.new_session(agent="shell")
    user = new_user()
    user.context.add_init_script(NO_STORAGE)
    pages = tabs(user, [f"/sessions/{session}"] * 7)
    expect_badges(pages, *[POLLING] * 7)
    server.prompt(session, "echo seen")
    server.wait_for_end(session)
    for page in pages:
        expect(page.locator("[data-kind=turn_end]")).to_be_visible()


@pytest.mark.torture
def test_the_badge_is_not_live_after_a_request_without_an_answer(new_user: NewUser, tmp_path: Path) -> None:
    with scripted_server(tmp_path, BREAKGLASS_SSE_KEEPALIVE_SECONDS="600") as silent:
        user = new_user(silent)
        user.expected = NETWORK
        session = silent.run_script(f"wait {tmp_path / 'gate'}")
        page = user.open(session)
        silent.process.send_signal(signal.SIGSTOP)
        page.locator(".stop").click()
        expect(page.locator("#notice")).to_contain_text("Not stopped: the server cannot be reached.")
        expect(user.badge).to_have_text(re.compile("^Reconnecting · since"))
        silent.process.send_signal(signal.SIGCONT)
        expect(user.badge).to_have_text("Live")
        user.close()
