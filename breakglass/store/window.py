"""A part of a log within a budget of bytes: its last lines, the lines before a line, or the lines after a line."""

import os
from typing import NamedTuple

from breakglass import events
from breakglass.events import Event
from breakglass.store import log, seek
from breakglass.store.seek import Position


class Window(NamedTuple):
    """Some whole lines of a log: those between two positions."""

    events: list[Event]
    begin: Position
    end: Position
    last: int
    """The number of the log's last line."""

    @property
    def has_earlier(self) -> bool:
        """Whether the log has lines before these."""
        return self.begin.number > 0

    @property
    def has_later(self) -> bool:
        """Whether the log has lines after these."""
        return self.end.number < self.last


def read(
    fd: int, budget: int, *, before: int | None = None, after: int | None = None, around: int | None = None
) -> Window:
    """Return about `budget` bytes of lines, at least one line if there is one.

    With `after`, these are the lines that follow that line, and with `around` that line with those before and after it.
    Otherwise they end before line `before`, by default at the end of the log.
    """
    last = seek.find_end(fd, log.size(fd))
    if around is not None:
        at = seek.find_after(fd, max(0, around - 1), last)
        begin = find_begin(fd, at, budget // 2)
        end = seek.read_lines(fd, at, last.offset, budget // 2)[1]
    elif after is not None:
        begin = seek.find_after(fd, after, last)
        end = seek.read_lines(fd, begin, last.offset, budget)[1]
    else:
        end = last if before is None else seek.find_after(fd, max(0, before - 1), last)
        begin = find_begin(fd, end, budget)
    return Window(list(log.read(fd, begin, end)), begin, end, last.number)


def find_begin(fd: int, end: Position, budget: int) -> Position:
    """Return the position before the first line that begins within `budget` bytes before `end`.

    If no line does, the last line before `end` is longer than the budget: return the position before it.
    """
    if end.offset <= budget:
        return seek.START
    block = os.pread(fd, budget, end.offset - budget)
    first = block.find(b"\n") + 1
    if first < len(block):
        return Position(end.number - block.count(b"\n", first), end.offset - budget + first)
    return Position(end.number - 1, seek.find_line_begin(fd, end.offset - 1))


def read_last_text(fd: int, reach: int = 16 << 10) -> str:
    """Return the text of the last `text` event within the last `reach` bytes of the log, "" if there is none."""
    block = os.pread(fd, reach, max(0, log.size(fd) - reach))
    for line in reversed(block[: block.rfind(b"\n") + 1].split(b"\n")):
        head = events.head(line)
        if head and head[1] == "text":
            return str(events.decode(line, head[0]).get("text", ""))
    return ""
