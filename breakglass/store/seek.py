"""Where lines are in a log: its last whole line, and the line of a given number, found by bisection.

A line of ours begins with its own number, so a log of millions of lines is searched like a sorted array,
with a few `pread`s and no index. But position is the judge, not the claim: anybody may have appended a
foreign line that claims any number. A claim is believed only where a line far before it agrees, a witness; where
none does, the lines are counted. What can mislead is a stranger's lines that claim wrong numbers by the same
difference and stand more than `BRACKET` bytes apart. Works on a descriptor, never moves its offset, writes nothing.
"""

import os
import re
from collections.abc import Iterator
from typing import NamedTuple

from breakglass import events

TAIL = 64 << 10
"""Bytes at the end of a log in which a line of ours is looked for first."""
BRACKET = 256 << 10
"""Bytes within which lines are counted, not searched: 0.1 ms (2026-11-23)."""
COUNT_BLOCK = 1 << 20
MARK = 256
"""Bytes by which a log is known again."""
MAX_LINE = 8 << 20
"""Bytes of a line that are looked at. A longer one, which only a stranger can have written, is cut."""
_CLAIM = re.compile(rb'\n\{"id":([1-9][0-9]{0,18}),"ts":"')
_CLAIM_BYTES = 40


class Position(NamedTuple):
    """A place between two lines: `number` lines stand before `offset`."""

    number: int
    offset: int


START = Position(0, 0)


def last(fd: int, size: int) -> Position:
    """Return the position after the last whole line within the first `size` bytes.

    Costs a few small reads where the end of the log is ours; a count of all lines where it is not.
    """
    claim = _last_claim(fd, size) if size > COUNT_BLOCK else None
    return count(fd, claim if claim and _is_confirmed(fd, claim) else START, size)


def _last_claim(fd: int, stop: int) -> Position | None:
    """Return the position before the last line of ours that begins before `stop`, by its own word."""
    reach = TAIL
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
    """Return whether a claim has a witness, and the claims before that fall on the way back.

    They do not where a stretch of the log was copied to its end.
    """
    found = _witness(fd, claim)
    if found is None:
        return False
    distance = claim.offset - found.offset
    while (distance := distance * 3 // 2) < claim.offset:
        earlier = _next_claim(fd, claim.offset - distance, claim.offset)
        if earlier is None or earlier.number > found.number:
            return False
        found = earlier
    return True


def _witness(fd: int, claim: Position) -> Position | None:
    """Return the position before a line that agrees with a claim from `BRACKET` bytes away or more, else None."""
    stop, reach = claim.offset - BRACKET, TAIL
    found = None
    while found is None and stop > 0:
        found = _next_claim(fd, max(0, stop - reach), stop)
        if reach >= stop:
            break
        reach *= 4  # a long line
    return found if found and count(fd, found, claim.offset).number == claim.number else None


def mark(fd: int, end: Position) -> bytes:
    """Return the last bytes before a position: by them one knows whether a log is still the one that was read."""
    length = min(MARK, end.offset)
    return os.pread(fd, length, end.offset - length) if length else b""


def is_line_end(fd: int, position: Position) -> bool:
    """Return whether a line ends at `position`: it did, and does not where the log was cut short or written over."""
    return not position.offset or os.pread(fd, 1, position.offset - 1) == b"\n"


def line_begin(fd: int, offset: int) -> int:
    """Return the offset at which the line begins that has a byte, or its end, at `offset`."""
    while offset:
        begin = max(0, offset - COUNT_BLOCK)
        if newline := os.pread(fd, offset - begin, begin).rfind(b"\n") + 1:
            return begin + newline
        offset = begin
    return 0


def blocks(fd: int, offset: int, stop: int) -> Iterator[bytes]:
    """Yield the bytes between two offsets in blocks of `COUNT_BLOCK` at most; fewer where the log was cut short."""
    while offset < stop and (block := os.pread(fd, min(COUNT_BLOCK, stop - offset), offset)):
        yield block
        offset += len(block)


def count(fd: int, start: Position, size: int) -> Position:
    """Return the position after the last whole line before `size`, by counting from `start`."""
    number, end = start
    offset = end
    for block in blocks(fd, offset, size):
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
    while ceiling - low.offset > BRACKET:
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
    return _walk(fd, number, low if _witness(fd, low) else START, end)


def _next_claim(fd: int, begin: int, stop: int) -> Position | None:
    """Return the position before the first line of ours that begins after `begin` and before `stop`."""
    reach = 4096
    while True:
        asked = min(reach, stop - begin)
        block = os.pread(fd, asked, begin)
        if match := _CLAIM.search(block):
            return Position(int(match[1]) - 1, begin + match.start() + 1)
        if begin + asked >= stop or len(block) < asked:
            return None
        begin += asked - _CLAIM_BYTES
        reach = min(reach * 4, COUNT_BLOCK)


def _walk(fd: int, number: int, low: Position, end: Position) -> Position:
    """Return the position after line `number`, reading on from `low` line by line."""
    missing = number - low.number
    offset = low.offset
    if not missing:
        return low
    for block in blocks(fd, offset, end.offset):
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


def lines(fd: int, begin: Position, stop: int, reach: int = COUNT_BLOCK) -> tuple[bytes, Position]:
    """Return whole lines between `begin` and `stop`, about `reach` bytes, and the position after them.

    b"" where no line ends before `stop`. Of a line longer than `MAX_LINE` the beginning stands for it.
    """
    asked = 0
    while asked < stop - begin.offset:
        asked = min(reach, stop - begin.offset)
        block = os.pread(fd, asked, begin.offset)
        if cut := block.rfind(b"\n") + 1:
            block = block[:cut]
            return block, Position(begin.number + block.count(b"\n"), begin.offset + cut)
        if reach >= MAX_LINE:
            return _giant(fd, begin, stop, block)
        reach = min(reach * 4, MAX_LINE)
    return b"", begin


def _giant(fd: int, begin: Position, stop: int, block: bytes) -> tuple[bytes, Position]:
    offset = begin.offset + len(block)
    for rest in blocks(fd, offset, stop):
        if (newline := rest.find(b"\n")) >= 0:
            return block[: events.MAX_FOREIGN] + b"\n", Position(begin.number + 1, offset + newline + 1)
        offset += len(rest)
    return b"", begin
