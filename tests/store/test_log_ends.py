"""What a log leaves behind when it is closed, refused or on a failed disk: no descriptor, no silence."""

import errno
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from breakglass.errors import CannotRecord, Degraded, NotFound, ReadOnly
from breakglass.store import degraded, log
from breakglass.store.log import Log
from breakglass.store.seek import Position
from tests.help.log_files import kinds, open_files, path_of


def fail(fd: int) -> tuple[Position, None]:
    raise CannotRecord("the position is not known")


def test_neither_a_closed_log_nor_one_that_was_refused_leaves_a_descriptor_open(
    directory: str, tmp_path: Path
) -> None:
    before = open_files()
    with log.open_log(directory):
        pass
    log.open_log(directory).close()
    with pytest.raises(CannotRecord):
        log.open_log(directory, fail)
    with pytest.raises(NotFound):
        log.open_reader(str(tmp_path / "missing"))
    path_of(directory).unlink()
    with pytest.raises(NotFound):
        log.open_reader(directory)
    os.mkfifo(path_of(directory))
    with pytest.raises(NotFound):
        log.open_reader(directory)
    assert open_files() == before


def refuse_sync(_: int) -> None:
    raise OSError(errno.EIO, "Input/output error")


def test_after_a_failed_sync_every_way_to_append_is_refused_but_the_turns_end_is_written(
    writer: Log, directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fdatasync", refuse_sync)
    with pytest.raises(Degraded):
        writer.append("cancelled", turn=2, by="ann")
    monkeypatch.undo()
    stop = ("cancelled", {"turn": 2, "by": "ann"})
    with pytest.raises(Degraded):
        writer.append_together(stop)
    with pytest.raises(Degraded):
        writer.append("cancelled", turn=2, by="ann")
    monkeypatch.setattr(os, "fdatasync", refuse_sync)
    writer.append_end(
        ("error", {"turn": 2, "error": "x"}), ("turn_end", {"turn": 2, "status": "error", "duration_ms": 1})
    )
    assert kinds(directory) == ["created", "cancelled", "error", "turn_end", "sealed"]
    assert stat.S_IMODE(Path(directory, degraded.NAME).stat().st_mode) == 0o600


FIELDS: dict[str, dict[str, Any]] = {
    "text": {"turn": 2, "text": "a"},
    "turn_end": {"turn": 2, "status": "ok", "duration_ms": 1},
}


@pytest.mark.parametrize(
    ("number", "kind", "writes"),
    [(errno.EIO, "turn_end", 1), (errno.ENOSPC, "text", 1), (errno.ENOSPC, "turn_end", 2)],
    ids=["a failed disk", "a full disk", "a full disk with room for the line without its seal"],
)
def test_only_a_seal_that_does_not_fit_is_a_reason_to_write_again(
    number: int, kind: str, writes: int, writer: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []

    def refuse(fd: int, data: bytes) -> int:
        done.append(data)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "write", refuse)
    with pytest.raises(CannotRecord):
        writer.append(kind, **FIELDS[kind])
    assert len(done) == writes


def test_what_others_wrote_is_not_confirmed_under_a_failed_disk(writer: Log, directory: str) -> None:
    writer.confirm()
    Path(directory, degraded.NAME).touch()
    with pytest.raises(Degraded):
        writer.confirm()


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.EROFS, ReadOnly), (errno.EACCES, ReadOnly), (errno.EIO, CannotRecord)]
)
def test_a_log_that_cannot_be_opened_for_writing_says_whether_it_is_read_only(
    number: int, kind: type[CannotRecord], directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(CannotRecord) as caught:
        log.open_log(directory)
    assert type(caught.value) is kind


@pytest.mark.parametrize("number", [-1, 0, 2])
def test_only_lines_of_the_log_are_read(number: int, writer: Log) -> None:
    assert log.read_one(writer.fd, 1)["kind"] == "created"
    with pytest.raises(NotFound):
        log.read_one(writer.fd, number)


def test_the_time_of_an_event_is_the_clocks_in_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_764_412_496_789_999_999)
    assert log.now() == "2025-11-29T10:34:56.789Z"
    assert log.timestamp(1_764_412_496.789) == "2025-11-29T10:34:56.789Z"
