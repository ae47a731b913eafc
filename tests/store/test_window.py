"""A window is some whole lines of a log within a budget of bytes, and at least one line."""

import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from breakglass.store import log, window
from tests.help.log_files import open_bytes
from tests.help.logs import line

GIANT = 80 << 20


@pytest.fixture(scope="module")
def giant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A log of three lines. The second is a foreign line of 80 MiB."""
    path = tmp_path_factory.mktemp("giant") / log.NAME
    path.write_bytes(line(1, "created"))
    os.truncate(path, GIANT)
    with path.open("ab") as file:
        file.write(b"\n" + line(3, "renamed"))
    fd = log.open_reader(str(path.parent))
    yield fd
    os.close(fd)


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        ({}, [3]),
        ({"before": 4}, [3]),
        ({"before": 3}, [2]),
        ({"before": 2}, [1]),
        ({"after": 0}, [1]),
        ({"after": 1}, [2]),
        ({"after": 2}, [3]),
        ({"after": 3}, []),
    ],
)
def test_a_giant_line_is_cut_to_its_beginning_and_never_read_whole_into_memory(
    asked: dict[str, int], numbers: list[int], giant: int
) -> None:
    tracemalloc.start()
    found = window.read(giant, 300, **asked)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [event["id"] for event in found.events] == numbers
    assert found.last == 3
    assert peak < 20 << 20


@pytest.mark.parametrize("budget", [1, 100, 1_000, 10_000_000])
def test_pages_backward_and_pages_forward_each_give_the_whole_log(budget: int) -> None:
    lengths = [10, 2_000, 10, 10, 1_500_000, 10, 300, 300, 300]
    data = b"".join(line(number, "text", text="y" * length) for number, length in enumerate(lengths, 1))
    with open_bytes(data) as fd:
        backward: list[int] = []
        before = len(lengths) + 1
        while before > 1:
            page = window.read(fd, budget, before=before)
            backward[:0] = [event["id"] for event in page.events]
            assert page.has_earlier == (backward[0] > 1)
            before = backward[0]
        forward: list[int] = []
        after = 0
        while after < len(lengths):
            page = window.read(fd, budget, after=after)
            forward += [event["id"] for event in page.events]
            assert page.has_later == (forward[-1] < len(lengths))
            after = forward[-1]
        assert backward == forward == [*range(1, len(lengths) + 1)]


def test_the_window_of_a_log_without_a_whole_line_is_empty(tmp_path: Path) -> None:
    with open_bytes(b"torn") as fd:
        assert window.read(fd, 100).events == []
        assert window.read(fd, 100, after=0).events == []
