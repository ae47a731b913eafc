"""A prompt names a model for its own turn: from the list of what the agent offers, or any other name."""

from playwright.sync_api import expect

from tests.browser.conftest import NewUser
from tests.browser.server import ScriptedServer
from tests.browser.user import PHONE, send_prompt


def test_a_prompt_names_a_model_for_its_turn_only(new_user: NewUser, server: ScriptedServer) -> None:
    session = server.run_script("say One.")
    server.wait_for_end(session)
    page = new_user(**PHONE).open(session)
    page.locator(".ready > summary").tap()
    field = page.get_by_role("combobox", name="Model")
    assert page.locator("#models option").evaluate_all("(all) => all.map(({ value }) => value)") == [
        "opus",
        "sonnet",
        "haiku",
    ]
    field.fill("claude-of-my-own")
    send_prompt(page, "say Two.")
    expect(page.locator(".user").nth(1)).to_contain_text("claude-of-my-own")
    server.wait_for_end(session)
    send_prompt(page, "say Three.")
    expect(page.locator(".user").nth(2)).to_be_visible()
    server.wait_for_end(session)
    plain = new_user(java_script_enabled=False).page
    plain.goto(f"/sessions/{session}")
    plain.locator(".ready > summary").click()
    plain.get_by_role("combobox", name="Model").fill("opus")
    plain.locator("#prompt").fill("say Four.")
    plain.locator("#send").click()
    server.wait_for_end(session)
    turns = [event for event in server.events(session) if event["kind"] == "user"]
    assert [turn.get("model") for turn in turns] == [None, "claude-of-my-own", None, "opus"]
