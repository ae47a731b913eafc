"""A torn last line is no event. The next append saves its bytes and repairs it in place. No crash loses a byte."""

import fcntl
import json
import os
import subprocess
import tracemalloc
from pathlib import Path

import pytest

from breakglass import events
from breakglass.errors import CannotRecord, NotFound
from breakglass.store import log, seek
from breakglass.store.log import Log
from tests.help.log_files import append_bytes, append_with_fault, kinds, path_of, read_all, use_up
from tests.help.logs import SAMPLES, line


def append(directory: str) -> None:
    """Append an event with a new writer, which repairs a torn line first."""
    with log.open_log(directory) as writer:
        writer.append("renamed", title="after", by="ann")


# --- repaired -----------------------------------------------------------------------------------


@pytest.mark.parametrize("torn", [b"{", b'{"id":1,"ki', b"x" * 3_000_000], ids=len)
def test_a_torn_first_line_is_saved_and_removed_because_a_log_begins_with_created(
    torn: bytes, tmp_path: Path
) -> None:
    path_of(str(tmp_path)).write_bytes(torn)
    with log.open_log(str(tmp_path)) as writer:
        assert writer.append("created", **SAMPLES["created"]) == 1
    assert kinds(str(tmp_path)) == ["created"]
    assert path_of(str(tmp_path)).with_name("events.jsonl.torn-0").read_bytes() == torn


def test_a_line_torn_at_any_byte_is_no_line_until_the_next_append_repairs_it_in_place(tmp_path: Path) -> None:
    before = line(1, "created") + line(2, "user")
    next_line = line(3, "text", text="né " * 100)
    for cut in range(1, len(next_line)):
        directory = tmp_path / str(cut)
        directory.mkdir()
        path_of(str(directory)).write_bytes(before + next_line[:cut])
        torn_size = path_of(str(directory)).stat().st_size
        with log.open_log(str(directory)) as writer:
            assert writer.end == (2, len(before))
            assert [event["id"] for event in log.read(writer.fd, seek.START, writer.end)] == [1, 2]
            assert writer.append("turn_end", turn=2, status="ok", duration_ms=1) == 4
        raw = path_of(str(directory)).read_bytes()
        assert raw.startswith(before)
        assert len(raw) > torn_size
        repaired = events.decode(raw.split(b"\n")[2], 3)
        assert (repaired["kind"], repaired["offset"], repaired["bytes"]) == ("repaired", len(before), cut)
        assert Path(directory, repaired["saved_as"]).read_bytes() == next_line[:cut]
    # One jq reads all files: each is a stream of JSON objects.
    files = [str(path_of(str(tmp_path / str(cut)))) for cut in range(1, len(next_line))]
    ids = subprocess.run(["jq", ".id", *files], capture_output=True, check=True).stdout.split()
    assert ids == [b"1", b"2", b"3", b"4", b"5"] * len(files)


def test_a_line_is_repaired_in_place_where_a_later_change_of_the_flags_has_no_effect(
    directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Injects a file system in user space (bindfs): its O_APPEND is that of the open, and fcntl(2) changes nothing."""
    real = fcntl.fcntl
    monkeypatch.setattr(fcntl, "fcntl", lambda fd, *call: 0 if call[0] == fcntl.F_SETFL else real(fd, *call))
    append_bytes(directory, b"torn" * 100)
    append(directory)
    assert [(event["id"], event["kind"]) for event in read_all(directory)] == [
        (1, "created"),
        (2, "repaired"),
        (3, "renamed"),
    ]


def test_a_log_without_its_name_is_repaired_in_the_same_file(directory: str, writer: Log) -> None:
    append_bytes(directory, b"torn" * 100)
    os.rename(path_of(directory), f"{directory}/other")
    writer.append("renamed", title="after", by="ann")
    os.rename(f"{directory}/other", path_of(directory))
    assert kinds(directory) == ["created", "repaired", "renamed"]


@pytest.mark.parametrize("torn", [b"x", b"{" * 300, b"\0" * 5_000_000, b"\xff" * 200, b'{"id":2,"ts":"'])
def test_torn_bytes_of_any_kind_are_saved_and_the_log_stays_valid(torn: bytes, directory: str) -> None:
    append_bytes(directory, torn)
    append(directory)
    created, repaired, renamed = read_all(directory)
    assert (created["kind"], repaired["bytes"], renamed["title"]) == ("created", len(torn), "after")
    assert Path(directory, repaired["saved_as"]).read_bytes() == torn


def test_a_writer_repairs_a_line_that_was_torn_after_it_opened_the_log(writer: Log, directory: str) -> None:
    writer.append("delta", turn=2, text="a")
    append_bytes(directory, b'{"id":3,"ki')
    assert writer.append("delta", turn=2, text="b") == 4
    assert kinds(directory) == ["created", "delta", "repaired", "delta"]


def test_a_large_torn_line_is_repaired_a_block_at_a_time(directory: str) -> None:
    end = path_of(directory).stat().st_size
    os.truncate(path_of(directory), 100 << 20)
    tracemalloc.start()
    append(directory)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [event["bytes"] for event in read_all(directory)[1:2]] == [(100 << 20) - end]
    assert peak < 10 << 20


def test_reading_a_log_does_not_repair_it(directory: str) -> None:
    append_bytes(directory, b"torn")
    before = path_of(directory).read_bytes()
    fd = log.open_reader(directory)
    try:
        assert log.read_one(fd, 1)["kind"] == "created"
        with pytest.raises(NotFound):
            log.read_one(fd, 2)
    finally:
        os.close(fd)
    assert path_of(directory).read_bytes() == before


# --- interrupted --------------------------------------------------------------------------------


def test_a_repair_does_not_overwrite_the_file_that_an_interrupted_repair_saved(directory: str) -> None:
    end = path_of(directory).stat().st_size
    Path(directory, f"{log.NAME}.torn-{end}").write_bytes(b"saved before")
    append_bytes(directory, b"half a repair")
    append(directory)
    assert Path(directory, f"{log.NAME}.torn-{end}").read_bytes() == b"saved before"
    assert read_all(directory)[1]["saved_as"] == f"{log.NAME}.torn-{end}-1"
    assert Path(directory, f"{log.NAME}.torn-{end}-1").read_bytes() == b"half a repair"


@pytest.mark.parametrize("torn", [b"x", b'{"id":2,"ts":"' + b"x" * 300, b"y" * 3_000_000])
def test_a_repair_writes_its_newline_last_so_a_crash_before_it_leaves_a_torn_line(
    torn: bytes, directory: str
) -> None:
    end = path_of(directory).stat().st_size
    append_bytes(directory, torn)
    last_write = 2 + len(torn) // seek.COUNT_BLOCK
    assert append_with_fault(directory, f"pwrite64:signal=KILL:when={last_write}") == ""
    written = path_of(directory).read_bytes()[end:]
    assert b"\n" not in written
    half = json.loads(written[:-1] if len(written) == len(torn) else written)
    assert (half["kind"], half["bytes"]) == ("repaired", len(torn))
    append(directory)
    created, repaired, renamed = read_all(directory)
    assert (created["kind"], renamed["title"]) == ("created", "after")
    assert Path(directory, repaired["saved_as"]).read_bytes() == written
    assert Path(directory, half["saved_as"]).read_bytes() == torn


# --- on a full disk -----------------------------------------------------------------------------


def test_a_torn_line_that_cannot_be_saved_stays_as_it_is(small_disk: str) -> None:
    append_bytes(small_disk, b"torn")
    use_up(small_disk)
    before = path_of(small_disk).read_bytes()
    with log.open_log(small_disk) as writer, pytest.raises(CannotRecord, match="repaired"):
        writer.append("delta", turn=2, text="x" * 4096)
    assert path_of(small_disk).read_bytes() == before


@pytest.mark.parametrize("torn", [b"torn", b'{"id":2,"ts":"' + b"x" * 5_000])
def test_repairs_that_fail_leave_no_files_and_the_first_with_enough_space_succeeds(
    torn: bytes, small_disk: str
) -> None:
    end = path_of(small_disk).stat().st_size
    append_bytes(small_disk, torn)
    use_up(small_disk)
    for _ in range(300):
        with pytest.raises(CannotRecord, match="repaired"):
            append(small_disk)
    assert sorted(os.listdir(small_disk)) == ["ballast", log.NAME]
    Path(small_disk, "ballast").unlink()
    append(small_disk)
    assert Path(small_disk, f"{log.NAME}.torn-{end}").read_bytes() == torn


def test_at_the_file_size_limit_a_torn_line_stays_as_it_is(directory: str, file_size_limit: int) -> None:
    append_bytes(directory, b"\n" * (file_size_limit - 50 - path_of(directory).stat().st_size) + b"torn")
    before = path_of(directory).read_bytes()
    for _ in range(3):
        with pytest.raises(CannotRecord, match="repaired: File too large"):
            append(directory)
    assert path_of(directory).read_bytes() == before
    assert os.listdir(directory) == [log.NAME]
