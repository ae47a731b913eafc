"""Accessibility: phone and desktop, light and dark, keyboard only, and no findings of axe."""

import json
import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from breakglass.events import Draft, Event
from tests.browser.conftest import NewUser
from tests.browser.server import ScriptedServer
from tests.browser.user import DESKTOP, PHONE, User
from tests.help import programs
from tests.help.questions import open_turn
from tests.help.sample_session import history

SIZES = {"phone": PHONE, "desktop": DESKTOP}
# In `make test` only a phone, and of the dark scheme only the colours: axe takes seconds for a page.
LOOKS = [
    ("phone", "light"),
    *(
        pytest.param(size, scheme, marks=pytest.mark.torture)
        for size, scheme in (("phone", "dark"), ("desktop", "light"), ("desktop", "dark"))
    ),
]
AXE = """async (only) => {
  const runOnly = only ?? ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
  const { violations } = await axe.run({ runOnly, resultTypes: ["violations"] });
  const say = (id, node) => `${id}: ${node.html.slice(0, 160)} ${node.failureSummary}`;
  return violations.flatMap(({ id, nodes }) => nodes.map((node) => say(id, node)));
}"""


PIXEL = b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\1\0\1\0\0\2\2D\1\0;"


@pytest.fixture(scope="module")
def every_kind(server: ScriptedServer) -> Iterator[str]:
    """A session with an event of every kind, a running turn and an open question."""
    session = server.new_session(title="disk full on db1", agent="shell")
    with open_turn(server.data, session) as log:
        turn = log.end.number
        picture = server.data / "workspaces" / session / "uploads" / "panel.jpg"
        picture.parent.mkdir()
        picture.write_bytes(PIXEL)
        write(
            server,
            session,
            [{**event, "turn": turn} for event in history()[1:] if event["kind"] not in ENDS],
        )
        yield session


ENDS = ("user", "turn_end", "cancelled", "archived")


def write(server: ScriptedServer, session: str, events: list[Event]) -> None:
    """Append events, unchanged except for their numbers."""
    with server.log(session).open("ab") as file:
        first = server.log(session).read_bytes().count(b"\n") + 1
        for number, event in enumerate(events, first):
            if event["kind"] == "foreign":
                file.write(event["text"].encode() + b"\n")
                continue
            fields = {key: value for key, value in event.items() if key not in ("id", "ts", "kind")}
            line = {
                "id": number,
                "ts": event.get("ts", "2026-11-23T03:12:00.000Z"),
                "kind": event["kind"],
                **fields,
            }
            file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")


def findings(page: Page, *rules: str) -> list[str]:
    """Return the findings of axe, of all rules if none is named.

    Targets that the question or the dock partly covers are no findings, because they can be scrolled.
    """
    found: list[str] = page.evaluate(AXE, [*rules] or None)
    return [each for each in found if not each.startswith("target-size") or "partially obscured" not in each]


def user_with_axe(new_user: NewUser, size: str, scheme: str, **more: Any) -> User:
    """Return a user with a screen of that size, with that colour scheme and with axe."""
    user = new_user(color_scheme=scheme, **{**SIZES[size], **more})
    user.context.add_init_script(path=programs.install("axe"))
    return user


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_axe_finds_nothing(
    size: str, scheme: str, new_user: NewUser, server: ScriptedServer, every_kind: str
) -> None:
    user = user_with_axe(new_user, size, scheme)
    page = user.open(every_kind)
    expect(page.locator(".permission.open")).to_be_visible()
    assert not findings(page), "\n".join(findings(page))
    page.evaluate("for (const one of document.querySelectorAll('#log details')) one.open = true")
    page.locator("#prompt").fill("a draft")
    assert not findings(page), "\n".join(findings(page))
    if scheme == "light":
        page.emulate_media(color_scheme="dark")
        assert not findings(page, "color-contrast"), "\n".join(findings(page, "color-contrast"))
        page.emulate_media(color_scheme="light")
    page.locator(".menu summary").first.click()
    assert not findings(page), "\n".join(findings(page))
    page.goto(f"/sessions/{every_kind}?show=failures")
    page.locator(".ready > summary").click()
    assert not findings(page), "\n".join(findings(page))
    page.goto(f"/sessions/{server.new_session()}")
    assert not findings(page), "\n".join(findings(page))
    user.open()
    assert not findings(page), "\n".join(findings(page))
    user.context.clear_cookies()
    page.goto("/login")
    assert not findings(page), "\n".join(findings(page))


@pytest.mark.parametrize("size", ["phone", pytest.param("desktop", marks=pytest.mark.torture)])
def test_no_page_scrolls_sideways_and_every_control_is_large_enough_to_tap(
    size: str, new_user: NewUser, server: ScriptedServer, every_kind: str
) -> None:
    user = new_user(**SIZES[size])
    for place in (every_kind, ""):
        page = user.open(place)
        page.evaluate("for (const one of document.querySelectorAll('#log details')) one.open = true")
        wide = "[document.scrollingElement.scrollWidth, document.documentElement.clientWidth]"
        scroll, client = page.evaluate(wide)
        assert scroll <= client
        small = page.evaluate(
            """() => [...document.querySelectorAll('button, input:not([type=hidden]), select, #prompt, #sessions a')]
              .filter((one) => one.checkVisibility() && !one.matches('.copy, .button > input') && one.offsetHeight < 40)
              .map((one) => one.outerHTML.slice(0, 100))"""
        )
        assert small == []


def test_on_a_phone_a_long_tool_name_does_not_hide_its_outcome_and_time(
    new_user: NewUser, server: ScriptedServer
) -> None:
    name = "rm -rf /var/log/nginx/*.gz && systemctl restart nginx"
    asked = {"request": "r", "name": name, "input": {"command": name}}
    result = {"output": "permission denied", "is_error": True}
    drafts: list[Draft] = [("user", {"turn": 2, "text": "x", "by": "ann"})]
    for tool in ({"tool_id": "a", "name": name}, {"tool_id": "b", "name": "x" * 80}):
        drafts.append(("tool", {"turn": 2, "input": {"command": name}, **tool}))
        drafts.append(("tool_result", {"turn": 2, "tool_id": tool["tool_id"], **result}))
    drafts.append(("permission", {"turn": 2, **asked, "expires": "2026-11-23T03:29:00.000Z"}))
    drafts.append(("answer", {"turn": 2, "request": "r", "allow": True, "by": "ann"}))
    drafts.append(("turn_end", {"turn": 2, "status": "ok", "duration_ms": 9100}))
    page = new_user(**PHONE).open(server.written(drafts))
    expect(page.locator(".tool .outcome", has_text="✗")).to_have_count(2)
    for part in page.locator("#log summary, #log summary > *").all():
        if box := part.bounding_box():
            assert box["x"] + box["width"] <= 390, part.inner_text()
    for shown in page.locator("#log summary b").all():
        box = shown.bounding_box()
        assert box and box["width"] > 100


@pytest.mark.parametrize("size", ["phone", pytest.param("desktop", marks=pytest.mark.torture)])
def test_the_name_of_the_machine_is_in_the_prompt_field_and_in_the_bar(
    size: str, new_user: NewUser, server: ScriptedServer
) -> None:
    """Tunnels to two machines look alike. So the name of the machine stays visible while the user types."""
    host = socket.gethostname()
    hints = {"shell": f"A command for {host}", "scripted": f"What is wrong on {host}?"}
    for agent, hint in hints.items():
        page = new_user(**SIZES[size]).open(server.new_session(agent=agent))
        expect(page.locator("#prompt")).to_have_attribute("placeholder", hint)
        page.locator("#prompt").fill("reboot")
        expect(page.locator("main .bar").get_by_text(host, exact=True)).to_be_in_viewport(ratio=1)


def press_until_focused(page: Page, key: str, selector: str) -> None:
    """Press a key once, or twice if the agent has a field for a model in between."""
    page.keyboard.press(key)
    if not page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
        page.keyboard.press(key)
    expect(page.locator(selector)).to_be_focused()


def test_everything_can_be_done_by_keyboard(new_user: NewUser, server: ScriptedServer) -> None:
    page = new_user().open()
    page.keyboard.press("n")
    expect(page.locator("#prompt")).to_be_focused()
    press_until_focused(page, "Shift+Tab", "select[name=agent]")
    page.keyboard.type("shell")
    press_until_focused(page, "Tab", "#prompt")
    page.keyboard.type("echo by keys; sleep 1000")
    page.keyboard.press("Control+Enter")
    page.wait_for_url(re.compile("/sessions/"))
    expect(page.locator(".output")).to_have_text(re.compile("by keys"))
    page.locator("#prompt").focus()
    page.keyboard.press("Tab")
    expect(page.locator(".stop")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".turn_end")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.locator("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_be_hidden()
    page.keyboard.press("k")
    page.keyboard.press("o")
    expect(page.locator("#log details").first).not_to_have_attribute("open", "")
    page.keyboard.press("/")
    expect(page.locator("#find input[type=search]")).to_be_focused()


@pytest.mark.parametrize("scheme", [pytest.param("light", marks=pytest.mark.torture), "dark"])
def test_every_focused_element_has_an_outline_and_a_name(
    scheme: str, new_user: NewUser, server: ScriptedServer, every_kind: str
) -> None:
    page = new_user(color_scheme=scheme).open(every_kind)
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    seen = set()
    for _ in range(25):
        page.keyboard.press("Tab")
        place, outline, name = page.evaluate(
            """() => {
              const one = document.activeElement, style = getComputedStyle(one);
              return [one.outerHTML.slice(0, 120), style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
                one.ariaLabel || one.textContent.trim() || one.placeholder || one.labels?.[0]?.textContent || ''];
            }"""
        )
        assert outline, f"no outline: {place}"
        assert name, f"no name: {place}"
        seen.add(place)
    assert len(seen) > 15


@pytest.mark.torture
def test_nothing_is_animated_for_a_user_who_prefers_reduced_motion(
    new_user: NewUser, server: ScriptedServer
) -> None:
    session = server.new_session(agent="shell")
    user = new_user(reduced_motion="reduce")
    page = user.open(session)
    server.prompt(session, "echo x")
    expect(page.locator(".turn_end")).to_be_visible()
    moving = (
        "document.getAnimations().length + [...document.querySelectorAll('*')].filter((one) => "
        "getComputedStyle(one).animationName !== 'none' || getComputedStyle(one).transitionDuration !== '0s').length"
    )
    assert page.evaluate(moving) == 0


def test_wide_screens_show_list_and_transcript_side_by_side(
    new_user: NewUser, server: ScriptedServer
) -> None:
    session = server.new_session(title="side by side")
    page = new_user().open(session)
    expect(page.locator("aside")).to_be_visible()
    left, right = page.locator("aside").bounding_box(), page.locator("main").bounding_box()
    assert left and right and left["x"] + left["width"] <= right["x"]
    page.set_viewport_size({"width": 390, "height": 844})
    expect(page.locator("aside")).to_be_hidden()
    expect(page.locator(".back")).to_be_visible()
