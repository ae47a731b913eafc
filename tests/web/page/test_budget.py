"""Hostile text costs a page a limited CPU time, and beyond it is shown plain. Nothing is lost."""

import json
import re
import time
from html import unescape
from typing import Any

import pytest

from breakglass.events import Event
from breakglass.web.page import budget
from breakglass.web.page.fragments import fragments
from breakglass.web.page.long_markdown import MAX_MARKDOWN
from breakglass.web.page.markdown import LEXERS, MAX_CODE, highlight, markdown
from breakglass.web.page.tools import diff

EVENT_LIMIT = budget.EVENT_SECONDS + 0.9
"""CPU seconds: what the budget allows, and what cannot be interrupted on a slow machine."""
PAGE_LIMIT = budget.PAGE_SECONDS + 0.5
"""The same for a page, with what its plain text costs."""

ATOMS = (
    *"ax0 \t\n\"'`\\/#<>{}[]()$&|!*_=:;-",
    *(
        "\\'",
        '"       ',
        " \n",
        "m{",
        "- ",
        "<a ",
        "a\n",
        "\\u",
        "${",
        "<<E\n",
        "/*",
        "<!--",
        "[a](",
        "![",
        "**a ",
        "> ",
    ),
)
"""Texts whose repetition is slow for some lexer or parser."""
SLOW = ("\\'", " \n", "m{", "- ")
"""The slowest of them, for the tests of every commit. `make torture` takes all."""


def hostile(atom: str, size: int) -> str:
    """Return `atom` repeated to that many characters."""
    return (atom * (size // len(atom) + 1))[:size]


def cpu_seconds(began: float) -> float:
    return time.thread_time() - began


def check_lexer(name: str, atoms: tuple[str, ...], begins: tuple[str, ...] = ("",)) -> None:
    for atom in atoms:
        for begin in begins:
            code, began = begin + hostile(atom, MAX_CODE - 1), time.thread_time()
            with budget.Budget().event():
                html = str(highlight(code, name))
            assert cpu_seconds(began) < EVENT_LIMIT, (name, code[:10])
            assert unescape(re.sub("<[^>]*>", "", html)) == code.replace("\r", ""), (name, code[:10])


@pytest.mark.parametrize("name", sorted(set(LEXERS.values())))
def test_no_lexer_takes_longer_than_the_budget_of_an_event(name: str) -> None:
    highlight("a", name)  # the import is no part of the budget
    check_lexer(name, SLOW)


@pytest.mark.torture
@pytest.mark.parametrize("name", sorted(set(LEXERS.values())))
def test_no_lexer_takes_longer_for_any_hostile_text(name: str) -> None:
    highlight("a", name)
    check_lexer(name, ATOMS, ("", '"', "'"))


@pytest.mark.parametrize(
    "atom", ["[", "![", "[](", "<", "**a ", "*a **a ", "`", "> ", "- ", "[a]: ", "[a](<", "|a"]
)
def test_markdown_takes_no_longer_than_the_budget_of_an_event(atom: str) -> None:
    markdown("a")
    text, began = hostile(atom, MAX_MARKDOWN), time.thread_time()
    with budget.Budget().event():
        html = markdown(text)
    assert cpu_seconds(began) < EVENT_LIMIT
    assert html


def pages() -> dict[str, list[Event]]:
    """Return pages of 96 KiB of log, each full of one kind of hostile event."""
    code = hostile('"       ', 2900)
    fences = "".join(f"```{name}\n{code}\n```\n" for name in ("ini", "python", "perl", "css", "diff"))
    lines = [f"x{n}" if n % 2 == 0 else "a" for n in range(190)]
    other = [f"y{n}" if n % 2 == 0 else "a" for n in range(190)]
    edit = {"old_string": "\n".join(lines), "new_string": "\n".join(other)}
    coloured = "".join(f"\x1b[3{n % 8}mx" for n in range(1300))
    return {
        "code": [text_event(n, fences) for n in range(6)],
        "brackets": [text_event(n, hostile("[", 15_000)) for n in range(6)],
        "files": [tool_event(n, {"file_path": "a.diff", "content": hostile("- ", 2900)}) for n in range(30)],
        "edits": [tool_event(n, edit) for n in range(60)],
        "colours": [{**result_event(n), "output": coloured} for n in range(12)],
    }


def event(number: int, **fields: Any) -> Event:
    return {"id": number + 2, "ts": "2026-11-23T03:12:00.000Z", "turn": 2, **fields}


def text_event(number: int, text: str) -> Event:
    return event(number, kind="text", text=text)


def tool_event(number: int, value: dict[str, str]) -> Event:
    return event(number, kind="tool", tool_id=f"t{number}", name="Bash", input=value)


def result_event(number: int) -> Event:
    return event(number, kind="tool_result", tool_id=f"t{number}", output="", is_error=False)


@pytest.mark.parametrize("kind", pages())
def test_a_page_of_hostile_events_takes_a_limited_time_and_shows_them_all(kind: str) -> None:
    events = pages()[kind]
    list(fragments(events[:1]))
    assert len(json.dumps(events)) > 60_000
    began = time.thread_time()
    shown = list(fragments(events))
    assert cpu_seconds(began) < PAGE_LIMIT
    assert [number for number, _ in shown] == [each["id"] for each in events]


def test_beyond_the_budget_everything_is_plain_and_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "EVENT_SECONDS", -1.0)
    events = [
        text_event(0, "**bold** <b>"),
        tool_event(1, {"command": "if true; then echo 1; fi"}),
        tool_event(2, {"old_string": "same\nold", "new_string": "same\nnew"}),
        {**result_event(3), "output": "\x1b[31mred\x1b[0m"},
    ]
    html = "".join(str(each) for _, each in fragments(events))
    assert '<div class="plain">**bold** &lt;b&gt;</div>' in html
    assert "if true; then echo 1; fi" in html
    assert "<del>\u2212 same</del>" in html
    assert ">red<" in html
    assert not re.search(r'<span class="(?:k|kn|nb|a1)"|<strong>', html)


def test_without_a_budget_nothing_is_limited() -> None:
    assert "<strong>" in markdown("**bold**")
    assert '<span class="k">' in highlight("if true; then :; fi", "bash")
    assert "<span>  same</span>" in diff("same\nold", "same\nnew")
