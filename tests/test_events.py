"""Event lines follow the contract for any text of an agent, and `fold` computes the right state from them."""

import json
import subprocess
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakglass import events
from breakglass.events import KINDS, SYNCED, Draft, clip, decode, encode
from breakglass.state import FOLDED, OpenQuestion, QueuedPrompt, SessionState, fold
from tests.help.logs import SAMPLES, TS, decoded, fold_all, line, log_of

ODD_TEXT = st.text(
    st.sampled_from('a"\\/{}[]:,\0\t\n\r\x1b\x7f\x80\x85\x9b\u2028\u2029\ud800\udfff\ufeff\ufffe😀é')
    | st.characters(codec=None)
)
"""Any text, often with lone surrogates, NUL, C1 controls and line separators."""

NUMBERS = st.integers() | st.floats(allow_nan=True, allow_infinity=True)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | ODD_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ODD_TEXT, inner, max_size=4),
    max_leaves=20,
)


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
    assert set(KINDS) >= SYNCED


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


# --- the state -----------------------------------------------------------------------------------

NEW: Draft = ("created", {})
HISTORIES: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "nothing": ([], {"last_id": 0, "status": "new", "turn": None}),
    "created": ([NEW], {"agent": "shell", "model": None, "title": "A title", "created": TS, "last_id": 1}),
    "a turn runs": (
        [NEW, ("user", {"turn": 2}), ("delta", {})],
        {"turn": 2, "last_turn": 2, "status": "running", "first_prompt": "ls", "last_id": 3},
    ),
    "a turn ended": (
        [NEW, ("user", {}), ("turn_end", {"status": "error"})],
        {"turn": None, "last_turn": 2, "status": "error"},
    ),
    "a person stops the turn": (
        [NEW, ("user", {}), ("cancelled", {})],
        {"turn": 2, "status": "running", "cancelled": True},
    ),
    "a stop does not affect the next turn": (
        [NEW, ("user", {}), ("cancelled", {}), ("turn_end", {"status": "cancelled"}), ("user", {"turn": 5})],
        {"turn": 5, "status": "running", "cancelled": False},
    ),
    "a stop after the end": (
        [NEW, ("user", {}), ("turn_end", {}), ("cancelled", {})],
        {"turn": None, "cancelled": False, "status": "ok"},
    ),
    "the end of another turn": (
        [NEW, ("user", {}), ("turn_end", {"turn": 1})],
        {"turn": 2, "status": "running"},
    ),
    "a second end": (
        [NEW, ("user", {}), ("turn_end", {}), ("turn_end", {"status": "lost"})],
        {"turn": None, "status": "ok"},
    ),
    "the number of a turn is the number of its line": (
        [NEW, ("user", {"turn": 77})],
        {"turn": 2, "last_turn": 2},
    ),
    "renamed and archived": (
        [NEW, ("renamed", {}), ("archived", {})],
        {"title": "Another", "archived": True, "last_id": 3},
    ),
    "taken out of the archive": (
        [NEW, ("archived", {}), ("archived", {"archived": False})],
        {"archived": False},
    ),
    "the first prompt stays": (
        [NEW, ("user", {"text": "one"}), ("turn_end", {}), ("user", {"turn": 4, "text": "two"})],
        {"first_prompt": "one"},
    ),
    "the cost of the agent's session and of all turns": (
        [
            *(NEW, ("user", {}), ("session", {"session_id": "a"}), ("result", {"cost_usd": 1})),
            *(("turn_end", {}), ("user", {"turn": 6}), ("session", {"session_id": "a"})),
            *(("result", {"cost_usd": 2}), ("turn_end", {"turn": 6}), ("user", {"turn": 10})),
            *(("session", {"session_id": "b"}), ("result", {"cost_usd": 4}), ("result", {"cost_usd": None})),
        ],
        {"cost": 7.0, "agent_cost": 4.0, "agent_session": "b"},
    ),
    "queued prompts keep their order": (
        [NEW, ("user", {}), ("queued", {"text": "x" * 300}), ("queued", {"text": "two"})],
        {"queued": (QueuedPrompt(3, "x" * 200), QueuedPrompt(4, "two")), "turn": 2},
    ),
    "a prompt whose turn began or that was withdrawn is not in the queue": (
        [
            *(NEW, ("user", {}), ("queued", {}), ("queued", {}), ("queued", {"text": "three"})),
            *(("withdrawn", {"queued": 4}), ("turn_end", {}), ("user", {"queued": 3, "turn": 8})),
        ],
        {"queued": (QueuedPrompt(5, "three"),), "turn": 8},
    ),
    "the queue survives a lost turn": (
        [NEW, ("user", {}), ("queued", {"text": "q"}), ("turn_end", {"status": "lost"})],
        {"queued": (QueuedPrompt(3, "q"),), "turn": None},
    ),
    "a question is open until the first answer": (
        [NEW, ("user", {}), ("permission", {}), ("permission", {"request": "r-2"}), ("answer", {})],
        {"asking": (OpenQuestion(4, "r-2", "Bash", TS),), "allowed": ("Bash",)},
    ),
    "a tool is allowed for the session by the first answer only": (
        [NEW, ("user", {}), ("permission", {}), ("answer", {"allow": False}), ("answer", {})],
        {"asking": (), "allowed": ()},
    ),
    "permission for one call does not allow the tool for the session": (
        [NEW, ("user", {}), ("permission", {}), ("answer", {"for_session": None})],
        {"asking": (), "allowed": ()},
    ),
    "an answer without a question allows no tool": ([NEW, ("user", {}), ("answer", {})], {"allowed": ()}),
    "a stop closes the questions": (
        [NEW, ("user", {}), ("permission", {}), ("cancelled", {}), ("answer", {})],
        {"asking": (), "allowed": ()},
    ),
    "the end of a turn closes its questions, and allowed tools stay allowed": (
        [
            *(NEW, ("user", {}), ("permission", {}), ("answer", {}), ("permission", {"request": "r-2"})),
            *(("turn_end", {}), ("user", {"turn": 7})),
        ],
        {"asking": (), "allowed": ("Bash",)},
    ),
    "foreign lines only change the number of the last line": (
        [NEW, b"hello", b""],
        {"last_id": 3, "updated": TS, "agent": "shell"},
    ),
    "events with missing or wrong values are ignored": (
        [
            NEW,
            line(2, "result", cost_usd="much")[:-1],
            line(3, "user", text=5)[:-1],
            line(4, "cancelled")[:-1].replace(b',"turn":2', b""),
            line(5, "result", cost_usd=10**400)[:-1],
            line(6, "result", cost_usd="nan")[:-1],
            line(7, "renamed", title=5)[:-1],
            line(8, "created", agent=["a"])[:-1],
            line(9, "archived", archived="no")[:-1],
        ],
        {"cost": 0.0, "turn": None, "title": "A title", "agent": "shell", "archived": False, "last_id": 9},
    ),
    "kinds of a later version are ignored": (
        [NEW, line(2, "error")[:-1].replace(b'"error",', b'"novel",')],
        {"last_id": 2, "status": "new"},
    ),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_a_history_gives_the_expected_state(name: str) -> None:
    drafts, expected = HISTORIES[name]
    state = fold_all(decoded(log_of(drafts)))
    assert {key: getattr(state, key) for key in expected} == expected


@pytest.mark.parametrize("name", HISTORIES)
def test_folding_a_history_in_two_parts_gives_the_same_state(name: str) -> None:
    history = decoded(log_of(HISTORIES[name][0]))
    whole = fold_all(history)
    assert all(fold_all(history[cut:], fold_all(history[:cut])) == whole for cut in range(len(history) + 1))


def is_well_typed(state: SessionState) -> bool:
    """Return whether every value in a state has its declared type, nested values too."""
    try:
        return bool(msgspec.convert(msgspec.to_builtins(state), SessionState) == state)
    except msgspec.ValidationError:
        return False


WRONG_VALUES: list[Any] = [None, True, 5, 0.5, 10**400, float("inf"), "much", ["a"], {"a": 1}]
RUNNING = [("created", {}), ("user", {"queued": None}), ("queued", {"key": None}), ("permission", {})]


@pytest.mark.parametrize("kind", sorted(FOLDED))
def test_a_value_of_a_wrong_type_never_gets_into_a_state(kind: str) -> None:
    before = fold_all(decoded(log_of(RUNNING)))
    for key in SAMPLES[kind]:
        for value in WRONG_VALUES:
            event = {"id": 5, "ts": TS, "kind": kind, **SAMPLES[kind], key: value}
            assert is_well_typed(fold(before, event)), (key, value)


def test_a_queued_event_without_by_is_ignored() -> None:
    without_by = line(3, "queued")[:-1].replace(b'"by":"ann",', b"")
    assert fold_all(decoded(log_of([NEW, ("user", {}), without_by]))).queued == ()


@given(
    st.lists(JSON.filter(lambda value: isinstance(value, dict)), max_size=5), st.sampled_from(sorted(KINDS))
)
def test_fold_accepts_events_of_any_shape(fields: list[dict[str, Any]], kind: str) -> None:
    history = [{**each, "id": number, "kind": kind, "ts": TS} for number, each in enumerate(fields, 1)]
    assert fold_all(history).last_id == len(history)
    assert is_well_typed(fold_all(history))
