"""`verify` decodes many lines at once. Its findings are the same as if it decoded them one by one."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakglass import events, verify
from breakglass.events import Draft
from breakglass.kinds import KINDS
from breakglass.verify.bulk import decode_lines
from breakglass.verify.finding import Finding
from tests.help.logs import line, log_of

TS = b"2026-11-23T01:02:03.456Z"
HEAD = b'{"id":2,"ts":"%b","kind":"text","turn":2' % TS
RARE = {
    "a space after the kind": HEAD.replace(b'"text",', b'"text" ,') + b"}\n",
    "a second id": HEAD + b',"id":3}\n',
    "an id that is a float": HEAD + b',"id":2.0}\n',
    "a second kind": HEAD + b',"kind":"user"}\n',
    "a second time that is a number": HEAD + b',"ts":1}\n',
    "a tab at the end": HEAD + b"}\t\n",
    "spaces at the end": HEAD + b"}  \n",
    "a carriage return": HEAD + b',\r"text":""}\n',
    "NUL": HEAD + b',"text":"\0"}\n',
    "no UTF-8": HEAD + b',"text":"\xff"}\n',
    "half of a surrogate pair": HEAD + b',"text":"\\ud800"}\n',
    "a whole surrogate pair": HEAD + b',"text":"\\uD83D\\uDE00"}\n',
    "a number beyond every float": HEAD + b',"n":1e999}\n',
    "a long whole number": HEAD + b',"n":%b}\n' % (b"9" * 40),
    "NaN": HEAD + b',"n":NaN}\n',
    "deep nesting": HEAD + b',"n":%b%b}\n' % (b"[" * 5000, b"]" * 5000),
    "half an object": HEAD + b',"n":{}\n',
    "two objects": HEAD + b"}" + HEAD + b"}\n",
    "an array": b"[]\n",
    "nothing": b"\n",
    "the id of another line": HEAD.replace(b'"id":2', b'"id":7') + b"}\n",
    "an empty key": HEAD + b',"":1}\n',
    "a key twice": HEAD + b',"a":1,"b":2,"a":3}\n',
}


def one_by_one(lines: Sequence[bytes], first: int = 1) -> list[events.Event]:
    return [events.decode(each, number) for number, each in enumerate(lines, first)]


@pytest.mark.parametrize("rare", RARE.values(), ids=RARE)
def test_a_rare_line_gives_the_same_event_as_alone_or_is_not_decoded_at_once(rare: bytes) -> None:
    for after in (line(3, "renamed"), rare.replace(b'"id":2', b'"id":3')):
        lines = [line(1, "created"), rare, after]
        assert decode_lines(lines, 1) in (one_by_one(lines), None)


def test_usual_lines_are_decoded_at_once() -> None:
    lines = [line(number, kind) for number, kind in enumerate(KINDS, 1)]
    assert decode_lines(lines, 1) == one_by_one(lines)
    assert decode_lines(lines[4:], 5) == one_by_one(lines[4:], 5)
    assert decode_lines(lines[4:], 6) is None


def test_an_object_over_two_lines_is_not_decoded_at_once() -> None:
    lines = [HEAD + b',"n":[{}\n', HEAD.replace(b'"id":2', b'"id":3') + b'}]}{"id":4}\n']
    assert [each["kind"] for each in one_by_one(lines, 2)] == ["foreign", "foreign"]
    assert decode_lines(lines, 2) is None


def draft(kind: str, turn: int) -> Draft:
    return kind, {"turn": turn} if "turn" in KINDS[kind].required else {}


DRAFTS = st.one_of(
    st.builds(draft, st.sampled_from(sorted(KINDS)), st.integers(1, 6)),
    st.sampled_from(list(RARE.values())).map(lambda rare: rare[:-1]),
)


@given(st.lists(DRAFTS, max_size=12), st.lists(st.integers(0, 12), max_size=4), st.binary(max_size=3))
def test_any_batches_give_the_findings_of_single_lines(
    drafts: list[Draft | bytes], cuts: list[int], torn: bytes
) -> None:
    start: list[Draft | bytes] = [("created", {}), ("user", {"queued": None})]
    log = log_of([*start, *drafts]) + torn.replace(b"\n", b"")
    lines = [each + b"\n" for each in log.split(b"\n")]
    lines[-1:] = [lines[-1][:-1]] if lines[-1] != b"\n" else []
    ends = [0, *sorted(cuts), len(lines)]
    batches = [lines[begin:end] for begin, end in pairwise(ends)]
    assert decode_lines(lines, 1) in (one_by_one(lines), None)
    assert in_batches(batches) == in_batches([[each] for each in lines])


def in_batches(batches: Sequence[Sequence[bytes]]) -> list[Finding]:
    return [*verify.findings_in_batches(batches, verify.Verifier())]
