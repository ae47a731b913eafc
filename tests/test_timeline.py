"""The timeline of a session, from its events."""

from typing import Any

import pytest

from breakglass.timeline import MAX_SPANS, MAX_TURNS, Timeline
from tests.test_stats import TURN


def turns_of(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    timeline = Timeline()
    for event in events:
        timeline.add(event)
    return list(timeline.turns)


def test_a_turn_has_its_calls_and_waits_with_their_times() -> None:
    assert turns_of([*TURN]) == [
        {
            "line": 2,
            "ts": "2026-11-23T03:00:01.123Z",
            "status": "error",
            "seconds": 71.0,
            "spans": [
                {"kind": "tool", "line": 3, "label": "Bash", "begin": 1.0, "end": 21.0},
                {"kind": "wait", "line": 6, "label": "", "begin": 22.0, "end": 62.0},
                {"kind": "wait", "line": 8, "label": "", "begin": 62.0, "end": 68.0},
            ],
        }
    ]


def test_a_running_turn_has_no_end_and_a_long_session_its_latest_turns() -> None:
    assert [turn["status"] for turn in turns_of([*TURN[:3]])] == ["running"]
    assert len(turns_of([*TURN] * (MAX_TURNS + 3))) == MAX_TURNS
    calls = [{**TURN[2], "tool_id": str(number)} for number in range(MAX_SPANS + 5)]
    assert len(turns_of([TURN[1], *calls])[0]["spans"]) == MAX_SPANS


@pytest.mark.parametrize("value", [None, True, "x", [], {}, 7])
def test_malformed_values_add_nothing_and_raise_nothing(value: Any) -> None:
    for event in TURN:
        for key in set(event) - {"id", "kind"}:
            turns_of([{**each, key: value} if each is event else each for each in TURN])
