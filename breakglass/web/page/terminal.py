"""Terminal output as HTML: control characters made visible, ANSI colours as classes.

Pure but for the clock of budget.py.

The only elements are `<span class=…>`. Every colour becomes one of a terminal's sixteen. So the style sheet needs only
these classes, and the Content-Security-Policy can forbid inline styles.
"""

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup, escape

from breakglass.text import ESCAPE, strip_escapes, visible
from breakglass.web.page.budget import Spent, checked

if TYPE_CHECKING:
    from rich.color import Color
    from rich.style import Style
    from rich.text import Text

KEPT_WHOLE = 8_000
"""Characters up to which a text is not folded."""

KEPT_HEAD, KEPT_TAIL = 2_000, 4_000
"""Characters shown of a folded text. The tail is longer, because errors are usually at the end."""

_OVERSTRUCK = re.compile("[^\n\b]\b")
_PLAIN_NEWLINES = re.compile("\r+\n")


class Fold(NamedTuple):
    """The parts of a text that are shown."""

    head: str
    size: int
    """Bytes of the whole text in UTF-8; 0 if nothing is left out."""
    tail: str = ""


def fold(text: str, *, whole: bool) -> Fold:
    """Return all of `text` if `whole` or short, else its head and tail, cut at line ends if possible."""
    if whole or len(text) <= KEPT_WHOLE:
        return Fold(text, 0)
    head, tail = text[:KEPT_HEAD], text[-KEPT_TAIL:]
    head = head[: head.rfind("\n") + 1] or head
    tail = tail[tail.find("\n") + 1 :] or tail
    return Fold(head, len(text.encode(errors="replace")), tail)


def terminal(text: str) -> Markup:
    """Return what a terminal would show: colours as classes, no other escapes, each line as it was last drawn."""
    text = _PLAIN_NEWLINES.sub("\n", text)
    if "\b" in text:
        text = _OVERSTRUCK.sub("", text)
    text = ESCAPE.sub(_colour_only, text)
    if "\x1b" in text:
        try:
            return _coloured(text)
        except Spent:
            text = strip_escapes(text)
    if "\r" in text:
        text = "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n"))
    return escape(visible(text))


def _colour_only(match: re.Match[str]) -> str:
    return f"\x1b[{match[1]}m" if match[2] == "m" and re.fullmatch("[0-9;]{0,64}", match[1]) else ""


def _coloured(text: str) -> Markup:
    from rich.ansi import AnsiDecoder  # slow to import, and only coloured output needs it

    decoder = AnsiDecoder()
    return Markup("\n").join(
        _spans(decoder.decode_line(line.rstrip("\r"))) for line in checked(text.split("\n"))
    )


def _spans(line: "Text") -> Markup:
    plain, end, parts = line.plain, 0, []
    for span in line.spans:  # the decoder yields them in order, without overlap
        parts.append(escape(visible(plain[end : span.start])))
        part = escape(visible(plain[span.start : span.end]))
        classes = _classes(span.style) if not isinstance(span.style, str) else ""
        parts.append(Markup('<span class="{}">{}</span>').format(classes, part) if classes else part)
        end = span.end
    parts.append(escape(visible(plain[end:])))
    return Markup("").join(parts)


@lru_cache(maxsize=512)
def _classes(style: "Style") -> str:
    """Return the classes of a style: `a0` to `a15` for the text colour, `k0` to `k15` for the background.

    Concealed text has no class, so it is shown.
    """
    colour, background = _colour_number(style.color), _colour_number(style.bgcolor)
    if style.reverse:
        colour, background = (0 if background is None else background), (7 if colour is None else colour)
    names = [name for name in ("bold", "dim", "italic", "underline", "strike") if getattr(style, name)]
    names += [f"a{colour}"] * (colour is not None) + [f"k{background}"] * (background is not None)
    return " ".join(names)


def _colour_number(colour: "Color | None") -> int | None:
    from rich.color import ColorSystem

    return colour.downgrade(ColorSystem.STANDARD).number if colour else None
