"""What machines said, made safe to show: control characters made visible, ANSI colours as classes.

Pure. Returns markup whose only elements are `<span class=…>`; colours are the sixteen of a terminal, whatever
was asked for, so that the style sheet needs no more classes and the Content-Security-Policy no inline style.
"""

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup, escape

from breakglass.text import ESCAPE, visible

if TYPE_CHECKING:
    from rich.color import Color
    from rich.style import Style
    from rich.text import Text

KEPT_WHOLE = 8_000
"""Characters of machine text that are shown without folding."""

KEPT_HEAD, KEPT_TAIL = 2_000, 4_000
"""Characters shown of a folded text: how a command failed mostly stands at its end."""

_OVERSTRUCK = re.compile("[^\n\b]\b")
_PLAIN_NEWLINES = re.compile("\r+\n")


class Fold(NamedTuple):
    """A long text in three: its head, what is left out, its tail."""

    head: str
    size: int
    """Bytes of UTF-8 in the whole text; 0 where nothing is left out."""
    tail: str = ""


def fold(text: str, whole: bool) -> Fold:
    """Return `text` as it is if `whole` or short, else its head and tail, cut at ends of lines where some are near."""
    if whole or len(text) <= KEPT_WHOLE:
        return Fold(text, 0)
    head, tail = text[:KEPT_HEAD], text[-KEPT_TAIL:]
    head = head[: head.rfind("\n") + 1] or head
    tail = tail[tail.find("\n") + 1 :] or tail
    return Fold(head, len(text.encode(errors="replace")), tail)


def terminal(text: str) -> Markup:
    """Return what a terminal would show of `text`: its colours as classes, no other escape, lines as last drawn."""
    text = _PLAIN_NEWLINES.sub("\n", text)
    if "\b" in text:
        text = _OVERSTRUCK.sub("", text)
    text = ESCAPE.sub(_colour_only, text)
    if "\x1b" in text:
        return _coloured(text)
    if "\r" in text:
        text = "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n"))
    return escape(visible(text))


def _colour_only(match: re.Match[str]) -> str:
    return f"\x1b[{match[1]}m" if match[2] == "m" and re.fullmatch("[0-9;]{0,64}", match[1]) else ""


def _coloured(text: str) -> Markup:
    from rich.ansi import AnsiDecoder  # 15 ms to import, and only coloured output needs it

    decoder = AnsiDecoder()
    return Markup("\n").join(_spans(decoder.decode_line(line.rstrip("\r"))) for line in text.split("\n"))


def _spans(line: "Text") -> Markup:
    plain, end, made = line.plain, 0, []
    for span in line.spans:  # in order, side by side: the decoder appends them so
        made.append(escape(visible(plain[end : span.start])))
        said = escape(visible(plain[span.start : span.end]))
        classes = _classes(span.style) if not isinstance(span.style, str) else ""
        made.append(Markup('<span class="{}">{}</span>').format(classes, said) if classes else said)
        end = span.end
    made.append(escape(visible(plain[end:])))
    return Markup("").join(made)


@lru_cache(maxsize=512)
def _classes(style: "Style") -> str:
    """Return the classes for a style: `a0`-`a15` the colour, `k0`-`k15` the ground. Concealed text is shown."""
    ink, ground = _number(style.color), _number(style.bgcolor)
    if style.reverse:
        ink, ground = (0 if ground is None else ground), (7 if ink is None else ink)
    names = [name for name in ("bold", "dim", "italic", "underline", "strike") if getattr(style, name)]
    names += [f"a{ink}"] * (ink is not None) + [f"k{ground}"] * (ground is not None)
    return " ".join(names)


def _number(colour: "Color | None") -> int | None:
    from rich.color import ColorSystem

    return colour.downgrade(ColorSystem.STANDARD).number if colour else None
