"""The transcript of events: histories as data, and the text that a terminal shows for them."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakglass import events, kinds
from breakglass.cli.transcript import Transcript
from tests.test_text import DANGEROUS

TURN = {"turn": 2}
MARGIN = "       "


def shown(*history: tuple[str, dict[str, Any]], **wanted: Any) -> str:
    """Return the transcript of a history whose first event is line 3."""
    transcript = Transcript(**wanted)
    numbered = enumerate(history, 3)
    said = [
        transcript.render({"id": n, "ts": "2026-11-23T12:00:00.000Z", "kind": k, **f})
        for n, (k, f) in numbered
    ]
    return "".join(said) + transcript.finish()


def delta(text: str, **more: str) -> tuple[str, dict[str, Any]]:
    return "delta", {"text": text, **TURN, **more}


def prose(text: str, **more: str) -> tuple[str, dict[str, Any]]:
    return "text", {"text": text, **TURN, **more}


def output(
    text: str, *, is_error: bool = False, tool_id: str = "t", **more: Any
) -> tuple[str, dict[str, Any]]:
    return "tool_result", {"tool_id": tool_id, "output": text, "is_error": is_error, **TURN, **more}


def tool(name: str, told: Any, **more: str) -> tuple[str, dict[str, Any]]:
    return "tool", {"tool_id": "t", "name": name, "input": told, **TURN, **more}


EXAMPLES: list[tuple[tuple[str, dict[str, Any]], str]] = [
    (
        ("created", {"schema": 1, "agent": "claude", "model": "m", "title": "t", "by": "b", "host": "h"}),
        "     3   t · claude · m · b on h · 2026-11-23 12:00:00 UTC\n",
    ),
    (
        ("user", {"text": "one\n\ntwo\n", "by": "b", "model": "m", **TURN}),
        f"\n     3   b · m · 2026-11-23 12:00:00 UTC\n{MARGIN}┃ one\n{MARGIN}┃\n{MARGIN}┃ two\n",
    ),
    (
        ("steered", {"text": "not that disk", "by": "b", "queued": 2, **TURN}),
        f"\n     3   b · 2026-11-23 12:00:00 UTC\n{MARGIN}┃ not that disk\n",
    ),
    (("session", {"session_id": "s", "model": "m", **TURN}), "     3   the agent's session s with m\n"),
    (delta("streams"), "     3   streams\n"),
    (prose("whole\n  indented"), f"     3   whole\n{MARGIN}    indented\n"),
    (tool("Bash", {"command": "ls\n-l", "description": "d"}), "     3 ● Bash: ls ⏎ -l\n"),
    (tool("Read", {"file_path": "/etc/passwd", "limit": 3}), "     3 ● Read: /etc/passwd\n"),
    (tool("Odd", {"a": [1], "b": None}), '     3 ● Odd: {"a":[1],"b":null}\n'),
    (tool("None", {}), "     3 ● None:\n"),
    (output("out\nput\n"), f"     3 │ out\n{MARGIN}│ put\n"),
    (output("not found", is_error=True), "     3 ✗ not found\n"),
    (output("", truncated=1234567), "     3 │ … 1,234,567 bytes were left out\n"),
    (
        (
            "permission",
            {"request": "r", "name": "Bash", "input": {"command": "rm"}, "expires": "", **TURN},
        ),
        "     3 ? Bash: rm\n",
    ),
    (("answer", {"request": "r", "allow": True, "by": "b", **TURN}), "     3   allowed by b\n"),
    (
        ("answer", {"request": "r", "allow": False, "by": "exit", "message": "It died.", **TURN}),
        "     3   the question ended without an answer: It died.\n",
    ),
    (
        ("answer", {"request": "r", "allow": False, "by": "agent", **TURN}),
        "     3   the agent withdrew its question\n",
    ),
    (
        ("answer", {"request": "r", "allow": False, "by": "b", "message": "no", **TURN}),
        "     3   refused by b: no\n",
    ),
    (("queued", {"text": "and\nthen", "by": "b"}), "     3   queued by b: and ⏎ then\n"),
    (("revoked", {"name": "Bash", "by": "b"}), "     3   Bash needs permission again, by b\n"),
    (("withdrawn", {"queued": 2, "by": "b"}), "     3   prompt 2 was withdrawn by b\n"),
    (
        (
            "plan",
            {"items": [{"text": "one", "status": "completed"}, {"text": "two", "status": "pending"}], **TURN},
        ),
        f"     3 ▪ ✓ one\n{MARGIN}▪ ○ two\n",
    ),
    (("thinking", {"text": "hm\nhm", **TURN}), f"     3 … hm\n{MARGIN}… hm\n"),
    (("notice", {"text": "compacted\n", **TURN}), "     3   compacted\n"),
    (
        ("answer", {"request": "r", "allow": True, "by": "b", "for_session": True, **TURN}),
        "     3   allowed for the session by b\n",
    ),
    (("retry", {"attempt": 2, "error": "overloaded", **TURN}), "     3   attempt 2: overloaded\n"),
    (
        ("result", {"is_error": False, "result": "done", "duration_ms": 1, "cost_usd": 0.01234, **TURN}),
        "     3 = done · $0.0123\n",
    ),
    (("result", {"is_error": True, "result": "failed", "duration_ms": 1, **TURN}), "     3 ✗ failed\n"),
    (
        ("result", {"is_error": True, "result": events.INTERRUPTED, "duration_ms": 1, **TURN}),
        "     3 ■ Interrupted.\n",
    ),
    (("result", {"is_error": False, "result": "", "duration_ms": 1, **TURN}), ""),
    (("error", {"error": "gone\nwrong", **TURN}), f"     3 ✗ gone\n{MARGIN}✗ wrong\n"),
    (("cancelled", {"by": "b", **TURN}), "     3   stopped by b\n"),
    (("turn_end", {"status": "ok", "duration_ms": 61000, **TURN}), "     3 ✓ ok · 1 min 1 s\n"),
    (("turn_end", {"status": "lost", "duration_ms": 5, **TURN}), "     3 ✗ lost · 5 ms\n"),
    (("turn_end", {"status": "cancelled", "duration_ms": 5, **TURN}), "     3 ■ cancelled · 5 ms\n"),
    (
        ("beside", {"session": "0a1b", "action": "disks", "by": "b"}),
        "     3   disks runs beside it: session 0a1b, by b\n",
    ),
    (
        ("file", {"name": "a.png", "path": "uploads/a.png", "bytes": 2048, "type": "image/png", "by": "b"}),
        "     3   b sent uploads/a.png (image/png, 2 KB)\n",
    ),
    (
        ("vitals", {"signs": {"load": {"label": "Load", "status": "ok", "text": "0.1", "value": 0.1}}}),
        "     3   vital signs: good\n",
    ),
    (
        ("vitals", {"signs": {"disk": {"label": "Disk", "status": "bad", "text": "/ 99 %", "value": 99}}}),
        "     3   vital signs: Disk / 99 %\n",
    ),
    (("renamed", {"title": "new", "by": "b"}), "     3   renamed to 'new' by b\n"),
    (("archived", {"archived": True, "by": "b"}), "     3   archived by b\n"),
    (("archived", {"archived": False, "by": "b"}), "     3   taken out of the archive by b\n"),
    (
        ("notified", {"cause": "failed", "about": 9, "to": "notify[0]", "sent": True}),
        "     3   told notify[0]: failed 9\n",
    ),
    (
        ("notified", {"cause": "lost", "about": 9, "to": "notify[0]", "sent": False, "error": "HTTP 500"}),
        "     3   could not tell notify[0]: lost: HTTP 500\n",
    ),
    (
        ("repaired", {"offset": 1, "bytes": 7, "saved_as": "f"}),
        "     3   an incomplete line of 7 bytes was moved to f\n",
    ),
    (
        ("sealed", {"from": 1, "lines": 2, "prev": "", "sha256": "5c1b0a63f1d2e498" * 4}),
        "     3   sealed up to line 2: 5c1b0a63f1d2e498\n",
    ),
    (("foreign", {"text": "not ours\n"}), "     3   not ours\n"),
    (("novel", {"x": 1}), '     3   {"id":3,"ts":"2026-11-23T12:00:00.000Z","kind":"novel","x":1}\n'),
    (("text", {"text": 7}), '     3   {"id":3,"ts":"2026-11-23T12:00:00.000Z","kind":"text","text":7}\n'),
]


@pytest.mark.parametrize(("event", "text"), EXAMPLES)
def test_each_kind_is_shown_in_its_own_way(event: tuple[str, dict[str, Any]], text: str) -> None:
    assert shown(event) == text


def test_the_table_has_every_kind_of_the_contract() -> None:
    assert {kind for (kind, _), _ in EXAMPLES} >= kinds.KINDS.keys()


# --- prose is shown once ------------------------------------------------------------------------


def test_deltas_stream_on_one_line_and_their_text_is_not_shown_again() -> None:
    assert shown(delta("Hel"), delta("lo\n"), delta("world"), prose("Hello\nworld"), prose("More")) == (
        "     3   Hello\n     5   world\n     7   More\n"
    )


@pytest.mark.parametrize("said", ["Hello world", "world", "\n\nHello world\n"])
def test_a_text_that_ends_in_what_streamed_is_not_shown_again(said: str) -> None:
    """The follower may have begun in the middle of the text, or the agent may trim the streamed text."""
    assert shown(delta(said), prose("Hello world")).count("world") == 1


def test_a_text_that_says_more_than_streamed_is_shown() -> None:
    assert shown(delta("Hello"), prose("Hello world")) == "     3   Hello\n     4   Hello world\n"


def test_deltas_of_a_stopped_turn_do_not_hide_the_next_text() -> None:
    user = ("user", {"text": "again", "by": "b", "turn": 4})
    assert shown(delta("Hello"), user, prose("Hello")).count("Hello") == 2


def test_prose_of_a_subagent_is_kept_apart() -> None:
    assert shown(
        delta("A1 "), delta("B1", parent="p"), delta("A2"), prose("B1", parent="p"), prose("A1 A2")
    ) == ("     3   A1 \n     4 ╎   B1\n     5   A2\n")


def test_a_result_that_repeats_the_last_prose_is_not_shown_again() -> None:
    result = ("result", {"is_error": False, "result": "done", "duration_ms": 1, "cost_usd": 0.5, **TURN})
    assert shown(prose("done"), result) == "     3   done\n     4 = $0.50\n"
    assert shown(prose("working"), result) == "     3   working\n     4 = done · $0.50\n"


# --- output -------------------------------------------------------------------------------------


def test_output_in_several_events_is_shown_as_one_text() -> None:
    assert shown(output("on"), output("e\ntwo\n"), output(""), output("three"), delta("x")) == (
        f"     3 │ one\n{MARGIN}│ two\n     6 │ three\n     7   x\n"
    )


@pytest.mark.parametrize(
    ("lines", "says"), [(3, ""), (4, ""), (5, "… 2 more lines"), (3003, "… 3,000 more lines")]
)
def test_output_can_be_limited_to_some_lines(lines: int, says: str) -> None:
    text = shown(output("\n".join(f"line {n}" for n in range(lines))), output_lines=3)
    assert text.count("line ") == min(lines, 4 if not says else 3)
    assert text.endswith(f"│ {says}\n" if says else f"│ line {lines - 1}\n")


def test_limited_output_fits_the_terminal_but_errors_and_prose_are_complete() -> None:
    wide = "x" * 300
    text = shown(
        tool("Bash", {"command": wide}), output(wide), output("\t" * 100), columns=80, output_lines=3
    )
    assert {len(line) for line in text.splitlines()} == {80}
    assert wide in shown(output(wide, is_error=True), columns=80, output_lines=3)
    assert wide in shown(prose(wide), columns=80, output_lines=3)


def test_colours_do_not_change_the_text() -> None:
    history = (
        prose("a\nb"),
        tool("Bash", "ls"),
        output("x\n\ny"),
        output("bad", is_error=True),
        delta("d"),
        delta("e"),
    )
    assert re.sub(r"\x1b\[[0-9;]*m", "", shown(*history, colours=True)) == shown(*history)


# --- malformed and hostile events ---------------------------------------------------------------

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.sampled_from([*DANGEROUS, *"ab[]m;"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=5,
)
KEYS = sorted({key for keys in kinds.KINDS.values() for key in (*keys.required, *keys.optional)})
EVENT = st.tuples(
    st.sampled_from([*kinds.KINDS, "foreign", "novel"]), st.dictionaries(st.sampled_from(KEYS), JSON)
)


@given(st.lists(EVENT, max_size=8), st.sampled_from([1 << 30, 3]))
def test_no_event_can_raise_or_write_a_dangerous_character(
    history: list[tuple[str, dict[str, Any]]], lines: int
) -> None:
    text = shown(*history, output_lines=lines, columns=80)
    assert not set(text) & set(DANGEROUS) - {"\t", "\n"}
    assert text.endswith("\n") or not text
