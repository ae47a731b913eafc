"""The CPU time of a runner, with and without services for notifications that hang, refuse or fail.

Each round runs one turn with each kind of service, and two without. So all kinds see the same machine, and the two
turns without a service tell how much a difference of whole runners means. Other programs on the machine vary that by
more than what is measured. So each runner also counts what it spends in `RunnerSender`, which is all that it does for
notifications. `TURNS` in the environment sets how many rounds are measured; without it, 60.
"""

import json
import os
import signal
import statistics
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from breakglass.config import Config
from breakglass.load_config import load_config
from breakglass.store import sessions
from breakglass.store.turnlock import read_runner
from breakglass.turns import processes, start
from breakglass.turns.begin import submit_prompt
from tests.help import services
from tests.help.senders import find_senders
from tests.help.waiting import wait_until

TURNS = int(os.environ.get("TURNS", "60"))
COUNTING = """\
import json, time
from breakglass.turns.notifying import RunnerSender
from breakglass.turns.runner import main

spent = 0.0

def counted(act):
    def act_and_count(self):
        global spent
        began = time.process_time()
        act(self)
        spent += time.process_time() - began
    return act_and_count

RunnerSender.start = counted(RunnerSender.start)
RunnerSender.kill = counted(RunnerSender.kill)
began = time.process_time()
main()
with open({!r}, "w") as file:
    json.dump([time.process_time() - began, spent], file)
"""
"""What a runner does here. Its imports are not counted: they are the same for all kinds, and dearer than a turn."""


class Spent(NamedTuple):
    """CPU time of a runner in milliseconds: of all its threads, in user mode and in the kernel, without children."""

    turn: float
    notifying: float
    """The part of it in `RunnerSender`."""


@pytest.mark.torture
def test_dead_services_take_less_than_a_millisecond_of_a_runners_cpu_time(tmp_path: Path) -> None:
    processes.become_subreaper()
    with services.serve() as hanging, services.serve() as failing:
        hanging.hangs.set()
        failing.status = 500
        kinds = {
            "none": "",
            "none again": "",
            "hanging": hanging.webhook,
            "refusing": "json://127.0.0.1:1/hook",
            "500": failing.webhook,
        }
        configs = {kind: configured(tmp_path / kind, address) for kind, address in kinds.items()}
        try:
            rounds = [run_round(configs, number) for number in range(TURNS)]
        finally:
            for pid in (pid for config in configs.values() for pid in find_senders(config.data)):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    print(f"a runner: {quartiles([each['none'].turn for each in rounds])}")
    for kind in configs:
        more = quartiles([each[kind].turn - each["none"].turn for each in rounds])
        print(
            f"{kind}: for notifications {quartiles([each[kind].notifying for each in rounds])}; in all {more}"
        )
    found = {kind: statistics.median(each[kind].notifying for each in rounds) for kind in configs}
    assert {kind: median for kind, median in found.items() if median >= 1} == {}


def quartiles(numbers: list[float]) -> str:
    """Return the median of milliseconds, and where the middle half of them lies."""
    low, middle, high = statistics.quantiles(numbers, n=4)
    return f"{middle:.2f} ms ({low:.2f} to {high:.2f})"


def configured(folder: Path, address: str) -> Config:
    """Return the settings with one service that is told each turn, or without one."""
    folder.mkdir()
    on = 'on = ["first_action", "failed", "ended"]\nafter_seconds = 0.001\n'
    table = f'[[notify]]\nurl = "{address}"\n{on}' if address else ""
    (folder / "breakglass.toml").write_text(f'agent = "shell"\nvitals = false\n{table}')
    environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return load_config(environ, str(folder / "breakglass.toml"), {"data": str(folder / "var")})


def run_round(configs: dict[str, Config], number: int) -> dict[str, Spent]:
    """Run one turn of each kind, each round in another order."""
    first = number % len(configs)
    return {kind: run_turn(configs[kind]) for kind in [*configs][first:] + [*configs][:first]}


def run_turn(config: Config) -> Spent:
    """Run a turn and return what its runner spent."""
    session = sessions.create(config.data, "shell")
    counted = Path(session.directory, "cpu-seconds")
    if (pid := os.fork()) == 0:
        try:
            start._RUNNER = COUNTING.format(str(counted))
            submit_prompt(config, session, "true", by="ann")
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    runner = wait_until(lambda: read_runner(session), "the runner to start")
    wait_until(lambda: not processes.is_alive(*runner), "the runner to exit")
    os.waitpid(runner.pid, 0)  # this process has adopted it
    return Spent(*(1000 * each for each in json.loads(counted.read_text())))
