"""A part of a log within a budget of bytes: its end, what stands before a line, or what follows one."""

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
    def earlier(self) -> bool:
        """Whether the log has lines before these."""
        return self.begin.number > 0

    @property
    def later(self) -> bool:
        """Whether the log has lines after these."""
        return self.end.number < self.last


def read(fd: int, budget: int, *, before: int | None = None, after: int | None = None) -> Window:
    """Return about `budget` bytes of lines, one line at least where there is one.

    With `after`, those that follow that line; else those that come before line `before`, by default the
    log's end.
    """
    last = seek.last(fd, log.size(fd))
    if after is not None:
        begin = seek.after(fd, after, last)
        end = seek.lines(fd, begin, last.offset, budget)[1]
    else:
        end = last if before is None else seek.after(fd, max(0, before - 1), last)
        begin = _back(fd, end, budget)
    return Window(list(log.read(fd, begin, end)), begin, end, last.number)


def _back(fd: int, end: Position, budget: int) -> Position:
    if end.offset <= budget:
        return seek.START
    block = os.pread(fd, budget, end.offset - budget)
    first = block.find(b"\n") + 1
    if first < len(block):
        return Position(end.number - block.count(b"\n", first), end.offset - budget + first)
    return Position(end.number - 1, seek.line_begin(fd, end.offset - 1))


def last_prose(fd: int, reach: int = 16 << 10) -> str:
    """Return the last finished prose within the last `reach` bytes of the log, "" where there is none."""
    size = log.size(fd)
    block = os.pread(fd, reach, max(0, size - reach))
    for line in reversed(block[: block.rfind(b"\n") + 1].split(b"\n")):
        found = events.head(line)
        if found and found[1] == "text":
            return str(events.decode(line, found[0]).get("text", ""))
    return ""
