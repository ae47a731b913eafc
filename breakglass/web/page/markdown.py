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
from typing import TYPE_CHECKING, Any, NamedTuple

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup, escape

from breakglass.text import visible
from breakglass.web.page.budget import Spent, check, checked

if TYPE_CHECKING:
    from markdown_it.renderer import RendererHTML
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_core import StateCore
    from markdown_it.rules_inline import StateInline
    from pygments.formatters.html import HtmlFormatter
    from pygments.lexer import Lexer

MAX_MARKDOWN = 16_000
"""Characters beyond which text is not parsed at once, but block by block: hostile brackets cost quadratic time."""
_CHUNK = 4_000
"""Characters of a long text that are parsed together, if a block does not have more."""
_KEPT_HEAD, _KEPT_TAIL = 8_000, 4_000
"""About the characters at the beginning and the end of a long text that are not folded."""

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

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_BARE_LINK = re.compile(r"https?://[^\s<>\"'`\u201c\u201d]+")
_AFTER_LINK = ".,:;!?*_~"
"""Characters that end a sentence rather than an address."""
_TASK = re.compile(r"\[([ xX])\] ")

_LINK = re.compile(r"(?:https?://|mailto:)[^\s]+", re.IGNORECASE)

_TAGS = set(
    "p br hr h3 ul ol li blockquote pre code em strong s table thead tbody tr th td a span div".split()
)
_ATTRIBUTES = {"a": {"href", "title"}, "span": {"class"}, "ol": {"start"}, "div": {"class"}}


def markdown(text: str) -> Markup:
    """Return Markdown as HTML. Nothing in it runs or loads, and links open another window.

    Beyond the budget, the text is returned as it is.
    """
    source = visible(text.replace("\r\n", "\n").replace("\r", "\n"))
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
    return Markup(clean)  # nosec B704 - nh3 has sanitized it


class Part(NamedTuple):
    """A text as HTML: all of it, or its head and tail, with the size of the whole in bytes."""

    head: Markup
    size: int
    tail: Markup = Markup()


def long_markdown(text: str, whole: bool) -> Part:
    """Return Markdown of any length as HTML. A long text is parsed block by block; unless `whole`, it is folded.

    A block of more than `MAX_MARKDOWN` characters is cut, at line ends if possible.
    """
    if len(text) <= MAX_MARKDOWN:
        return Part(markdown(text), 0)
    chunks = [piece for chunk in _chunks(text) for piece in _cut(chunk)]
    if whole:
        return Part(Markup().join(map(markdown, chunks)), 0)
    first, last = _taken(chunks, _KEPT_HEAD), _taken(chunks[::-1], _KEPT_TAIL)
    if first + last >= len(chunks):
        return Part(Markup().join(map(markdown, chunks)), 0)
    head, tail = map(markdown, chunks[:first]), map(markdown, chunks[-last:])
    return Part(Markup().join(head), len(text.encode(errors="replace")), Markup().join(tail))


def _taken(chunks: Sequence[str], limit: int) -> int:
    """Return how many of the first chunks fit into `limit` characters, at least one."""
    number = length = 0
    for chunk in chunks:
        length += len(chunk)
        if number and length > limit:
            break
        number += 1
    return number


def _cut(chunk: str) -> list[str]:
    """Return a chunk in pieces of at most about `MAX_MARKDOWN` characters. Each piece of a fence is a fence."""
    if len(chunk) <= MAX_MARKDOWN:
        return [chunk]
    fence = _FENCE.match(chunk)
    first, _, rest = chunk.partition("\n") if fence else ("", "", chunk)
    before, after = (f"{first}\n", f"\n{fence[1]}\n") if fence else ("", "")
    pieces = [""]
    for line in rest.splitlines(keepends=True):
        for at in range(0, len(line), MAX_MARKDOWN):
            if len(pieces[-1]) + len(line) > MAX_MARKDOWN // 2:
                pieces.append("")
            pieces[-1] += line[at : at + MAX_MARKDOWN]
    if fence and _FENCE.match(pieces[-1]):  # its closing line alone
        pieces.pop()
    return [f"{before}{piece}{after}" for piece in pieces if piece]


def _chunks(text: str) -> list[str]:
    """Return a text in pieces that end at blank lines. A piece that begins with a fence is that block of code only."""
    chunks, lines, length, fence = [], list[str](), 0, ""
    for line in text.replace("\r\n", "\n").replace("\r", "\n").splitlines(keepends=True):
        marks = _FENCE.match(line)
        opens = marks is not None and not fence
        closes = (
            bool(fence)
            and marks is not None
            and marks[1].startswith(fence)
            and not line[marks.end() :].strip()
        )
        if lines and (opens or (not fence and length > _CHUNK and not lines[-1].strip())):
            chunks.append("".join(lines))
            lines, length = [], 0
        lines.append(line)
        length += len(line)
        if opens and marks:
            fence = marks[1]
        if closes:
            chunks.append("".join(lines))
            lines, length, fence = [], 0, ""
    return [*chunks, "".join(lines)] if lines else chunks


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
    return Markup(_BLANK_SPANS.sub(r"\1", html.getvalue()).removesuffix("\n"))  # nosec B704 - Pygments escapes


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
    """Make links of the addresses in plain text. Each is shown whole, as it was written."""
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
    """Show the boxes of a list of tasks as signs."""
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
}
