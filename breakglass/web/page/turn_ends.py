"""Finds the lines that the end of a turn stands for, because it says the same. Pure.

`foldIntoEnd` of static/line_kinds.js does the same in the browser with the lines of a stream: there the fragment of a
line is sent before the next event exists. Change both together.
"""

from typing import Any, NamedTuple

from breakglass.events import Event
from breakglass.web.page.terminal import KEPT_WHOLE

_SAYS = {"error": "error", "result": "result", "text": "text"}
"""The key that holds what an event says, by kind."""


class TurnEnd(NamedTuple):
    """What the line of a turn's end shows besides the event."""

    cause: Event | None = None
    """The `error` or the failed `result` whose text it shows."""
    result: Event | None = None
    """The `result` whose cost it shows."""
    folded: frozenset[int] = frozenset()
    """The ids of the events that it stands for."""


def find_turn_ends(events: list[Event]) -> dict[int, TurnEnd]:
    """Return what the end of each turn stands for, by the id of the `turn_end`."""
    return {
        event["id"]: _turn_end(event, _before(events, index))
        for index, event in enumerate(events)
        if event.get("kind") == "turn_end"
    }


def _before(events: list[Event], end: int) -> list[Event]:
    """Return the events just before the end of a turn that say something, the last one first."""
    found = []
    for event in reversed(events[:end]):
        if event.get("turn") != events[end].get("turn"):
            break
        if event.get("parent") or event.get("kind") == "tool_result":
            continue  # it is shown inside the call that it belongs to
        if _said(event) is None:
            break
        found.append(event)
    return found


def _said(event: Event) -> str | None:
    """Return what an event says, None if it is of another kind or malformed."""
    key = _SAYS.get(str(event.get("kind")))
    said: Any = (event.get(key) or "") if key else None
    is_whole = isinstance(said, str) and isinstance(event.get("cost_usd"), int | float | None)
    return said.strip() if is_whole else None


def _turn_end(end: Event, before: list[Event]) -> TurnEnd:
    result = next((each for each in before if each["kind"] == "result"), None)
    error = next((each for each in before if each["kind"] == "error"), None)
    failed = error or (result if result and result.get("is_error") else None)
    if end.get("status") == "cancelled":
        return TurnEnd(None, result, _ids([result] if result else []))
    told = failed or result
    same = [each for each in before if told and _said(each) == _said(told)]
    if failed:
        if len(_said(failed) or "") > KEPT_WHOLE:
            return TurnEnd()  # too long to be repeated
        return TurnEnd(failed, result if result in same else None, _ids(same))
    if result and (len(same) > 1 or not _said(result)):
        return TurnEnd(None, result, _ids([result]))
    return TurnEnd()


def _ids(events: list[Event]) -> frozenset[int]:
    return frozenset(event["id"] for event in events)
