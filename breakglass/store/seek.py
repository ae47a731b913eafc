"""Find lines in a log: the last whole line, and the line of a given number, without reading the whole file.

How this works
--------------
A line of ours begins with its own number, so a log can be searched by bisection like a sorted array. In a log of
millions of lines that takes a few `pread`s, and there is no index that could become outdated. This module works on a
descriptor, never moves its offset, and writes nothing.

* A `Position` is a place between two lines: how many lines stand before it, and its offset.
* A claim is the number that a line states. Claims may be wrong. Any program may append a foreign line with any number,
  and a part of a log may have been copied to its end. The position of a line decides its number, not the claim.
* So a claim is only used if a line at least `BRACKET` bytes earlier confirms it. The number of lines between the two
  must be the difference of their claims. Without such a confirmation all lines are counted.

Limit: foreign lines mislead a reader if their claims are all wrong by the same difference and they stand more than
`BRACKET` bytes apart. A writer never relies on a claim: it counts (log.py).

Rule for editors: every search ends with a count, from a confirmed position or from the start.
"""

import os
import re
from collections.abc import Iterator
from typing import NamedTuple

from breakglass import events

TAIL_BLOCK = 64 << 10
"""Bytes at the end of a log that are searched first for a line of ours."""
BRACKET = 256 << 10
"""A bisection ends when this many bytes are left: to count their lines is faster than to bisect them."""
COUNT_BLOCK = 1 << 20
"""Bytes that are read at a time to count lines."""
TAIL_SAMPLE = 256
"""Bytes by which a log is recognised."""
MAX_LINE = 8 << 20
"""Bytes of a line that are read. Only a foreign line is longer; readers get its first `events.MAX_FOREIGN` bytes."""
_CLAIM = re.compile(rb'\n\{"id":([1-9][0-9]{0,18}),"ts":"')
_CLAIM_BYTES = 40
"""Bytes within which `_CLAIM` ends."""


class Position(NamedTuple):
    """A place between two lines: `number` lines stand before `offset`."""

    number: int
    offset: int


START = Position(0, 0)


# --- the end of a log ---------------------------------------------------------------------------


def find_end(fd: int, size: int) -> Position:
    """Return the position after the last whole line within the first `size` bytes.

    Costs a few small reads if the log ends with lines of ours. Otherwise it counts all lines.
    """
    claim = _last_claim(fd, size) if size > COUNT_BLOCK else None
    return count_lines(fd, claim if claim and _is_confirmed(fd, claim) else START, size)


def _last_claim(fd: int, stop: int) -> Position | None:
    """Return the position before the last line of ours that begins before `stop`, as that line claims it."""
    reach = TAIL_BLOCK
    while stop > _CLAIM_BYTES:
        begin = max(0, stop - reach)
        block = os.pread(fd, stop - begin, begin)
        at = len(block)
        while (at := block.rfind(b'\n{"id":', 0, at)) >= 0:
            if match := _CLAIM.match(block, at):
                return Position(int(match[1]) - 1, begin + at + 1)
        stop = begin + _CLAIM_BYTES if begin else 0
        reach = COUNT_BLOCK
    return None


def _is_confirmed(fd: int, claim: Position) -> bool:
    """Return whether an earlier line confirms a claim, and the claims before that line decrease towards the start.

    They do not decrease if a part of the log was copied to its end.
    """
    found = _find_confirmation(fd, claim)
    if found is None:
        return False
    distance = claim.offset - found.offset
    while (distance := distance * 3 // 2) < claim.offset:
        earlier = _next_claim(fd, claim.offset - distance, claim.offset)
        if earlier is None or earlier.number > found.number:
            return False
        found = earlier
    return True


def _find_confirmation(fd: int, claim: Position) -> Position | None:
    """Return the position before a line at least `BRACKET` bytes earlier that confirms a claim, else None."""
    stop, reach = claim.offset - BRACKET, TAIL_BLOCK
    found = None
    while found is None and stop > 0:
        found = _next_claim(fd, max(0, stop - reach), stop)
        if reach >= stop:
            break
        reach *= 4  # a long line fills the bytes that were searched
    return found if found and count_lines(fd, found, claim.offset).number == claim.number else None


# --- the line of a number -----------------------------------------------------------------------


def find_after(fd: int, number: int, end: Position) -> Position:
    """Return the position after line `number`, found by bisection. Return `end` if the log has fewer lines."""
    if number >= end.number:
        return end
    low, high, ceiling = START, end, end.offset
    while ceiling - low.offset > BRACKET:
        middle = (low.offset + ceiling) // 2
        found = _next_claim(fd, middle, ceiling)
        if found is None:  # no line of ours begins between the middle and the ceiling
            ceiling = middle
        elif not low.number <= found.number <= high.number:
            return _count_to(fd, number, START, end)
        elif found.number <= number:
            low = found
        else:
            high, ceiling = found, middle
    return _count_to(fd, number, low if _find_confirmation(fd, low) else START, end)


def _next_claim(fd: int, begin: int, stop: int) -> Position | None:
    """Return the position before the first line of ours that begins between the two offsets, as that line claims it."""
    reach = 4096
    while True:
        wanted = min(reach, stop - begin)
        block = os.pread(fd, wanted, begin)
        if match := _CLAIM.search(block):
            return Position(int(match[1]) - 1, begin + match.start() + 1)
        if begin + wanted >= stop or len(block) < wanted:
            return None
        begin += wanted - _CLAIM_BYTES
        reach = min(reach * 4, COUNT_BLOCK)


def _count_to(fd: int, number: int, low: Position, end: Position) -> Position:
    """Return the position after line `number`, by counting from `low`."""
    missing = number - low.number
    offset = low.offset
    if not missing:
        return low
    for block in read_blocks(fd, offset, end.offset):
        lines = block.count(b"\n")
        if lines < missing:
            missing -= lines
            offset += len(block)
            continue
        newline = -1
        for _ in range(missing):
            newline = block.find(b"\n", newline + 1)
        return Position(number, offset + newline + 1)
    return Position(number, offset)


# --- bytes and lines ----------------------------------------------------------------------------


def tail_sample(fd: int, end: Position) -> bytes:
    """Return the last bytes before a position. A log whose sample has changed is not the log that was read."""
    length = min(TAIL_SAMPLE, end.offset)
    return os.pread(fd, length, end.offset - length) if length else b""


def is_line_end(fd: int, position: Position) -> bool:
    """Return whether a line ends at `position`. If none does, the log was cut short or written over."""
    return not position.offset or os.pread(fd, 1, position.offset - 1) == b"\n"


def find_line_begin(fd: int, offset: int) -> int:
    """Return the offset of the first byte of the line that contains `offset`. A newline belongs to the line it ends."""
    while offset:
        begin = max(0, offset - COUNT_BLOCK)
        if newline := os.pread(fd, offset - begin, begin).rfind(b"\n") + 1:
            return begin + newline
        offset = begin
    return 0


def read_blocks(fd: int, offset: int, stop: int) -> Iterator[bytes]:
    """Yield the bytes between two offsets in blocks of at most `COUNT_BLOCK`: fewer bytes if the log was cut short."""
    while offset < stop and (block := os.pread(fd, min(COUNT_BLOCK, stop - offset), offset)):
        yield block
        offset += len(block)


def count_lines(fd: int, start: Position, size: int) -> Position:
    """Return the position after the last whole line before `size`, by counting from `start`."""
    number, end = start
    offset = end
    for block in read_blocks(fd, offset, size):
        if newline := block.rfind(b"\n") + 1:
            number += block.count(b"\n")
            end = offset + newline
        offset += len(block)
    return Position(number, end)


def read_lines(fd: int, begin: Position, stop: int, reach: int = COUNT_BLOCK) -> tuple[bytes, Position]:
    """Return whole lines between `begin` and `stop`, about `reach` bytes, and the position after them.

    Returns b"" if no line ends before `stop`. A line longer than `MAX_LINE` is cut to its first bytes.
    """
    wanted = 0
    while wanted < stop - begin.offset:
        wanted = min(reach, stop - begin.offset)
        block = os.pread(fd, wanted, begin.offset)
        if cut := block.rfind(b"\n") + 1:
            block = block[:cut]
            return block, Position(begin.number + block.count(b"\n"), begin.offset + cut)
        if reach >= MAX_LINE:
            return _read_giant_line(fd, begin, stop, block)
        reach = min(reach * 4, MAX_LINE)
    return b"", begin


def _read_giant_line(fd: int, begin: Position, stop: int, block: bytes) -> tuple[bytes, Position]:
    """Return the first bytes of a line that begins with `block`, and the position after its end."""
    offset = begin.offset + len(block)
    for rest in read_blocks(fd, offset, stop):
        if (newline := rest.find(b"\n")) >= 0:
            return block[: events.MAX_FOREIGN] + b"\n", Position(begin.number + 1, offset + newline + 1)
        offset += len(rest)
    return b"", begin
