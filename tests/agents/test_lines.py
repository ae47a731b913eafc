"""Splitting bytes into lines, reading values of any shape, and cutting values to the size of an event."""

from itertools import pairwise
from time import process_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakglass.agents.lines import (
    MAX_ENCODED,
    LineSplitter,
    as_count,
    as_object,
    as_objects,
    as_session_id,
    as_short_text,
    as_text,
    cut_object,
    cut_text,
    find_objects,
    parse_object,
    unreadable,
)
from breakglass.events import MAX_OUTPUT, dumps


@given(st.lists(st.binary(max_size=8) | st.just(b"\n")), st.lists(st.integers(0, 100)))
def test_lines_do_not_depend_on_where_the_bytes_are_cut(pieces: list[bytes], cuts: list[int]) -> None:
    data = b"".join(pieces)
    at = sorted({0, len(data), *(cut for cut in cuts if cut <= len(data))})
    lines = LineSplitter()
    found = [line for a, b in pairwise(at) for line in lines.feed(data[a:b])]
    assert [*found, lines.rest()] == data.split(b"\n")


def test_only_a_newline_ends_a_line() -> None:
    data = "a\u2028b\u2029c\x85d\x0be\x1cf\rg".encode()
    assert LineSplitter().feed(data + b"\n") == [data]


@pytest.mark.parametrize("step", [1, 3, 100])
def test_a_line_over_the_limit_is_none_and_the_next_is_whole(step: int) -> None:
    data = b"123456789\n1234567890\n12345678901\nab\n" + b"x" * 11
    lines = LineSplitter(limit=10)
    found = [line for at in range(0, len(data), step) for line in lines.feed(data[at : at + step])]
    assert found == [b"123456789", b"1234567890", None, b"ab"]
    assert lines.rest() is None
    assert lines.rest() == b""


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (b'{"a":1}', {"a": 1}),
        (b' {"a":NaN,"b":-Infinity}\r', {"a": None, "b": None}),
        (b'{"a":"\xff"}', {"a": "\ufffd"}),
        (b"", None),
        (b"[]", None),
        (b"1", None),
        (b'{"a":', None),
        (b'{"a":' * 100_000, None),
        (b'{"a":1' + b"0" * 5000 + b"}", None),
    ],
)
def test_a_line_is_an_object_or_none(line: bytes, value: Any) -> None:
    assert parse_object(line) == value


@pytest.mark.parametrize("value", [None, True, 1, -1, 1.5, 1 << 53, "x", ["x"], [{}, 1], {"a": 1}])
def test_a_value_of_another_type_reads_as_empty(value: Any) -> None:
    assert as_text(value) == (value if isinstance(value, str) else "")
    assert as_object(value) == (value if isinstance(value, dict) else {})
    assert as_objects(value) == ([{}] if value == [{}, 1] else [])
    assert as_count(value) == (1 if value is not True and value == 1 else None)


def test_a_short_text_is_cut_at_one_kib() -> None:
    assert as_short_text("é" * 1000) == "é" * 512


@pytest.mark.parametrize("name", ["75520ec5-fc8d-4c8a", "ses_1", "--x", "!~", "x" * 1024])
def test_any_visible_ascii_is_a_session_id(name: str) -> None:
    assert as_session_id(name) == name


@pytest.mark.parametrize(
    "name", ["", "a b", "a\0b", "a\n", "\x7f", "é", "\ud83d", "x" * 1025, None, 1, ["x"]]
)
def test_a_session_id_that_no_command_line_can_carry_reads_as_empty(name: Any) -> None:
    assert as_session_id(name) == ""


@pytest.mark.parametrize("unit", ["a", "é", "😀", "\n", "\x00", "\ud83d", "ab\x1b\n"])
@pytest.mark.parametrize("size", [0, 1000, MAX_OUTPUT // 6, MAX_OUTPUT, 3 * MAX_OUTPUT])
def test_cut_text_fits_and_counts_the_bytes_left_out(unit: str, size: int) -> None:
    text = unit * (size // len(unit.encode(errors="replace")))
    kept, left = cut_text(text)
    assert len(dumps(kept).encode()) <= MAX_ENCODED + 2
    assert len(kept.encode(errors="replace")) + left == len(text.encode(errors="replace"))
    assert left or kept == text


def test_an_object_that_fits_is_unchanged() -> None:
    value = {"a": ["x" * 1000, {"b": None}]}
    assert cut_object(value) is value


def test_a_cut_object_keeps_its_short_strings() -> None:
    kept = cut_object({"path": "/srv/a", "content": "x" * (2 << 20), "more": ["y" * (2 << 20)]})
    assert kept["path"] == "/srv/a"
    assert kept["content"].endswith("bytes left out)")
    assert kept["more"][0].endswith("bytes left out)")


M = '{"jsonrpc":"2.0","id":1,"result":{"a":"{}"}}'
MESSAGE = {"jsonrpc": "2.0", "id": 1, "result": {"a": "{}"}}


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        (M, [MESSAGE]),
        ('{"any":"object"}', [{"any": "object"}]),
        ("", []),
        (" \t\r", []),
        ("\ufeff" + M, ["\ufeff", MESSAGE]),
        ("\x1b]0;title\x07" + M, ["\x1b]0;title\x07", MESSAGE]),
        ("\x1b[0m" + M + "\r", ["\x1b[0m", MESSAGE]),
        ("\0\0" + M, ["\0\0", MESSAGE]),
        ("Loaded cached credentials. " + M, ["Loaded cached credentials. ", MESSAGE]),
        ("{" + M, ["{", MESSAGE]),
        ("a {b} " + M, ["a {b} ", MESSAGE]),
        (M + M, [MESSAGE, MESSAGE]),
        (M + " trailing", [MESSAGE, " trailing"]),
        ('{"jsonrpc":"2.0","method":"x","params":{"text":"to' + M, [
            '{"jsonrpc":"2.0","method":"x","params":{"text":"to',
            MESSAGE,
        ]),
        ('{"text":"to' + M + 'rn"}', ['{"text":"to', MESSAGE, 'rn"}']),
        ('{"jsonrpc":"2.0","params":{"text":"torn"},', ['{"jsonrpc":"2.0","params":{"text":"torn"},']),
        ("x [" + M + "]", ["x [", MESSAGE, "]"]),
        ('{"n":' + "9" * 5000 + "}" + M, ['{"n":' + "9" * 5000 + "}", MESSAGE]),
        ("not JSON", ["not JSON"]),
        ("[1]", ["[1]"]),
    ],
)  # fmt: skip
def test_a_line_is_divided_into_its_messages_and_the_text_around_them(
    line: str, parts: list[dict[str, Any] | str]
) -> None:
    assert find_objects(line.encode(), lambda value: "jsonrpc" in value) == parts


@pytest.mark.parametrize("unit", [b'{"a":', b'{"a":1,', b'{"', b'{"a":{"b":"', b'{ "', b'{"a":{}}'])
def test_the_search_in_a_hostile_line_takes_linear_time(unit: bytes) -> None:
    began = process_time()
    find_objects(b"x" + unit * (1_000_000 // len(unit)), lambda value: False)
    assert process_time() - began < 5


@given(st.lists(st.sampled_from([M, "{", '"', "}", "\\", "a", " "]), max_size=12).map("".join))
def test_no_text_is_lost_when_a_line_is_divided(line: str) -> None:
    found = find_objects(line.encode(), lambda value: "jsonrpc" in value)
    if parse_object(line.encode()) is None:
        kept = "".join(part if isinstance(part, str) else M for part in found)
        assert "".join(kept.split()) == "".join(line.split())


def test_a_notice_holds_the_first_bytes_and_says_how_many_are_left_out() -> None:
    kind, fields = unreadable(["x" * 5000, "y"])
    text = f"The agent printed something that Breakglass does not understand: {'x' * 4096}… (904 bytes left out)\ny"
    assert (kind, fields) == ("notice", {"text": text})
