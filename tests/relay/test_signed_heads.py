"""Signed heads: a copy that was changed, cut, taken back or added to is found, with its host, session and line."""

import json
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from breakglass.errors import CannotRecord
from breakglass.relay import heads
from breakglass.relay.heads import HEADER, HeadSigner, SignedHead
from breakglass.relay.keys import new_key
from breakglass.relay.piece import NOTHING, divide
from breakglass.store.sessions import Session
from tests.help.fleet import Fleet, add_session, append
from tests.help.waiting import wait_until


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A hub with a running engine, and a session of the host db1 that was copied in two parts."""
    made = Fleet(tmp_path_factory.mktemp("fleet"))
    made.enroll("db1")
    made.engine.start()
    made.hub.ok("mirror", "--once")
    session = add_session(made.hosts["db1"], *map(str, range(9)))
    ship(made)
    append(session, *map(str, range(10)))
    ship(made)
    yield made
    made.engine.kill()


def ship(fleet: Fleet) -> None:
    fleet.hosts["db1"].ok("relay", "--once")
    fleet.hub.ok("mirror", "--once")


@pytest.fixture
def copy(fleet: Fleet) -> Iterator[Path]:
    """The copy of the log, which is restored after the test."""
    session = fleet.hosts["db1"].only_session()
    path = fleet.hub.root / "hosts" / "db1" / "sessions" / session / "events.jsonl"
    before = path.read_bytes()
    path.chmod(0o600)
    yield path
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(before)


def verify(fleet: Fleet) -> tuple[int, str]:
    done = fleet.hub.run("mirror", "--verify", "db1")
    return done.returncode, done.stdout.decode()


def change_line_5(path: Path) -> None:
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([*lines[:4], lines[4].replace(b"text", b"txet"), *lines[5:]]))


def cut_after_line_12(path: Path) -> None:
    path.write_bytes(b"\n".join(path.read_bytes().split(b"\n")[:12]) + b"\n")


def add_line_21(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b'{"id":21,"kind":"text","text":"nobody said this"}\n')


def remove(path: Path) -> None:
    shutil.rmtree(path.parent)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (change_line_5, "events.jsonl, line 5: not what the host has signed: the copy was changed"),
        (cut_after_line_12, "events.jsonl, line 13: missing: the copy was taken back to an older state"),
        (add_line_21, "events.jsonl, line 21: the host has not signed this"),
        (remove, "events.jsonl, lines 1 to 20: the copy is missing"),
    ],
)
def test_a_copy_that_is_not_what_its_host_has_signed_is_named(
    change: Callable[[Path], None], found: str, fleet: Fleet, copy: Path
) -> None:
    change(copy)
    status, shown = verify(fleet)
    assert (status, shown.splitlines()[-1]) == (
        1,
        "db1: 1 sessions, 1 differences from what the host has signed",
    )
    assert f"db1/{copy.parent.name}: {found}" in shown


def test_a_hub_that_was_taken_back_as_a_whole_differs_from_the_newest_signed_head(
    fleet: Fleet, copy: Path
) -> None:
    kept = copy.parents[2] / "heads.jsonl"
    newest = kept.read_bytes()
    try:
        kept.write_bytes(newest.split(b"\n")[0] + b"\n")
        first = json.loads(newest.split(b"\n")[0])
        copy.write_bytes(copy.read_bytes()[: first["offset"]])
        status, shown = verify(fleet)
        assert (status, f"line {first['lines'] + 1}: missing" in shown) == (1, True)
    finally:
        kept.write_bytes(newest)


def test_copies_that_are_whole_are_confirmed_also_after_a_new_key(fleet: Fleet, copy: Path) -> None:
    assert verify(fleet) == (0, "db1: 1 sessions, 0 differences from what the host has signed\n")
    host = fleet.hosts["db1"]
    assert fleet.hub.run("enroll", "db1", "--revoke").returncode == 0
    (host.root / "relay.creds").write_bytes(fleet.hub.run("enroll", "db1").stdout)
    wait_until(lambda: host.run("relay", "--once").returncode != 6, "the engine to know the new key")
    append(Session(host.root, copy.parent.name), "with the new key")
    ship(fleet)
    assert verify(fleet) == (0, "db1: 1 sessions, 0 differences from what the host has signed\n")


def test_prune_removes_old_copies_and_the_mirror_does_not_fetch_them_again(fleet: Fleet) -> None:
    session = add_session(fleet.hosts["db1"], "old")
    ship(fleet)
    copy = fleet.hub.root / "hosts" / "db1" / "sessions" / session.id
    os.utime(copy / "events.jsonl", (0, 0))
    (fleet.hub.root / "read-only").write_text("a backup")
    refused = fleet.hub.run("mirror", "--prune", "400")
    assert (refused.returncode, b"read-only: a backup" in refused.stderr, copy.exists()) == (1, True, True)
    (fleet.hub.root / "read-only").unlink()
    assert fleet.hub.ok("mirror", "--prune", "400") == f"removed db1/{session.id}\n"
    fleet.hub.ok("mirror", "--once")
    assert not copy.exists()
    assert "1 removed by --prune, 0 differences" in verify(fleet)[1]
    append(session, "it goes on")
    ship(fleet)
    assert (copy / "events.jsonl").read_bytes() == fleet.hosts["db1"].log(session.id).read_bytes()


def test_a_head_is_signed_for_one_host_and_one_session() -> None:
    seed, public = new_key()
    (piece,) = divide(NOTHING, b"one\ntwo\n")
    header = HeadSigner("db1", seed).sign("s1", piece)
    head = heads.read("s1", piece.head, header)
    assert head is not None
    assert (head.offset, head.lines) == (8, 2)
    assert heads.verifies(head, "db1", [public])
    assert not heads.verifies(head, "db2", [public])
    assert not heads.verifies(head, "db1", [new_key()[1]])
    assert not heads.verifies(head._replace(session="s2"), "db1", [public])
    assert not heads.verifies(head._replace(lines=3), "db1", [public])


def test_a_head_does_not_depend_on_how_the_log_was_cut(tmp_path: Path) -> None:
    session = Session(tmp_path, "00000000-0000-4000-8000-000000000000")
    os.makedirs(session.directory)
    Path(session.directory, "events.jsonl").write_bytes(b"one\ntwo\n")
    seed, _ = new_key()
    (first,) = divide(NOTHING, b"one\n")
    (second,) = divide(first.head, b"two\n")
    (both,) = divide(NOTHING, b"one\ntwo\n")
    restarted = HeadSigner("db1", seed)
    assert not restarted.is_ready(session.id, first.head)
    assert restarted.sign(session.id, second) == {}
    restarted.prepare(session, first.head)
    assert restarted.sign(session.id, second) == HeadSigner("db1", seed).sign(session.id, both) != {}


def test_a_signed_head_that_does_not_fit_on_the_disk_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path, head = tmp_path / heads.FILE, SignedHead("s1", 1, 2, 1, "0" * 64, "A" * 86 + "==")
    heads.append(path, [head])
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, limits[1]))
    try:
        with pytest.raises(CannotRecord):
            heads.append(path, [head])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    path.write_bytes(before + before[:20])
    heads.append(path, [head])
    assert path.read_bytes().split(b"\n")[2:] == [before[:-1], b""]


@pytest.mark.parametrize(
    "header", ["", "x", "0" * 64, f"{'0' * 64} {'A' * 85}==", f"{'0' * 64} {'A' * 86}==\n"]
)
def test_a_header_that_is_no_signed_head_counts_for_nothing(header: str) -> None:
    (piece,) = divide(NOTHING, b"x\n")
    assert heads.read("s1", piece.head, {HEADER: header}) is None
    assert heads.from_line({"session": "s1", "generation": True}) is None
    assert heads.from_line(SignedHead("s1", 1, 2, True, "0" * 64, "A" * 86 + "==")._asdict()) is None
