"""Looking at a copy of a data root touches nothing of the original. A root that was moved is still the same root."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from breakglass.config import Config
from breakglass.store import sessions, turnlock
from breakglass.store.sessions import Session
from breakglass.turns import processes
from breakglass.turns.end import cancel_turn, current_state, end_if_lost, has_runner, wait_for_stop
from tests.help import turns as real_turns
from tests.help.session_logs import events_of
from tests.help.turns import begin_turn, runner_pid, wait_for_output, wait_for_status
from tests.help.waiting import wait_until

WAITS = "(setsid sleep 1000 & echo $!); echo up; until [ -e go ]; do sleep 0.02; done; echo done"


def copy_with_cp(root: Path, copy: Path) -> None:
    subprocess.run(["cp", "-a", root, copy], check=True)


def copy_with_tar(root: Path, copy: Path) -> None:
    copy.mkdir(0o700)
    subprocess.run(f"tar -C {root} -c . | tar -C {copy} -x", shell=True, check=True)


def copy_with_python(root: Path, copy: Path) -> None:
    shutil.copytree(root, copy)


def is_alive(pid: int) -> bool:
    return processes.is_alive(pid, processes.start_time(pid))


@pytest.mark.parametrize("make", [copy_with_cp, copy_with_tar, copy_with_python])
def test_looking_at_a_copy_ends_the_turn_of_the_copy_only(
    make: Callable[[Path, Path], None], settings: Config, tmp_path: Path
) -> None:
    session, turn = begin_turn(settings, WAITS)
    background = int(wait_for_output(session, turn, "up").split()[0])
    pid = runner_pid(session)
    make(settings.data, tmp_path / "copy")
    before = len(events_of(session))
    copied = Session(tmp_path / "copy", session.id)

    assert [state.status for _, state in sessions.list_sessions(copied.root)] == ["running"]
    assert current_state(copied).status == "lost"
    assert [event["kind"] for event in events_of(copied)[-3:]] == ["error", "turn_end", "sealed"]

    assert is_alive(pid)
    assert is_alive(background)
    assert len(events_of(session)) == before
    Path(session.workspace, "go").touch()
    assert wait_for_status(session, turn) == "ok"
    assert "done" in real_turns.output_of_turn(session, turn)


def test_a_stop_and_an_answer_in_a_copy_do_not_reach_the_runner_of_the_original(
    settings: Config, tmp_path: Path
) -> None:
    session, turn = begin_turn(settings, WAITS)
    wait_for_output(session, turn, "up")
    runner_pid(session)
    copy_with_cp(settings.data, tmp_path / "copy")
    copied = Session(tmp_path / "copy", session.id)
    lock = turnlock.TurnLock(copied)
    lock.take()  # the copy's turn looks as if it ran
    assert turnlock.read_runner(copied) is None
    assert cancel_turn(copied, by="ann")
    lock.release()
    assert wait_for_stop(copied, 0.0).status == "cancelled"
    assert "cancelled" not in [event["kind"] for event in events_of(session)]
    Path(session.workspace, "go").touch()
    assert wait_for_status(session, turn) == "ok"


def test_a_copied_session_in_the_same_root_is_another_session(settings: Config) -> None:
    session, turn = begin_turn(settings, WAITS)
    wait_for_output(session, turn, "up")
    other = Session(settings.data, "10000000-0000-4000-8000-000000000000")
    shutil.copytree(session.directory, other.directory)
    assert end_if_lost(other).status == "lost"
    assert has_runner(session)
    Path(session.workspace, "go").touch()
    assert wait_for_status(session, turn) == "ok"


def test_a_copy_that_takes_the_place_of_a_moved_root_does_not_touch_the_moved_one(
    settings: Config, tmp_path: Path
) -> None:
    session, turn = begin_turn(settings, "trap '' INT TERM; echo up; sleep 1000")
    wait_for_output(session, turn, "up")
    pid = runner_pid(session)
    os.kill(pid, signal.SIGSTOP)  # so that it cannot notice the move
    os.rename(settings.data, tmp_path / "moved")
    copy_with_cp(tmp_path / "moved", settings.data)
    assert end_if_lost(session).status == "lost"
    assert is_alive(pid)
    moved = Session(tmp_path / "moved", session.id)
    assert cancel_turn(moved, by="ann")
    assert wait_for_stop(moved, 0.0).status == "cancelled"
    assert not is_alive(pid)


def test_the_turn_of_a_moved_root_goes_on_and_can_be_stopped(settings: Config, tmp_path: Path) -> None:
    session, turn = begin_turn(settings, "echo up; sleep 1000")
    wait_for_output(session, turn, "up")
    pid = runner_pid(session)
    os.rename(settings.data, tmp_path / "moved")
    moved = Session(tmp_path / "moved", session.id)
    assert end_if_lost(moved).status == "running"
    assert cancel_turn(moved, by="ann")
    assert wait_for_stop(moved).status == "cancelled"
    wait_until(lambda: not is_alive(pid), "the exit of the runner")
    assert wait_for_status(moved, turn) == "cancelled"


def test_the_lost_turn_of_a_moved_root_is_ended_with_all_its_processes(
    settings: Config, tmp_path: Path
) -> None:
    session, turn = begin_turn(settings, WAITS)
    background = int(wait_for_output(session, turn, "up").split()[0])
    os.kill(runner_pid(session), signal.SIGKILL)
    os.rename(settings.data, tmp_path / "moved")
    moved = Session(tmp_path / "moved", session.id)
    wait_until(lambda: not has_runner(moved), "the death of the runner")
    assert end_if_lost(moved).status == "lost"
    assert not is_alive(background)
