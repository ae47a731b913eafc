"""`breakglass rm`, `breakglass prune` and `breakglass ls --long`: what is deleted, and what it used."""

import json
import os
import shutil
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from breakglass.store import disk, sessions, turnlock
from breakglass.turns import processes
from tests.cli.conftest import Gate
from tests.cli.program import Data
from tests.help.waiting import wait_until


def old_session(data: Data, days: float, title: str, *, archived: bool = False) -> str:
    """Create a session whose last event is that many days old, and return its id."""
    session = sessions.create(data.root, "shell", title=title)
    if archived:
        sessions.change(session, archived=True)
    then = datetime.now(UTC) - timedelta(days=days)
    events = [event | {"ts": f"{then:%Y-%m-%dT%H:%M:%S}.000Z"} for event in data.events(session.id)]
    lines = [json.dumps(event, separators=(",", ":")) + "\n" for event in events]
    data.log(session.id).write_text("".join(lines))
    return session.id


def left(data: Data) -> set[str]:
    """Return the ids of all sessions and of all workspaces, which must be the same."""
    found = set(os.listdir(data.root / "sessions"))
    assert found == set(os.listdir(data.root / "workspaces"))
    return found


# --- rm -------------------------------------------------------------------------------------------


def test_rm_deletes_log_and_workspace_and_follows_no_link(data: Data, tmp_path: Path) -> None:
    session, other = data.new("--title", "old"), data.new()
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("mine")
    workspace = data.root / "workspaces" / session
    (workspace / "link").symlink_to(kept)
    locked = workspace / "module" / "cache"
    locked.mkdir(parents=True)
    (locked / "file").write_bytes(b"x" * 300_000)
    locked.chmod(0o500)
    locked.parent.chmod(0o500)
    said = data.ok("rm", session[:8], "--yes")
    assert said.startswith(f"Deleted session {session}: ")
    assert int(said.split()[-3]) >= 293, said  # KB
    assert left(data) == {other}
    assert (kept / "file").read_text() == "mine"
    assert data.run("rm", session, "--yes").returncode == 1


def test_rm_asks_on_a_terminal_and_needs_yes_without_one(data: Data) -> None:
    session = data.new("--title", "the disk of db1")
    refused = data.run("rm", session)
    assert (refused.returncode, refused.stdout) == (2, b"")
    assert b"--yes" in refused.stderr
    for answer, status in ((b"\n", 1), (b"n\n", 1), (b"y\n", 0)):
        assert left(data) == {session}
        with data.terminal("rm", session) as shown:
            shown.until(b"Delete it? [y/N]")
            shown.type(answer)
            assert shown.end() == status
            assert b"the disk of db1" in shown.screen
    assert left(data) == set()


def test_rm_refuses_a_session_in_which_a_turn_runs(data: Data, gate: Gate) -> None:
    session = data.ok("send", gate.script).split()[0]
    refused = data.run("rm", session, "--yes")
    assert (refused.returncode, left(data)) == (3, {session})
    assert f"breakglass cancel {session[:8]}" in refused.stderr.decode()


def test_rm_kills_what_a_lost_turn_left_behind(data: Data) -> None:
    session = data.ok("send", "echo begun; sleep 600").split()[0]
    place = turnlock.place(str(data.root / "sessions" / session))
    wait_until(lambda: "tool_result" in data.kinds(session), "the output")
    os.kill(data.runner_pid(session), signal.SIGKILL)
    wait_until(lambda: processes.find_marked(session, place), "a process that is not within its execve")
    data.ok("rm", session, "--yes")
    assert not processes.find_marked(session, place)
    assert left(data) == set()


def test_rm_deletes_what_an_interrupted_creation_left(data: Data) -> None:
    session = data.new()
    data.log(session).unlink()
    data.ok("rm", session, "--yes")
    assert left(data) == set()


def test_rm_and_prune_change_nothing_in_a_read_only_root(data: Data) -> None:
    session = old_session(data, 100, "old")
    (data.root / "read-only").write_text("a backup")
    for words in (("rm", session, "--yes"), ("prune", "--older-than", "1d")):
        refused = data.run(*words)
        assert (refused.returncode, b"read-only: a backup" in refused.stderr) == (1, True)
    assert session in data.run("prune", "--older-than", "1d", "--dry-run").stdout.decode()
    assert left(data) == {session}


def test_every_mount_in_a_directory_is_found(tmp_path: Path) -> None:
    assert "/proc" in disk.mounts_in("/proc")
    assert "/proc" in disk.mounts_in("/")
    assert disk.mounts_in(tmp_path) == disk.mounts_in("/pro") == []


# --- prune ----------------------------------------------------------------------------------------


def test_prune_deletes_the_old_sessions_and_says_what_is_freed(data: Data) -> None:
    old, older = old_session(data, 91, "old"), old_session(data, 400, "older", archived=True)
    young, future = old_session(data, 89, "young"), old_session(data, -5, "of a wrong clock")
    first, second, total = data.ok("prune", "--older-than", "90d", "--dry-run").splitlines()
    assert first.split()[:3] == [older, "400", "d"]
    assert first.endswith("[archived] older")
    assert second.endswith("KB  old")
    assert total.startswith("2 sessions would be deleted, ")
    assert left(data) == {old, older, young, future}
    only_archived = data.ok("prune", "--older-than", "12w", "--archived").splitlines()
    assert only_archived[-1].startswith("1 session deleted, ")
    assert left(data) == {old, young, future}
    data.ok("prune", "--older-than", "2160h")
    assert left(data) == {young, future}
    assert data.ok("prune", "--older-than", "90d") == "0 sessions deleted, 0 B freed.\n"


def test_prune_keeps_a_session_in_which_a_turn_runs(data: Data, gate: Gate) -> None:
    session = data.ok("send", gate.script).split()[0]
    assert data.ok("prune", "--older-than", "0d") == "0 sessions deleted, 0 B freed.\n"
    assert left(data) == {session}


@pytest.mark.parametrize(
    "words", [[], ["--older-than", "90"], ["--older-than", "-1d"], ["--older-than", "1y"], ["90d"]]
)
def test_prune_refuses_a_missing_or_unclear_age(data: Data, words: list[str]) -> None:
    session = old_session(data, 400, "old")
    assert data.run("prune", *words).returncode == 2
    assert left(data) == {session}


# --- ls --long ------------------------------------------------------------------------------------


def test_ls_long_shows_the_disk_space_of_log_and_workspace(data: Data) -> None:
    session = data.new("--title", "big")
    (data.root / "workspaces" / session / "file").write_bytes(b"x" * (3 << 20))
    shutil.copytree(data.root / "workspaces" / session, data.root / "workspaces" / session / "copy")
    (row,) = data.ok("ls", "--long").splitlines()
    assert "6.0 MB  shell     big" in row
    (listed,) = data.json("ls", "--long")
    assert 6 << 20 < listed["disk_bytes"] < 7 << 20
    assert "disk_bytes" not in data.json("ls")[0]
