"""Markdown of any length as HTML, and Markdown that still grows. Pure but for the clock of budget.py.

A long text is parsed in chunks, because hostile brackets cost quadratic time.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from breakglass.web.page.budget import Spent
from breakglass.web.page.markdown import last_block, markdown, with_newlines

MAX_MARKDOWN = 16_000
"""Characters beyond which text is not parsed at once, but in chunks."""
_CHUNK = 4_000
"""Characters of a long text that are parsed together, if a block does not have more."""
_KEPT_HEAD, _KEPT_TAIL = 8_000, 4_000
"""About the characters at the beginning and the end of a long text that are not folded."""
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")


class Part(NamedTuple):
    """A text as HTML: all of it, or its head and tail, with the size of the whole in bytes."""

    head: Markup
    size: int
    tail: Markup = Markup()


def long_markdown(text: str, *, whole: bool) -> Part:
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
    for line in with_newlines(text).splitlines(keepends=True):
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


class Growing(NamedTuple):
    """A text that still grows: its finished blocks as HTML, and the rest as it was written."""

    html: Markup
    rest: str


def finished_blocks(text: str) -> Growing:
    """Return a text without its last block as HTML. The last block may change as the text grows."""
    source = with_newlines(text)
    chunks = _chunks(source) if len(source) > MAX_MARKDOWN else [source]
    begin = 0
    if len(chunks[-1]) <= MAX_MARKDOWN:
        try:
            begin = last_block(chunks[-1])
        except Spent:  # all of it is shown as it was written
            begin = 0
    done = [piece for chunk in chunks[:-1] for piece in _cut(chunk)] + [chunks[-1][:begin]]
    html = Markup().join(markdown(piece) for piece in done if piece.strip())
    return Growing(html, chunks[-1][begin:])
