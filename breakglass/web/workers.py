"""Worker processes: starts them, restarts each one that dies, and ends them together.

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
SUPERVISOR_SIGNALS = STOP_SIGNALS | {signal.SIGCHLD}
"""The signals that must be blocked before `supervise_workers` is called, and before any thread starts."""
RESTART_SECONDS = 1.0
"""Least time between the starts of a worker and its successor: a worker that dies at once must not use up a core."""


def supervise_workers(work: Callable[[], int], count: int, signals: Iterable[int]) -> int:
    """Keep `count` processes running `work` until told to stop, then end them. Returns the exit status.

    `SUPERVISOR_SIGNALS` must be blocked. In the workers only `signals` are blocked.
    """
    started: dict[int, float] = {}  # by pid, in monotonic seconds
    while True:
        while len(started) < count:
            started[_fork(work, signals)] = time.monotonic()
        if signal.sigwait(SUPERVISOR_SIGNALS) in STOP_SIGNALS:
            break
        pause = 0.0
        for pid, status in _reap_ended():
            pause = max(pause, started.pop(pid, 0.0) + RESTART_SECONDS - time.monotonic())
            print(f"worker {pid} ended ({status}); starting another", file=sys.stderr, flush=True)
        if signal.sigtimedwait(STOP_SIGNALS, pause):
            break
    for pid in started:  # a process that has ended keeps its pid until it is reaped below
        os.kill(pid, signal.SIGTERM)
    for pid in started:
        os.waitpid(pid, 0)
    return 0


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
