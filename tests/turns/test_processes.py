"""All processes of a turn are found and killed, and no other process is signalled."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from breakglass.turns import processes
from tests.help.superuser import require_superuser
from tests.help.waiting import DEADLINE, wait_until

SESSION = f"session-{os.getpid()}-of-this-process"
"""A mark of our own: another process may run these tests at the same time."""
TREE = "sleep 1000 & setsid sleep 1000 & (sleep 1000 & exec setsid sleep 1000) & echo up; wait"


@pytest.fixture
def tree() -> Iterator[subprocess.Popen[bytes]]:
    """A shell with four descendants. All have the mark of a turn, and two run in process sessions of their own."""
    marked = {**os.environ, processes.MARK: processes.mark(SESSION, 7, "1:2")}
    shell = subprocess.Popen(["bash", "-c", TREE], stdout=subprocess.PIPE, env=marked, start_new_session=True)
    assert shell.stdout
    assert shell.stdout.readline() == b"up\n"
    wait_until(lambda: len(processes.descendants(shell.pid)) == 4, "the four descendants")
    yield shell
    processes.kill_all(lambda: processes.find_marked(SESSION, "1:2"), 5.0)
    shell.communicate()


def test_descendants_and_marked_processes_are_found_in_any_process_session(
    tree: subprocess.Popen[bytes],
) -> None:
    found = processes.descendants(tree.pid)
    assert len(found) == 4
    assert processes.find_marked(SESSION, "1:2") == found | {tree.pid}
    assert processes.find_marked("another", "1:2") == set()
    assert processes.find_marked(SESSION[:-1], "1:2") == set()
    assert processes.find_marked(SESSION, "1:3") == set()
    assert processes.find_marked(SESSION, "1:23") == set()
    assert processes.find_marked(SESSION, ":2") == set()


def test_a_process_is_of_a_turn_by_its_own_mark_or_by_that_of_an_ancestor(
    tree: subprocess.Popen[bytes],
) -> None:
    script = "env -i sh -c 'echo $$; read x'"
    with subprocess.Popen(["bash", "-c", script], stdin=-1, stdout=-1) as unmarked:
        assert unmarked.stdout
        assert not processes.is_of_turn(int(unmarked.stdout.readline()))
        unmarked.communicate(b"\n")
    assert processes.is_of_turn(unmarked.pid), "it has exited, so nothing shows that it was none"
    assert all(map(processes.is_of_turn, {tree.pid, *processes.descendants(tree.pid)}))
    marked = {**os.environ, processes.MARK: processes.mark(SESSION, 7, "1:2")}
    with subprocess.Popen(["bash", "-c", f"{script}; :"], stdin=-1, stdout=-1, env=marked) as shell:
        assert shell.stdout
        assert processes.is_of_turn(int(shell.stdout.readline()))
        shell.communicate(b"\n")


def test_a_process_with_very_many_ancestors_counts_as_one_of_a_turn() -> None:
    fork = "for _ in range(70):\n  if os.fork(): os.wait(); os._exit(0)"
    code = f"import os\n{fork}\nprint(os.getpid(), flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1) as deep:
        assert deep.stdout
        assert processes.is_of_turn(int(deep.stdout.readline()))
        deep.communicate(b"\n")


def test_all_found_processes_are_killed(tree: subprocess.Popen[bytes]) -> None:
    found = {pid: processes.start_time(pid) for pid in processes.descendants(tree.pid)}
    assert processes.kill_all(lambda: processes.descendants(tree.pid), 5.0)
    # A killed process whose parent died first is no descendant any more, and dies a moment later.
    wait_until(lambda: not any(processes.is_alive(*process) for process in found.items()), "their deaths")
    assert tree.wait() == 0  # the shell is not its own descendant, so it was not killed


def test_processes_that_start_faster_than_proc_is_read_are_killed() -> None:
    code = "while true; do (setsid bash -c 'sleep 1000' &) ; done"
    shell = subprocess.Popen(
        ["bash", "-c", code], env={**os.environ, processes.MARK: processes.mark(f"b-{SESSION}", 1, "1:2")}
    )
    wait_until(lambda: len(processes.find_marked(f"b-{SESSION}", "1:2")) > 5, "six processes")
    assert processes.kill_all(lambda: processes.find_marked(f"b-{SESSION}", "1:2"), 20.0)
    assert processes.find_marked(f"b-{SESSION}", "1:2") == set()
    shell.wait()


def test_a_process_in_the_middle_of_an_execve_is_found(tmp_path: Path) -> None:
    script = tmp_path / "again.sh"
    script.write_text(f"exec /bin/sh {script}\n")
    again = subprocess.Popen(
        ["/bin/sh", str(script)], env={processes.MARK: processes.mark(SESSION, 7, "1:2")}
    )
    missed = sum(again.pid not in processes.find_marked(SESSION, "1:2") for _ in range(50))
    assert processes.kill_all(lambda: processes.find_marked(SESSION, "1:2"), 5.0)
    again.wait(5)
    assert missed == 0


def test_a_process_with_an_empty_environment_costs_no_waiting() -> None:
    bare = subprocess.Popen(["sleep", "1000"], env={})
    wait_until(lambda: processes.program_name(bare.pid) == "sleep", "the exec of sleep")
    began = time.monotonic()
    assert processes.find_marked(SESSION, "1:2") == set()
    assert time.monotonic() - began < processes.EXEC_TRIES * 0.0005
    bare.kill()
    bare.wait()


def test_a_zombie_costs_no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["true"]) as zombie:
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        waits: list[float] = []
        monkeypatch.setattr(time, "sleep", waits.append)
        assert processes.find_marked(SESSION, "1:2", [zombie.pid]) == set()
    assert waits == []


def test_a_process_that_cannot_be_killed_in_time_is_reported() -> None:
    """The first process of a pid namespace ignores SIGKILL from inside (pid_namespaces(7), kill(2))."""
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", KILL_PID_1]
    require_superuser("for a pid namespace")
    assert subprocess.check_output(command) == b"False\n"


KILL_PID_1 = """
import os
from breakglass.turns import processes
if os.fork() == 0:
    print(processes.kill_all(lambda: [1], 0.1), flush=True)
    os._exit(0)
os.wait()
"""


def test_a_process_is_distinguished_from_another_one_with_the_same_pid() -> None:
    child = subprocess.Popen(["sleep", "1000"])
    started_at = processes.start_time(child.pid)
    assert started_at > 0
    assert processes.is_alive(child.pid, started_at)
    assert not processes.is_alive(child.pid, started_at + 1)
    child.kill()
    wait_until(lambda: not processes.is_alive(child.pid, started_at), "a zombie that is not reaped yet")
    child.wait()
    assert processes.start_time(child.pid) == 0


def test_a_process_that_is_found_only_once_is_not_signalled() -> None:
    """Between the two calls the kernel may have given the pid to another process."""
    child = subprocess.Popen(["sleep", "1000"])
    results = iter([[child.pid], []])
    assert processes.send_all(lambda: next(results), signal.SIGKILL) == 0
    assert child.poll() is None
    assert processes.send_all(lambda: [child.pid, 2**22 + 1], signal.SIGKILL) == 1
    assert child.wait() == -signal.SIGKILL


def test_a_process_name_may_contain_spaces_and_brackets() -> None:
    code = "import ctypes; ctypes.CDLL(None).prctl(15, b') R 1 (x'); print('up', flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout
    assert child.stdout.readline() == b"up\n"
    assert child.pid in processes.descendants(os.getpid())
    assert processes.start_time(child.pid) > 0
    child.communicate(b"\n")


REAPER = """
import os, subprocess, sys
from breakglass.turns import processes
processes.become_subreaper()
agent = subprocess.Popen(["bash", "-c", "for i in 1 2 3; do (setsid true &); done; exit 3"])
me = str(os.getpid())
while sum(processes.stat(pid)[:2] == ["Z", me] for pid in processes.list_pids()) < 4:
    pass
processes.reap(agent.pid)
print(agent.wait())
processes.reap()
print(sum(processes.stat(pid)[1:2] == [me] for pid in processes.list_pids()))
"""


def test_orphans_are_reaped_and_the_exit_status_of_the_agent_is_kept() -> None:
    assert subprocess.check_output([sys.executable, "-c", REAPER]) == b"3\n0\n"


ORPHAN = """
import os, sys, subprocess
from breakglass.turns import processes
parent = os.getpid()
child = subprocess.Popen(["sleep", "1000"], preexec_fn=lambda: processes.die_with_parent(parent))
print(child.pid, flush=True)
input()
"""


def test_a_child_dies_with_its_parent() -> None:
    parent = subprocess.Popen([sys.executable, "-c", ORPHAN], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert parent.stdout
    child = int(parent.stdout.readline())
    started_at = processes.start_time(child)
    parent.kill()
    parent.communicate()
    wait_until(lambda: not processes.is_alive(child, started_at), "the death of the child")


def exit_status(act: Callable[[], bool]) -> int:
    """Return 0 if `act` returns True in a fork of this process that has one child, which sleeps."""
    pid = os.fork()
    if not pid:
        status = 2
        try:
            if os.fork():
                status = 0 if act() else 1
            else:
                signal.pause()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def has_no_child() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


def test_killed_processes_are_reaped() -> None:
    def kill() -> bool:
        me = os.getpid()
        return processes.kill_all(lambda: processes.descendants(me), DEADLINE) and has_no_child()

    assert exit_status(kill) == 0


def test_a_kill_takes_the_exit_status_of_no_other_child(tree: subprocess.Popen[bytes]) -> None:
    """A server has children that are of no turn, such as a search: it would report an error for a search that ended."""
    with subprocess.Popen(["sh", "-c", "exit 3"]) as other:
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        assert processes.kill_all(lambda: processes.find_marked(SESSION, "1:2"), DEADLINE)
        assert other.wait() == 3


def test_killed_children_are_reaped() -> None:
    assert exit_status(lambda: processes.kill_children(DEADLINE) and has_no_child()) == 0


def test_a_process_whose_parent_died_before_it_could_ask_for_a_signal_exits() -> None:
    def ask() -> bool:
        processes.kill_children(DEADLINE)
        processes.die_with_parent(os.getppid() + 1)
        return True

    assert exit_status(ask) == 1
    assert exit_status(lambda: processes.kill_children(DEADLINE)) == 0
