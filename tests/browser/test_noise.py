"""What several lines say is one line on the page. Each line number still leads to its line."""

import re
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from breakglass.events import LOST, Draft
from breakglass.store import sessions
from tests.browser.conftest import NewUser
from tests.browser.server import ScriptedServer
from tests.browser.user import PHONE

UNFOLD = """() => {
  document.body.classList.remove("session");
  for (const one of document.querySelectorAll("#log [hidden]")) one.hidden = false;
}"""
"""Shows every line in full."""
ENDS = """() => [...document.querySelectorAll("#log :is(.folded, .turn_end)")].map(
  (line) => [line.id, line.className.replace(" appearing", ""), line.innerText])"""
"""The ends of turns and the lines that they stand for."""
CAUSE = "API Error: 529 overloaded. This is a server-side issue, usually temporary. Try again in a moment."
STEPS = [{"content": f"Step {n} of the repair", "status": "pending"} for n in range(3)]
ITEMS = [{"text": step["content"], "status": step["status"]} for step in STEPS]
USAGE = {"input_tokens": 102_000, "output_tokens": 1_900}


def a_bad_night() -> list[Draft]:
    """Return what follows `created`: a turn of work, two that fail after retries, and a lost one."""
    drafts: list[Draft] = []
    numbers = count(2)

    def begin(text: str) -> int:
        turn = next(numbers)
        drafts.append(("user", {"turn": turn, "text": text, "by": "ann"}))
        return turn

    def add(kind: str, **fields: Any) -> None:
        next(numbers)
        drafts.append((kind, fields))
        if kind == "turn_end":
            next(numbers)  # a seal follows

    turn = begin("The disk is full.")
    add("session", turn=turn, session_id="11111111-2222-4333-8444-555555555555", model="actor")
    for tool in ("a", "b", "c"):
        add("tool", turn=turn, tool_id=tool, name="TodoWrite", input={"todos": STEPS})
        add("tool_result", turn=turn, tool_id=tool, output="Todos have been modified.", is_error=False)
        add("plan", turn=turn, items=ITEMS)
    add("text", turn=turn, text="The journal fills it.")
    add(
        "result",
        turn=turn,
        is_error=False,
        result="The journal fills it.",
        duration_ms=1,
        usage=USAGE,
        cost_usd=0.42,
    )
    add("turn_end", turn=turn, status="ok", duration_ms=41_000)
    for retries in (9, 7):
        turn = begin("Go on.")
        for attempt in range(1, retries + 1):
            error = f"overloaded (HTTP 529), retry {attempt} of {retries} in 4.2 s"
            add("retry", turn=turn, attempt=attempt, error=error, delay_ms=4200)
        add("error", turn=turn, error=CAUSE)
        add("result", turn=turn, is_error=True, result=CAUSE, duration_ms=1)
        add("turn_end", turn=turn, status="error", duration_ms=41_000)
    turn = begin("And now?")
    add("error", turn=turn, error=LOST.format("its process died"))
    add("turn_end", turn=turn, status="lost", duration_ms=3000)
    return drafts


def test_a_session_of_46_lines_is_a_third_shorter_on_a_phone(
    new_user: NewUser, server: ScriptedServer
) -> None:
    session = server.written(a_bad_night(), title="a bad night")
    assert len(server.events(session)) == 46
    user = new_user(**PHONE)
    page = user.open(session)
    ends = page.locator(".turn_end .body")
    expect(ends.nth(0)).to_have_text("✓ Done in 41 s · $0.42 · 102k in, 1.9k out")
    expect(ends.nth(1)).to_contain_text(f"Failed after 41 s{CAUSE}")
    shown = page.evaluate("document.querySelector('#log').offsetHeight")
    text = page.locator("#log").inner_text()
    assert (text.count(CAUSE), text.count("retry 8 of 9"), text.count("retry 9 of 9")) == (2, 0, 1)
    assert (text.count("process died"), text.count("Step 1"), text.count("TodoWrite")) == (1, 1, 0)
    assert "11111111-2222" not in text
    page.evaluate(UNFOLD)
    assert shown < page.evaluate("document.querySelector('#log').offsetHeight") * 2 / 3


def test_the_number_of_a_folded_line_still_leads_to_it(new_user: NewUser, server: ScriptedServer) -> None:
    session = server.written(a_bad_night())
    retry = next(event["id"] for event in server.events(session) if event["kind"] == "retry")
    user = new_user(**PHONE)
    page = user.open(session)
    expect(user.line(retry)).not_to_be_visible()
    page.goto(f"/sessions/{session}#e{retry}")
    expect(user.line(retry)).to_be_in_viewport()
    for words in ("retry 3 of 9", "retry 2 of 7"):  # the browser's own search finds them in the same way
        page.goto("about:blank")
        page.goto(f"/sessions/{session}#:~:text={words.replace(' ', '%20')}")
        expect(page.locator("#log .shown")).to_contain_text(words)
        expect(page.locator("#log .shown")).to_be_in_viewport()


def test_the_server_folds_lines_for_browsers_without_javascript_as_the_scripts_fold_a_stream(
    new_user: NewUser, server: ScriptedServer
) -> None:
    session = server.new_session(agent="shell")
    page = new_user(**PHONE).open(session)
    with sessions.get(server.data, session).open_log() as log:
        for kind, fields in a_bad_night():
            log.append(kind, **fields)
    expect(page.locator(".turn_end")).to_have_count(4)
    streamed = page.evaluate(ENDS)
    assert len(streamed) == 4 + 6, "six lines are folded"
    user = new_user(java_script_enabled=False, **PHONE)
    user.page.goto(f"/sessions/{session}")
    assert user.page.evaluate(ENDS) == streamed
    retry = next(event["id"] for event in server.events(session) if event["kind"] == "retry")
    user.page.goto(f"/sessions/{session}#e{retry}")
    expect(user.line(retry)).to_be_in_viewport()
    expect(user.line(retry + 1)).not_to_be_visible()


@pytest.mark.torture
def test_the_newest_retry_counts_down(new_user: NewUser, server: ScriptedServer, gate: Path) -> None:
    session = server.run_script("say Hello", f"wait {gate}")
    turn = next(event["id"] for event in server.events(session) if event["kind"] == "user")
    user = new_user()
    page = user.open(session)
    expect(page.locator(".prose:not(.live)")).to_be_visible()
    for attempt in (1, 2):
        server.appended(session, "retry", turn=turn, attempt=attempt, error="overloaded", delay_ms=3_600_000)
    wait = page.locator("[data-kind=retry] .wait")
    expect(wait.last).to_have_text(re.compile(r"^ · 3\d{3} s left$"))
    expect(wait).to_have_count(2)
    expect(wait.first).not_to_be_visible()
    gate.touch()
