"""Processes of a turn: found wherever they hide, and signalled without ever hitting a stranger.

A group kill does not reach an agent's tools, which run in sessions of their own. Two nets do. While the
runner lives it is a child subreaper, so all that the agent ever started descends from it (prctl(2)). And
each process of a turn carries `BREAKGLASS_TURN=<session>/<turn>` in its environment, by which /proc finds
it when the runner is dead. Linux only. Imported by the runner: nothing slow here.
"""

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterable

MARK = "BREAKGLASS_TURN"
EXEC_TRIES = 400
"""How often a process in the middle of an execve is asked for its environment, every half a millisecond."""

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_prctl = ctypes.CDLL(None, use_errno=True).prctl


def become_subreaper() -> None:
    """Have every orphaned descendant become a child of this process."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def hide() -> None:
    """Keep other processes of our user out of this one's memory and environment (proc(5), ptrace(2)).

    Also of what it forks, until that execs. root is not kept out.
    """
    _prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when `parent` dies. For the child between fork and exec."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the call above
        os._exit(1)


def started(pid: int) -> int:
    """Return when a process started, in clock ticks since boot (proc_pid_stat(5), field 22); 0 where there is none."""
    fields = stat(pid)
    return int(fields[19]) if fields else 0


def stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name, which may hold blanks and brackets; [] where it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return []


def pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def name(pid: int) -> str:
    """Return what the kernel calls a process, "" where there is none of that pid."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def descendants(root: int) -> set[int]:
    """Return the pids of all that descend from `root`, zombies left out, `root` too."""
    children: dict[int, list[int]] = {}
    for pid in pids():
        fields = stat(pid)
        if fields and fields[0] not in "ZX":
            children.setdefault(int(fields[1]), []).append(pid)
    found: set[int] = set()
    front = [root]
    while front:
        below = [pid for parent in front for pid in children.get(parent, ()) if pid not in found]
        found.update(below)
        front = below
    return found


def marked(session_id: str) -> set[int]:
    """Return the pids of all that carry a mark of this session, its runner included, ourselves left out.

    Of any of its turns: a runner that went on with a queued prompt keeps the mark it was started with, and a
    session never has more than one tree of processes.
    """
    wanted = f"\0{MARK}={session_id}/".encode()
    return {pid for pid in pids() if wanted in b"\0" + _environ(pid) and pid != os.getpid()}


def _environ(pid: int) -> bytes:
    """Return the environment that a process was started with, b"" where there is none to be read.

    In the middle of an execve it has none yet, and is asked again. By proc_pid_stat(5), fields 23, 50 and 51: who
    has no memory is a zombie or the kernel's, and an environment that is really empty stays where it is.
    """
    before: list[str] = []
    for _ in range(EXEC_TRIES):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if found := file.read():
                    return found
        except OSError:
            break
        fields = stat(pid)
        ends = fields[47:49]
        if not fields or fields[20] == "0" or ("0" != ends[0] == ends[1] and ends == before):
            break
        before = ends
        time.sleep(0.0005)
    return b""


def send_all(find: Callable[[], Iterable[int]], number: int) -> int:
    """Signal every process that `find` finds, and return how many there were.

    A pid may be given to a stranger at any moment, but not while a pidfd of its owner is held: whoever is
    found a second time, after we hold it, is who we mean.
    """
    held: dict[int, int] = {}
    try:
        for pid in find():
            with contextlib.suppress(OSError):  # gone already
                held[pid] = os.pidfd_open(pid)
        meant = held.keys() & set(find()) if held else set()
        for pid in meant:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(held[pid], number)
        return len(meant)
    finally:
        for fd in held.values():
            os.close(fd)


def is_alive(pid: int, born: int) -> bool:
    """Return whether the process `pid` is still the one that started at `born`, and not dead."""
    fields = stat(pid)
    return bool(fields) and int(fields[19]) == born and fields[0] not in "ZX"


def kill_all(find: Callable[[], Iterable[int]], seconds: float) -> bool:
    """Kill whatever `find` finds until it finds nothing, for at most so long; return whether nothing is left.

    Reaps what became our child meanwhile. A process in uninterruptible sleep outlives this.
    """

    def is_over() -> bool:
        found = send_all(find, signal.SIGKILL)
        reap()
        return not found

    return _until(is_over, seconds)


def kill_children(seconds: float) -> bool:
    """Kill all that descends from this process, a subreaper, for at most so long; return whether nothing is left.

    Nothing is, once we have no child: that is the kernel's word, where a look at /proc may miss who forks and
    exits all the time. Such a one is reached by a signal to its group, which no fork gets past. The groups are
    those of our children, whose numbers nobody else can have until we reap them.
    """

    def is_over() -> bool:
        me = os.getpid()
        ours = [fields for fields in map(stat, pids()) if fields and int(fields[1]) == me]
        for group in {int(fields[2]) for fields in ours} - {os.getpgrp()}:
            with contextlib.suppress(OSError):
                os.killpg(group, signal.SIGKILL)
        send_all(lambda: descendants(me), signal.SIGKILL)
        reap()
        return not _has_children()

    return _until(is_over, seconds)


def _until(is_over: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    pause = 0.001
    while not is_over():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 2, 0.1)
    return True


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def reap(keep: int = 0) -> None:
    """Collect every dead child, until `keep` turns up among them: that one somebody else waits for."""
    with contextlib.suppress(ChildProcessError):
        while dead := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if dead.si_pid == keep:
                break
            os.waitpid(dead.si_pid, 0)
