"""Text for users: dangerous characters are made visible, texts are cut, and numbers and states are formatted."""

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakglass.text import (
    age,
    context_share,
    cut,
    duration,
    heading,
    money,
    one_line,
    plain,
    size,
    status_sign,
    token_counts,
    turn_outcome,
    visible,
)

DANGEROUS = [chr(code) for code in (*range(32), *range(0x7F, 0xA0), 0xAD, 0x61C, 0x2028, 0x2029, 0xFEFF)] + [
    chr(code) for code in (*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xE0041)
]
"""Characters that act on a terminal, change the reading direction or are invisible. Tab and newline are allowed."""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("tab\tand\nnewline", "tab\tand\nnewline"),
        ("a form's\r\nnewline", "a form's\nnewline"),
        ("\u202egpj.exe", "\u27e8U+202E\u27e9gpj.exe"),
        ("zero\u200bwidth\ufeff", "zero\u27e8U+200B\u27e9width\u27e8U+FEFF\u27e9"),
        ("\x00\x1b\x7f\x85", "\u2400\u241b\u27e8U+007F\u27e9\u27e8U+0085\u27e9"),
        ("\ud83d", "\ufffd"),
        ("ls\U000e0026\U000e0026", "ls\u27e8U+E0026\u27e9\u27e8U+E0026\u27e9"),
        ("a\u2028b\u2029c", "a\u27e8U+2028\u27e9b\u27e8U+2029\u27e9c"),
        (
            "soft\xadhyphen \u061c\u200f\u2060",
            "soft\u27e8U+00AD\u27e9hyphen \u27e8U+061C\u27e9\u27e8U+200F\u27e9\u27e8U+2060\u27e9",
        ),
        ("\U0001f469\u200d\U0001f4bb", "\U0001f469\u27e8U+200D\u27e9\U0001f4bb"),
        ("filler\u3164 selector\U000e0100", "filler\u27e8U+3164\u27e9 selector\u27e8U+E0100\u27e9"),
        ("rm\ufe0f -rf\ufe0e /", "rm\u27e8U+FE0F\u27e9 -rf\u27e8U+FE0E\u27e9 /"),
        ("\u2714\ufe0f\ufe0f", "\u2714\ufe0f\u27e8U+FE0F\u27e9"),
        ("1\ufe0f 1\ufe0f\u20e3", "1\u27e8U+FE0F\u27e9 1\ufe0f\u20e3"),
        ("ls\u2800-l \U0001d159", "ls\u27e8U+2800\u27e9-l \u27e8U+1D159\u27e9"),
        ("\ufdd0\uffff", "\u27e8U+FDD0\u27e9\u27e8U+FFFF\u27e9"),
        ("\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd \u65e5\u672c\u8a9e \u2714\ufe0f", None),
    ],
)
def test_each_invisible_character_becomes_a_mark(text: str, shown: str | None) -> None:
    assert visible(text) == (text if shown is None else shown)


def test_every_control_and_format_character_of_unicode_becomes_a_mark() -> None:
    hidden = [
        chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) in ("Cc", "Cf", "Zl", "Zp")
    ]
    assert [char for char in hidden if visible(char) == char] == ["\t", "\n"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\n日本語 🚪 é", "plain\ttext\n日本語 🚪 é"),
        ("\x1b[1;31mred\x1b[0m \x1b[2K\x1b[10;20H\x1b[?25l", "red "),
        ("\x1b[38:2::255:0:0mtrue colour", "true colour"),
        ("\x1b]0;a title\x07after", "after"),
        ("\x1b]0;a title\x1b\\after", "after"),
        ("\x1b]52;c;ZXZpbA==\x07", ""),
        ("\x1b]8;;http://evil.example\x1b\\a link\x1b]8;;\x1b\\", "a link"),
        ("\x1bP1$r0m\x1b\\ \x1b_apc\x1b\\ \x1b^pm\x1b\\ \x1bXsos\x1b\\.", "   ."),
        ("\x1b(0lqk\x1b(B \x1bc \x1b7\x1b8 \x1b#8", "lqk   "),
        ("\x1b]0;never ended\nnext line", "\nnext line"),
        ("cut \x1b", "cut "),
        ("cut \x1b[31", "cut "),
        ("[31m", "[31m"),
        ("\x9b31mred\x9d0;title\x9c", "red"),
        ("a\rb", "a\nb"),
        ("a\r\nb\r\n", "a\nb\n"),
        ("bell\a nul\0", "bell\u2407 nul\u2400"),
        ("if admin\u202e \u2066// check", "if admin\u27e8U+202E\u27e9 \u27e8U+2066\u27e9// check"),
    ],
)
def test_plain_output_has_no_escapes_and_shows_hidden_characters(text: str, shown: str) -> None:
    assert plain(text) == shown


@given(st.text(st.one_of(st.sampled_from([*DANGEROUS, *"[]();0m\\P_^X"]), st.characters(codec="utf-8"))))
def test_no_dangerous_character_survives(text: str) -> None:
    assert not set(visible(text)) & set(DANGEROUS) - {"\t", "\n"}
    assert not set(plain(text)) & set(DANGEROUS) - {"\t", "\n"}
    assert not set(one_line(text)) & set(DANGEROUS)


def test_an_escape_in_one_line_stays_visible() -> None:
    assert one_line("rm -rf / \x1b[2K\x1b[1Gls") == "rm -rf / \u241b[2K\u241b[1Gls"


def test_unfinished_escapes_take_time_in_proportion_to_their_length() -> None:
    for piece in ("\x1b]", "\x1b[", "\x1b[0;", "\x1bP", "\x1b ", "\x1b]x\x1b"):
        assert len(plain(piece * 200_000)) <= 600_000


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        ("short", 5, "short"),
        ("longer", 5, "long…"),
        ("longer", 1, "…"),
        ("longer", 0, "…"),
        ("", 0, ""),
        ("a bcd", 3, "a …"),
    ],
)
def test_a_cut_text_ends_with_an_ellipsis(text: str, limit: int, shown: str) -> None:
    assert cut(text, limit) == shown


def test_one_line_folds_white_space_and_cuts() -> None:
    assert one_line("  a\n\tb\r\nc  d ") == "a b c d"
    assert one_line("one two three", 9) == "one two \u2026"
    assert one_line("one two", 7) == "one two"
    assert one_line("x" * 10_000_000, 10) == "x" * 9 + "…"


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "0 ms"),
        (999, "999 ms"),
        (1000, "1.0 s"),
        (1_150, "1.2 s"),
        (1_250, "1.3 s"),
        (9_940, "9.9 s"),
        (9_960, "10 s"),
        (12_500, "13 s"),
        (14_000, "14 s"),
        (59_949, "1 min 0 s"),
        (200_000, "3 min 20 s"),
        (3_599_400, "59 min 59 s"),
        (3_600_000, "1 h 0 min"),
        (90_000_000, "25 h 0 min"),
    ],
)
def test_a_duration_has_a_suitable_unit(milliseconds: float, text: str) -> None:
    assert duration(milliseconds) == text


@pytest.mark.parametrize(
    ("ts", "text"),
    [
        ("2026-11-23T11:59:58.500Z", "now"),
        ("2026-11-23T11:48:00.000Z", "12 min"),
        ("2026-11-23T09:00:00.000Z", "3 h"),
        ("2026-10-14T12:00:00.000Z", "40 d"),
        ("2026-11-23T12:00:09.000Z", "now"),
        ("yesterday", ""),
        ("2026-11-23T12:00:00", ""),
        ("", ""),
    ],
)
def test_an_age_has_its_largest_unit(ts: str, text: str) -> None:
    assert age(ts, "2026-11-23T12:00:00.000Z") == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (186_400, "182 KB"), (3_355_443, "3.2 MB"), (5 << 30, "5.0 GB")],
)
def test_a_size_has_a_suitable_unit(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(("dollars", "text"), [(0, "$0.00"), (0.0042, "$0.0042"), (1.2, "$1.20")])
def test_an_amount_of_money_has_two_or_four_decimals(dollars: float, text: str) -> None:
    assert money(dollars) == text


@pytest.mark.parametrize(
    ("usage", "text"),
    [
        ({"input_tokens": 10, "cache_read_input_tokens": 12_290, "output_tokens": 999}, "12.3k in, 999 out"),
        ({"inputTokens": 10, "outputTokens": 7, "totalTokens": 17}, "10 in, 7 out"),
        ({"input_tokens": 102_000, "output_tokens": 1_940}, "102k in, 1.9k out"),
        ({"input_tokens": 5, "inputTokens": 7}, "5 in, 0 out"),
        ({"input_tokens": "many", "inputTokens": 7}, "7 in, 0 out"),
        ({"input_tokens": "many"}, ""),
        ({"input_tokens": 1 << 53, "output_tokens": -1, "cache_read_input_tokens": True}, ""),
        ({"other_input_tokens": 5}, ""),
        ({}, ""),
        (None, ""),
        ([1], ""),
    ],
)
def test_token_counts_are_found_in_either_spelling(usage: Any, text: str) -> None:
    assert token_counts(usage) == text


@pytest.mark.parametrize(
    ("context", "shown"),
    [
        ({"used": 17, "size": 1_000_000}, "0 %"),
        ({"used": 123, "size": 200}, "62 %"),
        ({"used": 1, "size": 0}, ""),
        ({"used": True, "size": 2}, ""),
        ({"used": 1}, ""),
        ([], ""),
        (None, ""),
    ],
)
def test_the_used_part_of_a_context_is_shown_only_if_both_numbers_are_known(context: Any, shown: str) -> None:
    assert context_share(context) == shown


def test_an_unknown_status_is_shown_as_a_failure_under_its_own_name() -> None:
    assert status_sign("of another version") == ("✗", "of another version")
    assert status_sign("ok") == ("✓", "done")


@pytest.mark.parametrize(
    ("title", "first_prompt", "shown"),
    [
        ("a title", "a prompt", "a title"),
        ("", "first\n words\t here\r\n\n", "first \u23ce words here"),
        ("", "x" * 100, "x" * 79 + "\u2026"),
        ("", "", ""),
    ],
)
def test_the_heading_is_the_title_or_else_the_first_prompt_with_its_line_breaks(
    title: str, first_prompt: str, shown: str
) -> None:
    assert heading(title, first_prompt) == shown


@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        (("ok", None, None), ("ok", "")),
        (("ok", 1, None), ("refused", "1 refused")),
        (("ok", None, 2), ("refused", "2 unanswered")),
        (("cancelled", 1, 2), ("cancelled", "1 refused, 2 unanswered")),
        (("ok", "many", -1), ("ok", "")),
    ],
)
def test_a_turn_with_a_refused_or_unanswered_question_is_not_done(
    end: tuple[str, object, object], outcome: tuple[str, str]
) -> None:
    assert turn_outcome(*end) == outcome
