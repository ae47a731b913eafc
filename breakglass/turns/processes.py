"""The processes of a turn: how they are found, signalled, killed and reaped. Linux only.

How this works: a signal to the agent's process group does not reach its tools, which run in sessions of their own. So
the processes of a turn are found in two other ways.

- By descent. The runner is a child subreaper (prctl(2)): every process that the agent started stays a descendant of the
  runner, even if its parent died. This works while the runner lives.
- By mark. Every process of a turn has `BREAKGLASS_TURN=<session>/<turn>/<place>` in its environment, which /proc shows.
  This works after the runner's death. It misses a process that cleared its environment. The runner hides its
  environment from its own user (`hide`), so it has the mark in its arguments too.

The invariant: no signal reaches a process that is not of the turn. A pid alone identifies no process, because the
kernel gives it to a new process after the old one was reaped. A pid with its start time does (`is_alive`). So does a
pid whose pidfd is held (`send_all`), and a pid of an own child that is not reaped yet (`kill_children`).

For editors:

- The runner imports this module at the start of every turn, so it imports nothing slow.
- Processes start and exit while /proc is read. No read is complete, so killing repeats until no process is found.
"""

import contextlib
import ctypes
import os
import re
import signal
import time
from collections.abc import Callable, Iterable

MARK = "BREAKGLASS_TURN"
"""The variable that marks the processes of a turn (`mark`)."""
MAX_ANCESTORS = 64
"""A process with more ancestors counts as one of a turn: a program could make so many to delay the reader."""
EXEC_TRIES = 400
"""How often the environment of a process in the middle of an execve is read, once every half a millisecond."""

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_prctl = ctypes.CDLL(None, use_errno=True).prctl


def become_subreaper() -> None:
    """Make this process the new parent of every orphaned descendant."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def hide() -> None:
    """Prevent other processes of the same user from reading this one's memory and environment (proc(5), ptrace(2)).

    It also applies to forked children until they exec. It does not apply to root.
    """
    _prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def reset_signals() -> None:
    """Undo what the starter ignored or blocked: both are inherited through execve (signal(7)).

    With SIGCHLD ignored, the kernel discards exit statuses. Python itself ignores SIGPIPE and SIGXFSZ, so they stay.
    `subprocess` restores these two in the agent.
    """
    for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def reset_oom_protection(path: str = "/proc/self/oom_score_adj") -> None:
    """Raise a negative `oom_score_adj` to 0, and keep a positive one (proc_pid_oom_score_adj(5)).

    A service often protects itself with a negative value, which every child inherits. An agent that uses all memory
    would then survive the database. Raising the value needs no privilege.
    """
    with contextlib.suppress(OSError, ValueError), open(path, "r+", encoding="ascii") as file:
        if int(file.read()) < 0:
            file.seek(0)
            file.write("0")


def ignore_stop_signals() -> None:
    """Do not react to SIGINT and SIGTERM, nor do the programs that this process starts (signal(7))."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def die_with_parent(parent: int) -> None:
    """Make the kernel kill this process when `parent` dies. Called in the child between fork and exec."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # the parent died before the call above
        os._exit(1)


def start_time(pid: int) -> int:
    """Return when a process started, in clock ticks since boot (proc_pid_stat(5), field 22); 0 if it does not exist."""
    fields = stat(pid)
    return int(fields[19]) if fields else 0


def stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name, which may contain `)` and spaces. [] if it does not exist."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return []


def list_pids() -> list[int]:
    """Return the pids of all processes that /proc shows, none without /proc (`proc_message`)."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    return []


def proc_message(proc: str = "/proc") -> str:
    """Return the sentence that tells a user what does not work because /proc does not show this process, else ""."""
    with contextlib.suppress(OSError):
        if os.readlink(f"{proc}/self") == str(os.getpid()):
            return ""
    return (
        f"{proc} does not show the processes of this system: processes that outlive their turn or its runner are not"
        " found and not killed, and a stop takes up to a second longer; do: mount -t proc proc /proc"
    )


def program_name(pid: int) -> str:
    """Return the kernel's name of a process, "" if it does not exist."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def descendants(root: int) -> set[int]:
    """Return the pids of all living descendants of `root`, without `root` itself and without zombies."""
    children: dict[int, list[int]] = {}
    for pid in list_pids():
        fields = stat(pid)
        if fields and fields[0] not in "ZX":
            children.setdefault(int(fields[1]), []).append(pid)
    found: set[int] = set()
    parents = [root]
    while parents:
        parents = [pid for parent in parents for pid in children.get(parent, ()) if pid not in found]
        found.update(parents)
    return found


def mark(session_id: str, turn: int, place: str) -> str:
    """Return the value of `MARK` for a turn. `place` tells a session from its copies (`turnlock.place`)."""
    return f"{session_id}/{turn}/{place}"


def find_marked(session_id: str, place: str, among: Iterable[int] | None = None) -> set[int]:
    """Return the pids of all processes with a mark of this session, its runner included, this process excluded.

    With `among`, only these pids are looked at.
    The turn in the mark does not matter. A runner that continued with a queued prompt keeps the mark of its first
    turn. A session never has more than one tree of processes.
    """
    wanted = re.compile(rf"\0{MARK}={re.escape(session_id)}/[0-9]+/{re.escape(place)}\0".encode())
    pids = list_pids() if among is None else among
    return {pid for pid in pids if wanted.search(b"\0" + _environ(pid)) and pid != os.getpid()}


def is_of_turn(pid: int) -> bool:
    """Return whether a process or one of its ancestors has the mark of any turn. True also if it has exited.

    A process that cleared its environment still descends from the runner, which is a subreaper.
    """
    for _ in range(MAX_ANCESTORS):
        fields = stat(pid)
        if not fields or f"\0{MARK}=".encode() in b"\0" + _environ(pid):
            return True
        pid = int(fields[1])
        if pid <= 1:  # 0 is the parent of process 1, and of one that entered this pid namespace
            return False
    return True


def _environ(pid: int) -> bytes:
    """Return the environment that a process was started with, b"" if it cannot be read.

    Of a process that hides its environment, return its arguments.
    In the middle of an execve a process has no environment yet, so it is read again. Two cases end that at once, by
    proc_pid_stat(5). A process without memory (field 23) is a zombie or a kernel thread. An environment that is really
    empty begins and ends at the same address (fields 50 and 51), and that address does not change.
    """
    before: list[str] = []
    for _ in range(EXEC_TRIES):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if found := file.read():
                    return found
        except PermissionError:
            return _arguments(pid)
        except OSError:
            break
        fields = stat(pid)
        ends = fields[47:49]
        if not fields or fields[20] == "0" or ("0" != ends[0] == ends[1] and ends == before):
            break
        before = ends
        time.sleep(0.0005)
    return b""


def _arguments(pid: int) -> bytes:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read()
    return b""


def send_all(find: Callable[[], Iterable[int]], number: int) -> int:
    """Signal every process that `find` finds, and return how many there were.

    The kernel may give the pid of an exited process to another one. A held pidfd still refers to the first process.
    So a pid that `find` returns again, after its pidfd was opened, belongs to the process behind the pidfd.
    """
    held: dict[int, int] = {}
    try:
        for pid in find():
            with contextlib.suppress(OSError):  # it has exited
                held[pid] = os.pidfd_open(pid)
        confirmed = held.keys() & set(find()) if held else set()
        for pid in confirmed:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(held[pid], number)
        return len(confirmed)
    finally:
        for fd in held.values():
            os.close(fd)


def is_alive(pid: int, started_at: int) -> bool:
    """Return whether `pid` is the process that `start_time` reported as `started_at`, and is not a zombie."""
    fields = stat(pid)
    return bool(fields) and int(fields[19]) == started_at and fields[0] not in "ZX"


def kill_all(find: Callable[[], Iterable[int]], seconds: float) -> bool:
    """Kill all processes that `find` finds until it finds none, for at most `seconds`. Return whether none is left.

    Reaps those that are children of this process. It takes the exit status of no other child: a server has children
    that do not belong to turns, and waits for each. A process in uninterruptible sleep cannot be killed.
    """
    unreaped: set[int] = set()

    def find_and_note() -> set[int]:
        found = {*find()}
        unreaped.update(found)
        return found

    def is_done() -> bool:
        found = send_all(find_and_note, signal.SIGKILL)
        unreaped.difference_update([pid for pid in unreaped if _reap_child(pid)])
        return not found

    return _repeat_until(is_done, seconds)


def kill_children(seconds: float) -> bool:
    """Kill all descendants of this process, a subreaper, for at most `seconds`. Return whether none is left.

    None is left if this process has no child, which the kernel knows for certain. A read of /proc can miss a process
    that forks and exits all the time. A signal to its group reaches it: the kernel delivers it to a fork in progress
    too. The groups are those of our children, so no other process can get their numbers before we reap the children.
    """

    def is_done() -> bool:
        me = os.getpid()
        children = [fields for fields in map(stat, list_pids()) if fields and int(fields[1]) == me]
        for group in {int(fields[2]) for fields in children} - {os.getpgrp()}:
            with contextlib.suppress(OSError):
                os.killpg(group, signal.SIGKILL)
        send_all(lambda: descendants(me), signal.SIGKILL)
        reap()
        return not _has_children()

    return _repeat_until(is_done, seconds)


def _repeat_until(is_done: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    pause = 0.001
    while not is_done():
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


def _reap_child(pid: int) -> bool:
    """Reap a child if it is dead. Return False while it is a child of this process: no other can have its pid then."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def reap(keep: int = 0) -> None:
    """Reap all dead children, but stop at the child `keep`: its exit status is read elsewhere. For a runner only."""
    with contextlib.suppress(ChildProcessError):
        while dead := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if dead.si_pid == keep:
                break
            os.waitpid(dead.si_pid, 0)
