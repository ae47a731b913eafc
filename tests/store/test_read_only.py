"""A data root that is read-only by marker, mount or permission can be read. A refused write names the reason."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from breakglass.errors import CannotRecord, ReadOnly
from breakglass.store import log, sessions
from breakglass.store import root as data_root
from breakglass.store.sessions import Session
from breakglass.store.turnlock import TurnLock
from breakglass.turns.end import current_state, has_runner
from tests.help.commands import breakglass
from tests.help.other_user import reachable_directory
from tests.help.servers import environment
from tests.help.small_disk import mount_small_disk
from tests.help.waiting import DEADLINE

OTHER_USER = 12345
Run = Callable[..., subprocess.CompletedProcess[str]]
WRITING = (
    ("new",),
    ("send", "ID", "echo hello"),
    ("send", "ID", "echo hello", "--queue"),
    ("send", "echo hello", "--title", "new"),
    ("cancel", "ID"),
    ("answer", "ID", "allow"),
    ("rename", "ID", "other"),
    ("archive", "ID"),
    ("token", "rotate"),
    ("token", "show", "--read-only"),
)
READING = (
    ("ls",),
    ("ls", "--json"),
    ("verify", "ID"),
    ("verify", "--all"),
    ("agents",),
    ("logins",),
    ("token", "show"),
)


@pytest.fixture
def root() -> Iterator[Path]:
    """A data root with a lost turn that any user may reach: the directory of `tmp_path` is for its owner alone."""
    with reachable_directory() as parent:
        data_root.prepare(parent / "var")
        session = sessions.create(parent / "var", "shell")
        with session.open_log() as opened:
            opened.append("user", text="true", by="ann")
            opened.append("text", turn=2, text="so far")
        yield parent / "var"


def by_marker(root: Path) -> tuple[tuple[str, ...], str]:
    (root / "read-only").write_text("mirror of db1\n")
    return (), "mirror of db1"


def by_mount(root: Path) -> tuple[tuple[str, ...], str]:
    script = f'mount --bind {root} {root} && mount -o remount,ro,bind {root} && exec "$@"'
    return ("unshare", "-m", "sh", "-c", script, "sh"), f"{root} is on a read-only mount"


def by_permission(root: Path) -> tuple[tuple[str, ...], str]:
    subprocess.run(["chmod", "-R", "a+rX,a-w", root], check=True)
    user = ("setpriv", f"--reuid={OTHER_USER}", f"--regid={OTHER_USER}", "--clear-groups")
    return user, f"user {OTHER_USER} may not write {root}"


def by_owner(root: Path) -> tuple[tuple[str, ...], str]:
    """User 0 may write everything, and still leaves the root of another user as it is."""
    subprocess.run(["chown", "-R", str(OTHER_USER), root], check=True)
    return (), f"{root} belongs to user {OTHER_USER}, and this process is user 0"


KINDS = (by_marker, by_mount, by_permission, by_owner)
SOME = (0, 1, 6)
"""The commands of `READING` and `WRITING` that every kind is tried with. All are tried with the marker."""


def runner_of(root: Path, prefix: tuple[str, ...]) -> Run:
    def run(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
        (id_,) = sessions.ids(root)
        typed = [id_ if word == "ID" else word for word in words]
        if not prefix:
            return breakglass(root, *typed, **env)
        return subprocess.run(
            [*prefix, sys.executable, "-m", "breakglass", *typed],
            env={key: value for key, value in environment(root, **env).items() if value},
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE,
        )

    return run


def everything_in(root: Path) -> dict[str, tuple[object, ...]]:
    """Return what is below the root: names, modes, owners, sizes, times and contents."""
    found: dict[str, tuple[object, ...]] = {}
    for path in (root, *root.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[str(path)] = (
            *(status.st_mode, status.st_uid, status.st_size, status.st_mtime_ns, status.st_ctime_ns),
            content,
        )
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_commands_that_read_work_in_a_read_only_root_and_write_nothing(
    kind: Callable[[Path], tuple[tuple[str, ...], str]], root: Path
) -> None:
    prefix, reason = kind(root)
    run, before = runner_of(root, prefix), everything_in(root)
    for words in READING if kind is by_marker else [READING[index] for index in SOME]:
        assert (done := run(*words)).returncode == 0, (words, done.stderr)
    listed = run("ls", "--json")
    assert json.loads(listed.stdout)["status"] == "running"
    assert listed.stderr == (
        f"note: this data root is read-only: {reason}; a turn shown as running may have ended\n"
    )
    attached = subprocess.run(
        f'{" ".join(map(quoted, prefix))} {sys.executable} -m breakglass attach --json | head -n 3',
        shell=True, env=environment(root), cwd="/", capture_output=True, text=True, check=False, timeout=DEADLINE,
    )  # fmt: skip
    assert [json.loads(line)["kind"] for line in attached.stdout.splitlines()] == ["created", "user", "text"]
    assert everything_in(root) == before


def quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"


@pytest.mark.parametrize("kind", KINDS)
def test_commands_that_write_fail_with_the_reason_in_a_read_only_root(
    kind: Callable[[Path], tuple[tuple[str, ...], str]], root: Path
) -> None:
    prefix, reason = kind(root)
    run, before = runner_of(root, prefix), everything_in(root)
    for words in WRITING if kind is by_marker else [WRITING[index] for index in SOME]:
        done = run(*words)
        assert done.returncode == 1, (words, done)
        assert done.stderr.startswith(f"breakglass: this data root is read-only: {reason}"), words
        assert done.stderr.count("\n") == 1
        assert done.stdout == ""
    assert everything_in(root) == before


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.write_bytes(b""), "MARKER exists"),
        (lambda path: path.write_bytes(b"\n \n  a backup\nof Monday\n"), "a backup"),
        (lambda path: path.write_bytes(b"\xff\x1b[31m" + b"x" * 9999), None),
        (lambda path: path.mkdir(), "MARKER exists"),
        (lambda path: path.symlink_to("nowhere"), "MARKER exists"),
        (os.mkfifo, "MARKER exists"),
    ],
)
def test_a_marker_of_any_type_makes_the_root_read_only(
    make: Callable[[Path], object], reason: str | None, root: Path
) -> None:
    make(root / data_root.MARKER)
    message = data_root.read_only_message(root)
    assert message.startswith("this data root is read-only: ")
    assert message.isprintable()
    assert len(message) < 300
    if reason is not None:
        expected = reason.replace("MARKER", str(root / data_root.MARKER))
        assert message == f"this data root is read-only: {expected}"


def test_a_root_without_its_marker_takes_writes_again_and_ends_the_lost_turn(root: Path) -> None:
    (session,) = (Session(root, id_) for id_ in sessions.ids(root))
    (root / data_root.MARKER).touch()
    assert current_state(session).status == "running"
    with pytest.raises(ReadOnly):
        has_runner(session)
    (root / data_root.MARKER).unlink()
    assert current_state(session).status == "lost"


@pytest.mark.parametrize("what", ["directory", "log"])
def test_a_session_of_another_user_in_a_writable_root_is_read_only(what: str, root: Path) -> None:
    (id_,) = sessions.ids(root)
    directory = root / "sessions" / id_
    for path in (root, root / "sessions", root / "workspaces", directory, directory / log.NAME):
        os.chown(path, OTHER_USER, OTHER_USER)
    closed = directory if what == "directory" else directory / log.NAME
    closed.chmod(0o500 if what == "directory" else 0o400)
    before = everything_in(directory)
    run = runner_of(root, ("setpriv", f"--reuid={OTHER_USER}", f"--regid={OTHER_USER}", "--clear-groups"))
    assert run("ls").returncode == 0
    done = run("send", "ID", "true")
    assert done.returncode == 1
    assert done.stderr == f"breakglass: this session is read-only: user {OTHER_USER} may not write {closed}\n"
    assert everything_in(directory) == before
    assert run("new").returncode == 0


def test_a_marked_root_has_no_lock_file_afterwards(root: Path) -> None:
    (root / data_root.MARKER).touch()
    (id_,) = sessions.ids(root)
    with pytest.raises(ReadOnly, match="this data root is read-only"):
        TurnLock(Session(root, id_)).take()
    assert os.listdir(root / "sessions" / id_) == [log.NAME]


def test_a_full_disk_is_not_a_read_only_root(tmp_path: Path) -> None:
    with mount_small_disk(tmp_path / "disk", "64k") as disk:
        data_root.prepare(disk)
        with contextlib.suppress(OSError):
            Path(disk, "filler").write_bytes(b"x" * (1 << 20))
        with pytest.raises(CannotRecord) as raised:
            sessions.create(Path(disk), "shell", title="x" * 200)
    assert not isinstance(raised.value, ReadOnly)
