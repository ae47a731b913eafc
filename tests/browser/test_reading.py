"""Reading a running turn: streaming prose, one line for each tool call, every event at its line number."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import NewUser
from tests.browser.server import ScriptedServer
from tests.browser.user import PHONE, missing

ENDED = ".turn_end"


def test_finished_prose_replaces_its_streamed_pieces(
    new_user: NewUser, server: ScriptedServer, gate: Path
) -> None:
    session = server.run_script("begin The disk is", f"wait {gate}", "say **full**.")
    user = new_user()
    page = user.open(session)
    expect(page.locator(".prose.live")).to_contain_text("The disk is")
    gate.touch()
    expect(page.locator(ENDED)).to_be_visible()
    prose = page.locator("#log > .prose")
    for _ in range(2):
        expect(prose).to_have_count(1)
        expect(prose.locator("strong")).to_have_text("full")
        assert prose.locator(".body").inner_text().strip() == "The disk is full."
        assert missing(user, session) == set()
        page.reload()
        expect(user.badge).to_have_text("Live")


def test_a_running_tool_shows_its_time_and_a_finished_one_is_a_line_that_opens(
    new_user: NewUser, server: ScriptedServer, gate: Path
) -> None:
    session = server.run_script(
        "call t1 Bash df -h", f"wait {gate}", "call t1 full\\nto the brim", "call t2 Bash x"
    )
    page = new_user().open(session)
    tool = page.locator(".tool").first
    expect(tool.locator(".outcome")).to_have_text(re.compile("● [1-9][0-9]* s"))
    gate.touch()
    expect(tool.locator(".outcome")).to_have_text(re.compile("s ✓$"))
    expect(page.locator(ENDED)).to_be_visible()
    expect(page.locator(".tool .outcome").nth(1)).to_have_text("no result")
    assert page.locator(".tool_result").count() == 0
    assert not tool.locator(".output").is_visible()
    tool.locator("summary").click()
    assert tool.locator(".output").inner_text().strip() == "full\nto the brim"
    assert tool.locator(".input").inner_text().strip().endswith("df -h")


@pytest.mark.torture
def test_the_lines_of_a_subagent_are_indented_under_the_call_that_started_it(
    new_user: NewUser, server: ScriptedServer, gate: Path
) -> None:
    begun = ["call t1 Task look", "sub t1", "say Looking.", "call s1 Bash ls"]
    session = server.run_script(*begun, f"wait {gate}", "call s1 a", "sub", "call t1 seen", "say Done.")
    user = new_user()
    page = user.open(session)
    inner = page.locator(".tool > .body > details > .nested")
    expect(inner.locator(".tool")).to_be_visible()
    prose = inner.locator(".prose")
    expect(prose).to_have_text(re.compile("Looking"))
    outer = page.locator("#log > .tool > .body").first.bounding_box()
    held = prose.locator(".body").bounding_box()
    assert outer and held and held["x"] > outer["x"]
    gate.touch()
    expect(page.locator(ENDED)).to_be_visible()
    expect(inner).to_be_hidden()  # a finished call is one line again
    assert missing(user, session) == set()


def test_the_pieces_of_a_shells_output_are_one_block(
    new_user: NewUser, server: ScriptedServer, gate: Path
) -> None:
    session = server.new_session(agent="shell")
    server.prompt(session, f"echo one; while ! [ -e {gate} ]; do sleep 0.01; done; echo two; exit 3")
    user = new_user()
    page = user.open(session)
    expect(page.locator(".tool .output")).to_have_text(re.compile("one"))
    expect(page.locator(".tool .outcome")).to_have_text(
        re.compile("●")
    )  # still running, although there is output
    gate.touch()
    expect(page.locator(".tool .outcome")).to_have_text(re.compile("✗"))
    for _ in range(2):
        assert page.locator(".tool .output pre").inner_text().split() == ["one", "two"]
        page.reload()
        expect(user.badge).to_have_text("Live")


def test_a_link_to_a_line_opens_what_the_line_is_folded_in(new_user: NewUser, server: ScriptedServer) -> None:
    acts = [act for n in range(60) for act in (f"call t{n} Bash n{n}", f"call t{n} output of {n}")]
    session = server.run_script(*acts)
    server.wait_for_end(session)
    number = next(e["id"] for e in server.events(session) if e.get("output") == "output of 7")
    user = new_user()
    page = user.open(session, f"#e{number}")
    expect(user.line(number)).to_be_in_viewport()
    assert user.line(number).inner_text().strip() == "output of 7"
    user.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator("#e2 > .number").click()
    expect(page.locator("#notice")).to_have_text("Copied the link to line 2.")
    assert page.evaluate("navigator.clipboard.readText()") == f"{server.address}/sessions/{session}#e2"


def test_the_outline_links_to_each_turn(new_user: NewUser, server: ScriptedServer) -> None:
    session = server.new_session(agent="shell")
    turns = []
    for n in range(3):
        turns.append(server.prompt(session, f"echo turn {n}; seq 200"))
        server.wait_for_end(session)
    page = new_user().open(session)
    links = page.locator("aside .outline a")
    expect(links).to_have_count(3)
    assert [text.split("\n")[0] for text in links.all_inner_texts()] == [str(turn) for turn in turns]
    links.first.click()
    expect(page.locator(f"#e{turns[0]}")).to_be_in_viewport()
    page.keyboard.press("j")
    expect(page.locator(f"#e{turns[1]}")).to_be_in_viewport()
    page.keyboard.press("k")
    expect(page.locator(f"#e{turns[0]}")).to_be_in_viewport()


LONG_COMMAND = "df -h " + "/var/log" * 9
COVERS = """(block) => {
  const copy = document.querySelector(".copy").getBoundingClientRect(), text = document.createRange();
  text.selectNodeContents(block);
  return [...text.getClientRects()].some((box) => box.width && box.left < copy.right && copy.left < box.right
    && box.top < copy.bottom && copy.top < box.bottom);
}"""
"""Whether the button that copies a block covers its text."""


def test_an_output_is_copied_unchanged(new_user: NewUser, server: ScriptedServer) -> None:
    session = server.run_script(
        "say Run:\\n\\n```sh\\ndf -h  # now\\n```", f"call t Bash {LONG_COMMAND}", "call t a  b\\n  c"
    )
    server.wait_for_end(session)
    user = new_user()
    user.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = user.open(session)
    page.locator(".tool summary").click()
    copied = (
        (".tool .input pre", LONG_COMMAND),
        (".tool .output pre", "a  b\n  c"),
        (".prose pre", "df -h  # now"),
    )
    for place, text in copied:
        page.locator(place).hover()
        assert page.locator(place).evaluate(COVERS) is False
        page.locator(".copy").click()
        expect(page.locator("#notice")).to_have_text("Copied.")
        assert page.evaluate("navigator.clipboard.readText()").rstrip("\n") == text


@pytest.mark.torture
def test_on_a_phone_a_shade_at_the_edge_shows_that_a_line_continues(
    new_user: NewUser, server: ScriptedServer
) -> None:
    session = server.new_session(agent="shell")
    server.prompt(session, "echo " + "long " * 60)
    server.wait_for_end(session)
    page = new_user(**PHONE).open(session)
    output = page.locator(".output pre")
    box = output.bounding_box()
    assert box
    # at the right edge, above the text
    clip = {"x": box["x"] + box["width"] - 8, "y": box["y"] + 1, "width": 8, "height": 6}
    shaded = page.screenshot(clip=clip)  # type: ignore[arg-type]
    output.evaluate("(one) => one.scrollTo(one.scrollWidth, 0)")
    assert page.screenshot(clip=clip) != shaded  # type: ignore[arg-type]
    assert page.evaluate("scrollX") == 0
    is_wrapped = "(({ scrollWidth, clientWidth }) => scrollWidth <= clientWidth)(document.querySelector('.output pre'))"
    for wanted in (True, False):
        page.get_by_label("Menu").click()
        page.get_by_role("button", name="Wrap long lines").click()
        page.reload()  # this browser remembers it
        expect(page.locator(".output pre")).to_be_visible()
        page.wait_for_function(f"({is_wrapped}) === {str(wanted).lower()}")


def test_an_unknown_line_is_shown_unchanged_at_its_number(new_user: NewUser, server: ScriptedServer) -> None:
    session = server.new_session()
    with server.log(session).open("ab") as file:
        file.write(b"hello from echo\n")
        file.write(b'{"id":3,"ts":"2026-11-23T03:12:09.000Z","kind":"weather","sky":["<b>"]}\n')
    page = new_user().open(session)
    expect(page.locator("#e2")).to_contain_text("hello from echo")
    page.locator("#e3 summary").click()
    assert json.loads(page.locator("#e3 pre").inner_text())["sky"] == ["<b>"]


@pytest.mark.torture
def test_a_plan_thinking_and_a_notice_are_shown(new_user: NewUser, server: ScriptedServer) -> None:
    session = server.new_session()
    turn = server.prompt(session, "true")
    server.wait_for_end(session)
    user = new_user()
    page = user.open(session)
    last = 0
    for status in ("in_progress", "completed"):
        items = [{"text": "Look", "status": status}, {"text": "Repair", "status": "pending"}]
        last = server.appended(session, "plan", turn=turn, items=items)
    server.appended(session, "thinking", turn=turn, text="Hm, the journal.")
    server.appended(session, "notice", turn=turn, text="A limit is near.")
    expect(page.locator(".note").last).to_have_text(re.compile("A limit is near."))
    expect(user.line(last).locator("code")).to_have_text("1 of 2 done")
    assert [step.is_visible() for step in page.locator("ol.plan").all()] == [False, True]
    assert page.locator(".thinking summary code").inner_text() == "Hm, the journal."


@pytest.mark.torture
def test_dates_separate_days_and_times_are_local_with_the_full_time_on_hover(
    new_user: NewUser, server: ScriptedServer
) -> None:
    session = server.new_session()
    begun = {"id": 2, "ts": "2026-11-23T22:30:00.000Z", "kind": "user", "turn": 2, "text": "x", "by": "ann"}
    ended = {"id": 3, "ts": "2026-11-23T23:30:00.000Z", "kind": "turn_end", "turn": 2, "status": "ok"}
    with server.log(session).open("ab") as file:
        for line in (begun, {**ended, "duration_ms": 3_600_000}):
            file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
    page = new_user(timezone_id="Europe/Berlin").open(session)
    assert page.locator(".day").all_inner_texts()[-1] == "2026-11-24"
    time = page.locator("#e2 time")
    assert time.inner_text() == "23:30"
    assert time.get_attribute("title") == "2026-11-23 23:30:00 (2026-11-23T22:30:00.000Z)"


def test_two_fingers_zoom_the_page_and_leave_the_prompt_field_at_the_bottom(
    new_user: NewUser, server: ScriptedServer
) -> None:
    """While the page is zoomed, the visual viewport is as small as with an iPhone's keyboard."""
    user = new_user(**PHONE)
    page = user.open(server.new_session(agent="shell"))
    zoom = user.context.new_cdp_session(page)
    zoom.send("Emulation.setPageScaleFactor", {"pageScaleFactor": 2})
    page.wait_for_function("visualViewport.scale > 1.9")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.evaluate("getComputedStyle(document.querySelector('#dock')).bottom") == "0px"


def test_nothing_moves_while_text_is_selected(new_user: NewUser, server: ScriptedServer, gate: Path) -> None:
    session = server.run_script("say " + "word\\n\\n" * 60, f"wait {gate}", "say Done.")
    user = new_user(**PHONE)
    page = user.open(session)
    prose = page.locator(".prose:not(.live)").first.locator("p").last
    page.wait_for_function("() => scrollY + innerHeight > document.scrollingElement.scrollHeight - 2")
    prose.evaluate("(paragraph) => getSelection().selectAllChildren(paragraph)")
    place = prose.bounding_box()
    gate.touch()
    expect(page.locator("#news")).to_have_text(re.compile("↓ "))
    expect(page.locator(ENDED)).to_be_attached()
    assert prose.bounding_box() == place
    assert page.evaluate("String(getSelection())").strip() == "word"


def test_a_print_shows_what_is_folded_with_host_and_title(new_user: NewUser, server: ScriptedServer) -> None:
    session = server.run_script(
        "call t Bash df -h", "call t full to the brim", "say Done.", title="the night"
    )
    server.wait_for_end(session)
    page = new_user().open(session)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    for shown in (page.locator(".output"), page.locator("main h1"), page.locator("main .host")):
        expect(shown).to_be_visible()
    expect(page.locator("#dock")).to_be_hidden()
    page.emulate_media(media="screen")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(page.locator(".output")).to_be_hidden()
