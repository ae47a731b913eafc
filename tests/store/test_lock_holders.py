"""A user who waits for a lock learns which process holds it, what state it is in, and what to do."""

import fcntl
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from breakglass.errors import LogLocked
from breakglass.store import lock_holders, log
from tests.help.waiting import wait_until


@contextmanager
def held_by_flock(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the program `flock`, which holds the lock of a file until its end."""
    process = subprocess.Popen(["flock", "--no-fork", path, "sleep", "1000"])
    try:
        wait_until(lambda: process.pid in holders(path), "the lock to be held")
        wait_until(lambda: name_of(process.pid) == "sleep", "the exec")
        yield process
    finally:
        process.kill()
        process.wait()


def name_of(pid: int) -> str:
    found = lock_holders.look_up(pid)
    return found.name if found else ""


def holders(path: Path) -> list[int]:
    with path.open("rb") as file:
        return [each.pid for each in lock_holders.find_holders(file.fileno())]


def refusal(directory: str) -> str:
    with log.open_log(directory, lock_timeout=0.02) as waiting, pytest.raises(LogLocked) as refused:
        waiting.append("renamed", title="new", by="ann")
    return str(refused.value)


def test_an_append_that_waits_too_long_names_the_process_that_holds_the_lock(directory: str) -> None:
    with held_by_flock(Path(directory, log.NAME)) as process:
        assert refusal(directory) == (
            f"another process has had the log locked for 0.02 s: process {process.pid} (sleep);"
            f" to end it: kill -KILL {process.pid}"
        )


def test_a_stopped_holder_is_called_stopped_and_can_be_continued(directory: str) -> None:
    with held_by_flock(Path(directory, log.NAME)) as process:
        process.send_signal(signal.SIGSTOP)
        wait_until(lambda: "which is stopped" in refusal(directory), "the process to be stopped")
        assert refusal(directory).endswith(
            f"process {process.pid} (sleep), which is stopped;"
            f" to continue it: kill -CONT {process.pid}, to end it: kill -KILL {process.pid}"
        )


@pytest.mark.parametrize(
    ("controller", "file", "text", "state"),
    [
        ("", "cgroup.events", "populated 1\nfrozen 1\n", "frozen with its cgroup"),
        ("", "unified/cgroup.events", "populated 1\nfrozen 1\n", "frozen with its cgroup"),
        ("", "cgroup.events", "populated 1\nfrozen 0\n", ""),
        ("freezer", "freezer/freezer.state", "FROZEN\n", "frozen with its cgroup"),
        ("freezer", "freezer/freezer.state", "THAWED\n", ""),
    ],
)
def test_a_frozen_process_is_called_frozen(
    controller: str, file: str, text: str, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = Path("/proc/self/cgroup").read_text().splitlines()
    group = next((line.split(":", 2)[2] for line in groups if line.split(":")[1] == controller), None)
    if group is None:
        return  # this kernel has the other version of cgroups
    monkeypatch.setattr(lock_holders, "CGROUPS", str(tmp_path))
    mount, _, name = file.rpartition("/")
    path = tmp_path / mount / group[1:] / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    found = lock_holders.look_up(os.getpid())
    assert found
    assert found.state == state


def test_a_process_that_inherited_the_lock_is_found_after_the_death_of_the_one_that_took_it(
    directory: str,
) -> None:
    path = Path(directory, log.NAME)
    script = 'exec 9>>"$0"; flock 9; sleep 1000 >&- & echo $!'
    shell = subprocess.run(["bash", "-c", script, path], stdout=subprocess.PIPE, check=False, timeout=60)
    heir = int(shell.stdout)
    try:
        assert holders(path) == [heir]
    finally:
        os.kill(heir, signal.SIGKILL)


def test_a_process_that_waits_for_the_lock_or_has_another_file_locked_is_no_holder(directory: str) -> None:
    path, other = Path(directory, log.NAME), Path(directory, "other")
    other.touch()
    with held_by_flock(path) as process, held_by_flock(other):
        waiting = subprocess.Popen(["flock", path, "true"])
        try:
            wait_until(lambda: "-> FLOCK" in Path("/proc/locks").read_text(), "a waiting process")
            assert holders(path) == [process.pid]
        finally:
            waiting.kill()
            waiting.wait()


def test_an_own_lock_and_a_free_lock(directory: str) -> None:
    path = Path(directory, log.NAME)
    assert holders(path) == []
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert holders(path) == [os.getpid()]


def test_the_name_of_a_holder_is_shown_without_control_characters() -> None:
    assert str(lock_holders.Holder(7, 1, "a\x1b[2Jb\nc", "")).isprintable()
