"""The filters of a transcript: which events each of them shows. Pure.

A filter finds the lines that can match by their bytes, because decoding every line takes many times longer. The decoded
event decides. The page's `filter.css` hides the other lines that a stream adds.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from breakglass import events
from breakglass.events import Event

_SAID = frozenset({"user", "steered", "file", "text", "result", "error", "turn_end"})
_FAILED_ENDS = ("error", "timeout", "lost")


class Filter(NamedTuple):
    """The choice of some events of a log."""

    label: str
    marks: tuple[bytes, ...]
    """Bytes of which a line that can match has at least one."""
    shows: Callable[[Event], bool]

    def find(self, block: bytes, number: int) -> Iterator[tuple[int, int, int]]:
        """Yield the lines of `block` that can match: number, begin and end. `number` is that of the line before."""
        begins = set()
        for mark in self.marks:
            at = block.find(mark)
            while at >= 0:
                begins.add(block.rfind(b"\n", 0, at) + 1)
                end = block.find(b"\n", at)  # one line may have a mark a hundred thousand times
                at = block.find(mark, end) if end >= 0 else -1
        counted = 0
        for begin in sorted(begins):
            number += block.count(b"\n", counted, begin)
            counted = begin
            yield number + 1, begin, block.find(b"\n", begin)


def is_failure(event: Event) -> bool:
    """Return whether an event says that something failed. What a user stopped or refused did not fail."""
    match event.get("kind"):
        case "tool_result" | "result":
            return event.get("is_error") is True and event.get("result") != events.INTERRUPTED
        case "turn_end":
            return event.get("status") in _FAILED_ENDS
        case "notified":
            return event.get("sent") is False
        case kind:
            return kind == "error"


def is_said(event: Event) -> bool:
    """Return whether an event is a prompt or an answer of the agent, or ends a turn. A subagent answers its agent."""
    return event.get("kind") in _SAID and not event.get("parent")


def _kinds(*kinds: str) -> tuple[bytes, ...]:
    return tuple(b'","kind":"%b"' % kind.encode() for kind in sorted(kinds))


PROMPTS = Filter("Prompts", _kinds("user", "steered"), lambda event: event["kind"] in ("user", "steered"))
WRITING = Filter(
    "Writing", _kinds("delta"), lambda event: event["kind"] == "delta" and not event.get("parent")
)
FILTERS: dict[str, Filter] = {
    "answers": Filter("Prompts and answers", _kinds(*_SAID), is_said),
    "failures": Filter(
        "Failures", (*_kinds("error", "turn_end", "notified"), b'"is_error":true'), is_failure
    ),
}
"""By the name that addresses have."""
