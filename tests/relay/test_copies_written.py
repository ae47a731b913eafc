"""The writer of copies: each piece is appended once, where it belongs; all else is refused and is never a path."""

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from breakglass.errors import CannotRecord
from breakglass.relay import copies, piece
from breakglass.relay.copies import Copies, Outcome
from breakglass.relay.piece import MAX_BYTES, NOTHING, BadPiece, Piece, next_generation

ID = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def host(tmp_path: Path) -> Path:
    (tmp_path / "hosts").mkdir(mode=0o700)
    (tmp_path / "hosts" / "db1" / "sessions").mkdir(parents=True)
    return tmp_path / "hosts" / "db1"


def log_of(host: Path, name: str = "events.jsonl") -> bytes:
    return (host / "sessions" / ID / name).read_bytes()


def pieces_of(*texts: bytes) -> list[Piece]:
    """Return one piece for each text, each after the one before."""
    found: list[Piece] = []
    head = NOTHING
    for text in texts:
        found += piece.divide(head, text)
        head = found[-1].head
    return found


def test_pieces_in_order_make_the_log_and_again_change_nothing(host: Path) -> None:
    pieces = pieces_of(b"one\n", b"two\nthree\n", b"four\n")
    copy = Copies(host)
    assert [copy.apply(ID, each) for each in pieces] == [Outcome.APPENDED] * 3
    assert log_of(host) == b"one\ntwo\nthree\nfour\n"
    for again in (copy, Copies(host)):
        assert [again.apply(ID, each) for each in pieces] == [Outcome.KNOWN] * 3
    assert log_of(host) == b"one\ntwo\nthree\nfour\n"
    assert (host / "sessions" / ID / "events.jsonl").stat().st_mode & 0o777 == 0o400
    copy.sync()
    assert copy.changed == {}


def test_the_group_reads_the_copies_if_it_may_read_the_directory_of_the_hosts(host: Path) -> None:
    host.parent.chmod(0o750)
    Copies(host).apply(ID, pieces_of(b"one\n")[0])
    assert (host / "sessions" / ID / "events.jsonl").stat().st_mode & 0o777 == 0o440
    assert (host / "sessions" / ID).stat().st_mode & 0o777 == 0o750


def test_a_piece_after_a_gap_is_not_written(host: Path) -> None:
    first, _, third = pieces_of(b"one\n", b"two\n", b"three\n")
    copy = Copies(host)
    copy.apply(ID, first)
    assert copy.apply(ID, third) is Outcome.GAP
    assert log_of(host) == b"one\n"


def test_pieces_that_are_cut_elsewhere_add_only_what_is_new(host: Path) -> None:
    copy = Copies(host)
    copy.apply(ID, pieces_of(b"one\ntwo\n")[0])
    assert copy.apply(ID, pieces_of(b"one\ntwo\nthree\n")[0]) is Outcome.APPENDED
    assert log_of(host) == b"one\ntwo\nthree\n"


def test_other_bytes_than_before_are_refused(host: Path) -> None:
    copy = Copies(host)
    copy.apply(ID, pieces_of(b"one\n")[0])
    with pytest.raises(BadPiece, match="other bytes at offset 0"):
        copy.apply(ID, pieces_of(b"two\n")[0])
    assert log_of(host) == b"one\n"


def test_a_new_generation_keeps_the_old_log_beside_it(host: Path) -> None:
    old = pieces_of(b"one\n", b"two\n")
    new = [*piece.divide(next_generation(old[-1].head), b"other\n")]
    copy = Copies(host)
    for each in (*old, *new):
        assert copy.apply(ID, each) is Outcome.APPENDED
    for again in (copy, Copies(host)):
        assert [again.apply(ID, each) for each in (*old, *new)] == [Outcome.KNOWN] * 3
        assert again.end(ID) == (2, 6)
    assert (log_of(host), log_of(host, "events.jsonl.1")) == (b"other\n", b"one\ntwo\n")


def test_an_engine_that_was_emptied_sends_the_present_log_as_the_first_generation(host: Path) -> None:
    old = pieces_of(b"one\n")
    copy = Copies(host)
    for each in (*old, *piece.divide(next_generation(old[-1].head), b"other\n")):
        copy.apply(ID, each)
    first, second = pieces_of(b"other\n", b"more\n")
    assert copy.apply(ID, first) is Outcome.KNOWN
    assert copy.apply(ID, second) is Outcome.APPENDED
    assert log_of(host) == b"other\nmore\n"


def test_generations_that_jump_are_refused(host: Path) -> None:
    copy = Copies(host)
    copy.apply(ID, pieces_of(b"one\n")[0])
    with pytest.raises(BadPiece, match="generation 3 after 1"):
        copy.apply(ID, Piece(3, 0, 0, piece.START, b"x\n"))


def test_half_a_line_is_never_in_the_file(host: Path) -> None:
    line = b"x" * (2 * MAX_BYTES) + b"\n"
    copy, pieces = Copies(host), pieces_of(b"a\n", line, b"b\n")
    shown = []
    for each in pieces:
        assert copy.apply(ID, each) is Outcome.APPENDED
        shown.append(log_of(host))
    assert {each[-1:] for each in shown} == {b"\n"}
    assert shown[-1] == b"a\n" + line + b"b\n"
    restarted = Copies(host)
    assert [restarted.apply(ID, each) for each in pieces] == [Outcome.KNOWN] * len(pieces)


def test_after_a_restart_within_a_long_line_the_log_is_read_again(host: Path) -> None:
    pieces = pieces_of(b"a\n", b"x" * (2 * MAX_BYTES) + b"\n")
    copy = Copies(host)
    for each in pieces[:2]:
        copy.apply(ID, each)
    restarted = Copies(host)
    assert restarted.apply(ID, pieces[2]) is Outcome.GAP
    for each in pieces:
        restarted.apply(ID, each)
    assert log_of(host) == b"".join(each.data for each in pieces)


def test_a_line_that_is_too_long_is_refused(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "MAX_LINE", 10)
    with pytest.raises(BadPiece, match="a line of more than"):
        Copies(host).apply(ID, Piece(1, 0, 0, piece.START, b"x" * 11))


@pytest.mark.parametrize(
    "name", ["..", ".", "", "../../etc", ID + "/x", ID.upper().replace("1", "A"), "_claim", "x\n"]
)
def test_a_name_that_is_no_session_is_never_a_path(name: str, host: Path) -> None:
    before = sorted(host.rglob("*"))
    with pytest.raises(BadPiece, match="is no name of a session"):
        Copies(host).apply(name, pieces_of(b"one\n")[0])
    assert sorted(host.rglob("*")) == before


@pytest.mark.parametrize("content", [b"", b"one\n"])
def test_a_link_in_the_place_of_a_copy_is_not_followed(content: bytes, host: Path, tmp_path: Path) -> None:
    """Also where the size of the link or of its target fits the offset of the next piece."""
    target = tmp_path / "target"
    target.write_bytes(content)
    target.chmod(0o640)
    (host / "sessions" / ID).mkdir()
    path = host / "sessions" / ID / "events.jsonl"
    path.symlink_to(target)
    first, second = pieces_of(b"one\n", b"two\n")
    with pytest.raises((BadPiece, OSError, CannotRecord)):
        Copies(host).apply(ID, first if not content else second)
    with pytest.raises(OSError, match="symbolic link"):
        copies._open(path, 0o400)
    assert target.read_bytes() == content
    assert target.stat().st_mode & 0o777 == 0o640
    assert os.path.islink(host / "sessions" / ID / "events.jsonl")


@pytest.fixture
def refusals(monkeypatch: pytest.MonkeyPatch) -> list[OSError]:
    """The errors of the next attempts to put a file on disk."""
    errors: list[OSError] = []
    really = copies._sync

    def sync(path: Path) -> None:
        if errors:
            raise errors.pop()
        really(path)

    monkeypatch.setattr(copies, "_sync", sync)
    return errors


def test_after_a_disk_has_refused_no_attempt_counts_until_the_copies_were_cut(
    host: Path, refusals: list[OSError]
) -> None:
    first, second = pieces_of(b"one\n", b"two\n")
    copy = Copies(host)
    copy.apply(ID, first)
    copy.sync()
    copy.apply(ID, second)
    refusals.append(OSError(errno.EIO, "Input/output error"))
    for _ in range(3):
        with pytest.raises(CannotRecord, match="a copy could not be synced: Input/output error"):
            copy.sync()
    copy.take_back()
    assert log_of(host) == b"one\n"
    copy.sync()
    assert copy.apply(ID, second) is Outcome.APPENDED


def test_a_log_that_the_disk_refused_is_not_moved_for_the_next_generation(
    host: Path, refusals: list[OSError]
) -> None:
    """Whether the disk refuses now, or has refused before: then a second attempt may succeed without the data."""
    old = pieces_of(b"one\n")
    (new,) = piece.divide(next_generation(old[-1].head), b"other\n")
    copy = Copies(host)
    copy.apply(ID, old[0])
    refusals.append(OSError(errno.EIO, "Input/output error"))
    for _ in range(2):
        with pytest.raises(CannotRecord, match="a copy could not be synced"):
            copy.apply(ID, new)
        assert (copy.end(ID), copy.changed) == ((1, 4), {ID: 0})
    copy.take_back()
    assert log_of(host) == b""


def test_a_new_generation_waits_for_the_thread_that_syncs(
    host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the thread would find another file in its place."""
    old = pieces_of(b"one\n")
    copy = Copies(host)
    copy.apply(ID, old[0])
    begun, go_on, synced = threading.Event(), threading.Event(), list[bytes]()

    def sync(path: Path) -> None:
        begun.set()
        go_on.wait(60)
        synced.append(path.read_bytes())

    monkeypatch.setattr(copies, "_sync", sync)
    with ThreadPoolExecutor() as threads:
        syncing = threads.submit(copy.sync)
        assert begun.wait(60)
        moved = threads.submit(copy.apply, ID, *piece.divide(next_generation(old[0].head), b"other\n"))
        assert not wait([moved], timeout=0.05).done
        go_on.set()
        assert (syncing.result(), moved.result()) == (None, Outcome.APPENDED)
    assert (synced, log_of(host, "events.jsonl.1")) == ([b"one\n"], b"one\n")
