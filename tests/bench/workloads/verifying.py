"""Verify: the CPU time that `breakglass verify` takes for a log, beside jq, which only parses it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from breakglass import events
from tests.bench import environment, logs
from tests.bench.bench import Bench, Sample, report_progress

NAME = "verify"
TITLE = "Verify"
REFERENCE = "jq"
NOTE = (
    "CPU time of a check of {verified:,} lines of 300 bytes in one turn. `breakglass`: `breakglass verify`. `jq`: "
    "`jq empty`, which parses each line and checks nothing else. Ratios are to jq in the same round."
)


def run(bench: Bench) -> Iterator[Sample]:
    """Yield the CPU time of both in each round."""
    if not bench.servers("ours"):
        return
    data = bench.folder()
    session = logs.write(data, bench.sizes.verified, idle=True)
    path = data / "sessions" / session / "events.jsonl"
    _begin_turn(path)
    for number in range(bench.sizes.rounds):
        report_progress(f"{NAME}: round {number + 1}")
        for name, command in (
            ("breakglass", [sys.executable, "-m", "breakglass", "verify", session, "--data", str(data)]),
            ("jq", ["jq", "empty", str(path)]),
        ):
            yield Sample(NAME, "one log", "cpu, ms", name, number, _cpu_seconds(command) * 1e3)


def _begin_turn(path: Path) -> None:
    """Make the second line the prompt of the turn that the other lines name: they belong to turn 1 in these logs."""
    created, _, rest = path.read_bytes().partition(b"\n")
    prompt = events.encode(2, logs.TS, "user", {"turn": 2, "text": "", "by": "bench"})
    others = rest.partition(b"\n")[2].replace(b'"turn":1,', b'"turn":2,')
    path.write_bytes(created + b"\n" + prompt + others)


def _cpu_seconds(command: list[str]) -> float:
    """Run a program. Return the CPU time that it and its children took."""
    process = subprocess.Popen(command, cwd=environment.ROOT, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[0]} exited with {process.returncode}")
    return used.ru_utime + used.ru_stime
