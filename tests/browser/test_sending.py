"""A prompt is in the log or visibly not sent: it is kept and sent again until the server has it, and runs once."""

import re

import pytest
from playwright.sync_api import Route, expect

from tests.browser.conftest import NewUser
from tests.browser.server import ScriptedServer
from tests.browser.user import NETWORK, PHONE, send_prompt
from tests.help.waiting import wait_until

NEW = "**/api/sessions"
TURNS = "**/api/sessions/*/turns"

FILL_STORAGE = """() => {
  for (let size = 1 << 22; size >= 1; size >>= 1) {
    try { for (let i = 0; ; i++) localStorage[`filled ${size} ${i}`] = "x".repeat(size); } catch { /* full */ }
  }
}"""
"""Fills the storage that the browser gives to the page."""


def test_a_prompt_without_a_network_is_shown_as_unsent_and_sent_once_later(
    new_user: NewUser, server: ScriptedServer
) -> None:
    session = server.new_session(agent="shell")
    user = new_user()
    user.expected = NETWORK
    page = user.open(session)
    user.context.set_offline(True)
    send_prompt(page, "echo it went")
    expect(page.locator("#outbox")).to_contain_text(
        "Not sent: no network. It will be sent when you are back."
    )
    expect(page.locator("#outbox p")).to_have_text("echo it went")
    assert server.prompts(session) == []
    user.context.set_offline(False)
    expect(page.locator("#log .user")).to_have_count(1)
    expect(page.locator("#outbox li")).to_have_count(0)
    expect(page.locator(".turn_end")).to_be_visible()
    assert server.prompts(session) == ["echo it went"]


@pytest.mark.torture
def test_a_server_that_is_down_is_not_reported_as_no_network(
    own_server: ScriptedServer, new_user: NewUser
) -> None:
    session = own_server.new_session(agent="shell")
    user = new_user(own_server)
    user.expected = NETWORK
    page = user.open(session)
    own_server.kill()
    send_prompt(page, "echo it went")
    silent = "Not sent: the server cannot be reached. It will be sent when the server is back."
    expect(page.locator("#outbox")).to_contain_text(silent)
    own_server.start()
    expect(page.locator(".turn_end")).to_be_visible()
    expect(page.locator("#outbox li")).to_have_count(0)
    assert own_server.prompts(session) == ["echo it went"]


def test_a_prompt_whose_answer_was_lost_begins_no_second_turn(
    new_user: NewUser, server: ScriptedServer
) -> None:
    session = server.new_session(agent="shell")
    user = new_user()
    user.expected = NETWORK
    page = user.open(session)
    keys: list[str] = []

    def lose(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        route.fetch()  # the server has it
        route.abort()  # and the page gets no response

    page.route("**/stream?*", lambda route: route.abort())  # the stream does not deliver the line either
    page.reload()
    page.route(TURNS, lose)
    send_prompt(page, "echo once")
    expect(page.locator("#outbox")).to_contain_text("Not sent")
    page.locator("#outbox button", has_text="Try now").click()
    expect(page.locator("#outbox")).to_contain_text("Not sent")
    while len(keys) < 2:
        page.wait_for_timeout(20)
    page.unroute("**/stream?*")
    page.unroute(TURNS)
    expect(page.locator("#log .user")).to_have_count(1)
    expect(page.locator("#outbox li")).to_have_count(0)
    server.wait_for_end(session)
    assert len(set(keys)) == 1
    assert server.prompts(session) == ["echo once"]


@pytest.mark.torture
def test_a_new_session_whose_answer_was_lost_is_requested_again_and_its_prompt_runs_once(
    own_server: ScriptedServer, new_user: NewUser
) -> None:
    user = new_user(own_server)
    user.expected = NETWORK
    page = user.open()
    keys: list[str] = []

    def lose_two(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        answer = route.fetch()  # the server has it
        route.abort() if len(keys) in (1, 3) else route.fulfill(response=answer)

    page.route(NEW, lose_two)
    page.route(TURNS, lose_two)
    send_prompt(page, "echo once")
    for _ in range(2):
        expect(page.locator("#outbox")).to_contain_text("Not sent: the server cannot be reached.")
        page.locator("#outbox button", has_text="Try now").click()
    page.wait_for_url("**/sessions/*")
    expect(page.locator(".turn_end")).to_be_visible()
    assert len(set(keys)) == 1
    [session] = own_server.ask("GET", "/api/sessions")[1]["sessions"]
    assert own_server.prompts(session["id"]) == ["echo once"]


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("", id="locks", marks=pytest.mark.torture),
        pytest.param("delete Navigator.prototype.locks", id="plain http"),
    ],
)
def test_a_prompt_in_the_outbox_of_two_windows_runs_once(
    script: str, own_server: ScriptedServer, new_user: NewUser
) -> None:
    user = new_user(own_server)
    user.context.add_init_script(script)
    user.expected = NETWORK
    page, other = user.open(), user.window()
    other.goto("/")
    user.context.set_offline(True)
    send_prompt(page, "echo once")
    expect(other.locator("#outbox")).to_contain_text("echo once")
    user.context.set_offline(False)
    for window in (page, other):
        expect(window.locator("#outbox li")).to_have_count(0)
    [session] = wait_until(lambda: own_server.ask("GET", "/api/sessions")[1]["sessions"], "a session")
    own_server.wait_for_end(session["id"])
    assert own_server.prompts(session["id"]) == ["echo once"]


def test_drafts_and_unsent_prompts_survive_a_reload(new_user: NewUser, server: ScriptedServer) -> None:
    session = server.new_session(agent="shell")
    user = new_user()
    user.expected = NETWORK
    page = user.open(session)
    page.route(TURNS, lambda route: route.abort())
    send_prompt(page, "echo unsent")
    expect(page.locator("#outbox")).to_contain_text("Not sent")
    page.locator("#prompt").fill("and a draft\nof two lines")
    page.unroute(TURNS)
    page.reload()
    expect(page.locator("#log .user")).to_have_count(1)
    assert page.locator("#prompt").input_value() == "and a draft\nof two lines"
    assert server.prompts(session) == ["echo unsent"]
    page.locator("#prompt").fill("")
    page.reload()
    assert page.locator("#prompt").input_value() == ""


@pytest.mark.torture
def test_a_prompt_is_kept_by_the_page_when_the_browsers_storage_is_full(
    new_user: NewUser, server: ScriptedServer
) -> None:
    session = server.new_session(agent="shell")
    user = new_user()
    user.expected = NETWORK
    page = user.open(session)
    page.evaluate(FILL_STORAGE)
    user.context.set_offline(True)
    send_prompt(page, "echo " + "x" * 2000)
    expect(page.locator("#outbox")).to_contain_text("Not sent: no network.")
    user.context.set_offline(False)
    expect(page.locator(".turn_end")).to_be_visible()
    expect(page.locator("#outbox li")).to_have_count(0)
    assert len(server.prompts(session)) == 1


@pytest.mark.torture
def test_a_session_can_be_started_when_the_browsers_storage_is_full(
    own_server: ScriptedServer, new_user: NewUser
) -> None:
    user = new_user(own_server)
    user.expected = NETWORK
    page = user.open()
    page.evaluate(FILL_STORAGE)
    send_prompt(page, "echo " + "x" * 2000)
    page.wait_for_url("**/sessions/*")
    expect(page.locator(".turn_end")).to_be_visible()


def test_a_refused_prompt_is_reported_and_kept_and_can_be_discarded(
    new_user: NewUser, server: ScriptedServer
) -> None:
    session = server.new_session(agent="shell")
    user = new_user()
    user.expected = "status of 413"
    page = user.open(session)
    send_prompt(page, "x" * (300 << 10))
    expect(page.locator("#outbox")).to_contain_text("Not sent: prompt: at most 256 KiB are taken")
    page.locator("#outbox button", has_text="Discard").click()
    expect(page.locator("#outbox li")).to_have_count(0)
    send_prompt(page, "echo next")
    expect(page.locator(".turn_end")).to_be_visible()
    assert server.prompts(session) == ["echo next"]


def test_stop_takes_one_tap_and_the_page_shows_that_the_turn_stopped(
    new_user: NewUser, server: ScriptedServer
) -> None:
    session = server.new_session(agent="shell")
    server.prompt(session, "echo working; sleep 1000")
    page = new_user(**PHONE).open(session)
    stop = page.locator(".stop")
    expect(stop).to_be_in_viewport(ratio=1)
    expect(page.locator(".output")).to_contain_text("working")
    stop.tap()
    expect(page.locator(".turn_end")).to_have_text(re.compile("Stopped after"))
    expect(page.locator("#log")).to_contain_text("Stopped by owner.")
    expect(stop).to_be_hidden()
    expect(page.locator(".tool .outcome")).not_to_have_text(re.compile("●"))
    assert server.state(session)["status"] == "cancelled"


def test_enter_sends_on_a_desk_and_shift_enter_is_a_new_line(
    new_user: NewUser, server: ScriptedServer
) -> None:
    session = server.new_session(agent="shell")
    page = new_user().open(session)
    expect(page.locator("#how")).to_have_text("Enter sends · Shift+Enter: new line")
    page.locator("#prompt").focus()
    page.keyboard.type("echo a")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("echo b")
    page.keyboard.press("Enter")
    expect(page.locator(".output")).to_contain_text("a\nb", use_inner_text=True)
    assert server.prompts(session) == ["echo a\necho b"]


@pytest.mark.torture
def test_the_menu_makes_enter_a_new_line_and_the_browser_remembers_it(
    new_user: NewUser, server: ScriptedServer
) -> None:
    session = server.new_session(agent="shell")
    page = new_user().open(session)
    page.locator("main > .bar .menu > summary").click()
    page.locator("[data-do=enter]").click()
    page.reload()
    expect(page.locator("#how")).to_have_text("Enter: new line · Ctrl+Enter sends")
    expect(page.locator("[data-do=enter]")).to_have_attribute("aria-pressed", "false")
    page.locator("#prompt").focus()
    page.keyboard.type("echo a")
    page.keyboard.press("Enter")
    page.keyboard.type("echo b")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".output")).to_contain_text("a\nb", use_inner_text=True)
    assert server.prompts(session) == ["echo a\necho b"]


def test_enter_is_a_new_line_on_a_phone(new_user: NewUser, server: ScriptedServer) -> None:
    session = server.new_session(agent="shell")
    page = new_user(**PHONE).open(session)
    page.locator("#prompt").focus()
    expect(page.locator("#how")).to_have_text("Enter: new line · The button sends")
    page.keyboard.type("echo a")
    page.keyboard.press("Enter")
    expect(page.locator("#prompt")).to_have_value("echo a\n")
    assert server.prompts(session) == []


@pytest.mark.torture
def test_a_tall_prompt_field_stays_on_the_screen_and_hides_no_line(
    new_user: NewUser, server: ScriptedServer
) -> None:
    session = server.new_session(agent="shell")
    server.prompt(session, "seq 500")
    server.wait_for_end(session)
    page = new_user(**PHONE).open(session)
    page.locator("#prompt").fill("\n".join(map(str, range(100))))
    expect(page.locator("#prompt")).to_be_in_viewport(ratio=1)
    box = page.locator("#prompt").bounding_box()
    assert box and box["height"] <= 0.45 * 844
    assert page.locator("#prompt").evaluate("(box) => getComputedStyle(box).fontSize") == "16px"
    expect(page.locator(".turn_end")).to_be_in_viewport()


@pytest.mark.torture
def test_an_agent_that_cannot_start_reports_that_the_prompt_is_kept(
    new_user: NewUser, server: ScriptedServer
) -> None:
    session = server.new_session(agent="absent")
    page = new_user().open(session)
    send_prompt(page, "look")
    error = page.locator(".line.error")
    expect(error).to_contain_text("The agent could not start: no-such-program")
    expect(error).to_contain_text("Your prompt is kept as line 2")
