"""On a page, the end of a turn stands for the lines before it that say the same."""

from typing import Any

import pytest

from breakglass.events import Event
from breakglass.web.page import fragments
from tests.help.html_check import check_html

CAUSE = "API Error: 529 overloaded."
USED = {"cost_usd": 0.42, "usage": {"input_tokens": 102_000, "output_tokens": 1_900}}
DONE = {"is_error": False, "result": "It is full.", **USED}
IN_TIME, COST = "✓ Done in 41 s", "$0.42 · 102k in, 1.9k out"
HINT = "To go on without this agent: open ≡ below to choose another one, or act without a model."
PROSE = ("text", {"text": "It is full.\n"})
FAILED = ("result", {"is_error": True, "result": CAUSE})

CASES: dict[str, tuple[str, list[tuple[str, dict[str, Any]]], set[int], str]] = {
    "a result that repeats the prose": (
        "ok",
        [PROSE, ("result", DONE)],
        {4},
        f"{IN_TIME} · {COST}",
    ),
    "a result without a text": ("ok", [("result", {**DONE, "result": None})], {3}, f"{IN_TIME} · {COST}"),
    "a result that says something else": (
        "ok",
        [("text", {"text": "Look."}), ("result", DONE)],
        set(),
        IN_TIME,
    ),
    "prose before a call": (
        "ok",
        [PROSE, ("tool", {"tool_id": "a", "name": "Bash", "input": {}}), ("result", DONE)],
        set(),
        IN_TIME,
    ),
    "an error and a result with the same text": (
        "error",
        [("error", {"error": CAUSE}), FAILED],
        {3, 4},
        f"✗ Failed after 41 s{CAUSE}{HINT}",
    ),
    "a failed result": ("error", [FAILED], {3}, f"✗ Failed after 41 s{CAUSE}"),
    "another cause than the result's": (
        "error",
        [FAILED, ("error", {"error": "The agent died."})],
        {4},
        f"✗ Failed after 41 sThe agent died.{HINT}",
    ),
    "an error that is too long to repeat": (
        "error",
        [("error", {"error": "x" * 9_000})],
        set(),
        "✗ Failed after 41 s",
    ),
    "the result of a stopped turn": (
        "cancelled",
        [("result", {"is_error": True, "result": "Stopped.", **USED})],
        {3},
        f"■ Stopped after 41 s · {COST}",
    ),
    "prose of another turn": (
        "ok",
        [("text", {"text": "It is full.", "turn": 1}), ("result", DONE)],
        set(),
        IN_TIME,
    ),
    "prose of a subagent between": (
        "ok",
        [PROSE, ("text", {"text": "Aside.", "parent": "a"}), ("result", DONE)],
        {5},
        f"{IN_TIME} · {COST}",
    ),
    "a malformed result": ("ok", [("result", {"is_error": False, "result": ["a"]})], set(), IN_TIME),
}


@pytest.mark.parametrize("case", CASES)
def test_the_end_of_a_turn_stands_for_the_lines_before_it(case: str) -> None:
    status, drafts, folded, text = CASES[case]
    events: list[Event] = [{"id": 2, "kind": "user", "turn": 2, "text": "Go on.", "by": "ann"}]
    events += [
        {"turn": 2, **fields, "id": number, "kind": kind} for number, (kind, fields) in enumerate(drafts, 3)
    ]
    end = len(events) + 2
    events.append({"id": end, "kind": "turn_end", "turn": 2, "status": status, "duration_ms": 41_000})
    shown = dict(fragments.fragments(events, joined=True))
    assert {number for number, html in shown.items() if " folded" in html} == folded
    assert check_html(shown[end]).text == f"{end}{text}"
    assert 'data-joined="yes"' in shown[end]
    assert "joined" not in dict(fragments.fragments(events))[end], "a stream leaves it to the browser"


def test_a_result_that_has_no_template_is_not_folded_and_its_turn_has_an_end() -> None:
    events: list[Event] = [
        {"id": 3, "kind": "result", "turn": 2, "is_error": False, "result": "", "cost_usd": {}},
        {"id": 4, "kind": "turn_end", "turn": 2, "status": "ok", "duration_ms": 41_000},
    ]
    shown = dict(fragments.fragments(events, joined=True))
    assert [" folded" in html or "unknown" not in html for html in shown.values()] == [False, True]
