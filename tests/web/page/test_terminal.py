"""Terminal output is shown as a terminal would show it, and nothing in it acts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakglass.text import strip_escapes
from breakglass.web.page.terminal import fold, terminal
from tests.help.html_check import check_html

SHOWN = {
    "plain & <b>": "plain &amp; &lt;b&gt;",
    "\x1b[31mred\x1b[0m": '<span class="a1">red</span>',
    "\x1b[1;4;92mok\x1b[m": '<span class="bold underline a10">ok</span>',
    "\x1b[31mone\ntwo\x1b[0m": '<span class="a1">one</span>\n<span class="a1">two</span>',
    "\x1b[38;5;196mred\x1b[39m": '<span class="a1">red</span>',
    "\x1b[38;2;255;0;0mred\x1b[0m": '<span class="a1">red</span>',
    "\x1b[7mturned\x1b[0m": '<span class="a0 k7">turned</span>',
    "\x9b31mred\x9b0m": '<span class="a1">red</span>',
    "\x1b[31m<script>\x1b[0m": '<span class="a1">&lt;script&gt;</span>',
    "\x1b[8mhidden\x1b[0m": "hidden",
    "10 %\r50 %\r100 %\n": "100 %\n",
    "done\r\n": "done\n",
    "b\bbo\bol\bld\bd": "bold",
    "\x1b[2J\x1b[H\x1b[?25lx\x1b[3A": "x",
    "\x1b]0;title\x07x": "x",
    "\x1b]8;;javascript:alert(1)\x1b\\click\x1b]8;;\x1b\\": "click",
    "\x1b]52;c;ZXZpbA==\x07x": "x",
    "\x1b]52;c;never ended\nx": "\nx",
    "\x1bPq#0\x1b\\x\x1b_app\x1b\\\x1b^pm\x07": "x",
    "\x1b(Bx\x1b=": "x",
    "x\x1b": "x",
    "x\x1b[": "x",
    "x\x1b[31": "x",
    "\x1b[31;\u0661mx": "\u0661mx",
    "bell\x07 nul\x00": "bell\u2407 nul\u2400",
}


@pytest.mark.parametrize("text", SHOWN)
def test_a_terminal_shows(text: str) -> None:
    assert str(terminal(text)) == SHOWN[text]


@given(st.text(alphabet=st.sampled_from('\x1b\x9b\x9d\x07\\[]();?m0134578<"&x\n\r\b '), max_size=60))
def test_no_escape_and_no_markup_survives(text: str) -> None:
    html = str(terminal(text))
    assert not set("\x1b\x9b\x9d\x07\b\r") & set(html)
    assert set(check_html(html).tags) <= {"span"}
    assert "\x1b" not in strip_escapes(text)


def test_hostile_output_takes_linear_time() -> None:
    hostile = ["\x1b" * 1_000_000, "\x1b[" * 500_000, "\x1b]" * 500_000, "\x1b[1" * 300_000, "\b" * 1_000_000]
    for text in hostile:
        assert len(terminal(text)) <= len(text)


def test_a_long_text_is_folded_at_line_ends_and_keeps_its_end() -> None:
    text = "".join(f"line {number}\n" for number in range(5000))
    head, size, tail = fold(text, whole=False)
    assert size == len(text)
    assert text.startswith(head)
    assert head.endswith("\n")
    assert text.endswith("\n" + tail)
    assert fold(text, whole=True) == (text, 0, "")
    assert fold("\u20ac" * 10_000, whole=False).size == 30_000
