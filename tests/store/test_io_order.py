"""The order of locks, writes, syncs and acknowledgements in the store, spelled out for each operation.

A crash can happen between any two of these calls, and another process can act there. So the order is the promise.
"""

from pathlib import Path

import pytest

from breakglass.store import log, sessions
from breakglass.store.sessions import Session
from tests.help.io_order import IoRecorder
from tests.help.log_files import append_bytes


@pytest.fixture
def io(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> IoRecorder:
    return IoRecorder(tmp_path / "var", monkeypatch)


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return sessions.create(tmp_path / "var", "shell")


SYNC_NAMES = ["sync sessions/ID", "sync sessions"]
RECORD_CREATION = [
    "lock events.jsonl",
    "read the state",
    "write created to events.jsonl",
    "sync events.jsonl",
    "unlock events.jsonl",
]


@pytest.mark.parametrize("key", [None, "k-1"])
def test_a_new_session_is_on_disk_with_the_names_of_all_its_directories(
    key: str | None, io: IoRecorder, tmp_path: Path
) -> None:
    (tmp_path / "var").mkdir()
    io.start()
    sessions.create(tmp_path / "var", "shell", key=key)
    io.acknowledge()
    assert io.calls == [
        *("create sessions", "sync the root", "create workspaces", "sync the root"),
        *("create workspaces/ID", "create sessions/ID"),
        *RECORD_CREATION,
        *SYNC_NAMES,
        "acknowledged",
    ]


def test_the_name_of_a_new_data_root_is_on_disk_before_anything_is_created_in_it(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        io = IoRecorder(tmp_path, patch)
        io.start()
        sessions.create(tmp_path / "var", "shell")
    assert io.calls[:4] == ["create var", "sync the root", "create var/ID", "sync var"]


def test_a_repeated_creation_by_key_is_synced_before_it_is_acknowledged(
    io: IoRecorder, tmp_path: Path
) -> None:
    sessions.create(tmp_path / "var", "shell", key="k-1")
    io.start()
    sessions.create(tmp_path / "var", "shell", key="k-1")
    io.acknowledge()
    assert io.calls == [
        *("lock events.jsonl", "read the state"),
        "sync events.jsonl",
        "unlock events.jsonl",
        *SYNC_NAMES,
        "acknowledged",
    ]


def test_a_creation_by_key_that_was_interrupted_is_completed_under_the_lock(
    io: IoRecorder, tmp_path: Path
) -> None:
    made = sessions.create(tmp_path / "var", "shell", key="k-1")
    Path(made.directory, log.NAME).write_bytes(b"")
    io.start()
    sessions.create(tmp_path / "var", "shell", key="k-1")
    io.acknowledge()
    assert io.calls == [*RECORD_CREATION, *SYNC_NAMES, "acknowledged"]


def test_a_rename_and_an_archiving_share_one_lock_and_each_is_synced(
    io: IoRecorder, session: Session
) -> None:
    io.start()
    sessions.change(session, title="new", archived=True, by="ann")
    io.acknowledge()
    assert io.calls == [
        *("read the state", "lock events.jsonl", "read the state"),
        *("write renamed to events.jsonl", "sync events.jsonl"),
        *("write archived to events.jsonl", "sync events.jsonl"),
        "unlock events.jsonl",
        "acknowledged",
    ]


def test_a_repair_saves_the_torn_bytes_and_syncs_before_and_after_its_newline(
    io: IoRecorder, session: Session
) -> None:
    end = Path(session.directory, log.NAME).stat().st_size
    append_bytes(session.directory, b"torn")
    io.start()
    sessions.change(session, title="new", by="ann")
    io.acknowledge()
    assert io.calls == [
        *("read the state", "lock events.jsonl", "read the state"),
        f"sync events.jsonl.torn-{end} (4 bytes)",
        "sync sessions/ID",
        "overwrite events.jsonl with repaired",
        "sync events.jsonl",
        "overwrite events.jsonl with a newline",
        "sync events.jsonl",
        "write renamed to events.jsonl",
        "sync events.jsonl",
        "unlock events.jsonl",
        "acknowledged",
    ]


def test_several_events_in_one_write_share_one_sync(io: IoRecorder, session: Session) -> None:
    with session.open_log() as opened:
        io.start()
        opened.append_together(
            ("cancelled", {"turn": 2, "by": "ann"}), ("withdrawn", {"queued": 3, "by": "ann"})
        )
        io.acknowledge()
    assert io.calls == [
        "lock events.jsonl",
        "write cancelled and withdrawn to events.jsonl",
        "unlock events.jsonl",
        "sync events.jsonl",
        "acknowledged",
    ]


def test_streamed_text_is_written_without_a_sync_until_a_mebibyte_waits(
    io: IoRecorder, session: Session
) -> None:
    with session.open_log() as opened:
        io.start()
        for _ in range(3):
            opened.append("delta", turn=2, text="x" * (log.GROUP_BYTES - 200))
    write = ["lock events.jsonl", "write delta to events.jsonl", "unlock events.jsonl"]
    assert io.calls == [*write, *write, "sync events.jsonl", *write]


def test_the_events_of_others_are_counted_under_the_lock(io: IoRecorder, session: Session) -> None:
    with session.open_log() as opened:
        io.start()
        opened.read_others()
    assert io.calls == ["lock events.jsonl", "unlock events.jsonl"]


def test_the_lock_stays_until_the_outermost_of_nested_blocks_ends(io: IoRecorder, session: Session) -> None:
    with session.open_log() as opened:
        io.start()
        with opened.exclusive():
            with opened.exclusive():
                with opened.exclusive():
                    io.calls.append("innermost")
                io.calls.append("inner")
            io.calls.append("outer")
        io.calls.append("after")
    assert io.calls == ["lock events.jsonl", "innermost", "inner", "outer", "unlock events.jsonl", "after"]
