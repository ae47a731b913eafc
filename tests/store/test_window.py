"""A part of a log is some lines within a budget, one line at least, whatever stands around it."""

import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from breakglass.store import log, window
from tests.help.logs import line
from tests.store.test_seek import opened

GIANT = 300 << 20


@pytest.fixture(scope="module")
def giant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A log of three lines whose second is one of a stranger's without any end to speak of."""
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
def test_a_giant_line_is_shown_by_its_beginning_and_never_held_whole(
    asked: dict[str, int], numbers: list[int], giant: int
) -> None:
    tracemalloc.start()
    found = window.read(giant, 300, **asked)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [event["id"] for event in found.events] == numbers
    assert found.last == 3
    assert peak < 40 << 20


@pytest.mark.parametrize("budget", [1, 100, 1_000, 10_000_000])
def test_pages_back_and_pages_on_are_the_whole_log(budget: int) -> None:
    lengths = [10, 2_000, 10, 10, 1_500_000, 10, 300, 300, 300]
    data = b"".join(line(number, "text", text="y" * length) for number, length in enumerate(lengths, 1))
    with opened(data) as fd:
        back: list[int] = []
        before = len(lengths) + 1
        while before > 1:
            page = window.read(fd, budget, before=before)
            back[:0] = [event["id"] for event in page.events]
            assert page.earlier == (back[0] > 1)
            before = back[0]
        on: list[int] = []
        after = 0
        while after < len(lengths):
            page = window.read(fd, budget, after=after)
            on += [event["id"] for event in page.events]
            assert page.later == (on[-1] < len(lengths))
            after = on[-1]
        assert back == on == [*range(1, len(lengths) + 1)]


def test_a_log_without_a_line_is_an_empty_window(tmp_path: Path) -> None:
    with opened(b"torn") as fd:
        assert window.read(fd, 100).events == []
        assert window.read(fd, 100, after=0).events == []
