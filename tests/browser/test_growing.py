"""While an agent writes, its finished blocks are rendered and only the last is raw. The end moves and loses nothing."""

import re
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.conftest import NewUser
from tests.browser.server import ScriptedServer
from tests.browser.user import PHONE, missing

BLOCKS = "## Disk\\n\\nIt is **full**.\\n\\n* one\\n\\n* two\\n\\n| a | b |\\n|---|---|\\n| 1 | 2 |\\n\\n"
OLD = "() => { window.old = [...document.querySelectorAll('.prose .body > *')]; }"
SAME = "() => { const now = [...document.querySelectorAll('.prose .body > *:not(.copy)')];"
SAME += " return now.filter((one, index) => one === window.old[index]).length; }"


def test_finished_blocks_are_rendered_and_stay_at_the_end_with_what_is_selected(
    new_user: NewUser, server: ScriptedServer, gate: Path
) -> None:
    end = gate.with_name("end")
    session = server.run_script(
        f"begin {BLOCKS}And **now", f"wait {gate}", "begin **?", f"wait {end}", "say End."
    )
    user = new_user(**PHONE)
    page = user.open(session)
    prose = page.locator("#log > .prose")
    expect(prose.locator("table")).to_be_visible()
    assert prose.locator("h3").inner_text() == "Disk"
    assert prose.locator("li").all_inner_texts() == ["one", "two"]
    assert prose.locator(".raw").all_inner_texts() == ["And **now "]
    gate.touch()
    expect(prose.locator(".raw")).to_have_text(re.compile(r"\?"))
    page.evaluate(OLD)
    prose.locator("h3 + p").evaluate("(one) => getSelection().selectAllChildren(one)")
    place = prose.locator("h3 + p").bounding_box()
    end.touch()
    expect(page.locator(".turn_end")).to_be_attached()
    expect(page.locator(".raw")).to_have_count(0)
    assert page.evaluate("String(getSelection())") == "It is full."
    assert prose.locator("h3 + p").bounding_box() == place
    assert page.evaluate(SAME) == 4
    assert missing(user, session) == set()
    assert prose.get_attribute("data-kind") == "text"


def test_a_long_answer_is_rendered_to_its_end_while_it_is_read_and_a_stopped_one_too(
    new_user: NewUser, server: ScriptedServer, gate: Path
) -> None:
    long = "".join(f"### Part {n}\\n\\nIt is **{n}**.\\n\\n" for n in range(300))
    session = server.run_script(f"begin {long}", f"wait {gate}", "say End.")
    page = new_user().open(session)
    expect(page.locator(".prose strong")).to_have_count(299)
    gate.touch()
    expect(page.locator(".prose[data-kind=text]")).to_be_attached()
    expect(page.locator(".raw")).to_have_count(0)
    expect(page.locator(".prose strong")).to_have_count(300)
    turn = server.prompt(session, "begin a\\n\\n**b**\nask Bash ls")
    expect(page.locator(".permission.open")).to_be_visible()
    page.get_by_role("button", name="Stop the turn").click()
    server.wait_for_end(session)
    expect(page.locator(f".prose[data-turn='{turn}'] strong")).to_have_text("b")
