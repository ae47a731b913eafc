"""A query finds words as a person writes them. No line that matches is left out by the search in bytes."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakglass import events
from breakglass.errors import BadInput
from breakglass.query import Excerpt, Query, fold, parse_since

TS = "2026-11-29T03:00:00.000Z"
Writer = Callable[..., bytes]


def ours(number: int, kind: str = "text", **fields: Any) -> bytes:
    return events.encode(number, TS, kind, {"turn": 2, **fields})


def escaping(number: int, kind: str = "text", **fields: Any) -> bytes:
    """A line of another program, which escapes everything beyond ASCII."""
    event = {"id": number, "ts": TS, "kind": kind, "turn": 2, **fields}
    return json.dumps(event, separators=(",", ":")).encode() + b"\n"


def found_by(words: str, line: bytes) -> bool:
    """Return whether a query matches the line. Fail if its bytes do not make it a candidate and it matches."""
    query = Query(words)
    matches = query.excerpt(events.decode(line, 7)) is not None
    is_candidate = query.candidates(ours(6, text="") + line) != []
    assert is_candidate or not matches
    return matches and is_candidate


FOUND = [
    ("a word", "The disk is full.", "disk"),
    ("a part of a word", "diskspace", "ksp"),
    ("every word, anywhere", "The disk is full.", "full disk"),
    ("a phrase", "no space left on device", '"space left"'),
    ("a phrase without its end", "no space left on device", '"space left'),
    ("another case", "No Space LEFT", "nO spACe left"),
    ("a phrase over a line's end", "no space\nleft", '"space left"'),
    ("a phrase over white space", "no space \t\r\n left", '"space left"'),
    ("words beside an escaped quote", 'say "hi" twice', 'say hi "hi'),
    ("a backslash", "C:\\Temp\\new", "\\temp\\new"),
    ("a slash", "/etc/nginx", "/etc/nginx"),
    ("what looks like an escape", "C:\\new", "\\new"),
    ("an umlaut", "Die Größe", "größe"),
    ("an umlaut in capitals", "GRÖSSE", "größe"),
    ("a sharp s as two", "Straße", "STRASSE"),
    ("two s as a sharp one", "strasse", "straße"),
    ("a composed accent", "caf\u00e9", "cafe\u0301"),
    ("a decomposed accent", "cafe\u0301", "caf\u00e9"),
    ("a decomposed capital", "U\u0308bung", "übung"),
    ("Cyrillic", "Диск ПОЛОН", "диск полон"),
    ("a final sigma", "ΣΊΣΥΦΟΣ", "σίσυφος"),
    ("a ligature", "con\ufb01g", "config"),
    ("the Kelvin sign", "300 \u212aelvin", "kelvin"),
    ("a long s", "con\u017ftant", "constant"),
    ("no letters", "日本語のログ", "本語"),
    ("beyond the first plane", "done 😀", "😀"),
    ("a terminal's escape", "\x1b[31mred\x1b[0m", "31mred"),
    ("a separator that lines may break at", "a\u2028b", '"a b"'),
    ("a pattern's characters", "a.*b[c](d)$", ".*b[c](d)$"),
]


@pytest.mark.parametrize(("text", "words"), [case[1:] for case in FOUND], ids=[case[0] for case in FOUND])
@pytest.mark.parametrize("written", [ours, escaping])
def test_words_are_found_as_a_person_writes_them(written: Writer, text: str, words: str) -> None:
    assert found_by(words, written(7, text=f"{'before ' * 30}{text} after"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("disk", "disc"),
        ("left no space", '"space left"'),
        ("disk", "disk full"),
        ("a.b", "a\\.b"),
        ("new\nline", "new\\nline"),
        ("grosse", "große0"),
    ],
)
def test_other_texts_are_not_found(text: str, words: str) -> None:
    assert not found_by(words, ours(7, text=text))


def test_all_texts_of_an_event_are_searched_but_not_its_keys_time_and_kind() -> None:
    line = ours(
        7, "tool", tool_id="t", name="Bash", input={"command": "df", "list": [{"deep": "inside"}], "n": 7}
    )
    assert found_by("df bash inside", line)
    for words in ("command", "input", "tool_id", "2026-11", "tool"):
        assert not found_by(words, line)


def test_a_foreign_line_is_searched_as_it_is() -> None:
    assert found_by("hello world", b"Hello from\tthe World \xff\n")


@given(st.text(min_size=1, max_size=12), st.text(max_size=5), st.sampled_from([ours, escaping]), st.data())
def test_no_line_that_matches_is_left_out(
    word: str, around: str, written: Writer, data: st.DataObject
) -> None:
    word = word.encode(errors="ignore").decode()
    shown = data.draw(st.sampled_from([word, word.lower(), word.upper(), word.title(), word.casefold()]))
    try:
        found_by(f'"{word}', written(7, text=f"{around} {shown}{around}"))
    except BadInput:
        assert not fold(word.partition('"')[0])


@pytest.mark.parametrize(
    ("text", "words", "excerpt"),
    [
        ("the disk is full", "disk", Excerpt("the disk is full", 4, 8)),
        ("a\n\n b", '"a b"', Excerpt("a b", 0, 3)),
        ("Die Straße dort", "STRASSE dort", Excerpt("Die Straße dort", 4, 10)),
        ("x" * 100 + "word" + "y" * 100, "word", Excerpt("…" + "x" * 80 + "word" + "y" * 80 + "…", 81, 85)),
    ],
)
def test_the_text_around_the_first_word_is_shown_on_one_line(text: str, words: str, excerpt: Excerpt) -> None:
    assert Query(words).excerpt(events.decode(ours(7, text=text), 7)) == excerpt


@pytest.mark.parametrize("words", ["", "  ", '""', '"', "x" * 1001])
def test_a_search_without_a_word_or_with_too_many_is_refused(words: str) -> None:
    with pytest.raises(BadInput):
        Query(words)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(BadInput, match="kind"):
        Query("a", kind="weather")


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("2026-11-29", "2026-11-29T00:00:00.000Z"),
        ("2026-11-29T03:00", "2026-11-29T03:00:00.000Z"),
        ("2026-11-29T03:00:00+02:00", "2026-11-29T01:00:00.000Z"),
        ("90s", "1970-01-01T23:58:30.000Z"),
        ("2h", "1970-01-01T22:00:00.000Z"),
        ("1d", "1970-01-01T00:00:00.000Z"),
    ],
)
def test_a_time_is_a_date_a_time_or_an_age(text: str, since: str) -> None:
    assert parse_since(text, 86_400) == since


@pytest.mark.parametrize("text", ["", "yesterday", "7", "-1d", "2026-13-01", "1y"])
def test_any_other_time_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        parse_since(text, 86_400)
