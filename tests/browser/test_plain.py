"""Everything works without JavaScript, by plain forms and links: log in, read, send, stop, answer, withdraw."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import NewUser
from tests.browser.server import ScriptedServer
from tests.help.questions import answers, open_turn
from tests.help.servers import TOKEN

PLAIN = {"java_script_enabled": False}


def test_a_session_works_from_login_to_stop_without_javascript(
    new_user: NewUser, server: ScriptedServer
) -> None:
    user = new_user(logged_in=False, **PLAIN)
    page = user.page
    page.goto("/")
    assert "/login" in page.url
    page.locator("#token").fill("not the token, by far, but of the length that one has 0123456789")
    user.expected = "status of 401"
    page.locator("button.primary").click()
    expect(page.locator("[role=alert]")).to_have_text("✗ That is not the token.")
    page.locator("#token").fill(TOKEN)
    page.locator("button.primary").click()
    page.locator("select[name=agent]").select_option("shell")
    page.locator("#prompt").fill("echo from a plain form\nsleep 1000")
    page.locator("#send").click()
    assert "/sessions/" in page.url
    session = page.url.partition("/sessions/")[2].partition("#")[0]
    expect(page.locator("#log .user")).to_contain_text("echo from a plain form")
    while page.locator(".output", has_text="from a plain form").count() == 0:
        page.locator("noscript a").click()
    expect(page.locator(".output")).to_be_visible()
    page.locator("#prompt").fill("echo queued")
    page.locator("#send").click()
    page.locator(".queued button").click()
    expect(page.locator(".queued button")).to_have_count(0)
    page.locator(".stop").click()
    server.wait_for_end(session)
    page.locator("noscript a").click()
    expect(page.locator(".turn_end")).to_contain_text("Stopped after")
    assert [event["text"] for event in server.events(session) if event["kind"] == "user"] == [
        "echo from a plain form\r\nsleep 1000"
    ]


def test_a_form_sent_twice_begins_one_turn(new_user: NewUser, server: ScriptedServer) -> None:
    session = server.new_session(agent="shell")
    user = new_user(**PLAIN)
    page = user.page
    page.goto(f"/sessions/{session}")
    hidden = {name: page.locator(f"#box [name={name}]").input_value() for name in ("csrf", "key")}
    for _ in range(2):  # as by a double tap
        answer = user.context.request.post(
            f"/sessions/{session}/turns",
            form={**hidden, "prompt": "echo once"},
            headers={"Sec-Fetch-Site": "same-origin"},
        )
        assert answer.ok
    server.wait_for_end(session)
    assert [event["kind"] for event in server.events(session)].count("user") == 1


def test_a_question_is_answered_by_a_plain_form(new_user: NewUser, server: ScriptedServer) -> None:
    session = server.new_session()
    with open_turn(server.data, session, {}):
        page = new_user(**PLAIN).page
        page.goto(f"/sessions/{session}")
        expect(page.locator(".card")).to_contain_text("rm x")
        page.locator(".refuse").click()
        expect(page.locator("#log")).to_contain_text("Refused by owner.")
        assert [answer["allow"] for answer in answers(server.data, session)] == [False]


def test_ready_prompts_and_earlier_lines_work_by_plain_forms_and_links(
    new_user: NewUser, server: ScriptedServer
) -> None:
    session = server.new_session(agent="many")
    server.prompt(session, "700")
    server.wait_for_end(session)
    page = new_user(**PLAIN).page
    page.goto(f"/sessions/{session}")
    first = page.locator("#log > .line").first
    number = int((first.get_attribute("id") or "e0")[1:])
    page.locator("#earlier a").click()
    expect(page.locator("#log > .line").last).to_have_attribute("id", f"e{number - 1}")
    page.locator("#later .to-end").click()
    expect(page.locator(".turn_end")).to_be_visible()
    page.locator(".ready summary").click()
    page.locator(".ready a", has_text="Disk").click()
    expect(page.locator("#prompt")).to_have_value("echo all full")
    page.locator("#send").click()
    expect(page.locator("#log .user").last).to_have_text(re.compile("echo all full"))
    server.wait_for_end(session)


@pytest.mark.torture
def test_a_long_output_is_opened_by_a_plain_link(new_user: NewUser, server: ScriptedServer) -> None:
    session = server.run_script("call t Bash seq", "call t bytes 50000")
    server.wait_for_end(session)
    page = new_user(**PLAIN).page
    page.goto(f"/sessions/{session}")
    page.locator(".tool_result summary").click()
    page.locator("a.show-all").click()
    said = next(event["output"] for event in server.events(session) if "output" in event)
    assert page.locator(".output pre").text_content() == said


def test_a_form_with_the_csrf_token_of_another_login_does_nothing(
    new_user: NewUser, server: ScriptedServer, tmp_path: Path
) -> None:
    session = server.new_session(agent="shell")
    user = new_user(**PLAIN)
    user.expected = "status of 403"
    page = user.page
    page.goto(f"/sessions/{session}")
    page.context.add_cookies([server.cookie()])
    page.locator("#prompt").fill("echo forged")  # the page has the CSRF token of the previous login
    page.locator("#send").click()
    expect(page.locator("main")).to_contain_text("This form belongs to another login, or it is too old.")
    assert len(server.events(session)) == 1


@pytest.mark.torture
def test_send_now_steers_by_a_plain_form(new_user: NewUser, server: ScriptedServer, gate: Path) -> None:
    session = server.run_script("call t Bash df", f"wait {gate}", "call t full")
    page = new_user(**PLAIN).page
    page.goto(f"/sessions/{session}")
    while page.locator(".tool").count() == 0:
        page.locator("noscript a").click()
    page.locator("#prompt").fill("say not that disk")
    page.get_by_role("button", name="Send now").click()
    while page.locator("[data-kind=steered]").count() == 0:
        page.locator("noscript a").click()
    expect(page.locator("[data-kind=steered] .prompt-text")).to_have_text("say not that disk")
    gate.touch()
    server.wait_for_end(session)
