"""What machines said, made safe to show: control characters made visible, ANSI colours as classes.

Pure. Returns markup whose only elements are `<span class=…>`; colours are the sixteen of a terminal, whatever
was asked for, so that the style sheet needs no more classes and the Content-Security-Policy no inline style.
"""

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from rich.color import Color
    from rich.style import Style
    from rich.text import Text

KEPT_WHOLE = 8_000
"""Characters of machine text that are shown without folding."""

KEPT_HEAD, KEPT_TAIL = 2_000, 4_000
"""Characters shown of a folded text: how a command failed mostly stands at its end."""

# Not shown by a browser, or acted on: C0 but tab and newline, DEL, C1, soft hyphen, zero width space and word
# joiners, line and paragraph separators, the bidirectional overrides and isolates by which text shows other
# than it runs (Trojan Source, CVE-2021-42574), the byte order mark, lone surrogates (no UTF-8), tag characters.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u200b\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)

# ECMA-48: a string (OSC, DCS, SOS, PM, APC) up to BEL or ST, never past its line; a control sequence; any
# other escape. An ESC [ … m is kept, for it is the colour. Each alternative is linear.
_ESCAPE = re.compile(
    "(?:\x1b[\\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\\\|\x9c)?"
    "|(?:\x1b\\[|\x9b)([0-?]*)([ -/]*[@-~])?"
    "|\x1b[ -/]*[0-~]?"
)
_OVERSTRUCK = re.compile("[^\n\b]\b")
_PLAIN_NEWLINES = re.compile("\r+\n")


class Fold(NamedTuple):
    """A long text in three: its head, what is left out, its tail."""

    head: str
    size: int
    """Bytes of UTF-8 in the whole text; 0 where nothing is left out."""
    tail: str = ""


def visible(text: str) -> str:
    """Return `text` with every character that would not show, or would act, replaced by a mark for it."""
    return _HIDDEN.sub(_mark, text.replace("\r\n", "\n"))


def _mark(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "\ufffd" if 0xD800 <= code <= 0xDFFF else f"\u27e8U+{code:04X}\u27e9"


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
    text = _ESCAPE.sub(_colour_only, text)
    if "\x1b" in text:
        return _coloured(text)
    if "\r" in text:
        text = "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n"))
    return escape(visible(text))


def unescaped(text: str) -> str:
    """Return `text` without any terminal escape, colours neither."""
    return _ESCAPE.sub("", text)


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
