"""Event lines follow the contract for any text of an agent."""

import json
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakglass import events
from breakglass.events import clip, decode, encode
from breakglass.kinds import ANYWHERE, KINDS, SYNCED
from tests.help.json_values import JSON, ODD_TEXT
from tests.help.logs import SAMPLES, TS, line


def jq(lines: bytes) -> list[str]:
    """Return the `id` of each line as jq prints it. Fails if jq refuses a line."""
    run = subprocess.run(["jq", "-c", ".id"], input=lines, capture_output=True, check=False)
    assert (run.returncode, run.stderr) == (0, b"")
    return run.stdout.decode().split()


def keys_of(raw: bytes) -> list[str]:
    return list(json.loads(raw))


# --- the codec -----------------------------------------------------------------------------------


def test_there_is_a_sample_of_every_kind_with_all_its_keys() -> None:
    assert {kind: list(fields) for kind, fields in SAMPLES.items()} == {
        kind: [*keys.required, *keys.optional] for kind, keys in KINDS.items()
    }


def test_these_kinds_are_on_disk_before_their_append_returns() -> None:
    acknowledged = set(
        "created user queued steered withdrawn cancelled answer revoked renamed archived file".split()
    )
    assert {*acknowledged, "permission", "tool", "error", "turn_end", "beside"} == SYNCED


def test_only_these_kinds_may_stand_within_and_between_turns() -> None:
    between = "revoked withdrawn renamed archived repaired beside file vitals notified sealed"
    assert set(between.split()) == ANYWHERE


@pytest.mark.parametrize("kind", KINDS)
def test_a_line_contains_id_ts_kind_and_the_own_keys_of_the_kind_in_order(kind: str) -> None:
    shuffled = dict(reversed(SAMPLES[kind].items()))
    raw = encode(7, TS, kind, shuffled)
    assert keys_of(raw) == ["id", "ts", "kind", *SAMPLES[kind]]
    assert raw.endswith(b"}\n")
    assert raw.count(b"\n") == 1
    assert decode(raw, 7) == {"id": 7, "ts": TS, "kind": kind, **SAMPLES[kind]}
    assert events.head(raw) == (7, kind)
    assert events.is_ours(raw, 7)


@pytest.mark.parametrize("kind", KINDS)
def test_an_optional_key_that_is_none_is_left_out(kind: str) -> None:
    fields = SAMPLES[kind] | dict.fromkeys(KINDS[kind].optional)
    assert keys_of(encode(7, TS, kind, fields)) == ["id", "ts", "kind", *KINDS[kind].required]
    without = {key: value for key, value in fields.items() if key in KINDS[kind].required}
    assert encode(7, TS, kind, without) == encode(7, TS, kind, fields)


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_or_unknown_key_is_an_error(kind: str) -> None:
    for key in KINDS[kind].required:
        with pytest.raises(KeyError, match=key):
            encode(7, TS, kind, {name: value for name, value in SAMPLES[kind].items() if name != key})
    with pytest.raises(TypeError, match="colour"):
        encode(7, TS, kind, {**SAMPLES[kind], "colour": None})


def test_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(KeyError):
        encode(1, TS, "novel", {})


def test_a_line_is_compact_json_without_unnecessary_escapes() -> None:
    raw = encode(3, TS, "text", {"turn": 2, "text": "né 😀"})
    assert raw.decode() == '{"id":3,"ts":"' + TS + '","kind":"text","turn":2,"text":"né 😀"}\n'


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("\0", rb"\u0000"),
        ("\t\n\r", rb"\t\n\r"),
        ("\x1b[31m", rb"\u001b[31m"),
        ("\x7f", rb"\u007f"),
        ("\x80\x9b", rb"\u0080\u009b"),
        ("\x85", rb"\u0085"),
        ("\u2028\u2029", rb"\u2028\u2029"),
        ("\ud83d", "\ufffd".encode()),
        ("\udc00\ud800", "\ufffd\ufffd".encode()),
        ("\ufffe\uffff", "\ufffe\uffff".encode()),
    ],
)
def test_control_characters_and_line_separators_are_escaped(text: str, written: bytes) -> None:
    raw = encode(3, TS, "text", {"turn": 2, "text": text})
    assert b'"text":"' + written + b'"}' in raw
    in_a_key = encode(3, TS, "tool", {"turn": 2, "tool_id": "", "name": "", "input": {text: 1}})
    assert b'{"' + written + b'":1}' in in_a_key


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (float("nan"), b'"nan"'),
        (float("-inf"), b'"-inf"'),
        ([1.5, float("inf")], b'[1.5,"inf"]'),
        (10**400, b"1" + b"0" * 400),
        (True, b"true"),
        (None, b"null"),
        ((1, "a"), b'[1,"a"]'),
        ({"a": {}}, b'{"a":{}}'),
    ],
)
def test_any_json_value_of_an_agent_is_kept(value: object, written: bytes) -> None:
    raw = encode(3, TS, "tool", {"turn": 2, "tool_id": "", "name": "", "input": value})
    assert b'"input":' + written + b"}\n" in raw
    assert jq(raw) == ["3"]


@pytest.mark.parametrize("depth", [99, 100, 255, 256, 5_000])
def test_deep_nesting_is_cut_so_that_jq_can_read_it(depth: int) -> None:
    value: Any = "core"
    for level in range(depth):
        value = [value] if level % 2 else {"in": value}
    raw = encode(3, TS, "tool", {"turn": 2, "tool_id": "", "name": "", "input": value})
    assert jq(raw) == ["3"]
    assert (b"core" in raw) == (depth < 101)


def test_text_full_of_brackets_is_not_cut_as_nesting() -> None:
    text = "{[" * 1_000
    assert json.loads(encode(3, TS, "text", {"turn": 2, "text": text}))["text"] == text
    wide = [{"a": [text]}] * 60
    raw = encode(3, TS, "tool", {"turn": 2, "tool_id": "", "name": "", "input": wide})
    assert json.loads(raw)["input"] == wide


@given(st.lists(st.tuples(ODD_TEXT, JSON), min_size=1, max_size=30))
def test_any_text_and_any_json_is_one_line_that_jq_and_python_read(pairs: list[tuple[str, Any]]) -> None:
    lines = [
        encode(number, TS, "tool", {"turn": 2, "tool_id": text, "name": text, "input": value, "parent": text})
        for number, (text, value) in enumerate(pairs, 1)
    ]
    assert jq(b"".join(lines)) == [str(number) for number in range(1, len(lines) + 1)]
    for number, raw in enumerate(lines, 1):
        assert raw.count(b"\n") == 1
        assert not any(
            char < " " or "\x7f" <= char <= "\x9f" or char in "\u2028\u2029" for char in raw[:-1].decode()
        )
        assert events.is_ours(raw, number)
        text = "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in pairs[number - 1][0])
        assert decode(raw, number)["name"] == text


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_text_without_surrogates_is_decoded_unchanged(text: str) -> None:
    assert decode(line(4, "text", text=text), 4)["text"] == text


# --- foreign lines ------------------------------------------------------------------------------

FOREIGN = {
    "empty": b"",
    "prose": b"hello world",
    "other json": b'{"a":1}',
    "a number": b"4",
    "no time": b'{"id":4,"kind":"text","turn":2,"text":""}',
    "the number of another line": line(5, "text")[:-1],
    "a number with a sign": line(4, "text")[:-1].replace(b'"id":4', b'"id":+4'),
    "a number with a zero": line(4, "text")[:-1].replace(b'"id":4', b'"id":04'),
    "torn": line(4, "text")[:-9],
    "two objects": line(4, "text")[:-1] + b"{}",
    "text after the object": line(4, "text")[:-1] + b" # mine",
    "bad utf-8": line(4, "text", text="?")[:-1].replace(b"?", b"\xff"),
    "an encoded surrogate": line(4, "text", text="?")[:-1].replace(b"?", b"\xed\xa0\x80"),
    "a raw NUL": line(4, "text", text="?")[:-1].replace(b"?", b"\0"),
    "a raw tab": line(4, "text", text="?")[:-1].replace(b"?", b"\t"),
    "CRLF": line(4, "text")[:-1] + b"\r",
    "NaN": line(4, "result", cost_usd=1)[:-1].replace(b'usd":1', b'usd":NaN'),
    "a second id": line(4, "text")[:-2] + b',"id":9}',
    "a second id that is no integer": line(4, "text")[:-2] + b',"id":4.0}',
    "a second kind": line(4, "text")[:-2] + b',"kind":"error"}',
    "a second ts": line(4, "text")[:-2] + b',"ts":0}',
    "endless nesting": line(4, "text", text="?")[:-1].replace(b'"?"', b"[" * 100_000),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_line_that_is_no_event_of_its_number_is_foreign_and_keeps_the_number(name: str) -> None:
    event = decode(FOREIGN[name] + b"\n", 4)
    assert (event["id"], event["kind"]) == (4, "foreign")
    assert event["text"][:40] == FOREIGN[name].decode(errors="replace").rstrip("\r")[:40]
    json.dumps(event, ensure_ascii=False).encode()


@pytest.mark.parametrize("inside", [b"", b'2026","kind":"text', b'","kind":"text","turn":[,}'])
def test_a_line_that_only_begins_and_ends_like_an_event_is_sent_but_decoded_as_foreign(inside: bytes) -> None:
    raw = b'{"id":4,"ts":"' + inside + b"}\n"
    assert events.is_ours(raw, 4)
    assert decode(raw, 4)["kind"] == "foreign"


def test_a_repaired_event_may_be_padded_with_spaces() -> None:
    raw = line(4, "repaired")[:-1] + b"      \n"
    assert events.is_ours(raw, 4)
    assert decode(raw, 4)["kind"] == "repaired"


def test_an_escaped_surrogate_of_a_foreign_writer_is_replaced() -> None:
    raw = line(4, "text", text="?").replace(b"?", rb"a\ud800b \ud83d\ude00 \\ud800")
    assert decode(raw, 4)["text"] == "a\ufffdb 😀 \\ud800"


def test_a_foreign_line_is_cut_at_64_kib() -> None:
    event = decode(b"x" * 100_000 + b"\n", 1)
    assert event["text"] == "x" * events.MAX_FOREIGN


@given(st.binary(), st.integers(1, 10**18))
def test_any_bytes_decode_to_an_event_of_their_number(raw: bytes, number: int) -> None:
    assert decode(raw, number)["id"] == number


# --- clip ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "limit", "kept", "left"),
    [
        ("", 0, "", 0),
        ("abc", 3, "abc", 0),
        ("abc", 2, "ab", 1),
        ("abc", 0, "", 3),
        ("é", 1, "", 2),
        ("aé", 2, "a", 2),
        ("aéb", 3, "aé", 1),
        ("😀😀", 7, "😀", 4),
    ],
)
def test_clip_cuts_bytes_and_splits_no_character(text: str, limit: int, kept: str, left: int) -> None:
    assert clip(text, limit) == (kept, left)


@given(ODD_TEXT, st.integers(0, 40))
def test_clip_never_exceeds_the_limit_and_counts_every_byte_left_out(text: str, limit: int) -> None:
    kept, left = clip(text, limit)
    size = len(kept.encode(errors="replace"))
    assert size + left == len(text.encode(errors="replace"))
    assert size <= limit
