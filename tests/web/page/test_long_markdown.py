"""Long answers are rendered block by block; bare addresses are links, tasks have signs, and notes numbers."""

import re
import time
from html import unescape

import pytest

from breakglass.web.page import budget
from breakglass.web.page.long_markdown import MAX_MARKDOWN, long_markdown
from breakglass.web.page.markdown import markdown

REST = ' target="_blank" rel="noopener noreferrer">'
MADE = {
    "see https://x.example/a_b?c=1&d=2.": f'<p>see <a href="https://x.example/a_b?c=1&amp;d=2"{REST}'
    "https://x.example/a_b?c=1&amp;d=2</a>.</p>\n",
    "(https://x.example/a_(b))": f'<p>(<a href="https://x.example/a_(b)"{REST}https://x.example/a_(b)</a>)</p>\n',
    "https://a.example http://b.example": f'<p><a href="https://a.example"{REST}https://a.example</a> '
    f'<a href="http://b.example"{REST}http://b.example</a></p>\n',
    "`https://x.example`": "<p><code>https://x.example</code></p>\n",
    "[https://y.example](https://x.example)": f'<p><a href="https://x.example"{REST}https://y.example</a></p>\n',
    "**https://x.example**": f'<p><strong><a href="https://x.example"{REST}https://x.example</a></strong></p>\n',
    "javascript://x.example": "<p>javascript://x.example</p>\n",
    "https://": "<p>https://</p>\n",
    "- [ ] open\n- [x] done\n- [y] neither": "<ul>\n<li>\u2610 open</li>\n<li>\u2611 done</li>\n"
    "<li>[y] neither</li>\n</ul>\n",
    "[ ] no list": "<p>[ ] no list</p>\n",
    "http://[fe80::1]/ http://db_1:80/": f'<p><a href="http://[fe80::1]/"{REST}http://[fe80::1]/</a> '
    f'<a href="http://db_1:80/"{REST}http://db_1:80/</a></p>\n',
    "full[^d].\n\n[^d]: See **df**.": "<p>full<sup>d</sup>.</p>\n"
    '<ul class="fn"><li><sup>d</sup> <p>See <strong>df</strong>.</p>\n</li></ul>\n',
    "[^<b>]: no sign": '<ul class="fn"><li><sup>&lt;b&gt;</sup> <p>no sign</p>\n</li></ul>\n',
    "no note[^x]": "<p>no note[^x]</p>\n",
}
BLOCK = "## Part\n\nSome **text**:\n\n* one\n* two\n\n```sh\ndf -h\n\ndu\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n"


@pytest.mark.parametrize("text", MADE)
def test_markdown_makes_links_and_signs_of(text: str) -> None:
    assert str(markdown(text)) == MADE[text]


def test_a_long_answer_is_rendered_by_block_and_folded_in_the_middle() -> None:
    text = BLOCK * 1_200
    part = long_markdown(text, whole=False)
    assert part.size == len(text)
    assert 0 < part.head.count("<h3>Part</h3>") < 200
    assert 0 < part.tail.count("<table>") < 100
    assert "**" not in part.head + part.tail
    assert len(part.head) < 40_000


def test_the_whole_of_a_long_answer_is_rendered_and_has_every_block_once() -> None:
    text = "".join(BLOCK.replace("one", f"one {number}") for number in range(200))
    html = str(long_markdown(text, whole=True).head)
    assert long_markdown(text, whole=True).size == 0
    assert [int(n) for n in re.findall("<li>one ([0-9]+)</li>", html)] == [*range(200)]
    assert html.count("<pre") == html.count("<table>") == html.count("<h3>") == 200
    assert "**" not in html


def test_a_long_block_of_code_is_cut_into_blocks_of_code() -> None:
    code = "".join(f"line {number}\n\n" for number in range(5_000))
    html = str(long_markdown(f"Look:\n````\n{code}```\n````\nand **then**", whole=True).head)
    shown = unescape("\n".join(re.findall("<code>(.*?)</code>", html, re.DOTALL)))
    assert shown.split() == (code + "```").split()
    assert 1 < html.count("<pre") < 12
    assert "<strong>then</strong>" in html


def test_a_long_paragraph_and_a_long_line_are_cut() -> None:
    for end in ("\n", ""):
        html = str(long_markdown(f"**word** and{end}" * 9_000, whole=True).head)
        assert html.count("word") > 8_990
        assert html.count("<strong>") > 8_990
        assert len(long_markdown(f"word and{end}" * 90_000, whole=False).head) < 40_000


@pytest.mark.parametrize(
    "atom",
    [
        "https://",
        "https://a) ",
        "https://a((((",
        "- [ ] ",
        "[^a]",
        "[^a]: ",
        "```\n",
        "~~~~\n\n",
        "a\n\n[\n\n",
    ],
)
def test_hostile_text_takes_no_longer_than_the_budget(atom: str) -> None:
    markdown("a")
    for text in (atom * (MAX_MARKDOWN // len(atom)), atom * (200_000 // len(atom))):
        with budget.Budget().event():
            began = time.thread_time()
            part = long_markdown(text, whole=False)
        assert time.thread_time() - began < budget.EVENT_SECONDS + 0.9
        assert part.head
