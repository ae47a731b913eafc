"""Worker processes: they end when told to at any moment, also if they hang. One that dies is started again."""

import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from breakglass.turns import processes
from tests.help.servers import serving
from tests.help.waiting import DEADLINE, wait_until

DYING_WORKERS = """
import signal, sys
from breakglass.web.workers import SUPERVISOR_SIGNALS, supervise_workers
def die():
    print("begun", flush=True)
    return 1
sys.exit(supervise_workers(die, 1, signal.pthread_sigmask(signal.SIG_BLOCK, SUPERVISOR_SIGNALS)))
"""


@pytest.mark.parametrize(
    "ms", [0, 20, 80, *(pytest.param(ms, marks=pytest.mark.torture) for ms in (5, 10, 40))]
)
def test_workers_that_are_stopped_while_they_start_end(tmp_path: Path, ms: int) -> None:
    with serving(tmp_path / "var", "--workers", "3") as server:
        time.sleep(ms / 1000)  # the test is about this moment of the start
        server.process.terminate()
        assert server.process.wait(DEADLINE) == 0


def test_a_worker_that_dies_at_its_start_is_started_again_after_a_pause() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", DYING_WORKERS], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout
    with process, process.stdout as output:
        output.readline()
        began = time.monotonic()
        output.readline()
        assert time.monotonic() - began > 0.5
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 0


def find_workers(server: int, count: int) -> set[int] | None:
    """Return the pids of the workers once there are `count`, None before."""
    found = processes.descendants(server)
    return found if len(found) == count else None


def is_suspended(pid: int) -> bool:
    return processes.stat(pid)[:1] == ["T"]


@pytest.mark.parametrize(
    ("workers", "suspended", "number", "status"),
    [
        (3, 2, signal.SIGTERM, 0),
        pytest.param(2, 1, signal.SIGTERM, 0, marks=pytest.mark.torture),
        pytest.param(2, 2, signal.SIGINT, 0, marks=pytest.mark.torture),
        (2, 1, signal.SIGKILL, -signal.SIGKILL),
    ],
)
def test_a_suspended_worker_does_not_keep_the_server_from_ending(
    tmp_path: Path, workers: int, suspended: int, number: signal.Signals, status: int
) -> None:
    with serving(tmp_path / "var", "--workers", str(workers)) as server:
        found = wait_until(functools.partial(find_workers, server.process.pid, workers), "the workers")
        for pid in sorted(found)[:suspended]:
            os.kill(pid, signal.SIGSTOP)
            wait_until(functools.partial(is_suspended, pid), "the worker to be suspended")
        began = time.monotonic()
        server.process.send_signal(number)
        assert server.process.wait(DEADLINE) == status
        assert time.monotonic() - began < 12  # 6 s for the workers to end, and the machine's load
        wait_until(lambda: not any(processes.stat(pid) for pid in found), "the end of every worker")


WORKERS = """
import os, signal, sys
from breakglass.web import workers
from breakglass.web.workers import SUPERVISOR_SIGNALS, supervise_workers
workers.STOP_SECONDS = workers.KILL_SECONDS = 0.3
{prepare}
def work():
    {work}
    while True:
        os.write(1, b"begun %d\\n" % os.getpid())
        signal.pause()
sys.exit(supervise_workers(work, 2, signal.pthread_sigmask(signal.SIG_BLOCK, SUPERVISOR_SIGNALS)))
"""
IGNORES_SIGTERM = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
KILL_WITHOUT_EFFECT = (
    "kill = os.kill; os.kill = lambda pid, number: number != signal.SIGKILL and kill(pid, number)"
)


@pytest.mark.parametrize(
    ("prepare", "status", "printed"),
    [("", 0, []), (KILL_WITHOUT_EFFECT, 1, ["could not be killed; it goes on"] * 2)],
)
def test_a_worker_that_ignores_sigterm_is_killed_and_one_that_survives_even_that_is_named(
    prepare: str, status: int, printed: list[str]
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WORKERS.format(prepare=prepare, work=IGNORES_SIGTERM)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stderr
    with process:
        begun = {int(process.stdout.readline().split()[1]) for _ in range(2)}
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == status
        said = process.stderr.read().splitlines()
        assert [line.split(maxsplit=2)[2] for line in said] == printed
        assert {int(line.split()[1]) for line in said} == (begun if printed else set())
