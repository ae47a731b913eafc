"""Sessions are private directories, found by the beginning of their id and listed with the latest change first."""

import errno
import os
import shutil
import uuid as uuid_module
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from breakglass.errors import BadInput, BreakglassError, CannotRecord, NotFound, ReadOnly
from breakglass.store import degraded, log, sessions
from breakglass.store import root as data_root
from breakglass.store.sessions import Session
from tests.help.log_files import reads_so_far, spare_descriptors


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "var"


def create_named(root: Path, name: str, title: str = "") -> Session:
    """Create a session and give it this id."""
    session = sessions.create(root, "shell", title=title)
    os.rename(session.directory, f"{root}/sessions/{name}")
    return Session(root, name)


def uuid(start: str) -> str:
    return start + "00000000-0000-4000-8000-000000000000"[len(start) :]


# --- created ------------------------------------------------------------------------------------


def test_a_new_session_has_its_first_event_and_only_its_owner_has_access(root: Path) -> None:
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


def test_all_requests_with_the_same_key_get_the_same_session(root: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: sessions.create(root, "shell", title=str(n), key="k-1"), range(8)))
    assert len(set(made)) == 1
    assert sessions.get(root, made[0].id).state().last_id == 1
    assert sessions.create(root, "shell", key="k-2") != made[0]
    os.truncate(f"{made[0].directory}/{log.NAME}", 0)  # as if its creation had been interrupted
    assert sessions.create(root, "shell", title="again", key="k-1") == made[0]
    assert made[0].state().title == "again"


@pytest.mark.parametrize("key", ["", "two words", "\u00e4", "x" * 201])
def test_a_key_that_is_not_visible_ascii_is_refused(key: str, root: Path) -> None:
    with pytest.raises(BadInput, match="Idempotency-Key"):
        sessions.create(root, "shell", key=key)
    assert list(sessions.ids(root)) == []


def test_a_repeated_creation_by_key_is_refused_if_the_log_must_not_be_written(root: Path) -> None:
    session = sessions.create(root, "shell", key="k-1")
    path = Path(session.directory, log.NAME)
    path.write_bytes(path.read_bytes().replace(b'"schema":1', b'"schema":2'))
    with pytest.raises(ReadOnly, match=f"the log of session {session.id[:8]} has schema 2"):
        sessions.create(root, "shell", key="k-1")


def test_a_title_over_200_characters_is_refused(root: Path) -> None:
    sessions.create(root, "shell", title="x" * 200)
    with pytest.raises(BadInput, match="at most 200"):
        sessions.create(root, "shell", title="x" * 201)
    assert len([*sessions.ids(root)]) == 1


def test_a_session_that_cannot_be_created_leaves_no_files(root: Path) -> None:
    data_root.prepare(root)
    shutil.rmtree(root / "sessions")
    (root / "sessions").write_bytes(b"")
    with pytest.raises(CannotRecord, match="could not be created"):
        sessions.create(root, "shell")
    assert os.listdir(root / "workspaces") == []


def test_a_change_to_the_same_value_is_not_recorded(root: Path) -> None:
    session = sessions.create(root, "shell", title="one")
    sessions.change(session, title="one", archived=False)
    assert session.state().last_id == 1
    sessions.change(session, title="two", archived=True, by="ann")
    state = session.state()
    assert (state.title, state.archived, state.last_id) == ("two", True, 3)
    with pytest.raises(BadInput, match="at most 200"):
        sessions.change(session, title="x" * 201)


# --- found --------------------------------------------------------------------------------------


def test_a_session_is_found_by_any_unique_beginning_of_its_id(root: Path) -> None:
    first, second = create_named(root, uuid("abc1")), create_named(root, uuid("abd"))
    assert sessions.find(root, "abc") == first
    assert sessions.find(root, first.id) == first
    assert sessions.find(root, "abd0") == second
    with pytest.raises(BadInput, match="the beginning of 2"):
        sessions.find(root, "ab")
    for wrong in ("x", "abc2", "../", "*", first.id + "0"):
        with pytest.raises(NotFound):
            sessions.find(root, wrong)


def test_an_empty_beginning_finds_nothing_although_there_is_only_one_session(root: Path) -> None:
    sessions.create(root, "shell")
    with pytest.raises(BadInput, match="an empty text"):
        sessions.find(root, "")


@pytest.mark.parametrize(("number", "kind"), [(errno.EACCES, ReadOnly), (errno.EIO, CannotRecord)])
def test_a_log_whose_first_line_cannot_be_read_is_not_written(
    number: int, kind: type[CannotRecord], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = sessions.create(root, "shell")

    def refuse(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(CannotRecord) as caught:
        session.refuse_unwritable_log()
    assert type(caught.value) is kind


def test_without_a_beginning_the_session_with_the_latest_change_is_found(root: Path) -> None:
    with pytest.raises(NotFound, match="there are no sessions in"):
        sessions.find(root)
    first, second = create_named(root, uuid("1")), create_named(root, uuid("2"))
    os.utime(f"{first.directory}/{log.NAME}", ns=(5, 5))
    assert sessions.find(root) == second
    os.utime(f"{second.directory}/{log.NAME}", ns=(4, 4))
    assert sessions.find(root) == first


@pytest.mark.parametrize(
    "wrong",
    ["", "..", "../..", uuid("x"), uuid("A"), uuid("1") + "\n", uuid("1") + "/", "\0", "é", uuid("1")[:-1]],
)
def test_only_a_whole_id_opens_a_session(wrong: str, root: Path) -> None:
    create_named(root, uuid("1"))
    with pytest.raises(NotFound):
        sessions.get(root, wrong)


def test_a_symbolic_link_is_not_a_session(root: Path) -> None:
    real = create_named(root, uuid("1"))
    os.symlink(real.directory, root / "sessions" / uuid("2"))
    assert [*sessions.ids(root)] == [real.id]
    with pytest.raises(NotFound):
        sessions.get(root, uuid("2"))


def test_a_search_for_a_session_does_not_create_it(root: Path) -> None:
    data_root.prepare(root)
    with pytest.raises(NotFound):
        sessions.get(root, uuid("1"))
    with pytest.raises(NotFound):
        Session(root, uuid("1")).open_log()
    assert os.listdir(root / "sessions") == []


# --- listed -------------------------------------------------------------------------------------


def test_the_latest_session_is_listed_first_and_other_files_are_skipped(root: Path) -> None:
    one, two, three = (create_named(root, uuid(start), title=start) for start in "123")
    (root / "sessions" / "notes.txt").write_bytes(b"")
    (root / "sessions" / uuid("4")).mkdir()
    (root / "sessions" / uuid("5")).mkdir()
    log.create(
        f"{root}/sessions/{uuid('5')}"
    ).close()  # the process that created it died before the first event
    with two.open_log() as opened:
        while log.now() <= three.state().updated:
            pass
        opened.append("renamed", title="newest", by="ann")
    listed = sessions.list_sessions(root)
    assert listed[0][1].title == "newest"
    assert {session for session, _ in listed} == {one, two, three}


def test_the_state_of_a_log_that_was_replaced_or_cut_short_is_read_again(root: Path) -> None:
    session = create_named(root, uuid("1"), title="old")
    sessions.change(session, title="renamed")
    assert session.state().title == "renamed"
    path = Path(session.directory, log.NAME)
    os.truncate(path, path.read_bytes().index(b"\n") + 1)
    assert session.state().title == "old"
    other = create_named(root, uuid("2"), title="other")
    os.replace(Path(other.directory, log.NAME), path)
    assert session.state().title == "other"
    path.unlink()
    with pytest.raises(NotFound):
        session.state()


def test_a_second_listing_of_many_sessions_reads_only_what_is_new(root: Path) -> None:
    """The first listing costs a bounded number of reads for each session, the second almost none."""
    template = sessions.create(root, "shell")
    for number in range(1, 1_000):
        shutil.copytree(template.directory, f"{root}/sessions/{number:08x}-0000-4000-8000-000000000000")
    reads = []
    for _ in range(2):
        before = reads_so_far()
        assert len(sessions.list_sessions(root)) == 1_000
        reads.append(reads_so_far() - before)
    assert reads[0] <= 2_010
    assert reads[1] <= 10
    sessions.change(template, title="new")
    before = reads_so_far()
    assert sessions.list_sessions(root)[0][1].title == "new"
    assert reads_so_far() - before <= 12


def test_a_session_whose_disk_failed_is_listed_as_degraded(root: Path) -> None:
    session = sessions.create(root, "shell")
    Path(session.directory, degraded.NAME).touch()
    assert sessions.list_sessions(root)[0][1].status == "degraded"
    Path(session.directory, degraded.NAME).unlink()
    assert sessions.list_sessions(root)[0][1].status == "new"


@pytest.mark.parametrize("is_begun", [True, False])
def test_a_session_is_not_completed_on_a_failed_disk(is_begun: bool, root: Path) -> None:
    session = sessions.create(root, "shell", key="k-1")
    path = Path(session.directory, log.NAME)
    begun = path.read_bytes() if is_begun else b""
    path.write_bytes(begun)
    Path(session.directory, degraded.NAME).touch()
    with pytest.raises(CannotRecord, match="the disk failed under this session"):
        sessions.create(root, "shell", key="k-1")
    assert path.read_bytes() == begun


def test_the_id_of_a_key_is_always_the_same_uuid_of_version_8() -> None:
    assert sessions.id_from_key("k-1") == "d93f1c2e-c0f4-8a80-a094-89571b0aef9b"
    assert {uuid_module.UUID(sessions.id_from_key(f"k-{n}")).variant for n in range(9)} == {
        uuid_module.RFC_4122
    }


def test_the_refusal_of_a_long_id_repeats_its_first_64_characters(root: Path) -> None:
    with pytest.raises(NotFound) as caught:
        sessions.get(root, "x" * 70)
    assert str(caught.value) == f"there is no session '{'x' * 64}'"


@pytest.mark.parametrize("spare", [0, 1])
def test_a_listing_without_free_descriptors_is_an_error_and_not_an_empty_list(spare: int, root: Path) -> None:
    create_named(root, uuid("1"))
    with spare_descriptors(spare), pytest.raises(BreakglassError, match="listed: Too many open files"):
        sessions.list_sessions(root)
    assert len(sessions.list_sessions(root)) == 1


def test_a_session_that_cannot_be_read_is_skipped_and_the_others_are_listed(root: Path) -> None:
    readable, broken = create_named(root, uuid("1")), create_named(root, uuid("2"))
    Path(broken.directory, log.NAME).unlink()
    Path(broken.directory, log.NAME).symlink_to("/dev/null")
    assert [session for session, _ in sessions.list_sessions(root)] == [readable]
