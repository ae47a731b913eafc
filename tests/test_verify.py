"""What breaks a rule is found, on the line that breaks it; what breaks none is at most a note."""

from typing import Any

import pytest

from breakglass import verify
from breakglass.events import KINDS, Draft
from breakglass.verify import Finding
from tests.help.logs import SAMPLES, line, log_of

NEW: Draft = ("created", {})
USER: Draft = ("user", {"queued": None})
ALONE = ("created", "user", "queued", "withdrawn", "turn_end", "answer", "repaired")
"""Kinds that may not stand anywhere in a turn."""
SOUND: list[Draft | bytes] = [
    NEW,
    USER,
    ("queued", {}),
    *((kind, {}) for kind in KINDS if kind not in ALONE),
    ("answer", {}),
    ("withdrawn", {}),
    ("queued", {}),
    ("turn_end", {}),
]
SOUND.append(("user", {"turn": len(SOUND) + 1, "queued": len(SOUND) - 1}))
SOUND.append(("turn_end", {"turn": len(SOUND)}))


def lines_of(drafts: list[Draft | bytes]) -> list[bytes]:
    return log_of(drafts).splitlines(keepends=True)


def test_a_sound_log_has_no_findings() -> None:
    assert [*verify.findings(lines_of(SOUND))] == []


BROKEN: dict[str, tuple[list[Draft | bytes], int, str]] = {
    "begins without created": ([("user", {"turn": 1, "queued": None})], 1, "begins with `created`"),
    "created twice": ([NEW, NEW], 2, "only there"),
    "another's id": ([NEW, line(7, "renamed")[:-1]], 2, "claims to be line 7"),
    "half an event": ([NEW, line(2, "renamed")[:-4]], 2, "begins as an event and is none"),
    "a turn within a turn": ([NEW, USER, ("user", {"turn": 3, "queued": None})], 3, "within turn 2"),
    "another's turn": ([NEW, ("user", {"turn": 9, "queued": None})], 2, "begins turn 9, expected 2"),
    "said after the end": (
        [NEW, USER, ("turn_end", {}), ("text", {})],
        4,
        "text of turn 2, while none",
    ),
    "ended twice": (
        [NEW, USER, ("turn_end", {}), ("turn_end", {})],
        4,
        "turn_end of turn 2, while none",
    ),
    "said without a turn": ([NEW, ("delta", {})], 2, "delta of turn 2, while none"),
    "ended badly": ([NEW, USER, ("turn_end", {"status": "meh"})], 3, "cannot end 'meh'"),
    "answered what nobody asked": ([NEW, USER, ("answer", {})], 3, "no open question"),
    "answered twice": ([NEW, USER, ("permission", {}), ("answer", {}), ("answer", {})], 5, "no open"),
    "a key missing": ([NEW, line(2, "renamed")[:-1].replace(b',"by":"ann"', b"")], 2, "renamed without 'by'"),
    "keys out of order": (
        [NEW, line(2, "renamed")[:-1].replace(b'"title":"Another","by":"ann"', b'"by":"","title":""')],
        2,
        "not in order",
    ),
    "no time": ([NEW, line(2, "renamed")[:-1].replace(b"T01:02", b" 01:02")], 2, "has no time"),
    "took up what did not wait": ([NEW, ("user", {"queued": 1})], 2, "line 1 out of the queue"),
    "withdrew no number": ([NEW, ("withdrawn", {"queued": [2]})], 2, "line [2] out of the queue"),
    "withdrawn twice": (
        [NEW, ("queued", {}), ("withdrawn", {"queued": 2}), ("withdrawn", {"queued": 2})],
        4,
        "queue",
    ),
    "repaired elsewhere": ([NEW, ("repaired", {"offset": 3})], 2, "but stands at byte"),
}


def test_a_line_that_is_missing_or_stands_twice_is_told_once_and_not_with_each_line_after_it() -> None:
    many: list[Draft | bytes] = [NEW, USER, *(("text", {}) for _ in range(20)), ("turn_end", {})]
    lines = lines_of(many)
    gone = [str(each) for each in found_in(lines[:9] + lines[10:])]
    assert gone == [
        "10: claims to be line 11",
        "11: so does every line from here on: 1 line missing before line 10",
    ]
    twice = [str(each) for each in found_in(lines[:10] + lines[7:])]
    assert twice == [
        "11: claims to be line 8",
        "12: so does every line from here on: 3 lines too many before line 11",
    ]


def found_in(lines: list[bytes]) -> list[str]:
    return [f"{each.line}: {each.what}" for each in verify.findings(lines)]


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_is_found_where_it_is_broken(name: str) -> None:
    drafts, number, what = BROKEN[name]
    found = [each for each in verify.findings(lines_of(drafts)) if not each.is_note]
    assert [each.line for each in found] == [number]
    assert what in found[0].what


NOTED: dict[str, tuple[list[Draft | bytes], int, str]] = {
    "a stranger's line": ([NEW, b"hello"], 2, "a stranger's line: 'hello"),
    "an empty line": ([NEW, b""], 2, "a stranger's line"),
    "a turn that runs": ([NEW, USER], 2, "turn 2 has not ended"),
    "a kind of tomorrow": (
        [NEW, line(2, "renamed")[:-1].replace(b'"renamed"', b'"party"')],
        2,
        "not know: party",
    ),
    "a key of tomorrow": ([NEW, line(2, "renamed")[:-2] + b',"colour":1}'], 2, "not know: 'colour'"),
}


@pytest.mark.parametrize("name", NOTED)
def test_what_breaks_no_rule_is_a_note(name: str) -> None:
    drafts, number, what = NOTED[name]
    (found,) = verify.findings(lines_of(drafts))
    assert (found.line, found.is_note) == (number, True)
    assert what in found.what


def test_a_repair_in_its_place_and_a_torn_tail_break_no_rule() -> None:
    first = line(1, "created")
    repaired = line(2, "repaired", offset=len(first))[:-1] + b"    \n"
    (torn,) = verify.findings([first, repaired, b'{"id":3'])
    assert torn == Finding(3, "the last 7 bytes are torn; the next append mends that", is_note=True)


def test_an_empty_log_is_no_session() -> None:
    assert [each.is_note for each in verify.findings([])] == [False]


# --- what a client received -------------------------------------------------------------------------

LOG = [line(1, "created"), b"hello\r\n", line(3, "renamed")]
TRUE = [
    (1, line(1, "created")[:-1]),
    (2, b'{"id":2,"kind":"foreign","text":"hello"}'),
    (3, line(3, "renamed")[:-1]),
]


@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_a_true_history_from_anywhere_has_no_findings(after: int) -> None:
    for end in range(after, 4):
        assert [*verify.history(LOG, TRUE[after:end], after)] == []


@pytest.mark.parametrize(
    ("received", "number"),
    [
        ([TRUE[0], TRUE[0]], 1),
        ([TRUE[0], TRUE[2]], 3),
        ([TRUE[1]], 2),
        ([TRUE[0], TRUE[2], TRUE[1]], 3),
        ([(1, b"{}")], 1),
        ([*TRUE, (4, b"")], 4),
    ],
)
def test_an_id_twice_left_out_out_of_order_or_changed_is_found(received: list[Any], number: int) -> None:
    assert [each.line for each in verify.history(LOG, received)] == [number]


def test_every_sample_is_sound_by_itself() -> None:
    assert {kind for kind, _ in (draft for draft in SOUND if isinstance(draft, tuple))} | {"repaired"} == {
        *SAMPLES
    }
