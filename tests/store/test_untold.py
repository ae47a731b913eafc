"""What may have to be told, and each try, is kept in files that survive every process."""

from pathlib import Path

import pytest

from breakglass.notifier.watched import Told, tries_of
from breakglass.store import untold
from breakglass.store.seek import Position
from breakglass.store.untold import Attempt

NAME = "00000001-0000-4000-8000-000000000000"
BEGUN = Attempt("failed:9", "notify[0]", 5.0)
OUT = BEGUN._replace(is_out=True)
FAILED = BEGUN._replace(sent=False, error="HTTP 500")
SENT = BEGUN._replace(sent=True)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    untold.mark(tmp_path, NAME, Position(1, 137), is_first=True)
    return tmp_path


def test_a_file_keeps_where_the_turn_begins_and_each_step_of_a_try(data: Path) -> None:
    for each in (BEGUN, OUT, FAILED, SENT):
        untold.note(data, NAME, each)
    assert untold.read(data, NAME) == (Position(1, 137), True, (BEGUN, OUT, FAILED, SENT))
    assert (data / untold.DIRECTORY / NAME).stat().st_mode & 0o777 == 0o600


def test_a_later_turn_keeps_the_beginning_of_the_first_untold_one(data: Path) -> None:
    untold.mark(data, NAME, Position(20, 4000), is_first=False)
    marked = untold.read(data, NAME)
    assert marked
    assert marked.begin == Position(1, 137)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]\n", b"\xff\n"])
def test_a_file_that_was_cut_short_begins_at_the_beginning(data: Path, content: bytes) -> None:
    (data / untold.DIRECTORY / NAME).write_bytes(content)
    assert untold.read(data, NAME) == (Position(0, 0), True, ())


def test_only_sessions_and_new_logins_are_pending(data: Path) -> None:
    assert (untold.names(data), untold.is_pending(data)) == ([NAME], True)
    untold.unmark(data, NAME)
    untold.note_result(data, "notify[0]", 1.0, "")
    assert not untold.is_pending(data)
    (data / "logins.jsonl").write_bytes(b"{}\n")
    assert not untold.is_pending(data)  # before the first look, earlier logins are not told
    untold.watch_logins(data)
    assert not untold.is_pending(data)
    (data / "logins.jsonl").write_bytes(b"{}\n{}\n")
    assert untold.is_pending(data)


def test_one_process_sends(data: Path) -> None:
    assert not untold.is_sender_running(data)
    with untold.sender_lock(data) as lock:
        assert lock
        assert untold.is_sender_running(data)
        with untold.sender_lock(data) as second:
            assert second is None
    assert not untold.is_sender_running(data)


@pytest.mark.parametrize(
    ("attempts", "is_final", "is_due"),
    [
        ((), False, True),
        ((BEGUN,), False, True),  # killed before a byte left
        ((BEGUN, OUT), False, True),  # killed later: it may have been heard
        ((BEGUN, OUT, BEGUN, OUT), True, False),
        ((BEGUN, OUT, SENT), True, False),
        ((BEGUN, OUT, FAILED), False, False),  # it waits before it tries again
        ((BEGUN, FAILED, BEGUN, FAILED), True, False),
        ((BEGUN,) * 5, False, True),
        ((BEGUN,) * 6, True, False),
    ],
)
def test_two_tries_may_be_heard_at_most(attempts: tuple[Attempt, ...], is_final: bool, is_due: bool) -> None:
    told = tries_of(attempts).get(("failed:9", "notify[0]"), Told())
    assert (told.is_final, told.is_due(10.0)) == (is_final, is_due)


def test_a_failed_try_is_repeated_after_half_a_minute() -> None:
    assert tries_of((BEGUN, OUT, FAILED))["failed:9", "notify[0]"].is_due(35.0)
