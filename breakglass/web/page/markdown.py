"""What an agent wrote for people: Markdown and code as safe HTML. Pure.

Three fences stand one behind the other: markdown-it with raw HTML off and a short list of link schemes, nh3 over
what it made, and the page's Content-Security-Policy. An image is never fetched, for its address could carry away
what the agent has read: its alternative text links to it instead.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup, escape

from breakglass.text import visible

if TYPE_CHECKING:
    from markdown_it.renderer import RendererHTML
    from markdown_it.token import Token
    from pygments.formatters.html import HtmlFormatter
    from pygments.lexer import Lexer

MAX_MARKDOWN = 16_000
"""Characters beyond which text is not read as Markdown: as many hostile brackets cost 370 ms (2026-11-23)."""

MAX_CODE = 3_000
"""Characters beyond which code is not coloured: the lexers are quadratic on hostile text, 63 ms for this much."""

LEXERS: dict[str, str] = {
    name: lexer
    for lexer, names in {
        "bash": "bash sh shell zsh console terminal",
        "css": "css",
        "diff": "diff patch",
        "docker": "docker dockerfile",
        "go": "go",
        "html": "html htm",
        "ini": "ini cfg conf service socket timer systemd",
        "javascript": "javascript js mjs jsx",
        "json": "json jsonl",
        "lua": "lua",
        "nginx": "nginx",
        "perl": "perl pl",
        "php": "php",
        "python": "python py pyi python3",
        "ruby": "ruby rb",
        "rust": "rust rs",
        "sql": "sql psql mysql sqlite",
        "toml": "toml",
        "typescript": "typescript ts tsx",
        "xml": "xml svg",
        "yaml": "yaml yml",
    }.items()
    for name in names.split()
}
"""What a code fence or a file's ending may say, to the lexer of Pygments. Others stay plain.

Left out on purpose: c, cpp, java, make and terraform, which take 16 to 23 s for 20 KB of one repeated sign
(Pygments 2.21, 2026-11-23), and the server answers nobody the while.
"""

_BLANK_SPANS = re.compile(r'<span class="w">(\s*)</span>')
"""Spaces need no class: in shell code they were a third of the bytes."""

_MARKS = re.compile(r"\*\*|`|^#+ |^> ", re.MULTILINE)

_LINK = re.compile(r"(?:https?://|mailto:)[^\s]+", re.IGNORECASE)

_TAGS = set(
    "p br hr h3 ul ol li blockquote pre code em strong s table thead tbody tr th td a span div".split()
)
_ATTRIBUTES = {"a": {"href", "title"}, "span": {"class"}, "ol": {"start"}, "div": {"class"}}


def markdown(text: str) -> Markup:
    """Return Markdown as HTML in which nothing runs, nothing is fetched and every link leaves the page knowingly."""
    clean = nh3.clean(
        _parser().render(visible(text.replace("\r\n", "\n").replace("\r", "\n"))),
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        attribute_filter=_only_known,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer",
        set_tag_attribute_values={
            "a": {"target": "_blank"},
            "pre": {"tabindex": "0"},
            "div": {"tabindex": "0"},
        },
    )
    return Markup(clean)  # nosec B704 - nh3 has cleaned it


def unmarked(text: str) -> str:
    """Return Markdown's words without its commonest marks: for a line in a list, where no markup stands."""
    return _MARKS.sub("", text)


def highlight(code: str, language: str) -> Markup:
    """Return code with its words in classes, or plain if it is long or the language is not in `LEXERS`."""
    name = LEXERS.get(language.lower())
    if name is None or len(code) > MAX_CODE:
        return escape(visible(code))
    from pygments import highlight as colour

    html = colour(visible(code), _lexer(name), _formatter())
    return Markup(_BLANK_SPANS.sub(r"\1", html).removesuffix("\n"))  # nosec B704 - Pygments escapes


@cache
def _lexer(name: str) -> "Lexer":
    from pygments.lexers import get_lexer_by_name

    return get_lexer_by_name(name, stripnl=False, ensurenl=False)


@cache
def _formatter() -> "HtmlFormatter[str]":
    from pygments.formatters.html import HtmlFormatter

    return HtmlFormatter(nowrap=True)  # 0.3 ms to make, it builds a style sheet each time


def _only_known(tag: str, attribute: str, value: str) -> str | None:
    if attribute == "href":
        return value if _LINK.fullmatch(value) else None
    if attribute == "class":
        return value if re.fullmatch("[a-z0-9]{1,4}|wide", value) else None
    return value


# --- markdown-it -----------------------------------------------------------------------------------


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    parser.validateLink = lambda url: bool(_LINK.fullmatch(url))  # type: ignore[method-assign]
    for name, rule in _RULES.items():
        parser.add_render_rule(name, rule)
    return parser


def _fence(
    self: "RendererHTML", tokens: Sequence["Token"], index: int, options: Any, env: Mapping[str, Any]
) -> str:
    token = tokens[index]
    language = (token.info.split() or [""])[0]
    return f"<pre><code>{highlight(token.content.rstrip(), language)}</code></pre>\n"


def _image(self: "RendererHTML", tokens: Sequence["Token"], index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    alt = self.renderInlineAsText(token.children, options, env) if token.children else ""
    said = escape(f"image: {alt or token.attrGet('src')}")
    before = [other.type for other in tokens[:index]]
    inside = before.count("link_open") > before.count("link_close")  # no link within a link
    return str(said if inside else Markup('<a href="{}">{}</a>').format(token.attrGet("src"), said))


def _say(html: str) -> Callable[..., str]:
    return lambda *_: html


_RULES: dict[str, Callable[..., str]] = {
    "fence": _fence,
    "code_block": _fence,
    "image": _image,
    # Headings of the agent's are one level under the turn's: its own levels would break the page's outline.
    "heading_open": _say("<h3>"),
    "heading_close": _say("</h3>\n"),
    "table_open": _say('<div class="wide"><table>\n'),
    "table_close": _say("</table></div>\n"),
}
