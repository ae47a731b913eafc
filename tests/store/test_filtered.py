"""A filter shows the lines of a whole log, in parts within a budget of bytes, and never hides a question that waits."""

import time
from typing import Any

import pytest

from breakglass.filters import FILTERS
from breakglass.store import filtered, seek
from tests.help.log_files import open_bytes
from tests.help.logs import line

FAILURES = FILTERS["failures"]


def test_parts_backward_and_parts_forward_each_give_every_failure() -> None:
    failed = [3, 4, 900, 2_000, 4_999, 5_000]
    lines = [line(n, "tool_result", is_error=n in failed, output="word " * 40) for n in range(1, 5_001)]
    with open_bytes(b"".join(lines)) as fd:
        for budget in (1, 600, 1 << 20):
            backward: list[int] = []
            before = 5_001
            while before > 1:
                part = filtered.read(fd, budget, FAILURES, before=before)
                backward = [event["id"] for event in part.events] + backward
                assert part.has_earlier is (part.begin.number > 0)
                before = part.begin.number + 1
            forward: list[int] = []
            after = 0
            while after < 5_000:
                part = filtered.read(fd, budget, FAILURES, after=after)
                forward += [event["id"] for event in part.events]
                after = part.end.number
            assert backward == forward == failed


@pytest.mark.parametrize(("around", "first"), [(900, 900), (901, 2_000), (10**19, 5_000)])
def test_around_a_line_begins_the_later_half_there(around: int, first: int) -> None:
    failed = [3, 900, 2_000, 5_000]
    lines = [line(n, "tool_result", is_error=n in failed) for n in range(1, 5_001)]
    with open_bytes(b"".join(lines)) as fd:
        numbers = [event["id"] for event in filtered.read(fd, 1 << 20, FAILURES, around=around).events]
        assert numbers == failed
        assert first in [e["id"] for e in filtered.read(fd, 2, FAILURES, around=around).events]


def test_a_failed_result_is_shown_with_its_call() -> None:
    """Without it, a reader does not know which command failed. A call of another turn may have the same id."""
    calls = [
        line(n, "tool", turn=n // 3, tool_id="t\u00e9", name="Bash", input={"command": str(n)})
        for n in (3, 4, 6)
    ]
    data = line(1, "created") + line(2, "user") + calls[0] + calls[1] + line(5, "text") + calls[2]
    data += line(7, "tool_result", turn=1, tool_id="t\u00e9", is_error=True)
    with open_bytes(data) as fd:
        assert [event["id"] for event in filtered.read(fd, 1 << 20, FAILURES).events] == [3, 4, 7]


def test_no_part_of_the_log_is_searched_twice_for_the_calls_of_failures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = line(1, "created") + line(2, "user")
    for number in range(3, 2_003, 2):
        data += line(number, "tool", turn=2, tool_id=f"t{number}", name="Bash", input={"command": "x" * 100})
        data += line(number + 1, "tool_result", turn=2, tool_id=f"t{number}", is_error=True)
    searched = []
    read_lines = seek.read_lines

    def counted(*args: Any) -> tuple[bytes, seek.Position]:
        block, end = read_lines(*args)
        searched.append(len(block))
        return block, end

    monkeypatch.setattr(seek, "read_lines", counted)
    with open_bytes(data) as fd:
        found = filtered.read(fd, 1 << 20, FAILURES).events
    assert [event["id"] for event in found] == [*range(3, 2_003)]
    assert sum(searched) < 3 * len(data)


def test_a_line_that_only_claims_to_be_an_event_is_no_failure() -> None:
    wrong = line(9, "error")  # on line 2
    with open_bytes(line(1, "created") + wrong + b'{"kind":"error"}\n' + line(4, "error")) as fd:
        assert [event["id"] for event in filtered.read(fd, 1 << 20, FAILURES).events] == [4]


def test_a_question_that_waits_is_shown_behind_each_filter() -> None:
    data = line(1, "created") + line(2, "user") + line(3, "permission")
    for chosen in FILTERS.values():
        with open_bytes(data) as fd:
            assert 3 in [event["id"] for event in filtered.read(fd, 1 << 20, chosen, always=[3]).events]
            assert filtered.read(fd, 1 << 20, chosen, before=2, always=[3]).events == []


def test_an_answer_that_is_still_written_is_shown() -> None:
    kinds = ["created", "user", "delta", "text", "tool", "delta", "delta"]
    data = b"".join(line(n, kind, parent=None) if n > 2 else line(n, kind) for n, kind in enumerate(kinds, 1))
    with open_bytes(data) as fd:
        found = filtered.read(fd, 1 << 20, FILTERS["answers"])
        assert [event["id"] for event in found.events] == [2, 4, 6, 7]


def test_the_outline_has_the_prompts_and_failures_of_100_000_lines_within_a_second() -> None:
    usual = line(1, "tool_result", output="word " * 40).partition(b",")[2]
    lines = [b'{"id":%d,%b' % (number, usual) for number in range(1, 100_001)]
    lines[40_000] = line(40_001, "tool_result", is_error=True)
    lines[60_000] = line(60_001, "user", text="and now?\nplease")
    with open_bytes(b"".join(lines)) as fd:
        began = time.thread_time()
        outline = filtered.read_outline(fd)
        found = filtered.read(fd, 96 << 10, FAILURES)
        assert time.thread_time() - began < 1
    assert outline == ([(60_001, "and now? please")], [40_001])
    assert [event["id"] for event in found.events] == [40_001]
    assert not found.has_earlier
