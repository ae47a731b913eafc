"""The processes that hold a lock: found in /proc and named for a user. Linux only.

/proc/PID/fdinfo shows which processes have the lock, also those that inherited it, if this one may inspect them. For
the others there is /proc/locks. It shows only the process that took the lock, which may have passed it on.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from breakglass.text import one_line

_STATES = {"T": "stopped", "t": "stopped by a debugger", "D": "waiting for a disk or the network"}
"""The states of proc_pid_stat(5) in which a process does not run on by itself."""
FROZEN = "frozen with its cgroup"
CGROUPS = "/sys/fs/cgroup"
_FREEZERS = {
    "": (("", "cgroup.events", "frozen 1\n"), ("/unified", "cgroup.events", "frozen 1\n")),
    "freezer": (("/freezer", "freezer.state", "FROZEN\n"),),
}
"""Where a cgroup says that it is frozen, by the controller in /proc/PID/cgroup: mount, file, and text in it.

Version 1 (`freezer`) also delays a SIGKILL until the cgroup is thawed.
"""


class Holder(NamedTuple):
    """A process that holds a lock."""

    pid: int
    started: int
    """When it started, in clock ticks since boot. With the pid, it is unique."""
    name: str
    """The kernel's name of the program."""
    state: str
    """Why it does not run on by itself, "" if it does."""

    def __str__(self) -> str:
        state = f", which is {self.state}" if self.state else ""
        return f"process {self.pid} ({one_line(self.name)}){state}"

    @property
    def advice(self) -> str:
        """What a user can do about it."""
        goes_on = f"to continue it: kill -CONT {self.pid}, " if self.state == "stopped" else ""
        return f"{goes_on}to end it: kill -KILL {self.pid}"


def find_holders(*fds: int) -> list[Holder]:
    """Return the living processes that hold a `flock` on one of these open files, as far as /proc shows them."""
    paths = {_link(f"/proc/self/fd/{fd}") for fd in fds} - {""}
    files = {_file(fd) for fd in fds}
    pids = {pid for pid in _takers(files) if not os.access(f"/proc/{pid}/fdinfo", os.R_OK | os.X_OK)}
    for pid in _pids():
        pids.update(
            pid for fd, lock in _locks_of(pid) if lock in files or _link(f"/proc/{pid}/fd/{fd}") in paths
        )
    return [holder for pid in sorted(pids) if (holder := look_up(pid))]


def look_up(pid: int) -> Holder | None:
    """Return a living process with its name and state, None if there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            head, _, tail = file.read().rpartition(")")
    except OSError:
        return None
    fields = tail.split()
    if not fields or fields[0] in "ZX":
        return None
    state = FROZEN if _is_frozen(pid) else _STATES.get(fields[0], "")
    return Holder(pid, int(fields[19]), head.partition("(")[2], state)


def describe(holders: Iterable[Holder]) -> str:
    """Return the processes with what a user can do about each, "" for none."""
    return "; ".join(f"{holder}; {holder.advice}" for holder in holders)


def _file(fd: int) -> str:
    """Return an open file as the kernel names it in lists of locks: device and inode."""
    status = os.fstat(fd)
    return f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"


def _pids() -> list[int]:
    with contextlib.suppress(OSError):
        return [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    return []


def _takers(files: set[str]) -> set[int]:
    """Return the pids in /proc/locks. A line with `->` is a process that waits for the lock."""
    with contextlib.suppress(OSError), open("/proc/locks", encoding="ascii", errors="replace") as table:
        rows = [line.split() for line in table]
        return {int(row[4]) for row in rows if len(row) > 5 and row[1] == "FLOCK" and row[5] in files}
    return set()


def _locks_of(pid: int) -> Iterator[tuple[str, str]]:
    """Yield each descriptor of a process with a `flock` on it, and the locked file as `_file` names it."""
    with contextlib.suppress(OSError):
        for fd in os.listdir(f"/proc/{pid}/fdinfo"):
            with (
                contextlib.suppress(OSError),
                open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii", errors="replace") as info,
            ):
                rows = [line.split() for line in info if line.startswith("lock:")]
                yield from ((fd, row[6]) for row in rows if len(row) > 6 and row[2] == "FLOCK")


def _link(path: str) -> str:
    """Return the path of an open file, which also identifies it where the kernel lists another device (btrfs)."""
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _is_frozen(pid: int) -> bool:
    with (
        contextlib.suppress(OSError),
        open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="replace") as file,
    ):
        for line in file:
            _, controller, group = line.rstrip("\n").split(":", 2)
            for mount, name, text in _FREEZERS.get(controller, ()):
                with (
                    contextlib.suppress(OSError),
                    open(f"{CGROUPS}{mount}{group}/{name}", encoding="ascii", errors="replace") as state,
                ):
                    if text in state.read():
                        return True
    return False
