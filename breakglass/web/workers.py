"""Worker processes: starts them, restarts each one that dies, and ends them together, those that hang by SIGKILL.

The workers share the listening sockets and the files of the data root, and nothing else. Must not
know what a worker serves.

The supervising process blocks `SUPERVISOR_SIGNALS` and waits for them in `sigwait`. A signal handler instead could
run after a fork and before the new worker's pid is stored, and a worker could inherit it.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from breakglass.turns import processes

STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})
"""The signals that stop a server."""
REOPEN_SIGNAL = signal.SIGHUP
"""The signal on which each process opens the access log again, as after logrotate. It ends no process."""
SUPERVISOR_SIGNALS = STOP_SIGNALS | {REOPEN_SIGNAL, signal.SIGCHLD}
"""The signals that must be blocked before `supervise_workers` is called, and before any thread starts."""
RESTART_SECONDS = 1.0
"""Least time between the starts of a worker and its successor: a worker that dies at once must not use up a core."""

STOP_SECONDS = 6.0
"""Seconds that the workers have to end after SIGTERM: more than the grace time of their connections."""
KILL_SECONDS = 2.0
"""Seconds that they have to end after SIGKILL. Only a process in uninterruptible sleep needs more."""


def supervise_workers(work: Callable[[], int], count: int, signals: Iterable[int]) -> int:
    """Keep `count` processes running `work` until told to stop, then end them. Returns the exit status.

    A worker that does not end, because it is stopped (SIGSTOP) or hangs, is killed. The status is 1 if not even that
    ends it.

    `SUPERVISOR_SIGNALS` must be blocked. In the workers only `signals` are blocked.
    """
    started: dict[int, float] = {}  # by pid, in monotonic seconds
    while True:
        while len(started) < count:
            started[_fork(work, signals)] = time.monotonic()
        received = signal.sigwait(SUPERVISOR_SIGNALS)
        if received in STOP_SIGNALS:
            break
        if received == REOPEN_SIGNAL:
            for pid in started:  # a worker that has ended keeps its pid until it is reaped
                os.kill(pid, REOPEN_SIGNAL)
            continue
        pause = 0.0
        for pid, status in _reap_ended():
            pause = max(pause, started.pop(pid, 0.0) + RESTART_SECONDS - time.monotonic())
            print(f"worker {pid} ended ({status}); starting another", file=sys.stderr, flush=True)
        if signal.sigtimedwait(STOP_SIGNALS, pause):
            break
    return _end_workers(set(started))


def _end_workers(running: set[int]) -> int:
    """End these workers, and return the exit status: 1 if one could not even be killed."""
    for number, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, KILL_SECONDS)):
        for pid in running:  # a process that has ended keeps its pid until it is reaped
            os.kill(pid, number)
        _wait_for_end(running, seconds)
    for pid in running:
        print(f"worker {pid} could not be killed; it goes on", file=sys.stderr, flush=True)
    return 1 if running else 0


def _wait_for_end(running: set[int], seconds: float) -> None:
    """Wait at most `seconds` for the end of these workers, and remove each that has ended."""
    deadline = time.monotonic() + seconds
    while True:
        running.difference_update(pid for pid, _ in _reap_ended())
        left = deadline - time.monotonic()
        if not running or left <= 0:
            return
        signal.sigtimedwait({signal.SIGCHLD}, left)


def _reap_ended() -> Iterator[tuple[int, int]]:
    """Yield the pid and the wait status of each worker that has ended."""
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            yield ended


def _fork(work: Callable[[], int], signals: Iterable[int]) -> int:
    """Return the pid of a new process that runs `work`, in which only `signals` are blocked."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, signals)
        processes.die_with_parent(parent)  # else a worker would go on without the supervising process
        os._exit(work())
    finally:
        os._exit(1)
