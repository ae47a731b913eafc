"""The turn lock: a turn is running exactly as long as its runner holds it. Take it; write and read which runner it is.

The runner writes its pid and start time into `turn.lock`, so that other processes can signal it. It also writes the
place of the session's directory there: the runner in a copied file is that of the original.
"""

import contextlib
import errno
import fcntl
import json
import os
from typing import TYPE_CHECKING, NamedTuple

from breakglass.errors import CannotRecord, NotFound, ReadOnly, TurnRunning
from breakglass.plain_file import open_plain_file
from breakglass.store import disk, lock_holders, log
from breakglass.store.lock_holders import Holder

if TYPE_CHECKING:  # a runner writes itself into the lock and needs nothing else from that module
    from breakglass.store.sessions import Session

NAME = "turn.lock"


class RunnerProcess(NamedTuple):
    """The process of the last runner. It may be dead, and its pid may belong to another process by now."""

    pid: int
    started: int
    """When it started, in clock ticks since boot (`starttime` in proc_pid_stat(5)). With the pid, it is unique."""


class TurnLock:
    """The lock of the running turn. Every process that has `fds` open holds it.

    The kernel releases it when the last of these processes closes them or dies.

    Two things are locked: the file `turn.lock` and the session's directory. If a user deletes the file and creates
    it again while a turn runs, the lock on the directory still prevents a second turn.
    """

    def __init__(self, session: "Session") -> None:
        self._session = session
        self.fds: tuple[int, ...] = ()

    def take(self) -> None:
        """Take the lock without waiting. Raises TurnRunning if it is held, NotFound, ReadOnly and CannotRecord."""
        self._session.refuse_read_only()
        try:
            directory = os.open(
                self._session.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            )
        except OSError as error:
            if error.errno in log.ABSENT:
                raise NotFound(f"there is no session {self._session.id}") from error
            raise CannotRecord(f"the turn lock could not be taken: {error.strerror}") from error
        self.fds = (directory,)
        try:
            self.fds += (_open_lock_file(directory),)
            for fd in self.fds:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise TurnRunning(f"a turn is running in session {self._session.id}") from None
        except OSError as error:
            self.release()
            if error.errno in disk.READ_ONLY:
                raise ReadOnly(f"this session is read-only: {error.strerror}") from error
            raise CannotRecord(f"the turn lock could not be taken: {NAME}: {error.strerror}") from error

    def release(self) -> None:
        """Close this process's descriptors. The lock stays with the processes that inherited them."""
        for fd in self.fds:
            os.close(fd)
        self.fds = ()


def find_holders(session: "Session") -> list[Holder]:
    """Return the processes that hold a session's turn lock, as far as /proc shows them. Raises OSError."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    with contextlib.ExitStack() as stack:
        fds = [os.open(session.directory, flags | os.O_DIRECTORY)]
        stack.callback(os.close, fds[0])
        with contextlib.suppress(FileNotFoundError):
            fds.append(open_plain_file(NAME, os.O_RDONLY, fds[0]))
            stack.callback(os.close, fds[1])
        found = lock_holders.find_holders(*fds)
    return [*found, *_hidden_runner(session, {each.pid for each in found})]


def _hidden_runner(session: "Session", found: set[int]) -> list[Holder]:
    """Return the runner if it hides its descriptors from this process. The file of the lock names it."""
    named = read_runner(session)
    if named is None or named.pid in found or os.access(f"/proc/{named.pid}/fdinfo", os.R_OK | os.X_OK):
        return []
    runner = lock_holders.look_up(named.pid)
    return [runner] if runner and runner.started == named.started else []


def place(directory: str | int) -> str:
    """Return device and inode of a session's directory: a copy has others, a rename keeps them. Raises OSError."""
    status = os.stat(directory)
    return f"{status.st_dev}:{status.st_ino}"


def _open_lock_file(directory: int) -> int:
    return open_plain_file(NAME, os.O_RDWR | os.O_CREAT, directory)


def write_runner(lock: tuple[int, ...], runner: RunnerProcess) -> None:
    """Write the runner into the lock file of a held `TurnLock`, replacing an earlier one. Raises OSError."""
    directory, file = lock
    entry = {**runner._asdict(), "place": place(directory)}
    os.ftruncate(file, 0)
    os.pwrite(file, json.dumps(entry).encode() + b"\n", 0)


def read_runner(session: "Session") -> RunnerProcess | None:
    """Return the runner that was last written into this session's lock file, None if there is none. Raises OSError."""
    try:
        fd = open_plain_file(f"{session.directory}/{NAME}", os.O_RDONLY)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINVAL):
            return None
        raise
    try:
        entry = json.loads(os.read(fd, 4096))
        if entry["place"] != place(session.directory):  # a copied file
            return None
        pid, started = entry["pid"], entry["started"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    finally:
        os.close(fd)
    # Signals to a pid below 1 reach groups of processes. A runner is never process 1.
    if type(pid) is int and type(started) is int and 1 < pid < 1 << 31:
        return RunnerProcess(pid, started)
    return None
