"""The part of a log that a filter shows, within a budget of bytes; and the prompts and failures of the whole log.

Blocks of whole lines are read, and only the lines that can match are decoded. So a log of 100,000 lines with a single
failure is searched within a fraction of a second. No index exists, so nothing can be out of date.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from breakglass import events
from breakglass.errors import NotFound
from breakglass.events import Event
from breakglass.filters import FILTERS, PROMPTS, WRITING, Filter
from breakglass.store import log, seek, window
from breakglass.store.seek import Position
from breakglass.store.window import Window
from breakglass.text import one_line

BLOCK = 1 << 20
"""Bytes that are searched at a time."""
MAX_SEARCHED = 1 << 30
"""Bytes that one page searches. It then ends there, and its link to the next part continues."""


class Outline(NamedTuple):
    """The lines of a log that a user may want to go to."""

    prompts: list[tuple[int, str]]
    """The line of each prompt, and its first words."""
    failures: list[int]


class _Found(NamedTuple):
    event: Event
    length: int


def read(
    fd: int,
    budget: int,
    chosen: Filter,
    *,
    before: int | None = None,
    after: int | None = None,
    around: int | None = None,
    always: Iterable[int] = (),
) -> Window:
    """Return about `budget` bytes of the lines that a filter shows, as `window.read` returns all lines.

    The lines with the numbers `always` are shown too: a question that waits must never be hidden.
    """
    last = seek.find_end(fd, log.size(fd))
    if around is not None:
        at = seek.find_after(fd, max(0, around - 1), last)
        earlier, begin = _backward(fd, at, budget // 2, chosen)
        later, end = _forward(fd, at, last, budget // 2, chosen)
    elif after is not None:
        begin = seek.find_after(fd, after, last)
        earlier, (later, end) = [], _forward(fd, begin, last, budget, chosen)
    else:
        end = last if before is None else seek.find_after(fd, max(0, before - 1), last)
        later, (earlier, begin) = [], _backward(fd, end, budget, chosen)
    found = {event["id"]: event for event in (*earlier, *later, *_each(fd, always, begin, end))}
    if chosen is FILTERS["failures"]:
        found |= _calls(fd, list(found.values()), last)
    if end == last and chosen is FILTERS["answers"]:
        # An answer that is still being written: the pieces after the last line that is shown.
        written = seek.find_after(fd, max(found, default=0), last)
        for first, block, _ in _blocks(fd, written, last):
            found |= {event["id"]: event for event, _ in _matches(block, first, WRITING)}
    return Window([found[number] for number in sorted(found)], begin, end, last.number)


def read_outline(fd: int) -> Outline:
    """Return all prompts and failures of a log."""
    outline = Outline([], [])
    for begin, block, _ in _blocks(fd, seek.START, seek.find_end(fd, log.size(fd))):
        for event, _ in _matches(block, begin, PROMPTS):
            outline.prompts.append((event["id"], one_line(str(event.get("text", "")), 80)))
        outline.failures.extend(event["id"] for event, _ in _matches(block, begin, FILTERS["failures"]))
    return outline


def _calls(fd: int, found: list[Event], last: Position) -> dict[int, Event]:
    """Return the tool calls whose results failed, each if it is within `BLOCK` bytes before its result.

    No part of the log is searched twice.
    """
    failed = sorted((each for each in found if each["kind"] == "tool_result"), key=lambda each: each["id"])
    wanted = {_call_of(each) for each in failed}
    shown = Filter(
        "Calls", (b'"kind":"tool",',), lambda each: each["kind"] == "tool" and _call_of(each) in wanted
    )
    calls: dict[int, Event] = {}
    searched = seek.START
    for each in failed:
        stop = seek.find_after(fd, each["id"] - 1, last)
        is_near = stop.offset - searched.offset <= BLOCK
        begin = searched if is_near else window.find_begin(fd, stop, BLOCK)
        for first, block, _ in _blocks(fd, begin, stop):
            calls |= {event["id"]: event for event, _ in _matches(block, first, shown)}
        searched = stop
    return calls


def _call_of(event: Event) -> tuple[str, str]:
    return str(event.get("turn")), str(event.get("tool_id"))


def _forward(
    fd: int, begin: Position, last: Position, budget: int, chosen: Filter
) -> tuple[list[Event], Position]:
    """Return the first matches after `begin`, and where the search ended."""
    taken: list[Event] = []
    end, limit = begin, begin.offset + MAX_SEARCHED
    for first, block, end in _blocks(fd, begin, last):
        for found in _matches(block, first, chosen):
            taken.append(found.event)
            budget -= found.length
            if budget <= 0:
                return taken, seek.find_after(fd, found.event["id"], last)
        if end.offset > limit:
            break
    return taken, end


def _backward(fd: int, end: Position, budget: int, chosen: Filter) -> tuple[list[Event], Position]:
    """Return the last matches before `end`, and where the search ended."""
    taken: list[Event] = []
    stop, limit = end, end.offset - MAX_SEARCHED
    while stop.offset > max(0, limit):
        begin = window.find_begin(fd, stop, BLOCK)
        blocks = _blocks(fd, begin, stop)
        for found in reversed(
            [each for first, block, _ in blocks for each in _matches(block, first, chosen)]
        ):
            if budget <= 0:
                return taken[::-1], seek.find_after(fd, taken[-1]["id"] - 1, end)
            taken.append(found.event)
            budget -= found.length
        stop = begin
    return taken[::-1], stop


def _blocks(fd: int, begin: Position, end: Position) -> Iterator[tuple[Position, bytes, Position]]:
    """Yield blocks of whole lines, each with the positions before and after it."""
    while begin.offset < end.offset and (read := seek.read_lines(fd, begin, end.offset, BLOCK))[0]:
        yield begin, *read
        begin = read[1]


def _matches(block: bytes, begin: Position, chosen: Filter) -> Iterator[_Found]:
    for number, first, stop in chosen.find(block, begin.number):
        event = events.decode(block[first:stop], number)
        if event["kind"] != "foreign" and chosen.shows(event):
            yield _Found(event, stop - first)


def _each(fd: int, numbers: Iterable[int], begin: Position, end: Position) -> Iterator[Event]:
    for number in numbers:
        if begin.number < number <= end.number:
            try:
                yield log.read_one(fd, number)
            except NotFound:  # the log was replaced since its state was read
                return
