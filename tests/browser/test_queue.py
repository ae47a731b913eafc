"""Queued prompts: shown on every device while a turn runs, sent when it ends, and withdrawn on request."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import NewUser
from tests.browser.server import ScriptedServer
from tests.browser.user import NETWORK, PHONE, send_prompt


def test_a_queued_prompt_is_shown_on_every_device_and_can_be_withdrawn(
    new_user: NewUser, server: ScriptedServer, gate: Path
) -> None:
    session = server.new_session(agent="shell")
    server.prompt(session, f"while ! [ -e {gate} ]; do sleep 0.01; done")
    here, there = new_user(), new_user(**PHONE)
    page = here.open(session)
    there.open(session)
    page.locator("#prompt").fill("echo")
    expect(page.locator("#send")).to_have_text("Queue")
    send_prompt(page, "echo second")
    send_prompt(page, "echo third")
    for user in (here, there):
        expect(user.page.locator(".queued.open")).to_have_count(2)
    there.page.locator(".queued.open", has_text="second").locator("button").tap()
    for user in (here, there):
        expect(user.page.locator(".queued.open")).to_have_count(1)
    expect(there.page.locator("#prompt")).to_have_value("echo second")
    gate.touch()
    for user in (here, there):
        expect(user.page.locator(".turn_end")).to_have_count(2)
        expect(user.page.locator(".queued.open")).to_have_count(0)
    assert server.prompts(session)[1:] == ["echo third"]


@pytest.mark.torture
def test_a_withdrawn_prompt_returns_whole_below_the_draft(
    new_user: NewUser, server: ScriptedServer, gate: Path
) -> None:
    session = server.new_session(agent="shell")
    server.prompt(session, f"while ! [ -e {gate} ]; do sleep 0.01; done")
    user = new_user()
    page = user.open(session)
    long = "".join(f"echo {number}\u202e hidden\n" for number in range(2000)) + "echo end"
    send_prompt(page, long)
    expect(page.locator(".queued a.show-all")).to_be_visible()  # the page shows it folded
    page.locator("#prompt").fill("a draft")
    page.locator(".queued button").click()
    expect(page.locator(".queued.settled")).to_have_count(1)
    expect(page.locator("#prompt")).to_have_value(f"a draft\n\n{long}")
    expect(page.locator("#notice")).to_have_text("Withdrawn. The prompt is below your draft.")
    page.reload()
    expect(user.badge).to_have_text("Live")
    expect(page.locator("#prompt")).to_have_value(f"a draft\n\n{long}")
    gate.touch()


@pytest.mark.torture
def test_without_a_network_no_prompt_is_withdrawn(
    new_user: NewUser, server: ScriptedServer, gate: Path
) -> None:
    session = server.new_session(agent="shell")
    server.prompt(session, f"while ! [ -e {gate} ]; do sleep 0.01; done")
    user = new_user()
    user.expected = NETWORK
    page = user.open(session)
    send_prompt(page, "echo second")
    expect(page.locator(".queued.open")).to_have_count(1)
    user.context.set_offline(True)
    page.locator(".queued button").click()
    expect(page.locator("#notice")).to_have_text("Not withdrawn: its text cannot be loaded now.")
    assert page.locator("#prompt").input_value() == ""
    user.context.set_offline(False)
    gate.touch()
    server.wait_for_end(session)
    assert server.prompts(session)[1:] == ["echo second"]


def test_send_now_gives_a_prompt_to_the_running_agent(
    new_user: NewUser, server: ScriptedServer, gate: Path
) -> None:
    session = server.run_script("call t Bash df", f"wait {gate}", "call t full")
    user = new_user(**PHONE)
    page = user.open(session)
    expect(page.locator(".now")).to_be_hidden()
    page.locator("#prompt").fill("say not that disk")
    expect(page.locator("#send")).to_have_text("Queue")
    page.get_by_role("button", name="Send now").tap()
    expect(page.locator("[data-kind=steered] .prompt-text")).to_have_text("say not that disk")
    expect(page.locator(".queued.open")).to_have_count(0)
    expect(page.locator("#outbox li")).to_have_count(0)
    page.locator("#prompt").fill("and this")
    box = page.locator("#prompt").bounding_box()
    assert box is not None
    assert box["width"] > 300  # there is room to write
    gate.touch()
    expect(page.locator(".now")).to_be_hidden()
