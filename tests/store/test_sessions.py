"""Sessions are directories: private, found by prefix, listed for what is new; and one turn at a time holds the lock."""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from breakglass.errors import BadConfig, BadInput, BreakglassError, CannotRecord, NotFound, TurnRunning
from breakglass.store import disk, log, sessions
from breakglass.store import root as store_root
from breakglass.store.sessions import Session
from breakglass.store.turnlock import TurnLock, signed_by
from tests.store.test_seek import reads_so_far


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "var"


def made(root: Path, name: str, title: str = "") -> Session:
    """Make a session and give it an id of our choice."""
    session = sessions.create(root, "shell", title=title)
    os.rename(session.directory, f"{root}/sessions/{name}")
    return Session(root, name)


def uuid(start: str) -> str:
    return start + "00000000-0000-4000-8000-000000000000"[len(start) :]


# --- made ---------------------------------------------------------------------------------------


def test_a_new_session_has_its_first_event_and_nobody_else_may_look(root: Path) -> None:
    session = sessions.create(root, "shell", "m-1", "A title", "ann")
    with session.open_log() as opened:
        event = log.read_one(opened.fd, 1)
    assert {**event, "host": "", "ts": ""} == {
        "id": 1,
        "ts": "",
        "kind": "created",
        "schema": 1,
        "agent": "shell",
        "model": "m-1",
        "title": "A title",
        "by": "ann",
        "host": "",
    }
    assert sessions.ID.fullmatch(session.id)
    for path in (root, root / "sessions", root / "workspaces", session.directory, session.workspace):
        assert os.stat(path).st_mode & 0o777 == 0o700


def test_ids_are_random_uuids(root: Path) -> None:
    made = [sessions.create(root, "shell").id for _ in range(50)]
    assert len({*made}) == 50
    assert {each[14] for each in made} == {"4"}
    assert {each[19] for each in made} <= {*"89ab"}


def test_a_key_makes_one_session_however_often_and_by_however_many_it_is_given(root: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: sessions.create(root, "shell", title=str(n), key="k-1"), range(8)))
    assert len(set(made)) == 1
    assert sessions.get(root, made[0].id).state().last_id == 1
    assert sessions.create(root, "shell", key="k-2") != made[0]
    os.truncate(f"{made[0].directory}/{log.NAME}", 0)  # as where its making was cut off
    assert sessions.create(root, "shell", title="again", key="k-1") == made[0]
    assert made[0].state().title == "again"


@pytest.mark.parametrize("key", ["", "two words", "\u00e4", "x" * 201])
def test_a_key_is_visible_ascii(key: str, root: Path) -> None:
    with pytest.raises(BadInput, match="Idempotency-Key"):
        sessions.create(root, "shell", key=key)
    assert list(sessions.ids(root)) == []


def test_a_title_has_its_limit(root: Path) -> None:
    sessions.create(root, "shell", title="x" * 200)
    with pytest.raises(BadInput, match="at most 200"):
        sessions.create(root, "shell", title="x" * 201)
    assert len([*sessions.ids(root)]) == 1


def test_a_session_that_cannot_be_made_leaves_nothing(root: Path) -> None:
    store_root.prepare(root)
    shutil.rmtree(root / "sessions")
    (root / "sessions").write_bytes(b"")
    with pytest.raises(CannotRecord, match="could not be made"):
        sessions.create(root, "shell")
    assert os.listdir(root / "workspaces") == []


def test_a_change_that_is_so_already_is_not_written(root: Path) -> None:
    session = sessions.create(root, "shell", title="one")
    sessions.change(session, title="one", archived=False)
    assert session.state().last_id == 1
    sessions.change(session, title="two", archived=True, by="ann")
    known = session.state()
    assert (known.title, known.archived, known.last_id) == ("two", True, 3)
    with pytest.raises(BadInput, match="at most 200"):
        sessions.change(session, title="x" * 201)


# --- found --------------------------------------------------------------------------------------


def test_a_session_is_found_by_any_beginning_that_is_its_own(root: Path) -> None:
    first, second = made(root, uuid("abc1")), made(root, uuid("abd"))
    assert sessions.find(root, "abc") == first
    assert sessions.find(root, first.id) == first
    assert sessions.find(root, "abd0") == second
    with pytest.raises(BadInput, match="the beginning of 2"):
        sessions.find(root, "ab")
    for wrong in ("x", "abc2", "../", "*", first.id + "0"):
        with pytest.raises(NotFound):
            sessions.find(root, wrong)


def test_without_a_beginning_it_is_the_session_last_written_to(root: Path) -> None:
    with pytest.raises(NotFound, match="there are no sessions in"):
        sessions.find(root)
    first, second = made(root, uuid("1")), made(root, uuid("2"))
    os.utime(f"{first.directory}/{log.NAME}", ns=(5, 5))
    assert sessions.find(root) == second
    os.utime(f"{second.directory}/{log.NAME}", ns=(4, 4))
    assert sessions.find(root) == first


@pytest.mark.parametrize(
    "wrong",
    ["", "..", "../..", uuid("x"), uuid("A"), uuid("1") + "\n", uuid("1") + "/", "\0", "é", uuid("1")[:-1]],
)
def test_only_a_whole_id_opens_a_session(wrong: str, root: Path) -> None:
    made(root, uuid("1"))
    with pytest.raises(NotFound):
        sessions.get(root, wrong)


def test_a_link_is_no_session(root: Path) -> None:
    real = made(root, uuid("1"))
    os.symlink(real.directory, root / "sessions" / uuid("2"))
    assert [*sessions.ids(root)] == [real.id]
    with pytest.raises(NotFound):
        sessions.get(root, uuid("2"))


def test_looking_for_a_session_makes_none(root: Path) -> None:
    store_root.prepare(root)
    with pytest.raises(NotFound):
        sessions.get(root, uuid("1"))
    with pytest.raises(NotFound):
        Session(root, uuid("1")).open_log()
    assert os.listdir(root / "sessions") == []


# --- listed -------------------------------------------------------------------------------------


def test_the_latest_comes_first_and_what_is_no_session_is_passed_over(root: Path) -> None:
    one, two, three = (made(root, uuid(start), title=start) for start in "123")
    (root / "sessions" / "notes.txt").write_bytes(b"")
    (root / "sessions" / uuid("4")).mkdir()
    (root / "sessions" / uuid("5")).mkdir()
    log.create(f"{root}/sessions/{uuid('5')}").close()  # its maker died before the first event
    with two.open_log() as opened:
        while log.now() <= three.state().updated:
            pass
        opened.append("renamed", title="newest", by="ann")
    listed = sessions.listed(root)
    assert listed[0][1].title == "newest"
    assert {session for session, _ in listed} == {one, two, three}


def test_a_log_that_was_replaced_or_cut_short_is_read_anew(root: Path) -> None:
    session = made(root, uuid("1"), title="old")
    sessions.change(session, title="renamed")
    assert session.state().title == "renamed"
    path = Path(session.directory, log.NAME)
    os.truncate(path, path.read_bytes().index(b"\n") + 1)
    assert session.state().title == "old"
    other = made(root, uuid("2"), title="other")
    os.replace(Path(other.directory, log.NAME), path)
    assert session.state().title == "other"
    path.unlink()
    with pytest.raises(NotFound):
        session.state()


def test_a_second_look_at_many_sessions_reads_only_what_is_new(root: Path) -> None:
    """Ten thousand take ten times the reads of a thousand the first time, and none the second."""
    template = sessions.create(root, "shell")
    for number in range(1, 1_000):
        shutil.copytree(template.directory, f"{root}/sessions/{number:08x}-0000-4000-8000-000000000000")
    looks = []
    for _ in range(2):
        before = reads_so_far()
        assert len(sessions.listed(root)) == 1_000
        looks.append(reads_so_far() - before)
    assert looks[0] <= 2_010
    assert looks[1] <= 10
    sessions.change(template, title="new")
    before = reads_so_far()
    assert sessions.listed(root)[0][1].title == "new"
    assert reads_so_far() - before <= 12


def test_a_session_whose_disk_failed_is_listed_as_degraded(root: Path) -> None:
    session = sessions.create(root, "shell")
    Path(session.directory, log.DEGRADED).touch()
    assert sessions.listed(root)[0][1].status == "degraded"
    Path(session.directory, log.DEGRADED).unlink()
    assert sessions.listed(root)[0][1].status == "new"


@contextmanager
def spare_descriptors(number: int) -> Iterator[None]:
    """Let this process open so many files more."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + number, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("spare", [0, 1])
def test_a_list_that_cannot_be_read_is_an_error_and_not_empty(spare: int, root: Path) -> None:
    made(root, uuid("1"))
    with spare_descriptors(spare), pytest.raises(BreakglassError, match="listed: Too many open files"):
        sessions.listed(root)
    assert len(sessions.listed(root)) == 1


def test_a_session_that_is_not_ours_to_read_hides_no_other(root: Path) -> None:
    ours, spoilt = made(root, uuid("1")), made(root, uuid("2"))
    Path(spoilt.directory, log.NAME).unlink()
    Path(spoilt.directory, log.NAME).symlink_to("/dev/null")
    assert [session for session, _ in sessions.listed(root)] == [ours]


# --- the turn lock ------------------------------------------------------------------------------

HOLDER = """
import sys
from pathlib import Path
from breakglass.store.sessions import Session, TurnLock
TurnLock(Session(Path(sys.argv[1]), sys.argv[2])).take()
print("held", flush=True)
sys.stdin.read()
"""


class Holder:
    """Another process that holds a session's turn lock until it is let go or killed."""

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


def test_the_lock_is_held_by_one_and_freed_by_its_death(root: Path) -> None:
    session = sessions.create(root, "shell")
    assert is_free(session)
    holder = Holder(session)
    assert not is_free(session)
    holder.kill()
    assert is_free(session)


@pytest.mark.parametrize("spoil", ["deleted", "replaced", "made anew", "a directory", "a link"])
def test_whoever_spoils_the_lock_file_gets_no_second_turn(spoil: str, root: Path) -> None:
    session = sessions.create(root, "shell")
    holder = Holder(session)
    path = Path(session.directory, "turn.lock")
    path.unlink()
    if spoil == "replaced":
        Path(session.directory, "other").write_bytes(b"{}")
        os.rename(Path(session.directory, "other"), path)
    elif spoil == "made anew":
        path.write_bytes(b"")
    elif spoil == "a directory":
        path.mkdir()
    elif spoil == "a link":
        path.symlink_to(Path(session.directory, log.NAME))
    with pytest.raises((TurnRunning, CannotRecord)):
        TurnLock(session).take()
    holder.kill()


def test_who_inherits_the_lock_keeps_it_when_the_giver_lets_go(root: Path) -> None:
    session = sessions.create(root, "shell")
    lock = TurnLock(session)
    lock.take()
    heir = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=lock.fds)
    lock.release()
    assert not is_free(session)
    heir.communicate()
    assert is_free(session)


def test_without_a_session_there_is_no_lock(root: Path) -> None:
    with pytest.raises(NotFound):
        TurnLock(Session(root, uuid("1"))).take()


@pytest.mark.parametrize("spare", [0, 1])
def test_a_session_whose_lock_cannot_be_opened_is_not_taken_for_gone(spare: int, root: Path) -> None:
    lock = TurnLock(sessions.create(root, "shell"))
    with spare_descriptors(spare), pytest.raises(CannotRecord, match="Too many open files"):
        lock.take()
    assert lock.fds == ()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"pid": 12, "started": 34}\n', (12, 34)),
        (b"", None),
        (b"{}", None),
        (b"12", None),
        (b"\xff", None),
        (b'{"pid": "x", "started": 1}', None),
        (b'{"pid": 1}', None),
    ],
)
def test_what_the_lock_file_says_is_taken_with_care(
    content: bytes, expected: tuple[int, int] | None, root: Path
) -> None:
    session = sessions.create(root, "shell")
    assert signed_by(session) is None
    Path(session.directory, "turn.lock").write_bytes(content)
    assert signed_by(session) == expected


# --- the data root ------------------------------------------------------------------------------


def test_a_root_is_made_where_only_it_is_missing(root: Path) -> None:
    assert store_root.prepare(root) == []
    assert store_root.prepare(root) == []
    with pytest.raises(BadConfig, match="No such file"):
        store_root.prepare(root / "not" / "there")


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_a_root_others_have_rights_on_is_refused_with_the_remedy(mode: int, root: Path) -> None:
    root.mkdir()
    root.chmod(mode)
    with pytest.raises(BadConfig, match=f"do: chmod 700 {root}"):
        store_root.prepare(root)


def test_a_root_that_is_a_file_is_refused(root: Path) -> None:
    root.write_bytes(b"")
    with pytest.raises(BadConfig, match="cannot be used: Not a directory"):
        store_root.prepare(root)


def as_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount and to give away")


def test_a_root_of_somebody_elses_is_refused(root: Path) -> None:
    as_root()
    store_root.prepare(root)
    os.chown(root, 12345, -1)
    with pytest.raises(BadConfig, match="belongs to user 12345"):
        store_root.prepare(root)


@pytest.mark.parametrize("made_before", [True, False])
def test_a_root_that_cannot_be_written_is_refused(made_before: bool, root: Path) -> None:
    as_root()
    root.mkdir(0o700)
    if made_before:
        store_root.prepare(root)
    subprocess.run(["mount", "--bind", root, root], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", root], check=True)
        with pytest.raises(BadConfig, match=r"cannot be (used|written)"):
            store_root.prepare(root)
    finally:
        subprocess.run(["umount", root], check=True)


@pytest.mark.parametrize(
    ("kind", "untrusted"),
    [("nfs4", True), ("cifs", True), ("9p", True), ("fuse.sshfs", True), ("ext4", False), ("", False)],
)
def test_file_systems_that_lie_about_locks_are_known(kind: str, untrusted: bool) -> None:
    assert disk.is_untrusted(kind) == untrusted


def test_the_type_of_a_file_system_is_told() -> None:
    assert (disk.kind(Path("/proc")), disk.kind(Path("/dev/shm"))) == ("proc", "tmpfs")
