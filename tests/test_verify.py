"""`verify` reports each broken rule on the line that breaks it. Everything else gives a note or no finding."""

from typing import Any

import pytest

from breakglass import verify
from breakglass.events import Draft
from breakglass.kinds import KINDS
from breakglass.verify.finding import Finding
from tests.help.logs import SAMPLES, line, log_of
from tests.help.validator import differences

NEW: Draft = ("created", {})
USER: Draft = ("user", {"queued": None})
ALONE = ("created", "user", "queued", "steered", "withdrawn", "turn_end", "answer", "repaired", "sealed")
"""Kinds that cannot stand at any place in a turn."""
CORRECT: list[Draft | bytes] = [
    NEW,
    USER,
    ("queued", {}),
    ("queued", {}),
    ("steered", {"queued": 4}),
    *((kind, {}) for kind in KINDS if kind not in ALONE),
    ("answer", {}),
    ("withdrawn", {}),
    ("queued", {}),
    ("turn_end", {"status": "cancelled"}),
]
CORRECT.append(("user", {"turn": len(CORRECT) + 1, "queued": len(CORRECT) - 1}))
CORRECT.append(("turn_end", {"turn": len(CORRECT)}))


def lines_of(drafts: list[Draft | bytes]) -> list[bytes]:
    return log_of(drafts).splitlines(keepends=True)


def test_a_correct_log_has_no_findings() -> None:
    assert [*verify.findings(lines_of(CORRECT))] == []


BROKEN: dict[str, tuple[list[Draft | bytes], int, str]] = {
    "the first line is not `created`": ([("user", {"turn": 1, "queued": None})], 1, "begins with `created`"),
    "the first line is foreign": ([b"hello"], 1, "begins with `created`, got 'hello"),
    "the first line begins with a byte order mark": (
        [b"\xef\xbb\xbf" + line(1, "created")[:-1]],
        1,
        "begins with `created`",
    ),
    "created twice": ([NEW, NEW], 2, "only there"),
    "the id of another line": ([NEW, line(7, "renamed")[:-1]], 2, "claims to be line 7"),
    "half an event": ([NEW, line(2, "renamed")[:-4]], 2, "begins like an event but is not one"),
    "a turn within a turn": ([NEW, USER, ("user", {"turn": 3, "queued": None})], 3, "within turn 2"),
    "the number of another turn": (
        [NEW, ("user", {"turn": 9, "queued": None})],
        2,
        "begins turn 9, expected 2",
    ),
    "text after the end": (
        [NEW, USER, ("turn_end", {}), ("text", {})],
        4,
        "text of turn 2, while none",
    ),
    "ended twice": (
        [NEW, USER, ("turn_end", {}), ("turn_end", {})],
        4,
        "turn_end of turn 2, while none",
    ),
    "a file out of the workspace": (
        [NEW, ("file", {"path": "../token"})],
        2,
        "not in the workspace: '../token'",
    ),
    "a file without its proof": ([NEW, ("file", {"sha256": "F" * 64})], 2, "no valid sha256"),
    "a file of no bytes": ([NEW, ("file", {"bytes": 0})], 2, "no valid number of bytes"),
    "a prompt with a file out of the workspace": (
        [NEW, ("user", {"queued": None, "files": ["/etc/passwd"]})],
        2,
        "names files that are not in the workspace",
    ),
    "text without a turn": ([NEW, ("delta", {})], 2, "delta of turn 2, while none"),
    "an unknown status": ([NEW, USER, ("turn_end", {"status": "meh"})], 3, "cannot end with status 'meh'"),
    "an answer without a question": ([NEW, USER, ("answer", {})], 3, "not an open question"),
    "answered twice": ([NEW, USER, ("permission", {}), ("answer", {}), ("answer", {})], 5, "not an open"),
    "a key missing": ([NEW, line(2, "renamed")[:-1].replace(b',"by":"ann"', b"")], 2, "renamed without 'by'"),
    "keys out of order": (
        [NEW, line(2, "renamed")[:-1].replace(b'"title":"Another","by":"ann"', b'"by":"","title":""')],
        2,
        "not in order",
    ),
    "a time without T": (
        [NEW, line(2, "renamed")[:-1].replace(b"T01:02", b" 01:02")],
        2,
        "has no valid time",
    ),
    "a turn of a prompt that did not wait": ([NEW, ("user", {"queued": 1})], 2, "line 1 from the queue"),
    "a withdrawal of no number": ([NEW, ("withdrawn", {"queued": [2]})], 2, "line [2] from the queue"),
    "withdrawn twice": (
        [NEW, ("queued", {}), ("withdrawn", {"queued": 2}), ("withdrawn", {"queued": 2})],
        4,
        "queue",
    ),
    "a repair of another byte": ([NEW, ("repaired", {"offset": 3})], 2, "but is at byte"),
}


def test_missing_or_repeated_lines_give_two_findings_and_not_one_for_each_line_after_them() -> None:
    drafts: list[Draft | bytes] = [NEW, USER, *(("text", {}) for _ in range(20)), ("turn_end", {})]
    lines = lines_of(drafts)
    assert found_in(lines[:9] + lines[10:]) == [
        "10: claims to be line 11",
        "11: so does every line from here on: 1 line missing before line 10",
    ]
    assert found_in(lines[:10] + lines[7:]) == [
        "11: claims to be line 8",
        "12: so does every line from here on: 3 lines too many before line 11",
    ]


def found_in(lines: list[bytes]) -> list[str]:
    return [f"{each.line}: {each.what}" for each in verify.findings(lines)]


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_is_reported_on_its_line(name: str) -> None:
    drafts, number, what = BROKEN[name]
    found = [each for each in verify.findings(lines_of(drafts)) if not each.is_note]
    assert [each.line for each in found] == [number]
    assert what in found[0].what


NOTED: dict[str, tuple[list[Draft | bytes], int, str]] = {
    "a foreign line": ([NEW, b"hello"], 2, "a foreign line: 'hello"),
    "an empty line": ([NEW, b""], 2, "a foreign line"),
    "a turn that runs": ([NEW, USER], 2, "turn 2 has not ended"),
    "a kind of a later version": (
        [NEW, line(2, "renamed")[:-1].replace(b'"renamed"', b'"party"')],
        2,
        "not know: party",
    ),
    "a schema of a later version": ([("created", {"schema": 2})], 1, "not know: 2"),
    "a schema that is a text": ([("created", {"schema": "1"})], 1, "not know: '1'"),
    "a schema that is a boolean": ([("created", {"schema": True})], 1, "not know: True"),
    "a stopped turn that an older version ended as lost": (
        [NEW, USER, ("cancelled", {}), ("turn_end", {"status": "lost"})],
        4,
        "turn 2 was stopped, but ends as lost",
    ),
    "a result without its tool": (
        [NEW, USER, ("tool_result", {}), ("turn_end", {})],
        3,
        "the result of a tool that its turn did not call: 't-1'",
    ),
    "a result of a tool with another id": (
        [NEW, USER, ("tool", {"tool_id": "t-2"}), ("tool_result", {}), ("turn_end", {})],
        4,
        "the result of a tool that its turn did not call: 't-1'",
    ),
    "a result of a tool of an earlier turn": (
        [
            NEW,
            USER,
            ("tool", {}),
            ("turn_end", {}),
            ("user", {"turn": 5, "queued": None}),
            ("tool_result", {"turn": 5}),
            ("turn_end", {"turn": 5}),
        ],
        6,
        "the result of a tool that its turn did not call: 't-1'",
    ),
    "a key of a later version": ([NEW, line(2, "renamed")[:-2] + b',"colour":1}'], 2, "not know: 'colour'"),
}


@pytest.mark.parametrize("name", NOTED)
def test_a_line_that_breaks_no_rule_gives_at_most_a_note(name: str) -> None:
    drafts, number, what = NOTED[name]
    (found,) = verify.findings(lines_of(drafts))
    assert (found.line, found.is_note) == (number, True)
    assert what in found.what


def test_a_repair_and_a_torn_last_line_break_no_rule() -> None:
    first = line(1, "created")
    repaired = line(2, "repaired", offset=len(first))[:-1] + b"    \n"
    (torn,) = verify.findings([first, repaired, b'{"id":3'])
    assert torn == Finding(3, "the last 7 bytes are torn; the next append repairs that", is_note=True)


def repaired(number: int) -> bytes:
    """Return line `number` if every line is as long as this one."""
    before = b""
    for each in range(1, number + 1):
        before += line(each, "repaired", offset=len(before), bytes=60, saved_as="events.jsonl.torn-0")
    return before


@pytest.mark.parametrize("count", [1, 2, 3])
def test_repaired_lines_of_an_older_version_before_created_are_noted(count: int) -> None:
    log = repaired(count) + line(count + 1, "created")
    notes = [*verify.findings(log.splitlines(keepends=True))]
    what = "before `created`: an older version repaired a torn line of the creation"
    assert notes == [Finding(number, what, is_note=True) for number in range(1, count + 1)]
    for rest, at in (
        (b"", count),
        (line(count + 1, "renamed"), count + 1),
        (b"hello\n", count + 1),
        (b'{"id":', count + 1),
    ):
        lines = (repaired(count) + rest).splitlines(keepends=True)
        (broken,) = [each for each in verify.findings(lines) if not each.is_note]
        assert broken.line == at
        assert "a session begins with `created`" in broken.what


def test_an_empty_log_breaks_a_rule() -> None:
    assert [each.is_note for each in verify.findings([])] == [False]


def test_a_log_with_half_a_line_breaks_the_rule_of_the_first_line() -> None:
    (found,) = verify.findings([line(1, "created")[:-1]])
    assert found == Finding(1, "a session begins with `created`, and this log has no whole line")


# --- the events that a client received -------------------------------------------------------------------------

LOG = [line(1, "created"), b"hello\r\n", line(3, "renamed")]
RECEIVED = [
    (1, line(1, "created")[:-1]),
    (2, b'{"id":2,"kind":"foreign","text":"hello"}'),
    (3, line(3, "renamed")[:-1]),
]


@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_received_events_that_equal_the_log_have_no_findings_from_any_line_on(after: int) -> None:
    for end in range(after, 4):
        assert [*differences(LOG, RECEIVED[after:end], after)] == []


@pytest.mark.parametrize(
    ("received", "number"),
    [
        ([RECEIVED[0], RECEIVED[0]], 1),
        ([RECEIVED[0], RECEIVED[2]], 3),
        ([RECEIVED[1]], 2),
        ([RECEIVED[0], RECEIVED[2], RECEIVED[1]], 3),
        ([(1, b"{}")], 1),
        ([*RECEIVED, (4, b"")], 4),
    ],
)
def test_a_repeated_missing_disordered_or_changed_event_is_found(received: list[Any], number: int) -> None:
    assert [each.line for each in differences(LOG, received)] == [number]


def test_the_correct_log_contains_every_kind_but_repaired_and_sealed() -> None:
    assert {draft[0] for draft in CORRECT if isinstance(draft, tuple)} == SAMPLES.keys() - {
        "repaired",
        "sealed",
    }
