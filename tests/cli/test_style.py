"""Text for a terminal is inert, whatever it was made of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakglass.cli.style import clean, cut, duration, one_line, paint

STEERING = [
    chr(code) for code in (*range(32), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
]


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
        ("\x1b]0;never ended\nnext line", "0;never ended\nnext line"),
        ("cut \x1b", "cut "),
        ("cut \x1b[31", "cut 31"),
        ("[31m", "[31m"),
        ("\x9b31mred\x9d0;title\x9c", "31mred0;title"),
        ("a\rb", "a\nb"),
        ("a\r\nb\r\n", "a\nb\n"),
        ("bell\a back\b del\x7f nul\0 form\f vertical\v", "bell back del nul form vertical"),
        ("if admin\u202e \u2066// check\u2069", "if admin // check"),
    ],
)
def test_what_a_terminal_would_obey_is_gone_and_the_words_stay(text: str, shown: str) -> None:
    assert clean(text) == shown


@given(
    st.text(alphabet=st.one_of(st.sampled_from([*STEERING, *"[]();0m\\P_^X"]), st.characters(codec="utf-8")))
)
def test_nothing_steers(text: str) -> None:
    assert not set(clean(text)) & set(STEERING) - {"\t", "\n"}
    assert not set(one_line(text)) & set(STEERING)
    assert clean(clean(text)) == clean(text) or "\x1b" in text


def test_many_beginnings_of_sequences_cost_no_more_than_their_length() -> None:
    for piece in ("\x1b]", "\x1b[", "\x1b[0;", "\x1bP", "\x1b ", "\x1b]x\x1b"):
        assert len(clean(piece * 200_000)) <= 600_000


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [("short", 5, "short"), ("longer", 5, "long…"), ("longer", 1, "…"), ("longer", 0, "…"), ("", 0, "")],
)
def test_a_cut_shows_that_it_was_cut(text: str, limit: int, shown: str) -> None:
    assert cut(text, limit) == shown


def test_one_line_is_one_line() -> None:
    assert one_line("  a\n\tb\r\nc \x1b[0m d\u2028e ") == "a b c d e"
    assert one_line("x" * 10_000_000, 10) == "x" * 9 + "…"


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [
        (0, "0 ms"),
        (999, "999 ms"),
        (1000, "1.0 s"),
        (59_949, "59.9 s"),
        (60_000, "1 min 0 s"),
        (3_599_999, "59 min 59 s"),
        (3_600_000, "1 h 0 min"),
        (90_000_000, "25 h 0 min"),
    ],
)
def test_a_duration_is_said_as_a_person_would(milliseconds: int, words: str) -> None:
    assert duration(milliseconds) == words


def test_paint_colours_nothing_where_there_are_no_colours() -> None:
    assert paint("x", "wrong", colours=False) == "x"
    assert paint("x", "wrong", colours=True) == "\x1b[31mx\x1b[0m"
    assert paint("", "wrong", colours=True) == ""
    assert paint("x", "prose", colours=True) == "x"
