"""One process at a time holds a session's turn lock. Its death frees the lock. Others can read which runner it is."""

import errno
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from breakglass.errors import CannotRecord, NotFound, ReadOnly, TurnRunning
from breakglass.store import log, sessions, turnlock
from breakglass.store.sessions import Session
from breakglass.store.turnlock import RunnerProcess, TurnLock, read_runner
from tests.help.log_files import spare_descriptors

HOLDER = """
import sys
from pathlib import Path
from breakglass.store.sessions import Session
from breakglass.store.turnlock import TurnLock
TurnLock(Session(Path(sys.argv[1]), sys.argv[2])).take()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return sessions.create(tmp_path / "var", "shell")


class Holder:
    """Another process that holds a session's turn lock until it is killed."""

    def __init__(self, session: Session) -> None:
        command = [sys.executable, "-c", HOLDER, str(session.root), session.id]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout
        assert self.process.stdout.readline() == b"held\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def is_free(session: Session) -> bool:
    lock = TurnLock(session)
    try:
        lock.take()
    except TurnRunning:
        assert lock.fds == ()
        return False
    lock.release()
    return True


# --- taken --------------------------------------------------------------------------------------


def test_one_process_holds_the_lock_and_its_death_frees_it(session: Session) -> None:
    assert is_free(session)
    holder = Holder(session)
    assert not is_free(session)
    holder.kill()
    assert is_free(session)


@pytest.mark.parametrize("change", ["deleted", "replaced", "created again", "a directory", "a link"])
def test_a_change_of_the_lock_file_does_not_allow_a_second_turn(change: str, session: Session) -> None:
    holder = Holder(session)
    path = Path(session.directory, turnlock.NAME)
    path.unlink()
    if change == "replaced":
        Path(session.directory, "other").write_bytes(b"{}")
        os.rename(Path(session.directory, "other"), path)
    elif change == "created again":
        path.write_bytes(b"")
    elif change == "a directory":
        path.mkdir()
    elif change == "a link":
        path.symlink_to(Path(session.directory, log.NAME))
    with pytest.raises((TurnRunning, CannotRecord)):
        TurnLock(session).take()
    holder.kill()


def test_a_process_that_inherits_the_lock_keeps_it_after_the_first_holder_releases_it(
    session: Session,
) -> None:
    lock = TurnLock(session)
    lock.take()
    inheritor = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=lock.fds)
    lock.release()
    assert not is_free(session)
    inheritor.communicate()
    assert is_free(session)


def test_a_session_that_does_not_exist_has_no_lock(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        TurnLock(Session(tmp_path, "10000000-0000-4000-8000-000000000000")).take()


@pytest.mark.parametrize("spare", [0, 1])
def test_without_free_descriptors_the_lock_is_an_error_and_the_session_is_not_reported_missing(
    spare: int, session: Session
) -> None:
    lock = TurnLock(session)
    with spare_descriptors(spare), pytest.raises(CannotRecord, match="Too many open files"):
        lock.take()
    assert lock.fds == ()


# --- the runner in the lock file -----------------------------------------------------------------------------------


def test_the_last_runner_in_a_lock_file_can_be_read_as_json_too(session: Session) -> None:
    lock = TurnLock(session)
    lock.take()
    for runner in (RunnerProcess(123_456, 789), RunnerProcess(12, 34)):
        turnlock.write_runner(lock.fds, runner)
        assert read_runner(session) == runner
    lock.release()
    assert json.loads(Path(session.directory, turnlock.NAME).read_bytes()) == {
        "pid": 12,
        "started": 34,
        "place": turnlock.place(session.directory),
    }
    assert read_runner(session) == RunnerProcess(12, 34)


def test_the_runner_in_a_copied_lock_file_is_not_that_of_the_copy(session: Session, tmp_path: Path) -> None:
    lock = TurnLock(session)
    lock.take()
    turnlock.write_runner(lock.fds, RunnerProcess(12, 34))
    shutil.copytree(session.root, tmp_path / "copy")
    assert read_runner(Session(tmp_path / "copy", session.id)) is None
    os.rename(session.root, tmp_path / "moved")
    assert read_runner(Session(tmp_path / "moved", session.id)) == RunnerProcess(12, 34)
    lock.release()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"pid": 12, "started": 34, "place": "HERE"}\n', RunnerProcess(12, 34)),
        (b'{"pid": 12, "started": 34}\n', None),
        (b'{"pid": 12, "started": 34, "place": "1:1"}\n', None),
        (b"", None),
        (b"{}", None),
        (b"12", None),
        (b"\xff", None),
        (b'{"pid": "x", "started": 1, "place": "HERE"}', None),
        (b'{"pid": 1, "place": "HERE"}', None),
    ],
)
def test_a_lock_file_without_a_valid_runner_has_none(
    content: bytes, expected: RunnerProcess | None, session: Session
) -> None:
    assert read_runner(session) is None
    place = turnlock.place(session.directory).encode()
    Path(session.directory, turnlock.NAME).write_bytes(content.replace(b"HERE", place))
    assert read_runner(session) == expected


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 4096,
        b'{"pid": NaN, "started": 1, "place": "HERE"}',
        b'{"pid": 1e999, "started": 1, "place": "HERE"}',
        b'{"pid": -5, "started": 1, "place": "HERE"}',
        b'{"pid": 0, "started": 1, "place": "HERE"}',
        b'{"pid": 1, "started": 1, "place": "HERE"}',
        b'{"pid": true, "started": 1, "place": "HERE"}',
        b'{"pid": "12", "started": 1, "place": "HERE"}',
        b'{"pid": 12, "started": Infinity, "place": "HERE"}',
        b'{"pid": 99999999999999999999, "started": 1, "place": "HERE"}',
    ],
)
def test_hostile_content_of_a_lock_file_names_no_runner(content: bytes, session: Session) -> None:
    place = turnlock.place(session.directory).encode()
    Path(session.directory, turnlock.NAME).write_bytes(content.replace(b"HERE", place))
    assert read_runner(session) is None


def put_instead(path: Path, kind: str) -> None:
    """Put something at `path` that is no plain file."""
    if kind == "a named pipe":
        os.mkfifo(path)
    elif kind == "a directory":
        path.mkdir()
    elif kind == "a symbolic link":
        path.symlink_to("events.jsonl")
    elif kind == "a socket":
        os.mknod(path, 0o600 | stat.S_IFSOCK)


@pytest.mark.parametrize("kind", ["a named pipe", "a directory", "a symbolic link", "a socket"])
def test_a_lock_file_that_is_not_a_plain_file_is_an_error_at_once_and_names_no_runner(
    kind: str, session: Session
) -> None:
    put_instead(Path(session.directory, turnlock.NAME), kind)
    lock = TurnLock(session)
    with pytest.raises(CannotRecord, match=r"taken: turn\.lock: it is not a plain file"):
        lock.take()
    assert lock.fds == ()
    assert read_runner(session) is None


def test_a_lock_on_a_file_system_that_became_read_only_is_refused_as_such(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(turnlock, "_open_lock_file", refuse)
    with pytest.raises(ReadOnly, match="this session is read-only: Read-only file system"):
        TurnLock(session).take()
