"""Append: the cost of an event for its writer, synced or not, with one or several writers of one log."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path

from breakglass.store import log
from tests.bench import logs
from tests.bench.bench import Bench, Sample, report_progress

NAME = "append"
TITLE = "Append"
REFERENCE = "bare"
NOTE = (
    "Time for one append, in µs: the time of the run divided by the appends of all writers. `bare` writes lines of "
    "the same size without a lock or a number. `synced` is a `tool` event, which is on disk when the append returns. "
    "Ratios are to `bare`."
)
TOOL = {"turn": 1, "tool_id": "toolu_0123456789", "name": "Bash", "input": {"command": "x" * 150}}
PROSE = {"turn": 1, "text": "x" * 200}
Write = Callable[[str, int, bool, Barrier], None]
RUN_SECONDS = 600.0
"""The longest time until all writers have started, and until all have ended."""
SYNCED_SHARE = 10
"""Synced appends are much slower, so a tenth as many is enough."""


def run(bench: Bench) -> Iterator[Sample]:
    """Yield the time of an append for each number of writers, with our log and with bare writes."""
    for number in range(bench.sizes.rounds):
        for writers in bench.sizes.writers:
            report_progress(f"{NAME}: {writers} writers, round {number + 1}")
            case = "1 writer" if writers == 1 else f"{writers} writers"
            for metric, synced in (("unsynced, µs", False), ("synced, µs", True)):
                count = max(10, bench.sizes.writes // (SYNCED_SHARE if synced else 1) // writers)
                for name, write in (("breakglass", _ours), ("bare", _bare)):
                    seconds = _run_writers(bench.folder(), writers, count, write, synced)
                    yield Sample(NAME, case, metric, name, number, seconds / (count * writers) * 1e6)


def _run_writers(folder: Path, writers: int, count: int, write: Write, synced: bool) -> float:
    """Return the seconds from the common start of the writers until the last one ends."""
    logs.write(folder, 2)
    directory = str(folder / "sessions" / logs.SESSION.format(0))
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(writers + 1)
    arguments = (directory, count, synced, barrier)
    processes = [context.Process(target=write, args=arguments) for _ in range(writers)]
    for process in processes:
        process.start()
    barrier.wait(RUN_SECONDS)
    began = time.perf_counter()
    barrier.wait(RUN_SECONDS)
    seconds = time.perf_counter() - began
    for process in processes:
        process.join()
    return seconds


def _ours(directory: str, count: int, synced: bool, barrier: Barrier) -> None:
    with log.open_log(directory) as opened:
        barrier.wait()
        for _ in range(count):
            if synced:
                opened.append("tool", **TOOL)
            else:
                opened.append("delta", **PROSE)
        barrier.wait()


def _bare(directory: str, count: int, synced: bool, barrier: Barrier) -> None:
    fd = os.open(os.path.join(directory, log.NAME), os.O_WRONLY | os.O_APPEND)
    line = logs.line(1)
    barrier.wait()
    for _ in range(count):
        os.write(fd, line)
        if synced:
            os.fdatasync(fd)
    barrier.wait()
    os.close(fd)
