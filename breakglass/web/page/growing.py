"""Prose that still grows: the server renders its finished blocks, and the page shows the rest as it was written.

How this works: a fragment of a `delta` is plain text, because it must be the same for each reader. The script
growing.js asks for the blocks that are finished, and says where the rest began after its last question. So each block
is parsed once. Pure but for the clock of budget.py.
"""

from typing import NamedTuple

from markupsafe import Markup

from breakglass.events import Event
from breakglass.text import visible
from breakglass.web.page.budget import WHOLE_SECONDS, Budget
from breakglass.web.page.long_markdown import finished_blocks, long_markdown
from breakglass.web.page.markdown import with_newlines


class Asked(NamedTuple):
    """The prose that a page asks for."""

    first: int
    """The line of its first piece that is not rendered."""
    skip: int | None = None
    """Characters that are rendered already, from that piece on; None if the page has asked for nothing before."""
    is_ended: bool = False
    """Whether its turn has ended, so that the last block is finished too."""


def prose(found: list[Event], asked: Asked) -> Markup:
    """Return what is rendered and what is not, and where the latter begins; nothing if the prose began before.

    `found` are the lines of the log from the one before `asked.first` on.
    """
    own = next((event for event in found if event["id"] == asked.first), {})
    speaker = _speaker(own)
    if own.get("kind") != "delta" or (
        asked.skip is None and _speaker(found[0]) == speaker and found[0] is not own
    ):
        return _html(Markup(), "", first=0, skip=0)
    pieces = [event for event in found if event["id"] >= asked.first and _speaker(event) == speaker]
    text = _text(pieces)[asked.skip or 0 :]
    with Budget(WHOLE_SECONDS, WHOLE_SECONDS).event():
        html, rest = (long_markdown(text, whole=True).head, "") if asked.is_ended else finished_blocks(text)
    for number in range(len(pieces), 0, -1):  # the last piece from which on the text holds the rest
        after = _text(pieces[number - 1 :])
        if len(after) >= len(rest):
            return _html(html, rest, first=pieces[number - 1]["id"], skip=len(after) - len(rest))
    return _html(Markup(), text, first=asked.first, skip=asked.skip or 0)


def _speaker(event: Event) -> tuple[object, ...]:
    return event.get("kind"), event.get("turn"), event.get("parent")


def _text(pieces: list[Event]) -> str:
    return with_newlines("".join(str(event.get("text", "")) for event in pieces))


def _html(html: Markup, rest: str, *, first: int, skip: int) -> Markup:
    page = Markup('<div id="done" data-from="{}" data-skip="{}">{}</div><pre id="rest">\n{}</pre>')
    return page.format(first, skip, html, visible(rest))
