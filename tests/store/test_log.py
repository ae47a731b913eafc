"""An event's id is its line number, for any number of writers; an event that cannot be written leaves no bytes."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from breakglass.errors import CannotRecord, Degraded, NotFound
from breakglass.store import degraded, log
from breakglass.store.log import Log
from tests.help.log_files import append_bytes, append_with_fault, kinds, path_of, read_all
from tests.help.logs import SAMPLES, line

WRITER = """
import sys
from breakglass.store import log
with log.open_log(sys.argv[1]) as writer:
    for number in range(int(sys.argv[3])):
        writer.append("delta", turn=2, text=f"{sys.argv[2]} {number}")
"""

# --- several writers ----------------------------------------------------------------------------


@pytest.mark.parametrize(("writers", "each"), [(2, 10_000), (4, 2_500)])
def test_several_writers_share_one_numbering_and_their_lines_stay_whole_and_in_order(
    writers: int, each: int, directory: str
) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", WRITER, directory, str(writer), str(each)])
        for writer in range(writers)
    ]
    assert [process.wait() for process in running] == [0] * writers
    texts = [event["text"].split() for event in read_all(directory) if event["kind"] == "delta"]
    assert len(texts) == writers * each
    for writer in range(writers):
        assert [int(number) for name, number in texts if name == str(writer)] == list(range(each))


def test_a_writer_continues_after_the_lines_of_others_and_reads_them_once(directory: str) -> None:
    with log.open_log(directory) as mine, log.open_log(directory) as theirs:
        assert mine.append("delta", turn=2, text="a") == 2
        assert theirs.append("delta", turn=2, text="b") == 3
        append_bytes(directory, b"a foreign line\n\n")
        assert mine.append("delta", turn=2, text="c") == 6
        assert [event["id"] for event in mine.read_others()] == [3, 4, 5]
        assert mine.read_others() == []
        assert theirs.append("delta", turn=2, text="d") == 7
        assert [(event["id"], event["kind"]) for event in mine.read_others()] == [(7, "delta")]
        assert [event["id"] for event in theirs.read_others()] == [2, 4, 5, 6]


def test_copies_of_earlier_lines_do_not_mislead_a_writer(directory: str) -> None:
    with log.open_log(directory) as writer:
        for number in range(2_000):
            writer.append("delta", turn=2, text="x" * (number % 400))
    before = path_of(directory).read_bytes()
    path_of(directory).write_bytes(before * 3)
    with log.open_log(directory) as writer:
        assert writer.append("renamed", title="after", by="ann") == 6_010


def test_an_exclusive_writer_keeps_others_out_until_the_end_of_the_block(directory: str) -> None:
    """Its own appends within the block do not release the lock."""
    with log.open_log(directory) as writer:
        with writer.exclusive():
            other = subprocess.Popen([sys.executable, "-c", WRITER, directory, "x", "1"])
            with pytest.raises(subprocess.TimeoutExpired):
                other.wait(0.5)
            assert writer.append("delta", turn=2, text="a") == 2
            assert writer.append("delta", turn=2, text="b") == 3
            assert other.poll() is None
        assert other.wait() == 0
        assert [event["id"] for event in writer.read_others()] == [4]


def test_a_writer_with_a_lock_timeout_gives_up_when_another_holds_the_lock(directory: str) -> None:
    def rename(timeout: float) -> None:
        with log.open_log(directory, lock_timeout=timeout) as waiting:
            waiting.append("renamed", title="new", by="ann")

    with log.open_log(directory) as holder, holder.exclusive():
        with pytest.raises(CannotRecord, match="another process has had the log locked"):
            rename(0.02)
        assert kinds(directory) == ["created"]
    rename(20)
    assert kinds(directory) == ["created", "renamed"]


# --- appends ------------------------------------------------------------------------------------


def test_the_turn_of_a_user_event_is_its_own_id(writer: Log) -> None:
    assert writer.append("user", text="ls", by="ann") == 2
    assert log.read_one(writer.fd, 2)["turn"] == 2


def test_events_appended_together_are_numbered_in_order_and_an_empty_call_writes_nothing(
    writer: Log,
) -> None:
    prompt = {"text": "ls", "by": "ann"}
    assert writer.append_together(("turn_end", SAMPLES["turn_end"]), ("user", prompt)) == [2, 4]
    assert log.read_one(writer.fd, 4)["turn"] == 4
    before = writer.end
    assert writer.append_together() == []
    assert writer.end == before
    assert writer.append("delta", turn=4, text="a") == 5


# --- files that other programs have changed -----------------------------------------------------


def test_a_writer_refuses_appends_to_a_log_that_was_deleted(writer: Log, directory: str) -> None:
    path_of(directory).unlink()
    with pytest.raises(CannotRecord, match="deleted"):
        writer.append("delta", turn=2, text="lost")
    assert os.listdir(directory) == []


def test_a_writer_refuses_appends_to_a_log_that_was_replaced(writer: Log, directory: str) -> None:
    Path(directory, "new").write_bytes(b"")
    os.replace(Path(directory, "new"), path_of(directory))
    with pytest.raises(CannotRecord, match="deleted"):
        writer.append("delta", turn=2, text="lost")
    assert path_of(directory).read_bytes() == b""


def test_a_writer_refuses_appends_to_a_log_that_was_cut_short(writer: Log, directory: str) -> None:
    os.truncate(path_of(directory), 10)
    with pytest.raises(CannotRecord, match="cut short"):
        writer.append("delta", turn=2, text="lost")
    with pytest.raises(CannotRecord, match="cut short"):
        writer.read_others()
    assert path_of(directory).stat().st_size == 10


@pytest.mark.parametrize("what", ["nothing", "a link", "a dangling link", "a pipe", "a directory"])
def test_only_a_plain_file_is_opened_as_a_log(what: str, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(line(1, "created"))
    path = tmp_path / log.NAME
    make: dict[str, Callable[[], None]] = {
        "nothing": lambda: None,
        "a link": lambda: path.symlink_to(elsewhere),
        "a dangling link": lambda: path.symlink_to(tmp_path / "gone"),
        "a pipe": lambda: os.mkfifo(path),
        "a directory": path.mkdir,
    }
    make[what]()
    for opener in (log.open_log, log.open_reader):
        with pytest.raises(NotFound):
            opener(str(tmp_path))
    assert path.is_symlink() or not path.is_file()


@pytest.mark.parametrize("what", ["a link", "a file", "nothing"])
def test_only_a_real_directory_is_a_session(what: str, directory: str, tmp_path: Path) -> None:
    path = tmp_path / "session"
    if what == "a link":
        path.symlink_to(directory)
    elif what == "a file":
        path.write_bytes(b"")
    with pytest.raises(NotFound):
        log.open_reader(str(path))


def test_a_log_is_created_once_and_private(directory: str) -> None:
    with pytest.raises(FileExistsError):
        log.create(directory)
    assert path_of(directory).stat().st_mode & 0o777 == 0o600


# --- a disk that fails --------------------------------------------------------------------------


def test_a_failed_write_is_final_and_marks_the_session_degraded(directory: str) -> None:
    assert append_with_fault(directory, "write:error=EIO:when=2") == "[2, 'degraded', 'degraded']"
    assert degraded.is_degraded(directory)
    assert kinds(directory) == ["created", "delta", "turn_end", "sealed"]


def test_a_failed_sync_is_final_but_the_turns_end_is_still_written(directory: str) -> None:
    assert append_with_fault(directory, "fdatasync:error=EIO:when=1") == "[2, 'degraded', 'degraded']"
    assert degraded.is_degraded(directory)
    assert kinds(directory) == ["created", "delta", "error", "turn_end", "sealed"]


def test_an_interrupted_write_is_repeated(directory: str) -> None:
    assert append_with_fault(directory, "write:error=EINTR:when=2") == "[2, 3, 4]"
    assert not degraded.is_degraded(directory)
    assert len(read_all(directory)) == 6


def test_a_full_disk_does_not_count_as_a_failed_disk(directory: str) -> None:
    with pytest.raises(AssertionError, match="No space"):
        append_with_fault(directory, "write:error=ENOSPC:when=2")
    assert not degraded.is_degraded(directory)
    assert kinds(directory) == ["created", "delta"]


def test_a_named_pipe_in_the_place_of_the_mark_of_a_failed_disk_does_not_delay_the_error(
    directory: str, writer: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(f"{directory}/{degraded.NAME}")
    monkeypatch.setattr(os, "fdatasync", raise_eio)
    with pytest.raises(Degraded):
        writer.append("user", text="true", by="ann")
    assert degraded.is_degraded(directory)


def raise_eio(_: int) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))
