"""Section 1 of the contract: the files, their permissions, and that the log contains the whole session."""

import fcntl
import json
import re
import shutil
import stat
from pathlib import Path

import pytest

from tests.contract.driver import DataRoot, Gate

pytestmark = pytest.mark.contract
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_only_the_owner_has_access_to_the_data_root_and_its_sessions(data: DataRoot) -> None:
    session = data.new()
    assert re.fullmatch(UUID, session)
    log = data.log(session)
    assert [mode(path) for path in (data.root, log.parent, log)] == [0o700, 0o700, 0o600]


def test_the_agent_works_in_the_workspace_of_its_session(data: DataRoot) -> None:
    session = data.new()
    data.ok("send", session, "--wait", "pwd")
    assert Path(data.output(session).strip()).samefile(data.root / "workspaces" / session)


def test_the_log_is_only_appended_to(data: DataRoot) -> None:
    session = data.new()
    inode = data.log(session).stat().st_ino
    for command in (["send", session, "--wait", "seq 5"], ["rename", session, "other"], ["archive", session]):
        before = data.log(session).read_bytes()
        data.ok(*command)
        after = data.log(session).read_bytes()
        assert after.startswith(before) and len(after) > len(before)
    assert data.log(session).stat().st_ino == inode


def test_the_turn_lock_is_held_by_the_running_turn_and_names_its_process(data: DataRoot, gate: Gate) -> None:
    session = data.ok("send", gate.script).split()[0]
    data.wait_for_output(session)
    with data.log(session).with_name("turn.lock").open() as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        holder = json.loads(lock.read())
        after_name = Path(f"/proc/{holder['pid']}/stat").read_text().rpartition(")")[2].split()
        assert int(after_name[19]) in holder.values()  # starttime: field 22 of proc_pid_stat(5)
        gate.open()
        assert data.wait_for_end(session) == "ok"
        fcntl.flock(lock, fcntl.LOCK_EX)  # waits until the runner has released it


def test_a_log_alone_is_the_whole_session(data: DataRoot) -> None:
    session = data.new("--title", "kept")
    data.ok("send", session, "--wait", "echo one")
    before = data.listed()
    log = data.log(session).read_bytes()
    shutil.rmtree(data.root)
    data.log(session).parent.mkdir(0o700, parents=True)
    data.root.chmod(0o700)
    data.log(session).write_bytes(log)
    assert data.listed() == before
    data.ok("send", session, "--wait", "echo two")
    assert data.output(session) == "one\ntwo\n"


def test_the_tokens_are_generated_on_first_use_and_only_their_owner_can_read_them(data: DataRoot) -> None:
    for name, option in (("token", []), ("token.readonly", ["--read-only"])):
        assert not (data.root / name).exists()
        token = data.ok("token", "show", *option, BREAKGLASS_TOKEN=None)
        assert (data.root / name).read_text() == token
        assert mode(data.root / name) == 0o600
