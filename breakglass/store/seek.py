"""Where lines are in a log: its last whole line, and the line of a given number, found by bisection.

A line of ours begins with its own number, so a log of millions of lines is searched like a sorted array,
with a few `pread`s and no index. But position is the judge, not the claim: anybody may have appended a
foreign line that claims any number. A claim is believed only where everything near it agrees; where it
does not, the lines are counted. Works on a descriptor, never moves its offset, knows nothing of writing.
"""

import os
import re
from typing import NamedTuple

from breakglass import events

BLOCK = 64 << 10
COUNT_BLOCK = 1 << 20
_CLAIM = re.compile(rb'\n\{"id":([1-9][0-9]{0,18}),"ts":"')


class Position(NamedTuple):
    """A place between two lines: `number` lines stand before `offset`."""

    number: int
    offset: int


START = Position(0, 0)


def last(fd: int, size: int) -> Position:
    """Return the position after the last whole line within the first `size` bytes.

    Costs one small read where the end of the log is ours; a count of all lines where it is not.
    """
    begin = max(0, size - BLOCK)
    block = os.pread(fd, size - begin, begin)
    stop = block.rfind(b"\n") + 1
    if begin == 0:
        return Position(block.count(b"\n", 0, stop), stop)
    first = block.find(b"\n", 0, stop) + 1
    number = _agreed(block[first:stop].split(b"\n")[:-1])
    if number is None:
        return count(fd, START, size)
    return Position(number, begin + stop)


def _agreed(lines: list[bytes]) -> int | None:
    """Return the number of the last of `lines` where every claim among them says the same, else None."""
    claims = {found[0] - index for index, line in enumerate(lines) if (found := events.head(line))}
    return claims.pop() + len(lines) - 1 if len(claims) == 1 else None


def count(fd: int, start: Position, size: int) -> Position:
    """Return the position after the last whole line before `size`, by counting from `start`."""
    number, end = start
    offset = end
    while offset < size and (block := os.pread(fd, min(COUNT_BLOCK, size - offset), offset)):
        if newline := block.rfind(b"\n") + 1:
            number += block.count(b"\n")
            end = offset + newline
        offset += len(block)
    return Position(number, end)


def after(fd: int, number: int, end: Position) -> Position:
    """Return the position after line `number`, which must not lie beyond `end`, by bisection."""
    if number >= end.number:
        return end
    low, high, ceiling = START, end, end.offset
    while ceiling - low.offset > BLOCK:
        middle = (low.offset + ceiling) // 2
        found = _next_claim(fd, middle, ceiling)
        if found is None:  # no line of ours begins between here and the ceiling
            ceiling = middle
        elif not low.number <= found.number <= high.number:
            return _walk(fd, number, START, end)
        elif found.number <= number:
            low = found
        else:
            high, ceiling = found, middle
    if high.number - low.number != _newlines(fd, low.offset, high.offset):
        low = START  # somebody's line lied on the way here
    return _walk(fd, number, low, end)


def _next_claim(fd: int, begin: int, stop: int) -> Position | None:
    """Return the position before the first line of ours that begins after `begin` and before `stop`."""
    reach = 4096
    while True:
        block = os.pread(fd, min(reach, stop - begin), begin)
        if match := _CLAIM.search(block):
            return Position(int(match[1]) - 1, begin + match.start() + 1)
        if begin + len(block) >= stop or len(block) < reach:
            return None
        reach *= 4


def _newlines(fd: int, begin: int, stop: int) -> int:
    return count(fd, Position(0, begin), stop).number


def _walk(fd: int, number: int, low: Position, end: Position) -> Position:
    """Return the position after line `number`, reading on from `low` line by line."""
    missing = number - low.number
    offset = low.offset
    while missing and (block := os.pread(fd, min(COUNT_BLOCK, end.offset - offset), offset)):
        held = block.count(b"\n")
        if held < missing:
            missing -= held
            offset += len(block)
            continue
        cut = -1
        for _ in range(missing):
            cut = block.find(b"\n", cut + 1)
        return Position(number, offset + cut + 1)
    return Position(number, offset)
