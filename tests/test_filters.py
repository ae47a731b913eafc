"""A filter shows what its name says, and finds it by the bytes of the lines."""

from typing import Any

import pytest

from breakglass import events
from breakglass.filters import FILTERS
from tests.help.logs import SAMPLES, line


@pytest.mark.parametrize(
    ("kind", "fields", "shown"),
    [
        ("error", {}, True),
        ("tool_result", {"is_error": True}, True),
        ("tool_result", {"is_error": False, "output": '"is_error":true'}, False),
        ("tool", {"input": {"is_error": True}}, False),
        ("result", {"is_error": True}, True),
        ("result", {"is_error": True, "result": events.INTERRUPTED}, False),
        ("turn_end", {"status": "timeout"}, True),
        ("turn_end", {"status": "lost"}, True),
        ("turn_end", {"status": "error"}, True),
        ("turn_end", {"status": "cancelled"}, False),
        ("turn_end", {"status": "ok"}, False),
        ("turn_end", {"status": ["error"]}, False),
        ("notified", {"sent": False}, True),
        ("notified", {"sent": True}, False),
        ("user", {"text": '{"kind":"error"}'}, False),
    ],
)
def test_failures_are_what_failed_and_not_what_was_stopped(
    kind: str, fields: dict[str, Any], shown: bool
) -> None:
    assert find("failures", kind, fields) is shown


@pytest.mark.parametrize("kind", SAMPLES)
def test_answers_are_what_the_user_and_the_agent_said(kind: str) -> None:
    said = {"user", "steered", "file", "text", "result", "error", "turn_end"}
    assert find("answers", kind, {"parent": None} if "parent" in SAMPLES[kind] else {}) is (kind in said)


def test_what_a_subagent_says_is_no_answer_to_the_user() -> None:
    assert not find("answers", "text", {"parent": "t-1"})


def find(name: str, kind: str, fields: dict[str, Any]) -> bool:
    """Return whether a filter finds an event as the second of three lines, and only that one."""
    block = line(7, "plan") + line(8, kind, **fields) + line(9, "plan")
    found = [
        event["id"]
        for number, begin, end in FILTERS[name].find(block, 6)
        if FILTERS[name].shows(event := events.decode(block[begin:end], number))
    ]
    assert found in ([], [8])
    return bool(found)


def test_a_line_with_many_marks_is_searched_once_for_each_mark() -> None:
    """The input of a tool may have a mark hundreds of thousands of times, and its line 8 MiB."""

    class Block(bytes):
        searches = 0

        def rfind(self, *args: Any) -> int:
            self.searches += 1
            return super().rfind(*args)

    marked = [{"a": "", "kind": "error"}] * 1000
    block = Block(line(7, "plan") + line(8, "tool", input=marked) + line(9, "error"))
    assert [number for number, _, _ in FILTERS["failures"].find(block, 6)] == [8, 9]
    assert block.searches == 2
