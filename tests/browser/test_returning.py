"""On coming back the page is right: nothing doubled or missing, the place kept, the badge true at each moment."""

import functools
import re
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, Route, expect

from breakglass.store.sessions import Session
from tests.browser.conftest import Visit
from tests.browser.visits import LOGGED_OUT, NETWORK, House, complete, house
from tests.help.servers import TOKEN, Attached, assert_is_the_log
from tests.help.waiting import wait_until

WATCH = """() => {
  const badge = document.querySelector('#badge');
  window.said = [[performance.now(), badge.textContent]];
  new MutationObserver(() => window.said.push([performance.now(), badge.textContent]))
    .observe(badge, { childList: true, characterData: true, subtree: true });
}"""
SAYS = re.compile(r"Live|Catching up( · \d+)?|Reconnecting · since \d\d:\d\d:\d\d|Offline · as of \d\d:\d\d")


def said(page: Page) -> list[str]:
    """Return what the badge has said since it was watched, each once in a row."""
    words = [str(text) for _, text in page.evaluate("window.said")]
    assert all(SAYS.fullmatch(word) for word in words), words
    kinds = [word.partition(" ·")[0] for word in words]
    return [kind for kind, before in zip(kinds, [None, *kinds], strict=False) if kind != before]


def test_what_was_missed_without_a_network_is_there_within_a_second_of_it(
    visit: Visit, shared: House, gate: Path
) -> None:
    session = shared.new_session(agent="many")
    shared.prompt(session, "40")
    shared.ended(session)
    person = visit()
    person.expected = NETWORK
    page = person.open(session)
    page.evaluate(WATCH)
    page.evaluate("scrollTo(0, 500)")
    before = page.locator("#log > .line").nth(10)
    place = before.bounding_box()
    person.context.set_offline(True)
    expect(person.badge).to_have_text(re.compile("^Offline · as of"))
    shared.prompt(session, "200")
    shared.ended(session)
    page.evaluate("addEventListener('online', () => { window.back = performance.now(); })")
    person.context.set_offline(False)
    expect(person.badge).to_have_text("Live")
    complete(person, session)
    assert before.bounding_box() == place, "what is read has moved"
    expect(page.locator("#news")).to_have_text(re.compile(r"↓ \d+ new lines"))
    live = [at for at, text in page.evaluate("window.said") if text == "Live"][-1]
    took = live - page.evaluate("window.back")
    print(f"live {took:.0f} ms after the network came back")
    assert took < 5000  # a second where the machine is idle, and it is not
    assert said(page) in (
        ["Live", *middle, "Live"]
        for middle in (
            ["Offline", "Catching up"],
            ["Reconnecting", "Offline", "Catching up"],
            ["Offline", "Reconnecting", "Catching up"],
            ["Reconnecting", "Offline", "Reconnecting", "Catching up"],
        )
    )


def test_a_server_killed_while_a_turn_streams_costs_nothing(own: House, visit: Visit) -> None:
    session = own.new_session(agent="many")
    own.prompt(session, "600 4")
    person = visit(own)
    person.expected = NETWORK
    page = person.open(session)
    page.evaluate(WATCH)
    client = Attached(own, session)
    for round_ in range(2):
        seen = len(own.events(session))
        own.kill()
        expect(person.badge).to_have_text(re.compile("^Reconnecting · since"))
        own.start()
        expect(person.badge).to_have_text("Live")
        went_on = len(own.events(session)) > seen or not own.state(session)["turn_active"]
        assert went_on, f"the turn waited for its server in round {round_}"
    own.ended(session)
    expect(page.locator(".turn_end")).to_be_visible()
    complete(person, session)
    expect(page.locator(".turn_end")).to_be_in_viewport()
    client.leave()
    assert set(said(page)) <= {"Live", "Reconnecting", "Catching up"}
    page.reload()
    expect(person.badge).to_have_text("Live")
    complete(person, session)


def test_a_page_that_saw_lines_which_a_power_loss_took_shows_those_that_have_their_numbers_now(
    own: House, visit: Visit
) -> None:
    session = own.new_session(agent="many")
    own.prompt(session, "20")
    own.ended(session)
    person = visit(own)
    person.expected = NETWORK
    page = person.open(session)
    own.prompt(session, "30")
    own.ended(session)
    expect(page.locator(".turn_end")).to_have_count(2)
    own.kill()
    lines = own.log(session).read_bytes().splitlines(keepends=True)
    with own.log(session).open("r+b") as file:
        file.truncate(sum(map(len, lines[:-8])))
    with Session(own.data, session).open_log() as log:
        for number in range(12):
            log.append("renamed", title=f"after the loss {number}", by="ann")
    own.start()
    expect(person.badge).to_have_text("Live")
    expect(page.get_by_text("after the loss 0", exact=False).first).to_be_attached()
    complete(person, session)


@contextmanager
def killing(server: House) -> Iterator[None]:
    """Kill the server and start it again, at odd moments, while in the context."""
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


def test_a_storm_with_a_browser_among_the_clients(own: House, visit: Visit) -> None:
    """Issue 2's storm, short: the server dies at odd moments, and every client has the log at its end."""
    session = own.new_session(agent="many")
    own.prompt(session, "1500 6")
    people = [visit(own), visit(own)]
    for person in people:
        person.expected = NETWORK
        person.open(session)
    clients = [Attached(own, session) for _ in range(5)]
    with killing(own):
        while own.events(session)[-1]["kind"] != "turn_end":
            for person in people:
                person.page.evaluate("scrollBy(0, -200)")
                person.page.wait_for_timeout(100)
                person.page.evaluate("scrollTo(0, 1e9)")
    last = own.events(session)[-1]["id"]
    for person in people:
        expect(person.line(last)).to_be_attached()
        expect(person.badge).to_have_text("Live")
        complete(person, session)
    for client in clients:
        wait_until(functools.partial(client.has, last), "the log's end")
        client.leave()
        assert_is_the_log(client.received, own.log(session))


def test_a_login_that_ended_is_said_and_what_was_written_is_kept(own: House, visit: Visit) -> None:
    session = own.new_session(agent="shell")
    person = visit(own)
    person.expected = LOGGED_OUT
    page = person.open(session)
    page.locator("#prompt").fill("half a thought")
    (own.data / "logins.jsonl").unlink()  # every login is revoked
    own.kill()
    own.start()
    expect(page.locator("#notice")).to_contain_text("Not logged in any more. What you wrote is kept.")
    expect(person.badge).to_have_text("Logged out")
    tried = [url for url in person.asked if "/stream?" in url]
    for _ in range(2):  # the list looks again each five seconds
        page.wait_for_event("request", lambda request: request.url == f"{own.address}/")
    assert [url for url in person.asked if "/stream?" in url] == tried, "it can only be refused"
    expect(person.badge).to_have_text("Logged out")
    page.locator("#notice a").click()
    page.locator("#token").fill(TOKEN)
    page.locator("button.main").click()
    expect(person.badge).to_have_text("Live")
    assert page.url == f"{own.address}/sessions/{session}"
    assert page.locator("#prompt").input_value() == "half a thought"


def test_logging_in_again_in_another_window_brings_the_page_back(own: House, visit: Visit) -> None:
    session = own.new_session(agent="shell")
    person = visit(own)
    person.expected = LOGGED_OUT
    page = person.open(session)
    person.context.clear_cookies()
    own.kill()
    own.start()
    expect(page.locator("#notice")).to_contain_text("Not logged in any more.")
    person.window().goto(f"/login#{TOKEN}")
    expect(person.badge).to_have_text("Live")
    expect(page.locator("#notice")).to_be_hidden()


def test_a_session_that_was_deleted_is_said_to_be_and_not_asked_for_again(own: House, visit: Visit) -> None:
    session = own.new_session(agent="shell")
    person = visit(own)
    person.expected = NETWORK + "|status of 404|EventSource's response has a MIME type"
    page = person.open(session)
    own.kill()
    shutil.rmtree(own.log(session).parent)
    own.start()
    expect(person.badge).to_have_text("Deleted")
    expect(page.locator("#notice")).to_contain_text("What you see is kept until you leave.")


def test_a_stream_that_falls_silent_is_not_called_live(visit: Visit, tmp_path: Path) -> None:
    """A dead NAT: no word comes and no error either. Two beats missed are a dead stream."""
    with house(tmp_path, BREAKGLASS_SSE_KEEPALIVE_SECONDS="1") as quick:
        person = visit(quick)
        person.expected = NETWORK
        page = person.open(quick.new_session(agent="shell"))
        page.evaluate(WATCH)
        quick.process.send_signal(signal.SIGSTOP)  # connections stay open, nothing is said
        expect(person.badge).to_have_text(re.compile("^Reconnecting · since"))
        quick.process.send_signal(signal.SIGCONT)
        expect(person.badge).to_have_text("Live")
        person.leave()


def test_a_page_that_comes_from_the_browsers_cache_is_live_again(visit: Visit, shared: House) -> None:
    session = shared.new_session(agent="shell")
    person = visit()
    page = person.open(session)
    page.goto("/")
    shared.prompt(session, "echo meanwhile")
    shared.ended(session)
    page.go_back()
    expect(person.badge).to_have_text("Live")
    expect(page.locator("#log")).to_contain_text("meanwhile")
    complete(person, session)


def test_a_log_that_was_replaced_is_read_anew(visit: Visit, shared: House) -> None:
    session = shared.new_session(agent="shell")
    for word in ("first", "second"):
        shared.prompt(session, f"echo {word}")
        shared.ended(session)
    person = visit()
    page = person.open(session)
    log = shared.log(session)
    shorter = b"".join(log.read_bytes().splitlines(keepends=True)[:7])
    (log.parent / "new").write_bytes(shorter)
    (log.parent / "new").rename(log)
    expect(page.locator("#log")).not_to_contain_text("second")
    expect(person.badge).to_have_text("Live")
    complete(person, session)


def test_a_page_that_cannot_be_fetched_anew_is_not_asked_for_in_a_loop(visit: Visit, shared: House) -> None:
    """The stream of an emptied log says that it begins anew, at once and each time."""
    session = shared.new_session(agent="shell")
    shared.prompt(session, "echo a")
    shared.ended(session)
    person = visit()
    person.expected = "status of 500"
    page = person.open(session)
    asked: list[float] = []

    def fail(route: Route) -> None:
        asked.append(time.monotonic())
        route.fulfill(status=500)

    page.route(f"**/sessions/{session}", fail)
    shared.log(session).write_bytes(b"")
    expect(person.badge).to_have_text(re.compile("^Reconnecting · since"))
    while len(asked) < 2:
        page.wait_for_timeout(20)
    assert asked[1] - asked[0] > 1
    expect(page.locator(".output")).to_have_text(re.compile("a"))
