"""Markdown and code that an agent wrote, as safe HTML. Pure but for the clock of budget.py.

There are three defences, and each is enough alone. markdown-it has raw HTML off and a short list of link schemes. nh3
cleans its output. The page has a Content-Security-Policy.

An image becomes a link with its alternative text. It is never loaded, because its URL could send what the agent has
read to an attacker.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from io import StringIO
from typing import TYPE_CHECKING, Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup, escape
from mdit_py_plugins.footnote import footnote_plugin

from breakglass.text import visible
from breakglass.web.page.budget import Spent, check, checked

if TYPE_CHECKING:
    from markdown_it.renderer import RendererHTML
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_core import StateCore
    from markdown_it.rules_inline import StateInline
    from pygments.formatters.html import HtmlFormatter
    from pygments.lexer import Lexer

MAX_CODE = 3_000
"""Characters beyond which code is not coloured: the lexers are quadratic on hostile text."""

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
"""The lexer of Pygments for the language of a code fence, or for the suffix of a file. Other code stays plain.

c, cpp, java, make and terraform are left out. Their lexers take many seconds for 20 KB of one repeated character
(seen in Pygments 2.21), and meanwhile the server answers no request.
"""

_BLANK_SPANS = re.compile(r'<span class="w">(\s*)</span>')
"""White space needs no class. Shell code has very many of these spans."""

_MARKS = re.compile(r"\*\*|`|^#+ |^> ", re.MULTILINE)

_BARE_LINK = re.compile(r"https?://[^\s<>\"'`\u201c\u201d]+")
_AFTER_LINK = ".,:;!?*_~"
"""Characters that end a sentence rather than an address."""
_TASK = re.compile(r"\[([ xX])\] ")

_LINK = re.compile(r"(?:https?://|mailto:)[^\s]+", re.IGNORECASE)

_TAGS = set(
    "p br hr h3 ul ol li blockquote pre code em strong s sup table thead tbody tr th td a span div".split()
)
_ATTRIBUTES = {"a": {"href", "title"}, "span": {"class"}, "ol": {"start"}, "ul": {"class"}, "div": {"class"}}


def markdown(text: str) -> Markup:
    """Return Markdown as HTML. Nothing in it runs or loads, and links open another window.

    Beyond the budget, the text is returned as it is.
    """
    source = visible(with_newlines(text))
    try:
        check()
        html = _parser().render(source)
    except Spent:
        return Markup('<div class="plain">{}</div>').format(source)
    clean = nh3.clean(
        html,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        attribute_filter=_allowed_attribute,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer",
        set_tag_attribute_values={
            "a": {"target": "_blank"},
            "pre": {"tabindex": "0"},
            "div": {"tabindex": "0"},
        },
    )
    return Markup(clean)  # nosec B704 # nh3 has sanitized it


def with_newlines(text: str) -> str:
    """Return a text whose lines end with a newline only."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def last_block(text: str) -> int:
    """Return the offset at which the last block of a Markdown text begins. More text does not change those before it.

    Raises Spent. A reference is an exception: its definition may come later.
    """
    tokens: list[Token] = []
    parser = _parser()
    check()
    parser.block.parse(text, parser, {}, tokens)
    begins = [token.map[0] for token in tokens if token.map and not token.level]
    lines = text.split("\n")[: begins[-1] if begins else 0]
    return sum(map(len, lines)) + len(lines)


def unmarked(text: str) -> str:
    """Return Markdown without its most common marks, for one line of plain text."""
    return _MARKS.sub("", text)


def highlight(code: str, language: str) -> Markup:
    """Return code as HTML, coloured by Pygments' classes; plain if it is long or its language is not in `LEXERS`."""
    name = LEXERS.get(language.lower())
    if name is None or len(code) > MAX_CODE:
        return escape(visible(code))
    html = StringIO()
    try:
        check()
        _formatter().format(checked(_lexer(name).get_tokens(visible(code))), html)
    except Spent:
        return escape(visible(code))
    return Markup(_BLANK_SPANS.sub(r"\1", html.getvalue()).removesuffix("\n"))  # nosec B704 # Pygments escapes


@cache
def _lexer(name: str) -> "Lexer":
    from pygments.lexers import get_lexer_by_name

    return get_lexer_by_name(name, stripnl=False, ensurenl=False)


@cache
def _formatter() -> "HtmlFormatter[str]":
    from pygments.formatters.html import HtmlFormatter

    return HtmlFormatter(nowrap=True)  # kept, because making one builds a style sheet


def _allowed_attribute(tag: str, attribute: str, value: str) -> str | None:
    if attribute == "href":
        return value if _LINK.fullmatch(value) else None
    if attribute == "class":
        return value if re.fullmatch("[a-z0-9]{1,4}|wide", value) else None
    return value


# --- markdown-it -----------------------------------------------------------------------------------


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    parser.use(footnote_plugin, inline=False, move_to_end=False)
    parser.validateLink = lambda url: bool(_LINK.fullmatch(url))  # type: ignore[method-assign]
    for name, rule in _RULES.items():
        parser.add_render_rule(name, rule)
    parser.core.ruler.push("bare", _bare_links)
    parser.core.ruler.push("tasks", _tasks)
    # The first rule of each kind is called for each place of the text: there the parser can be ended.
    parser.inline.ruler.before("text", "budget", _check_inline)
    parser.block.ruler.before("table", "budget", _check_block, {"alt": []})
    return parser


def _check_inline(state: "StateInline", silent: bool) -> bool:
    check()
    return False


def _check_block(state: "StateBlock", begin: int, end: int, silent: bool) -> bool:
    check()
    return False


def _bare_links(state: "StateCore") -> None:
    """Make links of the addresses in plain text. Each is shown whole, as it was written.

    linkify-it-py finds no IPv6 address and no host with an underscore, and takes a closing quote into the address.
    """
    for block in state.tokens:
        if block.type != "inline" or not block.children or "://" not in block.content:
            continue
        depth, children = 0, []
        for token in block.children:
            depth += (token.type == "link_open") - (token.type == "link_close")
            is_plain = token.type == "text" and depth == 0 and "://" in token.content
            children += _linked(token) if is_plain else [token]
        block.children = children


def _linked(token: Token) -> list[Token]:
    """Return a text as tokens, with its addresses as links."""
    made: list[Token] = []
    at = 0
    for match in _BARE_LINK.finditer(token.content):
        address = match[0].rstrip(_AFTER_LINK)
        while address.endswith(")") and address.count("(") < address.count(")"):
            address = address[:-1].rstrip(_AFTER_LINK)
        end = match.start() + len(address)
        opening = Token("link_open", "a", 1, attrs={"href": address})
        made += [
            _text(token.content[at : match.start()]),
            opening,
            _text(address),
            Token("link_close", "a", -1),
        ]
        at = end
    return [*made, _text(token.content[at:])]


def _text(content: str) -> Token:
    return Token("text", "", 0, content=content)


def _tasks(state: "StateCore") -> None:
    """Show the boxes of a list of tasks as signs. The plugin for task lists makes input fields of a form instead."""
    for before, paragraph, block in zip(state.tokens, state.tokens[1:], state.tokens[2:], strict=False):
        kinds = (before.type, paragraph.type, block.type)
        if kinds != ("list_item_open", "paragraph_open", "inline") or not block.children:
            continue
        first = block.children[0]
        if match := _TASK.match(first.content):
            first.content = ("\u2610 " if match[1] == " " else "\u2611 ") + first.content[match.end() :]


def _fence(
    self: "RendererHTML", tokens: Sequence[Token], index: int, options: Any, env: Mapping[str, Any]
) -> str:
    token = tokens[index]
    language = (token.info.split() or [""])[0]
    return f"<pre><code>{highlight(token.content.rstrip(), language)}</code></pre>\n"


def _image(self: "RendererHTML", tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    alt = self.renderInlineAsText(token.children, options, env) if token.children else ""
    label = escape(f"image: {alt or token.attrGet('src')}")
    before = [other.type for other in tokens[:index]]
    is_in_link = before.count("link_open") > before.count("link_close")  # HTML allows no link within a link
    return str(label if is_in_link else Markup('<a href="{}">{}</a>').format(token.attrGet("src"), label))


def _note_sign(self: "RendererHTML", tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    """Return the label of a footnote. It is no link, because the `id` of an element is a line number on our page."""
    return str(Markup("<sup>{}</sup>").format(tokens[index].meta["label"]))


def _note(self: "RendererHTML", tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return f'<ul class="fn"><li>{_note_sign(self, tokens, index, options, env)} '


def _constant(html: str) -> Callable[..., str]:
    return lambda *_: html


_RULES: dict[str, Callable[..., str]] = {
    "fence": _fence,
    "code_block": _fence,
    "image": _image,
    # All headings become h3, one level below the turn's: the agent's own levels would break the page's outline.
    "heading_open": _constant("<h3>"),
    "heading_close": _constant("</h3>\n"),
    "table_open": _constant('<div class="wide"><table>\n'),
    "table_close": _constant("</table></div>\n"),
    # A note stays where it is written: a part of a text may have it without its sign, and nothing may be hidden.
    "footnote_ref": _note_sign,
    "footnote_reference_open": _note,
    "footnote_reference_close": _constant("</li></ul>\n"),
}
