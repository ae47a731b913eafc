"""The layout of a transcript: margin, bars, colours, and text that continues a line. Pure.

How this works. A terminal line belongs to one *channel* at a time: the agent's prose, or the output of one tool.
`stream` continues the line at the cursor if the channel is the same, and begins a new line otherwise. `block` always
uses whole lines of its own. `_open` is the channel of the unfinished line at the cursor.
"""

from collections.abc import Mapping
from typing import Any

from breakglass.cli.style import UNLIMITED, paint
from breakglass.text import one_line

MARGIN = 7
"""Columns of the margin: a line number of up to six digits and a blank."""


class Layout:
    """Lays out the text of events. Every method returns what to write next."""

    def __init__(self, *, colours: bool = False, columns: int = UNLIMITED) -> None:
        self.width = max(20, columns - MARGIN - 2)
        """Columns beside the margin and the bar."""
        self._colours = colours
        self._open: object = None

    @property
    def is_at_line_start(self) -> bool:
        """Whether the cursor is at the beginning of a line."""
        return self._open is None

    def finish(self) -> str:
        """End the unfinished line, if there is one."""
        text = "" if self.is_at_line_start else "\n"
        self._open = None
        return text

    def stream(self, event: Mapping[str, Any], channel: object, text: str, bar: str, style: str) -> str:
        """Continue the line of `channel` with `text`, or begin a new line."""
        out = [self.finish() if channel != self._open else ""]
        number = str(event["id"])
        *whole, last = text.split("\n")
        for line in whole:
            out.append(self._piece(number, bar, line, style) + "\n")
            self._open, number = None, ""
        if last:
            out.append(self._piece(number, bar, last, style))
            self._open = channel
        return "".join(out)

    def block(self, event: Mapping[str, Any], text: str, bar: str = "  ", style: str = "prose") -> str:
        """Show `text` on lines of its own. A second bar marks a subagent's block."""
        if event.get("parent"):
            bar = "╎ " + bar
        own_channel = object()
        return self.stream(event, own_channel, text.strip("\n") or " ", bar, style) + self.finish()

    def note(self, event: Mapping[str, Any], text: str, style: str = "note") -> str:
        """Show `text` on one line."""
        return self.block(event, one_line(text, self.width), style=style)

    def _piece(self, number: str, bar: str, text: str, style: str) -> str:
        """Return a piece of a line, with margin and bar if it begins the line."""
        body = paint(text, style, colours=self._colours)
        if not self.is_at_line_start:
            return body
        margin = paint(f"{number:>{MARGIN - 1}} ", "margin", colours=self._colours)
        return margin + paint(bar if text else bar.rstrip(), style, colours=self._colours) + body
