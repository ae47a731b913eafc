"""Bisection finds the positions that counting finds, with any foreign lines, and reads little of a large log."""

import functools
import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakglass.store import seek
from breakglass.store.seek import Position
from tests.help.log_files import open_bytes, reads_so_far
from tests.help.logs import TS, line


def positions_of(data: bytes) -> list[Position]:
    """Return the position after each line, found by counting. START comes first."""
    ends, offset = [seek.START], 0
    while newline := data.find(b"\n", offset) + 1:
        offset = newline
        ends.append(Position(len(ends), offset))
    return ends


FOREIGN = [
    b"",
    b"hello",
    b"\r",
    b"\xff\0",
    b"x" * 5_000,
    b"x" * 100_000,
    b'{"id":3,"ts":"' + TS.encode() + b'","kind":"text"}',
    b'{"id":99999999,"ts":"' + TS.encode() + b'","kind":"text"}',
    b'{"id":18446744073709551617,"ts":"","kind":"text"}',
]


def random_log(rng: random.Random) -> bytes:
    """Return at most about a megabyte: our lines of any length, foreign lines, copies of earlier lines, a torn tail."""
    lines: list[bytes] = []
    longest = rng.choice([10, 1_000, 10_000, 60_000])
    for _ in range(rng.choice([0, 1, 5, 60, 400])):
        what = rng.random()
        if what < 0.03:
            lines.append(rng.choice(FOREIGN) + b"\n")
        elif what < 0.05 and lines:
            start = rng.randrange(len(lines))
            lines += lines[start : start + rng.randrange(1, 6)]
        else:
            lines.append(line(len(lines) + 1, "text", text="y" * rng.randrange(longest)))
    torn = rng.choice([b"", b"", b'{"id":', b"z" * 70_000, line(len(lines) + 1, "text")[:-1]])
    return b"".join(lines) + torn


@given(st.randoms(use_true_random=False))
def test_every_position_is_the_one_that_counting_finds(rng: random.Random) -> None:
    data = random_log(rng)
    expected = positions_of(data)
    with open_bytes(data) as fd:
        assert seek.count_lines(fd, seek.START, len(data)) == expected[-1]
        assert seek.find_end(fd, len(data)) == expected[-1]
        sample = rng.sample(range(len(expected)), min(25, len(expected)))
        for number in {0, 1, len(expected) - 1, *sample} & {*range(len(expected))}:
            assert seek.find_after(fd, number, expected[-1]) == expected[number]


@given(st.randoms(use_true_random=False), st.integers(1, 40_000))
def test_lines_are_read_whole_and_in_order_with_any_reach(rng: random.Random, reach: int) -> None:
    data = random_log(rng)
    expected = positions_of(data)
    got, position = b"", seek.START
    with open_bytes(data) as fd:
        while (found := seek.read_lines(fd, position, len(data), reach))[0]:
            got += found[0]
            position = found[1]
            assert position in expected
    assert got == data[: expected[-1].offset]
    assert position == expected[-1]


@pytest.mark.parametrize("copied", [1, 40, 2_000, 7_999])
@pytest.mark.parametrize("where", ["tail", "head"])
def test_lines_copied_to_the_end_do_not_mislead_the_search_for_the_end(copied: int, where: str) -> None:
    lines = [line(number, "text", text="y" * (number % 300)) for number in range(1, 8_001)]
    data = b"".join(lines + (lines[-copied:] if where == "tail" else lines[:copied]))
    with open_bytes(data) as fd:
        assert seek.find_end(fd, len(data)) == Position(8_000 + copied, len(data))


@functools.cache
def plain_line(number: int, size: int) -> bytes:
    return line(number, "text", text="y" * size)


def plain_lines(first: int, end: int, size: int) -> list[bytes]:
    """Return the lines from `first` to before `end`, each with a text of `size` letters."""
    return [plain_line(number, size) for number in range(first, end)]


@pytest.mark.parametrize("before", [100, 300_000, 400_000, 1_200_000, 20_000_000])
@pytest.mark.parametrize("padding", [0, 300_000, 2_000_000])
@pytest.mark.parametrize("wrong", [1, 2, 50])
def test_wrong_claims_close_together_do_not_confirm_each_other(wrong: int, before: int, padding: int) -> None:
    """The lines before and after these claims may have any length."""
    lines = plain_lines(1, 10_000, 99)
    lines.append(line(10_000, "text", text="y" * before))
    lines += [line(77_000 + number, "text") for number in range(wrong)]
    data = b"".join(lines) + b"z" * padding + b"\n"
    with open_bytes(data) as fd:
        assert seek.find_end(fd, len(data)) == Position(10_000 + wrong + 1, len(data))


@pytest.mark.parametrize("before", [100, 400_000])
@pytest.mark.parametrize("at", range(100, 900, 50))
def test_a_group_of_wrong_claims_within_a_log_does_not_mislead_a_bisection(at: int, before: int) -> None:
    lines = plain_lines(1, at, 999)
    lines.append(line(at, "text", text="y" * before))
    lines += [line(1_000 + number, "text", text="y" * 60_000) for number in range(3)]
    lines += plain_lines(at + 4, 2_000, 999)
    expected = positions_of(b"".join(lines))
    with open_bytes(b"".join(lines)) as fd:
        assert all(
            seek.find_after(fd, number, expected[-1]) == expected[number] for number in range(999, 1_003)
        )


def test_a_copy_of_lines_within_a_log_does_not_mislead_a_bisection() -> None:
    lines = [line(number, "text", text="y" * (number % 300)) for number in range(1, 8_001)]
    run = lines[3_000:3_400]  # as long as the bytes that are counted around each line
    ours = [line(number, "text", text="z" * 99) for number in range(8_401, 16_000)]
    data = b"".join(lines + run + ours)
    expected = positions_of(data)
    with open_bytes(data) as fd:
        assert all(
            seek.find_after(fd, number, expected[-1]) == expected[number] for number in range(0, 16_000, 61)
        )


def test_a_giant_line_is_read_in_blocks_and_cut_to_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(line(1, "created") + b"A" * 10)
    os.truncate(path, 3 << 30)  # a hole: three gigabytes of NUL
    with path.open("ab") as file:
        file.write(b"\n" + line(3, "text"))
    with path.open("rb") as opened_file:
        fd, size = opened_file.fileno(), path.stat().st_size
        first = Position(1, len(line(1, "created")))
        got, end = seek.read_lines(fd, first, first.offset + (40 << 20))
        assert (got, end) == (b"", first)  # the line does not end within these bytes
        os.truncate(path, 40 << 20)
        with path.open("ab") as file:
            file.write(b"\n" + line(3, "text"))
        size = path.stat().st_size
        got, end = seek.read_lines(fd, first, size)
        assert (got[:11], len(got), got[-1:]) == (b"A" * 10 + b"\0", (64 << 10) + 1, b"\n")
        assert end == Position(2, (40 << 20) + 1)
        assert seek.find_end(fd, size) == Position(3, size)
        assert seek.find_after(fd, 2, Position(3, size)) == end


@pytest.mark.parametrize("lines", [1_000, 300_000])
def test_a_line_is_found_with_a_few_reads_at_any_size(lines: int, tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file:
        for number in range(1, lines + 1):
            file.write(line(number, "delta", text="y" * 200))
    with path.open("rb") as opened_file:
        fd, size = opened_file.fileno(), path.stat().st_size
        before = reads_so_far()
        end = seek.find_end(fd, size)
        assert end == Position(lines, size)
        assert reads_so_far() - before <= 20
        for number in (1, lines // 3, lines - 10, lines - 1):
            before = reads_so_far()
            position = seek.find_after(fd, number, end)
            assert reads_so_far() - before <= 20
            assert os.pread(fd, 30, position.offset).startswith(b'{"id":%d,' % (number + 1))


def test_lines_around_a_giant_line_are_found(tmp_path: Path) -> None:
    path = tmp_path / "log"
    head = b"".join(line(number, "delta") for number in range(1, 5_001))
    tail = b"".join(line(number, "delta") for number in range(5_002, 10_000))
    path.write_bytes(head)
    os.truncate(path, 200 << 20)
    with path.open("ab") as file:
        file.write(b"\n" + tail)
    with path.open("rb") as opened_file:
        fd = opened_file.fileno()
        end = seek.find_end(fd, path.stat().st_size)
        assert end.number == 9_999
        assert seek.find_after(fd, 5_000, end).offset == len(head)
        assert seek.find_after(fd, 5_001, end).offset == (200 << 20) + 1
        assert seek.find_after(fd, 7_000, end) == Position(
            7_000, end.offset - len(tail) + tail.find(b'{"id":7001,')
        )
