"""Continue: one tap sends the prompt that says what happened to the last turn."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from breakglass.store import sessions
from tests.browser.conftest import NewUser
from tests.browser.server import ScriptedServer
from tests.browser.user import PHONE
from tests.help.turns import kill_runner


def test_continue_appears_on_an_open_page_and_one_tap_sends(
    new_user: NewUser, server: ScriptedServer, gate: Path
) -> None:
    session = server.run_script("say up", f"wait {gate}")
    page = new_user(**PHONE).open(session)
    expect(page.locator(".prose:not(.live)")).to_be_visible()
    expect(page.locator("#continue")).to_be_hidden()
    kill_runner(sessions.get(server.data, session))
    expect(page.locator(".turn_end .body")).to_contain_text("The turn was lost: its process died.")
    assert page.locator("#log").inner_text().count("its process died") == 1
    page.locator("#continue button").tap()
    expect(page.locator("#log .user")).to_have_count(2)
    server.wait_for_end(session)
    assert server.prompts(session)[1].startswith("Your last turn was lost: its process died, and")
    expect(page.locator("#continue")).to_be_hidden()


@pytest.mark.torture
def test_continue_works_without_javascript_after_a_restart(new_user: NewUser, server: ScriptedServer) -> None:
    session = server.new_session(agent="scripted")
    boot_id = "00000000-1111-2222-3333-444444444444"
    server.appended(session, "user", turn=2, text="look", by="ann", boot_id=boot_id)
    server.appended(session, "turn_end", turn=2, status="ok", duration_ms=9)
    page = new_user(java_script_enabled=False).page
    page.goto(f"/sessions/{session}")
    page.locator("#continue button").click()
    server.wait_for_end(session)
    assert "The machine has restarted since it began." in server.prompts(session)[1]
    page.locator("noscript a").click()
    expect(page.locator("#continue")).to_be_hidden()
