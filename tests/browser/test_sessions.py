"""The list: several sessions at once, live; begun, named, archived and found there; and the one-tap prompts."""

import re
import socket
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.visits import NETWORK, PHONE, House


def test_a_prompt_on_the_list_begins_a_session_and_leads_there(visit: Visit, shared: House) -> None:
    person = visit()
    page = person.open()
    page.locator("select[name=agent]").select_option("shell")
    page.locator("#prompt").fill("echo the first words")
    page.locator("#send").click()
    page.wait_for_url(re.compile("/sessions/"))
    expect(page.locator(".turn_end")).to_be_visible()
    expect(page.locator("main h1")).to_have_text("echo the first words")
    expect(page.locator("aside [aria-current=page] .title")).to_have_text("echo the first words")
    events = shared.events(page.url.partition("/sessions/")[2].partition("#")[0])
    assert [event["text"] for event in events if event["kind"] == "user"] == ["echo the first words"]


def test_a_session_begun_without_a_network_is_begun_once_it_is_back(own: House, visit: Visit) -> None:
    person = visit(own)
    person.expected = NETWORK
    page = person.open()
    person.context.set_offline(True)
    page.locator("select[name=agent]").select_option("shell")
    page.locator("#prompt").fill("echo late")
    page.locator("#send").click()
    expect(page.locator("#outbox")).to_contain_text("Not sent: no network.")
    expect(person.badge).to_have_text(re.compile("^Offline · as of"))
    person.context.set_offline(False)
    page.wait_for_url(re.compile("/sessions/"))
    expect(page.locator(".turn_end")).to_be_visible()
    assert len(own.ask("GET", "/api/sessions")[1]["sessions"]) == 1


def test_several_that_run_at_once_are_live_in_the_list(visit: Visit, shared: House, gate: Path) -> None:
    page = visit(**PHONE).open()
    sessions = [shared.new_session(agent="shell", title=f"work {number}") for number in range(3)]
    for session in sessions:
        shared.prompt(session, f"while ! [ -e {gate} ]; do sleep 0.01; done; exit ${{#PWD}}")
    rows = [page.locator(f"#sessions [data-id='{session}']") for session in sessions]
    for row in rows:
        expect(row).to_have_attribute("data-state", "running")
    gate.touch()
    for row in rows:
        expect(row).to_have_attribute("data-state", "error")
        assert "failed" in (row.text_content() or "")


def test_the_list_shows_the_last_line_and_the_cost(visit: Visit, shared: House) -> None:
    session = shared.play("say The **disk** is full.", title="what it cost")
    shared.ended(session)
    page = visit().open()
    row = page.locator(f"#sessions [data-id='{session}']")
    expect(row.locator(".last")).to_have_text("The disk is full.")
    expect(row.locator(".cost")).to_have_text("$0.25")


def test_a_new_name_is_seen_on_every_device_at_once(visit: Visit, shared: House) -> None:
    session = shared.new_session(agent="shell", title="old name")
    here, there = visit(), visit()
    here.open(session)
    there.open(session)
    here.page.locator(".menu summary").click()
    here.page.locator(".menu input[name=title]").fill("new name")
    here.page.locator(".menu button", has_text="Rename").click()
    for person in (here, there):
        expect(person.page.locator("main h1")).to_have_text("new name")
        expect(person.page).to_have_title(f"new name · {socket.gethostname()}")
    expect(here.page.locator("aside [aria-current=page] .title")).to_have_text("new name")


def test_a_heading_that_is_cut_says_so_before_a_reload_and_after(visit: Visit, shared: House) -> None:
    session = shared.new_session(agent="shell")
    person = visit()
    page = person.open(session)
    shared.prompt(session, "echo why \n" + "\U0001f525 burns" * 40)
    for _ in range(2):
        expect(page.locator("main h1")).to_have_text(re.compile("^echo why \U0001f525 burns.*…$"))
        cut = page.locator("main h1").inner_text()
        assert len(cut) == 80
        expect(page).to_have_title(re.compile(re.escape(f"{cut} · {socket.gethostname()}")))
        page.reload()
        expect(person.badge).to_have_text("Live")


def test_what_is_archived_leaves_the_list_and_can_be_found(visit: Visit, shared: House) -> None:
    session = shared.new_session(agent="shell", title="put away")
    page = visit().open(session)
    page.locator(".menu summary").click()
    page.locator(".menu button", has_text=re.compile("^Archive")).click()
    expect(page.locator("#log")).to_contain_text("Archived by owner.")
    page.goto("/")
    expect(page.locator("#badge")).to_have_text("Live")
    row = page.locator(f"#sessions [data-id='{session}']")
    expect(row).to_have_count(0)
    page.locator(".menu summary").click()
    page.locator(".menu a", has_text="With the archived").click()
    expect(row.locator(".last")).to_have_text("Archived.")


def test_titles_are_searched_as_one_writes(visit: Visit, shared: House) -> None:
    for title in ("zebra disk", "zebra nginx"):
        shared.new_session(title=title)
    page = visit().open()
    page.keyboard.press("/")
    expect(page.locator("input[type=search]")).to_be_focused()
    page.keyboard.type("Zebra ngi")
    rows = page.locator("#sessions li:visible")
    expect(rows).to_have_count(1)
    expect(rows.locator(".title")).to_have_text("zebra nginx")
    page.locator("input[type=search]").fill("")
    assert rows.count() > 1


def test_a_search_that_finds_nothing_says_so_and_leads_to_the_archived(own: House, visit: Visit) -> None:
    own.new_session(title="at hand")
    session = own.new_session(title="put away & kept")
    own.ask("PATCH", f"/api/sessions/{session}", {"archived": True})
    page = visit(own, **PHONE).open()
    nothing = page.locator("#sessions .nothing")
    expect(nothing).to_be_hidden()
    page.locator("input[type=search]").fill("away &")
    expect(nothing).to_have_text(re.compile("^Nothing found."))
    nothing.locator("a").tap()
    expect(page.locator("#sessions .title")).to_have_text("put away & kept")
    expect(page.locator("input[type=search]")).to_have_value("away &")


def test_a_ready_prompt_is_one_tap_away(visit: Visit, shared: House) -> None:
    session = shared.new_session(agent="shell")
    page = visit(**PHONE).open(session)
    expect(page.locator(".presets button").first).to_be_in_viewport()
    page.locator(".presets button", has_text="Disk").tap()
    expect(page.locator(".output")).to_have_text(re.compile("all full"))
    page.goto("/")
    page.locator(".presets button", has_text="Uptime").tap()
    page.wait_for_url(re.compile("/sessions/"))
    expect(page.locator(".output")).to_have_text(re.compile("since 2 days"))


def test_an_agent_that_cannot_start_here_cannot_be_chosen(visit: Visit, shared: House) -> None:
    page = visit().open()
    option = page.locator("option[value=absent]")
    assert option.is_disabled()
    assert "no-such-program was not found" in option.inner_text()


def test_an_empty_list_says_what_to_do(own: House, visit: Visit) -> None:
    page = visit(own).open()
    expect(page.locator("#sessions")).to_contain_text("No sessions yet. Say what is wrong")


def test_who_is_elsewhere_learns_from_the_title_how_it_ended(visit: Visit, shared: House, gate: Path) -> None:
    session = shared.play("say Working.", f"wait {gate}", "say Done.", title="the night")
    person = visit()
    person.context.add_init_script(
        "Object.defineProperty(Document.prototype, 'hidden', { get: () => Boolean(window.away) })"
    )
    page = person.open(session)
    expect(page).to_have_title(re.compile("^● the night · "))
    page.evaluate("window.away = true; document.dispatchEvent(new Event('visibilitychange'))")
    gate.touch()
    expect(page).to_have_title(re.compile("^✓ the night · "))
    page.evaluate("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")
    expect(page).to_have_title(re.compile("^the night · "))
