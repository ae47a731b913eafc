"""On a full disk an event is written whole or not at all. A running turn's end is written into reserved space."""

import pytest

from breakglass.errors import CannotRecord
from breakglass.events import Draft
from breakglass.store import log
from breakglass.store.log import Log
from tests.help.log_files import fill, kinds, path_of, read_all, use_up

TURN_END: Draft = ("turn_end", {"turn": 2, "status": "error", "duration_ms": 1})

# --- a full disk --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, 3_000, 50_000])
def test_on_a_full_disk_no_part_of_a_line_stays_and_all_earlier_lines_do(size: int, small_disk: str) -> None:
    with log.open_log(small_disk) as writer:
        written = fill(writer, "x" * size)
        before = kinds(small_disk)
        assert before.count("delta") == written
        with pytest.raises(CannotRecord, match=r"disk is full|No space"):
            writer.append("delta", turn=2, text="x" * size)
        assert kinds(small_disk) == before


def test_the_turns_end_is_written_into_reserved_space_when_the_rest_of_the_disk_is_full(
    small_disk: str,
) -> None:
    with log.open_log(small_disk) as writer:
        writer.reserve_space()
        written = fill(writer, "x" * 3_000)
        use_up(small_disk)
        writer.append_end(("error", {"turn": 2, "error": "The disk is full."}), TURN_END)
    assert kinds(small_disk)[1 + written :] == ["error", "turn_end", "sealed"]


def test_another_writer_can_end_the_turn_in_the_space_that_a_dead_runner_reserved(small_disk: str) -> None:
    with log.open_log(small_disk) as dead_runner:
        dead_runner.reserve_space()
        written = fill(dead_runner, "x" * 3_000)
    with log.open_log(small_disk) as writer:
        writer.append_end(("turn_end", {"turn": 2, "status": "lost", "duration_ms": 1}))
    assert kinds(small_disk)[1 + written :] == ["turn_end", "sealed"]


@pytest.mark.parametrize("size", [100, 3_000, 20_000, 200_000])
def test_other_writers_leave_reserved_space_but_a_stop_fits_on_a_full_disk(
    size: int, small_disk: str
) -> None:
    with log.open_log(small_disk) as runner, log.open_log(small_disk) as other:
        runner.reserve_space()
        use_up(small_disk)
        other.append("cancelled", turn=2, by="ann")
        fill(other, "x" * size)
        use_up(small_disk)
        error = "The disk is full." + "x" * 4_000
        runner.append_end(("error", {"turn": 2, "error": error}), TURN_END)
    assert kinds(small_disk)[:2] == ["created", "cancelled"]
    assert kinds(small_disk)[-3:] == ["error", "turn_end", "sealed"]


def test_a_turn_ends_even_if_the_error_before_its_end_does_not_fit(small_disk: str) -> None:
    with log.open_log(small_disk) as writer:
        writer.reserve_space()
        use_up(small_disk)
        writer.append_end(("error", {"turn": 2, "error": "x" * 100_000}), TURN_END)
    assert kinds(small_disk) == ["created", "turn_end", "sealed"]


def test_an_end_that_does_not_fit_is_an_error(small_disk: str) -> None:
    with log.open_log(small_disk) as writer:
        use_up(small_disk)
        with pytest.raises(CannotRecord, match="full"):
            writer.append_end(("turn_end", {"turn": 2, "status": "x" * 100_000, "duration_ms": 1}))
    assert kinds(small_disk) == ["created"]


def test_without_space_to_reserve_a_turn_cannot_begin(small_disk: str) -> None:
    with log.open_log(small_disk) as writer:
        fill(writer, "x" * 3_000)
        with pytest.raises(CannotRecord, match="No space"):
            writer.reserve_space()


# --- a limit on the size of files ---------------------------------------------------------------


def test_at_the_file_size_limit_no_part_of_a_line_stays(
    writer: Log, directory: str, file_size_limit: int
) -> None:
    written = fill(writer, "x" * 3_000)
    assert len(read_all(directory)) == 1 + written
    assert file_size_limit - 3_100 < path_of(directory).stat().st_size <= file_size_limit


def test_at_the_file_size_limit_the_turns_end_still_fits(
    writer: Log, directory: str, file_size_limit: int
) -> None:
    writer.reserve_space()
    written = fill(writer, "x" * 3_000)
    writer.append_end(TURN_END)
    assert kinds(directory)[1 + written :] == ["turn_end", "sealed"]
    assert path_of(directory).stat().st_size <= file_size_limit
