"""Worker processes: they end when stopped at any moment, and one that dies at once is started again after a pause."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.help.servers import serving
from tests.help.waiting import DEADLINE

DYING_WORKERS = """
import signal, sys
from breakglass.web.workers import SUPERVISOR_SIGNALS, supervise_workers
def die():
    print("begun", flush=True)
    return 1
sys.exit(supervise_workers(die, 1, signal.pthread_sigmask(signal.SIG_BLOCK, SUPERVISOR_SIGNALS)))
"""


@pytest.mark.parametrize("ms", [0, 5, 10, 20, 40, 80])
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
