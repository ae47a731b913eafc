"""Ids are line numbers for any number of writers; a torn tail is no event; what cannot be written is not there."""

import json
import os
import resource
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from breakglass import events
from breakglass.errors import CannotRecord, NotFound
from breakglass.store import log, seek
from breakglass.store.log import Log
from tests.help.logs import SAMPLES, line

WRITER = """
import sys
from breakglass.store import log
with log.open_log(sys.argv[1]) as mine:
    for number in range(int(sys.argv[3])):
        mine.append("delta", turn=2, text=f"{sys.argv[2]} {number}")
"""


@pytest.fixture
def directory(tmp_path: Path) -> str:
    """A session's directory with a log of one line."""
    with log.create(str(tmp_path)) as made:
        made.append("created", **SAMPLES["created"])
    return str(tmp_path)


@pytest.fixture
def opened(directory: str) -> Iterator[Log]:
    with log.open_log(directory) as mine:
        yield mine


def path_of(directory: str) -> Path:
    return Path(directory, log.NAME)


def whole(directory: str) -> list[dict[str, Any]]:
    """Return what is in the file, having seen that every line is an event of its number and that jq reads it."""
    raw = path_of(directory).read_bytes()
    assert raw.endswith(b"\n")
    lines = raw.split(b"\n")[:-1]
    assert all(events.is_ours(each, number) for number, each in enumerate(lines, 1))
    ids = subprocess.run(["jq", ".id"], input=raw, capture_output=True, check=True).stdout.split()
    assert ids == [b"%d" % number for number in range(1, len(lines) + 1)]
    return [json.loads(each) for each in lines]


def tear(directory: str, torn: bytes) -> None:
    with path_of(directory).open("ab") as file:
        file.write(torn)


# --- several writers ----------------------------------------------------------------------------


@pytest.mark.parametrize(("writers", "each"), [(2, 10_000), (4, 2_500)])
def test_writers_at_once_give_whole_lines_one_numbering_and_keep_each_ones_order(
    writers: int, each: int, directory: str
) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", WRITER, directory, str(writer), str(each)])
        for writer in range(writers)
    ]
    assert [process.wait() for process in running] == [0] * writers
    said = [event["text"].split() for event in whole(directory)[1:]]
    assert len(said) == writers * each
    for writer in range(writers):
        assert [int(number) for who, number in said if who == str(writer)] == list(range(each))


def test_a_writer_goes_on_after_what_others_added_and_is_told_of_it_once(directory: str) -> None:
    with log.open_log(directory) as mine, log.open_log(directory) as theirs:
        assert mine.append("delta", turn=2, text="a") == 2
        assert theirs.append("delta", turn=2, text="b") == 3
        tear(directory, b"a stranger's\n\n")
        assert mine.append("delta", turn=2, text="c") == 6
        assert [event["id"] for event in mine.others()] == [3, 4, 5]
        assert mine.others() == []
        assert theirs.append("delta", turn=2, text="d") == 7
        assert [(event["id"], event["kind"]) for event in mine.others()] == [(7, "delta")]
        assert [event["id"] for event in theirs.others()] == [2, 4, 5, 6]


def test_a_writer_is_not_misled_by_a_copy_of_any_length(directory: str) -> None:
    with log.open_log(directory) as mine:
        for number in range(2_000):
            mine.append("delta", turn=2, text="x" * (number % 400))
    before = path_of(directory).read_bytes()
    path_of(directory).write_bytes(before * 3)
    with log.open_log(directory) as mine:
        assert mine.append("renamed", title="after", by="ann") == 6_004


def test_what_is_read_and_then_appended_belongs_together(directory: str) -> None:
    """A writer that holds the log keeps others out until it lets go, its own appends within it included."""
    with log.open_log(directory) as mine:
        with mine.exclusive():
            other = subprocess.Popen([sys.executable, "-c", WRITER, directory, "x", "1"])
            with pytest.raises(subprocess.TimeoutExpired):
                other.wait(0.5)
            assert mine.append("delta", turn=2, text="a") == 2
            assert mine.append("delta", turn=2, text="b") == 3
            assert other.poll() is None
        assert other.wait() == 0
        assert [event["id"] for event in mine.others()] == [4]


def test_a_user_event_is_its_own_turn(opened: Log) -> None:
    assert opened.append("user", text="ls", by="ann") == 2
    assert log.read_one(opened.fd, 2)["turn"] == 2


def test_events_appended_together_have_one_numbering_and_none_of_them_is_nothing(opened: Log) -> None:
    prompt = {"text": "ls", "by": "ann"}
    assert opened.append_together(("turn_end", SAMPLES["turn_end"]), ("user", prompt)) == [2, 3]
    assert log.read_one(opened.fd, 3)["turn"] == 3
    before = opened.end
    assert opened.append_together() == []
    assert opened.end == before
    assert opened.append("delta", turn=3, text="a") == 4


# --- a torn tail --------------------------------------------------------------------------------


def test_a_line_torn_at_any_byte_is_no_line_until_the_next_append_mends_it_in_place(tmp_path: Path) -> None:
    before = line(1, "created") + line(2, "user")
    next_line = line(3, "text", text="né " * 100)
    for cut in range(1, len(next_line)):
        directory = tmp_path / str(cut)
        directory.mkdir()
        path_of(str(directory)).write_bytes(before + next_line[:cut])
        torn = path_of(str(directory)).stat().st_size
        with log.open_log(str(directory)) as mine:
            assert mine.end == (2, len(before))
            assert [event["id"] for event in log.read(mine.fd, seek.START, mine.end)] == [1, 2]
            assert mine.append("turn_end", turn=2, status="ok", duration_ms=1) == 4
        raw = path_of(str(directory)).read_bytes()
        assert raw.startswith(before)
        assert len(raw) > torn
        repaired = events.decode(raw.split(b"\n")[2], 3)
        assert (repaired["kind"], repaired["offset"], repaired["bytes"]) == ("repaired", len(before), cut)
        assert Path(directory, repaired["saved_as"]).read_bytes() == next_line[:cut]
    # One jq for all: each file is a stream of objects of its own.
    files = [str(path_of(str(tmp_path / str(cut)))) for cut in range(1, len(next_line))]
    ids = subprocess.run(["jq", ".id", *files], capture_output=True, check=True).stdout.split()
    assert ids == [b"1", b"2", b"3", b"4"] * len(files)


@pytest.mark.parametrize("torn", [b"x", b"{" * 300, b"\0" * 5_000_000, b"\xff" * 200, b'{"id":2,"ts":"'])
def test_any_torn_bytes_are_kept_aside_and_the_file_stays_valid(torn: bytes, directory: str) -> None:
    tear(directory, torn)
    with log.open_log(directory) as mine:
        mine.append("renamed", title="after", by="ann")
    created, repaired, renamed = whole(directory)
    assert (created["kind"], repaired["bytes"], renamed["title"]) == ("created", len(torn), "after")
    assert Path(directory, repaired["saved_as"]).read_bytes() == torn


def test_bytes_torn_under_an_open_writer_are_mended_by_it(opened: Log, directory: str) -> None:
    opened.append("delta", turn=2, text="a")
    tear(directory, b'{"id":3,"ki')
    assert opened.append("delta", turn=2, text="b") == 4
    assert [event["kind"] for event in whole(directory)] == ["created", "delta", "repaired", "delta"]


def test_a_repair_that_was_cut_off_loses_nothing_of_what_it_saved(directory: str) -> None:
    end = path_of(directory).stat().st_size
    Path(directory, f"{log.NAME}.torn-{end}").write_bytes(b"saved before")
    tear(directory, b"half a repair")
    with log.open_log(directory) as mine:
        mine.append("renamed", title="after", by="ann")
    assert Path(directory, f"{log.NAME}.torn-{end}").read_bytes() == b"saved before"
    assert whole(directory)[1]["saved_as"] == f"{log.NAME}.torn-{end}-1"
    assert Path(directory, f"{log.NAME}.torn-{end}-1").read_bytes() == b"half a repair"


@pytest.mark.parametrize("torn", [b"x", b'{"id":2,"ts":"' + b"x" * 300, b"y" * 3_000_000])
def test_a_repair_is_a_line_only_when_all_of_it_is_there(torn: bytes, directory: str) -> None:
    """Its newline comes last and by itself; a death before it loses nothing and is mended like any torn line."""
    end = path_of(directory).stat().st_size
    tear(directory, torn)
    last_write = 2 + len(torn) // seek.COUNT_BLOCK
    assert injected(directory, f"pwrite64:signal=KILL:when={last_write}") == ""
    written = path_of(directory).read_bytes()[end:]
    assert b"\n" not in written
    half = json.loads(written[:-1] if len(written) == len(torn) else written)
    assert (half["kind"], half["bytes"]) == ("repaired", len(torn))
    with log.open_log(directory) as mine:
        mine.append("renamed", title="after", by="ann")
    created, repaired, renamed = whole(directory)
    assert (created["kind"], renamed["title"]) == ("created", "after")
    assert Path(directory, repaired["saved_as"]).read_bytes() == written
    assert Path(directory, half["saved_as"]).read_bytes() == torn


def test_a_torn_tail_of_any_length_is_mended_a_block_at_a_time(directory: str) -> None:
    end = path_of(directory).stat().st_size
    os.truncate(path_of(directory), 100 << 20)
    tracemalloc.start()
    with log.open_log(directory) as mine:
        mine.append("renamed", title="after", by="ann")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [event["bytes"] for event in whole(directory)[1:2]] == [(100 << 20) - end]
    assert peak < 10 << 20


def test_a_reader_of_the_log_by_itself_mends_nothing(directory: str) -> None:
    tear(directory, b"torn")
    before = path_of(directory).read_bytes()
    fd = log.open_reader(directory)
    try:
        assert log.read_one(fd, 1)["kind"] == "created"
        with pytest.raises(NotFound):
            log.read_one(fd, 2)
    finally:
        os.close(fd)
    assert path_of(directory).read_bytes() == before


# --- a file that others spoil -------------------------------------------------------------------


def test_a_log_deleted_under_its_writer_takes_no_more(opened: Log, directory: str) -> None:
    path_of(directory).unlink()
    with pytest.raises(CannotRecord, match="deleted"):
        opened.append("delta", turn=2, text="lost")
    assert os.listdir(directory) == []


def test_a_log_replaced_under_its_writer_takes_no_more(opened: Log, directory: str) -> None:
    Path(directory, "new").write_bytes(b"")
    os.replace(Path(directory, "new"), path_of(directory))
    with pytest.raises(CannotRecord, match="deleted"):
        opened.append("delta", turn=2, text="lost")
    assert path_of(directory).read_bytes() == b""


def test_a_log_cut_short_under_its_writer_takes_no_more(opened: Log, directory: str) -> None:
    os.truncate(path_of(directory), 10)
    with pytest.raises(CannotRecord, match="cut short"):
        opened.append("delta", turn=2, text="lost")
    with pytest.raises(CannotRecord, match="cut short"):
        opened.others()
    assert path_of(directory).stat().st_size == 10


@pytest.mark.parametrize("what", ["nothing", "a link", "a dangling link", "a pipe", "a directory"])
def test_what_is_no_plain_file_is_no_log(what: str, tmp_path: Path) -> None:
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
def test_what_is_no_directory_is_no_session(what: str, directory: str, tmp_path: Path) -> None:
    place = tmp_path / "session"
    if what == "a link":
        place.symlink_to(directory)
    elif what == "a file":
        place.write_bytes(b"")
    with pytest.raises(NotFound):
        log.open_reader(str(place))


def test_a_log_is_made_once(directory: str) -> None:
    with pytest.raises(FileExistsError):
        log.create(directory)
    assert path_of(directory).stat().st_mode & 0o777 == 0o600


# --- a disk that is full, or limited ------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[str]:
    """A session's directory on a file system of 256 KiB."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small disk")
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", place], check=True)
    try:
        with log.create(str(place)) as made:
            made.append("created", **SAMPLES["created"])
        yield str(place)
    finally:
        subprocess.run(["umount", place], check=True)


def fill(mine: Log, text: str) -> int:
    """Append until the disk is full; return how many events were taken."""
    for taken in range(100_000):
        try:
            mine.append("delta", turn=2, text=text)
        except CannotRecord:
            return taken
    raise AssertionError("the disk never filled")


def use_up(disk: str) -> None:
    """Leave no block of a small disk free."""
    with open(os.path.join(disk, "ballast"), "wb", buffering=0) as ballast:
        ballast.write(b"x" * (1 << 20))
    assert os.statvfs(disk).f_bavail == 0


@pytest.mark.parametrize("size", [10, 3_000, 50_000])
def test_on_a_full_disk_nothing_of_a_line_stays_and_all_before_it_does(size: int, small_disk: str) -> None:
    with log.open_log(small_disk) as mine:
        taken = fill(mine, "x" * size)
        assert len(whole(small_disk)) == 1 + taken
        with pytest.raises(CannotRecord, match=r"disk is full|No space"):
            mine.append("delta", turn=2, text="x" * size)
        assert len(whole(small_disk)) == 1 + taken


def test_room_kept_takes_the_last_words_when_everything_else_is_full(small_disk: str) -> None:
    with log.open_log(small_disk) as mine:
        mine.keep_room()
        taken = fill(mine, "x" * 3_000)
        use_up(small_disk)
        mine.last_words(
            ("error", {"turn": 2, "error": "The disk is full."}),
            ("turn_end", {"turn": 2, "status": "error", "duration_ms": 1}),
        )
    assert [event["kind"] for event in whole(small_disk)[1 + taken :]] == ["error", "turn_end"]


def test_room_that_another_writer_kept_takes_the_last_words_too(small_disk: str) -> None:
    with log.open_log(small_disk) as dead:
        dead.keep_room()
        taken = fill(dead, "x" * 3_000)
    with log.open_log(small_disk) as undertaker:
        undertaker.last_words(("turn_end", {"turn": 2, "status": "lost", "duration_ms": 1}))
    assert len(whole(small_disk)) == 2 + taken


@pytest.mark.parametrize("size", [100, 3_000, 20_000, 200_000])
def test_room_that_is_kept_is_neither_used_up_nor_given_away_by_others(size: int, small_disk: str) -> None:
    """But a stop finds place in it, on a disk that is full."""
    with log.open_log(small_disk) as mine, log.open_log(small_disk) as theirs:
        mine.keep_room()
        use_up(small_disk)
        theirs.append("cancelled", turn=2, by="ann")
        fill(theirs, "x" * size)
        use_up(small_disk)
        mine.last_words(
            ("error", {"turn": 2, "error": "The disk is full." + "x" * 4_000}),
            ("turn_end", {"turn": 2, "status": "error", "duration_ms": 1}),
        )
    kinds = [event["kind"] for event in whole(small_disk)]
    assert kinds[:2] == ["created", "cancelled"]
    assert kinds[-2:] == ["error", "turn_end"]


def test_a_turn_ends_though_what_it_says_last_is_too_long(small_disk: str) -> None:
    with log.open_log(small_disk) as mine:
        mine.keep_room()
        use_up(small_disk)
        mine.last_words(
            ("error", {"turn": 2, "error": "x" * 100_000}),
            ("turn_end", {"turn": 2, "status": "error", "duration_ms": 1}),
        )
    assert [event["kind"] for event in whole(small_disk)] == ["created", "turn_end"]


def test_last_words_that_do_not_fit_are_told(small_disk: str) -> None:
    with log.open_log(small_disk) as mine:
        use_up(small_disk)
        with pytest.raises(CannotRecord, match="full"):
            mine.last_words(("turn_end", {"turn": 2, "status": "x" * 100_000, "duration_ms": 1}))
    assert [event["kind"] for event in whole(small_disk)] == ["created"]


def test_where_no_room_can_be_kept_nothing_is_begun(small_disk: str) -> None:
    with log.open_log(small_disk) as mine:
        fill(mine, "x" * 3_000)
        with pytest.raises(CannotRecord, match="No space"):
            mine.keep_room()


def test_a_torn_tail_that_cannot_be_saved_is_left_as_it_is(small_disk: str) -> None:
    tear(small_disk, b"torn")
    use_up(small_disk)
    before = path_of(small_disk).read_bytes()
    with log.open_log(small_disk) as mine, pytest.raises(CannotRecord, match="repaired"):
        mine.append("delta", turn=2, text="x" * 4096)
    assert path_of(small_disk).read_bytes() == before


@pytest.mark.parametrize("torn", [b"torn", b'{"id":2,"ts":"' + b"x" * 5_000])
def test_a_full_disk_is_not_filled_with_copies_of_a_torn_tail(torn: bytes, small_disk: str) -> None:
    """Nor are names used up: what could not be mended is mended as soon as there is room."""
    end = path_of(small_disk).stat().st_size
    tear(small_disk, torn)
    use_up(small_disk)
    for _ in range(300):
        with log.open_log(small_disk) as mine, pytest.raises(CannotRecord, match="repaired"):
            mine.append("renamed", title="after", by="ann")
    assert sorted(os.listdir(small_disk)) == ["ballast", log.NAME]
    Path(small_disk, "ballast").unlink()
    with log.open_log(small_disk) as mine:
        mine.append("renamed", title="after", by="ann")
    assert Path(small_disk, f"{log.NAME}.torn-{end}").read_bytes() == torn


@pytest.fixture
def limited() -> Iterator[int]:
    """Let files of this process have 40,000 bytes. Python ignores SIGXFSZ, so that a write fails instead."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))
    yield 40_000
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_at_the_limit_of_a_files_size_nothing_of_a_line_stays(
    opened: Log, directory: str, limited: int
) -> None:
    taken = fill(opened, "x" * 3_000)
    assert len(whole(directory)) == 1 + taken
    assert limited - 3_100 < path_of(directory).stat().st_size <= limited


def test_at_the_limit_of_a_files_size_a_torn_tail_is_left_as_it_is(directory: str, limited: int) -> None:
    tear(directory, b"\n" * (limited - 50 - path_of(directory).stat().st_size) + b"torn")
    before = path_of(directory).read_bytes()
    for _ in range(3):
        with log.open_log(directory) as mine, pytest.raises(CannotRecord, match="repaired: File too large"):
            mine.append("renamed", title="after", by="ann")
    assert path_of(directory).read_bytes() == before
    assert os.listdir(directory) == [log.NAME]


def test_at_the_limit_of_a_files_size_the_last_words_still_fit(
    opened: Log, directory: str, limited: int
) -> None:
    opened.keep_room()
    taken = fill(opened, "x" * 3_000)
    opened.last_words(("turn_end", {"turn": 2, "status": "error", "duration_ms": 1}))
    assert len(whole(directory)) == 2 + taken
    assert path_of(directory).stat().st_size <= limited


# --- a disk that fails --------------------------------------------------------------------------

INJECTED = """
import sys
from breakglass.errors import Degraded
from breakglass.store import log
said = []
with log.open_log(sys.argv[1]) as mine:
    for kind, fields in [("delta", {"text": "a"}), ("error", {"error": "b"}), ("delta", {"text": "c"})]:
        try:
            said.append(mine.append(kind, turn=2, **fields))
        except Degraded as error:
            said.append("degraded")
    mine.last_words(("turn_end", {"turn": 2, "status": "error", "duration_ms": 1}))
    if "degraded" in said:
        try:
            mine.append("delta", turn=2, text="after the last words")
        except Degraded:
            pass
print(said)
"""


def injected(directory: str, fault: str) -> str:
    """Return what a writer says of three appends while strace makes one system call on the log fail."""
    command = ["strace", "-f", "-o", "/dev/null", "-P", str(path_of(directory)), "-e", f"inject={fault}"]
    run = subprocess.run(
        [*command, sys.executable, "-c", INJECTED, directory], capture_output=True, text=True, check=False
    )
    assert run.stderr == ""
    return run.stdout.strip()


def test_a_write_that_fails_is_final_and_marks_the_session(directory: str) -> None:
    assert injected(directory, "write:error=EIO:when=2") == "[2, 'degraded', 'degraded']"
    assert log.is_degraded(directory)
    assert [event["kind"] for event in whole(directory)] == ["created", "delta", "turn_end"]


def test_a_sync_that_fails_is_final_and_the_turns_end_is_written_all_the_same(directory: str) -> None:
    assert injected(directory, "fdatasync:error=EIO:when=1") == "[2, 'degraded', 'degraded']"
    assert log.is_degraded(directory)
    assert [event["kind"] for event in whole(directory)] == ["created", "delta", "error", "turn_end"]


def test_an_interrupted_write_is_not_noticed(directory: str) -> None:
    assert injected(directory, "write:error=EINTR:when=2") == "[2, 3, 4]"
    assert not log.is_degraded(directory)
    assert len(whole(directory)) == 5


def test_a_write_that_finds_no_space_is_not_the_disks_failing(directory: str) -> None:
    with pytest.raises(AssertionError, match="No space"):
        injected(directory, "write:error=ENOSPC:when=2")
    assert not log.is_degraded(directory)
    assert [event["kind"] for event in whole(directory)] == ["created", "delta"]


def test_who_has_patience_does_not_wait_for_ever_for_a_lock_that_somebody_holds(directory: str) -> None:
    def rename(patience: float) -> None:
        with log.open_log(directory, patience=patience) as waiting:
            waiting.append("renamed", title="so", by="ann")

    with log.open_log(directory) as holder, holder.exclusive():
        with pytest.raises(CannotRecord, match="another process has had the log locked"):
            rename(0.02)
        assert [event["kind"] for event in whole(directory)] == ["created"]
    rename(20)
    assert [event["kind"] for event in whole(directory)] == ["created", "renamed"]
