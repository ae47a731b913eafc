"""Markdown becomes HTML in which nothing runs, nothing loads, and no link is misleading."""

import pytest
from pygments.lexers import get_lexer_by_name

from breakglass.web.page.markdown import LEXERS, MAX_CODE, highlight, markdown, unmarked

MADE = {
    "**bold** and `code`": "<p><strong>bold</strong> and <code>code</code></p>\n",
    "# Title": "<h3>Title</h3>\n",
    "###### deep": "<h3>deep</h3>\n",
    "[a](https://x.example/?a=1&b=2)": '<p><a href="https://x.example/?a=1&amp;b=2" target="_blank"'
    ' rel="noopener noreferrer">a</a></p>\n',
    "<https://x.example>": '<p><a href="https://x.example" target="_blank"'
    ' rel="noopener noreferrer">https://x.example</a></p>\n',
    "[a](mailto:a@x.example)": '<p><a href="mailto:a@x.example" target="_blank"'
    ' rel="noopener noreferrer">a</a></p>\n',
    "[a](/logout)": "<p>[a](/logout)</p>\n",
    "[a](//x.example)": "<p>[a](//x.example)</p>\n",
    "[a](javascript:alert(1))": "<p>[a](javascript:alert(1))</p>\n",
    "![the disk](https://x.example/i.png)": '<p><a href="https://x.example/i.png" target="_blank"'
    ' rel="noopener noreferrer">image: the disk</a></p>\n',
    "[![i](https://x.example/i)](https://y.example)": '<p><a href="https://y.example" target="_blank"'
    ' rel="noopener noreferrer">image: i</a></p>\n',
    "![i](data:image/png;base64,AA)": "<p>![i](data:image/png;base64,AA)</p>\n",
    "<b>raw</b>": "<p>&lt;b&gt;raw&lt;/b&gt;</p>\n",
    "~~gone~~": "<p><s>gone</s></p>\n",
    "    indented": '<pre tabindex="0"><code>indented</code></pre>\n',
    "```nonsense\na < b\n```": '<pre tabindex="0"><code>a &lt; b</code></pre>\n',
    "2. second": '<ol start="2">\n<li>second</li>\n</ol>\n',
}


@pytest.mark.parametrize("text", MADE)
def test_markdown_makes(text: str) -> None:
    assert str(markdown(text)) == MADE[text]


def test_a_table_scrolls_separately_from_the_page() -> None:
    html = markdown("|a|b|\n|-|-:|\n|1|2|")
    assert html.startswith('<div class="wide" tabindex="0"><table>')
    assert "style" not in html


def test_code_in_a_known_language_has_classes_only() -> None:
    html = str(markdown('```python onclick=x\nimport os  # "<b>"\n```'))
    assert '<span class="kn">import</span>' in html
    assert "&lt;b&gt;" in html
    assert "style" not in html
    assert "onclick" not in html


@pytest.mark.parametrize("name", sorted(set(LEXERS.values())))
def test_every_language_has_its_lexer(name: str) -> None:
    assert name in get_lexer_by_name(name).aliases
    assert str(highlight("a\n", name)).endswith("\n") is False


def test_long_code_is_not_coloured() -> None:
    assert "<span" in highlight("import os", "python")
    assert "<span" not in highlight("import os\n" * MAX_CODE, "python")


def test_hidden_characters_show_in_prose_and_in_code() -> None:
    html = markdown("a\u202eb `c\u2066d`\n\n```sh\nrm \u200bx\n```")
    for mark in ("\u27e8U+202E\u27e9", "\u27e8U+2066\u27e9", "\u27e8U+200B\u27e9"):
        assert mark in html


def test_markdown_can_be_reduced_to_plain_text() -> None:
    assert unmarked("## The **disk** is `full`, file_name_kept * 2") == "The disk is full, file_name_kept * 2"
