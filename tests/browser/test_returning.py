"""After a lost connection the page has every line once, keeps its place, and its badge is right at every moment."""

import functools
import re
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from breakglass.store.sessions import Session
from tests.browser.conftest import NewUser
from tests.browser.server import ScriptedServer, scripted_server
from tests.browser.user import LOGGED_OUT, NETWORK, assert_complete
from tests.help.servers import TOKEN, Attached, assert_is_the_log
from tests.help.waiting import wait_until

WATCH = """() => {
  const badge = document.querySelector('#badge');
  window.badgeTexts = [badge.textContent];
  new MutationObserver(() => window.badgeTexts.push(badge.textContent))
    .observe(badge, { childList: true, characterData: true, subtree: true });
}"""
COUNT_STREAMS = """
  const Real = EventSource;
  window.opened = 0;
  window.EventSource = class extends Real { constructor(url) { super(url); window.opened += 1; } };
  addEventListener('online', () => { window.opened = 0; });
"""
RECORD_COUNT = "addEventListener('online', () => { window.openedAtOnce = window.opened; })"
"""Together they count the streams that the page opens while it handles the `online` event.

Listeners run in the order in which they were added, and the page adds its own in between.
"""
BADGE_TEXT = re.compile(
    r"Live|Catching up( · \d+)?|Reconnecting · since \d\d:\d\d:\d\d|Offline · as of \d\d:\d\d"
)


def badge_texts(page: Page) -> list[str]:
    """Return the texts of the badge since `WATCH`, without their times and without repetitions."""
    words = [str(text) for text in page.evaluate("window.badgeTexts")]
    assert all(BADGE_TEXT.fullmatch(word) for word in words), words
    kinds = [word.partition(" ·")[0] for word in words]
    return [kind for kind, before in zip(kinds, [None, *kinds], strict=False) if kind != before]


def test_when_the_network_is_back_the_stream_opens_at_once_and_brings_what_was_missed(
    new_user: NewUser, server: ScriptedServer, gate: Path
) -> None:
    session = server.new_session(agent="many")
    server.prompt(session, "40")
    server.wait_for_end(session)
    user = new_user()
    user.expected = NETWORK
    user.context.add_init_script(COUNT_STREAMS)
    page = user.open(session)
    page.evaluate(WATCH)
    page.evaluate("scrollTo(0, 500)")
    before = page.locator("#log > .line").nth(10)
    place = before.bounding_box()
    user.context.set_offline(True)
    expect(user.badge).to_have_text(re.compile("^Offline · as of"))
    server.prompt(session, "200")
    server.wait_for_end(session)
    page.evaluate(RECORD_COUNT)
    user.context.set_offline(False)
    expect(user.badge).to_have_text("Live")
    assert_complete(user, session)
    assert before.bounding_box() == place, "the line on the screen has moved"
    expect(page.locator("#news")).to_have_text(re.compile(r"↓ \d+ new lines"))
    assert page.evaluate("window.openedAtOnce") == 1, "the stream was not opened as the network came back"
    assert badge_texts(page) in (
        ["Live", *middle, "Live"]
        for middle in (
            ["Offline", "Catching up"],
            ["Reconnecting", "Offline", "Catching up"],
            ["Offline", "Reconnecting", "Catching up"],
            ["Reconnecting", "Offline", "Reconnecting", "Catching up"],
        )
    )


def test_no_line_is_lost_when_the_server_is_killed_during_a_turn(
    own_server: ScriptedServer, new_user: NewUser
) -> None:
    session = own_server.new_session(agent="many")
    own_server.prompt(session, "600 4")
    user = new_user(own_server)
    user.expected = NETWORK
    page = user.open(session)
    page.evaluate(WATCH)
    client = Attached(own_server, session)
    for round_ in range(2):
        seen = len(own_server.events(session))
        own_server.kill()
        expect(user.badge).to_have_text(re.compile("^Reconnecting · since"))
        own_server.start()
        expect(user.badge).to_have_text("Live")
        went_on = len(own_server.events(session)) > seen or not own_server.state(session)["turn_active"]
        assert went_on, f"the turn waited for its server in round {round_}"
    own_server.wait_for_end(session)
    expect(page.locator(".turn_end")).to_be_visible()
    assert_complete(user, session)
    expect(page.locator(".turn_end")).to_be_in_viewport()
    client.disconnect()
    assert set(badge_texts(page)) <= {"Live", "Reconnecting", "Catching up"}
    page.reload()
    expect(user.badge).to_have_text("Live")
    assert_complete(user, session)


@pytest.mark.torture
def test_after_a_power_loss_the_page_shows_the_new_lines_with_the_numbers_of_lost_ones(
    own_server: ScriptedServer, new_user: NewUser
) -> None:
    session = own_server.new_session(agent="many")
    own_server.prompt(session, "20")
    own_server.wait_for_end(session)
    user = new_user(own_server)
    user.expected = NETWORK
    page = user.open(session)
    own_server.prompt(session, "30")
    own_server.wait_for_end(session)
    expect(page.locator(".turn_end")).to_have_count(2)
    own_server.kill()
    lines = own_server.log(session).read_bytes().splitlines(keepends=True)
    with own_server.log(session).open("r+b") as file:
        file.truncate(sum(map(len, lines[:-8])))
    with Session(own_server.data, session).open_log() as log:
        for number in range(12):
            log.append("renamed", title=f"after the loss {number}", by="ann")
    own_server.start()
    expect(user.badge).to_have_text("Live")
    expect(page.get_by_text("after the loss 0", exact=False).first).to_be_attached()
    assert_complete(user, session)


@contextmanager
def killing(server: ScriptedServer) -> Iterator[None]:
    """Kill the server and start it again, at irregular times, while in the context."""
    stop = threading.Event()

    def kill() -> None:
        pause = 0.1
        while not stop.wait(pause):
            server.kill()
            server.start()
            pause = (pause + 0.37) % 0.9

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield
    finally:
        stop.set()
        killer.join()


@pytest.mark.torture
def test_every_client_has_the_whole_log_after_many_kills_of_the_server(
    own_server: ScriptedServer, new_user: NewUser
) -> None:
    """One of the clients is a browser."""
    session = own_server.new_session(agent="many")
    own_server.prompt(session, "1500 6")
    users = [new_user(own_server), new_user(own_server)]
    for user in users:
        user.expected = NETWORK
        user.open(session)
    clients = [Attached(own_server, session) for _ in range(5)]
    with killing(own_server):
        while own_server.events(session)[-1]["kind"] != "sealed":
            for user in users:
                user.page.evaluate("scrollBy(0, -200)")
                user.page.wait_for_timeout(100)
                user.page.evaluate("scrollTo(0, 1e9)")
    last = own_server.events(session)[-1]["id"]
    for user in users:
        expect(user.line(last)).to_be_attached()
        expect(user.badge).to_have_text("Live")
        assert_complete(user, session)
    for client in clients:
        wait_until(functools.partial(client.has, last), "the log's end")
        client.disconnect()
        assert_is_the_log(client.received, own_server.log(session))


def test_when_the_login_ends_the_page_says_so_and_keeps_the_draft(
    own_server: ScriptedServer, new_user: NewUser
) -> None:
    session = own_server.new_session(agent="shell")
    user = new_user(own_server)
    user.expected = LOGGED_OUT
    page = user.open(session)
    page.locator("#prompt").fill("half a thought")
    (own_server.data / "logins.jsonl").unlink()  # revokes every login
    own_server.kill()
    own_server.start()
    expect(page.locator("#notice")).to_contain_text("Not logged in any more. What you wrote is kept.")
    expect(user.badge).to_have_text("Logged out")
    tried = [url for url in user.requests if "/stream?" in url]
    for _ in range(2):  # the list is refreshed every five seconds
        page.wait_for_event("request", lambda request: request.url == f"{own_server.address}/")
    assert [url for url in user.requests if "/stream?" in url] == tried, "a stream can only be refused now"
    expect(user.badge).to_have_text("Logged out")
    page.locator("#notice a").click()
    page.locator("#token").fill(TOKEN)
    page.locator("button.primary").click()
    expect(user.badge).to_have_text("Live")
    assert page.url == f"{own_server.address}/sessions/{session}"
    assert page.locator("#prompt").input_value() == "half a thought"


@pytest.mark.torture
def test_when_the_login_ends_the_list_says_so_with_a_link_and_goes_on_after_the_next_login(
    own_server: ScriptedServer, new_user: NewUser
) -> None:
    user = new_user(own_server)
    page = user.open()
    expect(user.badge).to_have_text("Live")
    (own_server.data / "logins.jsonl").unlink()
    expect(user.badge).to_have_text("Logged out")
    expect(page.locator("#notice")).to_have_text("Not logged in any more. What you wrote is kept. Log in")
    user.context.add_cookies([own_server.cookie()])
    expect(user.badge).to_have_text("Live")
    expect(page.locator("#notice")).to_be_empty()
    (own_server.data / "logins.jsonl").unlink()
    page.locator("#notice a").click()
    expect(page.locator("main .host")).to_have_text(own_server.address.removeprefix("http://"))


@pytest.mark.torture
def test_logging_in_again_in_another_window_reconnects_the_page(
    own_server: ScriptedServer, new_user: NewUser
) -> None:
    session = own_server.new_session(agent="shell")
    user = new_user(own_server)
    user.expected = LOGGED_OUT
    page = user.open(session)
    user.context.clear_cookies()
    own_server.kill()
    own_server.start()
    expect(page.locator("#notice")).to_contain_text("Not logged in any more.")
    user.window().goto(own_server.login_address())
    expect(user.badge).to_have_text("Live")
    expect(page.locator("#notice")).to_be_hidden()


@pytest.mark.torture
def test_the_page_of_a_deleted_session_says_so_and_stops_connecting(
    own_server: ScriptedServer, new_user: NewUser
) -> None:
    session = own_server.new_session(agent="shell")
    user = new_user(own_server)
    user.expected = NETWORK + "|status of 404|EventSource's response has a MIME type"
    page = user.open(session)
    own_server.kill()
    shutil.rmtree(own_server.log(session).parent)
    own_server.start()
    expect(user.badge).to_have_text("Deleted")
    expect(page.locator("#notice")).to_contain_text("The text stays here until you leave the page.")


@pytest.mark.torture
def test_the_badge_of_a_silent_stream_is_not_live(new_user: NewUser, tmp_path: Path) -> None:
    """For example, a NAT has lost the connection: nothing arrives, and no error. Two missing keepalives end it."""
    with scripted_server(tmp_path, BREAKGLASS_SSE_KEEPALIVE_SECONDS="1") as quick:
        user = new_user(quick)
        user.expected = NETWORK
        page = user.open(quick.new_session(agent="shell"))
        page.evaluate(WATCH)
        quick.process.send_signal(signal.SIGSTOP)  # connections stay open, nothing is sent
        expect(user.badge).to_have_text(re.compile("^Reconnecting · since"))
        quick.process.send_signal(signal.SIGCONT)
        expect(user.badge).to_have_text("Live")
        user.close()


def test_a_page_from_the_browsers_back_cache_is_live_again(new_user: NewUser, server: ScriptedServer) -> None:
    session = server.new_session(agent="shell")
    user = new_user()
    page = user.open(session)
    page.goto("/")
    server.prompt(session, "echo meanwhile")
    server.wait_for_end(session)
    page.go_back()
    expect(user.badge).to_have_text("Live")
    expect(page.locator("#log")).to_contain_text("meanwhile")
    assert_complete(user, session)


LEAVE_AND_RETURN = """() => {
  const badge = document.querySelector('#badge');
  dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }));
  const left = badge.textContent;
  dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }));
  return [left, badge.textContent];
}"""
"""The browser keeps a page when the user leaves it, and shows it again as it was. Playwright turns that cache off."""
OTHER_TABS = """() => [1, 2, 3].forEach((tab) => {
  localStorage.setItem(`tab:${tab}`, JSON.stringify([false, Date.now() + 1e6, Date.now()]));
})"""
"""Three tabs that this page does not displace, so it polls."""


@pytest.mark.parametrize("polls", [False, pytest.param(True, marks=pytest.mark.torture)])
def test_a_page_that_the_browser_shows_again_is_not_live_before_its_server_has_answered(
    new_user: NewUser, server: ScriptedServer, polls: bool
) -> None:
    user = new_user()
    page = user.open(server.new_session(agent="shell"))
    if polls:
        page.evaluate(OTHER_TABS)
        page.evaluate("dispatchEvent(new Event('online'))")
        expect(user.badge).to_have_text("Updated every 2 s")
    page.route("**/stream?*", lambda route: None)  # the connection is gone: no answer, and no error
    for text in page.evaluate(LEAVE_AND_RETURN):
        assert text.startswith("Reconnecting · since")
    page.unroute_all()
    page.evaluate("localStorage.clear()")
    page.evaluate("dispatchEvent(new Event('online'))")
    expect(user.badge).to_have_text("Live")


@pytest.mark.torture
def test_the_list_that_the_browser_shows_again_is_not_live_before_its_server_has_answered(
    new_user: NewUser, server: ScriptedServer
) -> None:
    user = new_user()
    page = user.open()
    page.route("**/", lambda route: None)
    for text in page.evaluate(LEAVE_AND_RETURN):
        assert re.fullmatch(r"As of \d\d:\d\d", text)


@pytest.mark.torture
def test_a_poll_without_an_answer_changes_the_badge(new_user: NewUser, server: ScriptedServer) -> None:
    user = new_user()
    page = user.open(server.new_session(agent="shell"))
    page.evaluate(OTHER_TABS)
    page.evaluate("dispatchEvent(new Event('online'))")
    expect(user.badge).to_have_text("Updated every 2 s")
    page.route("**/stream?*", lambda route: None)
    expect(user.badge).to_have_text(re.compile("^Reconnecting · since"), timeout=9_000)


@pytest.mark.torture
def test_a_replaced_log_is_read_again_from_the_start(new_user: NewUser, server: ScriptedServer) -> None:
    session = server.new_session(agent="shell")
    for word in ("first", "second"):
        server.prompt(session, f"echo {word}")
        server.wait_for_end(session)
    user = new_user()
    page = user.open(session)
    log = server.log(session)
    shorter = b"".join(log.read_bytes().splitlines(keepends=True)[:7])
    (log.parent / "new").write_bytes(shorter)
    (log.parent / "new").rename(log)
    expect(page.locator("#log")).not_to_contain_text("second")
    expect(user.badge).to_have_text("Live")
    assert_complete(user, session)


@pytest.mark.torture
def test_a_page_that_cannot_be_reloaded_is_not_requested_in_a_tight_loop(
    new_user: NewUser, server: ScriptedServer
) -> None:
    """The stream of an emptied log starts with a reset, each time."""
    session = server.new_session(agent="shell")
    server.prompt(session, "echo a")
    server.wait_for_end(session)
    user = new_user()
    user.expected = "status of 500"
    page = user.open(session)
    asked: list[float] = []

    def fail(route: Route) -> None:
        asked.append(time.monotonic())
        route.fulfill(status=500)

    page.route(f"**/sessions/{session}", fail)
    server.log(session).write_bytes(b"")
    expect(user.badge).to_have_text(re.compile("^Reconnecting · since"))
    while len(asked) < 2:
        page.wait_for_timeout(20)
    assert asked[1] - asked[0] > 1
    expect(page.locator(".output")).to_have_text(re.compile("a"))
