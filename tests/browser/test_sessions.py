"""The list of sessions: it is live, and sessions are started, renamed, archived and found there; preset prompts."""

import re
import socket
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import NewUser
from tests.browser.server import ScriptedServer
from tests.browser.user import NETWORK, PHONE


def test_a_prompt_on_the_list_starts_a_session_and_opens_it(
    new_user: NewUser, server: ScriptedServer
) -> None:
    user = new_user()
    page = user.open()
    page.locator("select[name=agent]").select_option("shell")
    page.locator("#prompt").fill("echo the first words")
    page.locator("#send").click()
    page.wait_for_url(re.compile("/sessions/"))
    expect(page.locator(".turn_end")).to_be_visible()
    expect(page.locator("main h1")).to_have_text("echo the first words")
    expect(page.locator("aside [aria-current=page] .title")).to_have_text("echo the first words")
    events = server.events(page.url.partition("/sessions/")[2].partition("#")[0])
    assert [event["text"] for event in events if event["kind"] == "user"] == ["echo the first words"]


@pytest.mark.torture
def test_a_session_requested_without_a_network_starts_when_the_network_is_back(
    own_server: ScriptedServer, new_user: NewUser
) -> None:
    user = new_user(own_server)
    user.expected = NETWORK
    page = user.open()
    user.context.set_offline(True)
    page.locator("select[name=agent]").select_option("shell")
    page.locator("#prompt").fill("echo late")
    page.locator("#send").click()
    expect(page.locator("#outbox")).to_contain_text("Not sent: no network.")
    expect(user.badge).to_have_text(re.compile("^Offline · as of"))
    user.context.set_offline(False)
    page.wait_for_url(re.compile("/sessions/"))
    expect(page.locator(".turn_end")).to_be_visible()
    assert len(own_server.ask("GET", "/api/sessions")[1]["sessions"]) == 1


@pytest.mark.torture
def test_the_list_shows_the_status_of_several_running_sessions_live(
    new_user: NewUser, server: ScriptedServer, gate: Path
) -> None:
    page = new_user(**PHONE).open()
    sessions = [server.new_session(agent="shell", title=f"work {number}") for number in range(3)]
    for session in sessions:
        server.prompt(session, f"while ! [ -e {gate} ]; do sleep 0.01; done; exit ${{#PWD}}")
    rows = [page.locator(f"#sessions [data-id='{session}']") for session in sessions]
    for row in rows:
        expect(row).to_have_attribute("data-state", "running")
    gate.touch()
    for row in rows:
        expect(row).to_have_attribute("data-state", "error")
        assert "failed" in (row.text_content() or "")


def test_the_list_shows_the_last_line_and_the_cost(new_user: NewUser, server: ScriptedServer) -> None:
    session = server.run_script("say The **disk** is full.", title="what it cost")
    server.wait_for_end(session)
    page = new_user().open()
    row = page.locator(f"#sessions [data-id='{session}']")
    expect(row.locator(".last-line")).to_have_text("The disk is full.")
    expect(row.locator(".cost")).to_have_text("$0.25")


@pytest.mark.torture
def test_a_new_title_appears_on_every_device(new_user: NewUser, server: ScriptedServer) -> None:
    session = server.new_session(agent="shell", title="old name")
    here, there = new_user(), new_user()
    here.open(session)
    there.open(session)
    here.page.locator(".menu > summary").click()
    here.page.locator(".menu summary", has_text="Rename").click()
    here.page.locator(".menu input[name=title]").fill("new name")
    here.page.locator(".menu button", has_text="Rename").click()
    for user in (here, there):
        expect(user.page.locator("main h1")).to_have_text("new name")
        expect(user.page).to_have_title(f"new name · {socket.gethostname()}")
    expect(here.page.locator("aside [aria-current=page] .title")).to_have_text("new name")


@pytest.mark.torture
def test_a_long_heading_is_cut_alike_by_the_script_and_by_the_server(
    new_user: NewUser, server: ScriptedServer
) -> None:
    session = server.new_session(agent="shell")
    user = new_user()
    page = user.open(session)
    server.prompt(session, "echo why \n" + "\U0001f525 burns" * 40)
    for _ in range(2):
        expect(page.locator("main h1")).to_have_text(re.compile("^echo why ⏎ \U0001f525 burns.*…$"))
        cut = page.locator("main h1").inner_text()
        assert len(cut) == 80
        expect(page).to_have_title(re.compile(re.escape(f"{cut} · {socket.gethostname()}")))
        page.reload()
        expect(user.badge).to_have_text("Live")


def test_an_archived_session_leaves_the_list_and_can_be_found(
    new_user: NewUser, server: ScriptedServer
) -> None:
    session = server.new_session(agent="shell", title="archived")
    page = new_user().open(session)
    page.locator(".menu > summary").click()
    page.locator(".menu button", has_text=re.compile("^Archive")).click()
    expect(page.locator("#log")).to_contain_text("Archived by owner.")
    page.locator("#archived button", has_text="Undo").click()
    expect(page.locator("#log")).to_contain_text("Unarchived by owner.")
    expect(page.locator("#archived")).to_have_count(0)
    page.locator(".menu > summary").click()
    expect(page.locator(".menu .id")).to_have_text(session)
    page.locator(".menu button", has_text=re.compile("^Archive")).click()
    page.goto("/")
    expect(page.locator("#badge")).to_have_text("Live")
    row = page.locator(f"#sessions [data-id='{session}']")
    expect(row).to_have_count(0)
    page.locator(".menu > summary").click()
    page.locator(".menu a", has_text="Show archived sessions").click()
    expect(row.locator(".last-line")).to_have_text(re.compile("^Archived, .+ on disk\\. $"))


def test_titles_are_searched_while_the_user_types(new_user: NewUser, server: ScriptedServer) -> None:
    for title in ("zebra disk", "zebra nginx"):
        server.new_session(title=title)
    page = new_user().open()
    page.keyboard.press("/")
    expect(page.locator("input[type=search]")).to_be_focused()
    page.keyboard.type("Zebra ngi")
    rows = page.locator("#sessions li:visible")
    expect(rows).to_have_count(1)
    expect(rows.locator(".title")).to_have_text("zebra nginx")
    page.locator("input[type=search]").fill("")
    assert rows.count() > 1


@pytest.mark.torture
def test_a_search_without_results_links_to_the_archived_sessions(
    own_server: ScriptedServer, new_user: NewUser
) -> None:
    own_server.new_session(title="listed")
    session = own_server.new_session(title="archived & kept")
    own_server.ask("PATCH", f"/api/sessions/{session}", {"archived": True})
    page = new_user(own_server, **PHONE).open()
    nothing = page.locator("#sessions .no-match")
    expect(nothing).to_be_hidden()
    page.locator("input[type=search]").fill("hived &")
    expect(nothing).to_have_text(re.compile("^No session found."))
    nothing.locator("a").tap()
    expect(page.locator("#sessions .title")).to_have_text("archived & kept")
    expect(page.locator("input[type=search]")).to_have_value("hived &")


def test_a_ready_prompt_fills_the_field_and_waits_for_send(new_user: NewUser, server: ScriptedServer) -> None:
    page = new_user(**PHONE).open()
    field = page.locator("#prompt")
    page.locator(".presets a", has_text="Disk").tap()
    expect(field).to_have_value("echo all full")
    page.locator(".presets a", has_text="Uptime").tap()
    expect(field).to_have_value(
        "echo since $((1 + 1)) days"
    )  # an untouched ready prompt gives way to the next
    expect(page.locator("select[name=agent]")).to_have_value("shell")
    assert page.url == f"{server.address}/"
    page.locator("#send").tap()
    page.wait_for_url(re.compile("/sessions/"))
    expect(page.locator(".output")).to_have_text(re.compile("since 2 days"))
    page.reload()  # the session has begun
    expect(page.locator(".presets:visible")).to_have_count(0)
    field.fill("echo mine")
    page.locator(".ready summary").tap()
    page.locator(".ready a", has_text="Disk").tap()
    expect(page.locator(".ready a").first).to_be_hidden()
    expect(field).to_have_value("echo mine\n\necho all full")
    expect(page.locator("#log .user")).to_have_count(1)


@pytest.mark.torture
def test_an_agent_without_its_program_cannot_be_chosen(new_user: NewUser, server: ScriptedServer) -> None:
    page = new_user().open()
    option = page.locator("option[value=absent]")
    assert option.is_disabled()
    assert "no-such-program was not found" in option.inner_text()


def test_an_empty_list_says_what_to_do(own_server: ScriptedServer, new_user: NewUser) -> None:
    page = new_user(own_server).open()
    expect(page.locator("#sessions")).to_contain_text("No sessions yet. Describe the problem")


def test_the_title_of_a_hidden_window_shows_how_the_turn_ended(
    new_user: NewUser, server: ScriptedServer, gate: Path
) -> None:
    session = server.run_script("say Working.", f"wait {gate}", "say Done.", title="the night")
    user = new_user()
    user.context.add_init_script(
        "Object.defineProperty(Document.prototype, 'hidden', { get: () => Boolean(window.away) })"
    )
    page = user.open(session)
    expect(page).to_have_title(re.compile("^● the night · "))
    page.evaluate("window.away = true; document.dispatchEvent(new Event('visibilitychange'))")
    gate.touch()
    expect(page).to_have_title(re.compile("^✓ the night · "))
    page.evaluate("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")
    expect(page).to_have_title(re.compile("^the night · "))


@pytest.mark.torture
def test_a_shell_has_no_field_for_a_model(new_user: NewUser, server: ScriptedServer) -> None:
    page = new_user().open()
    page.locator("#box select").select_option("scripted")
    expect(page.locator("#box input[name=model]")).to_be_visible()
    page.locator("#box select").select_option("shell")
    expect(page.locator("#box input[name=model]")).to_be_hidden()
