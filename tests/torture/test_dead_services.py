"""The CPU time of a runner, with and without services for notifications that hang, refuse or fail.

Each round runs one turn with each kind of service, and two without. So all kinds see the same machine, and the two
turns without a service tell how much a difference means. The runner is an orphan that this process adopts, so it stays
a zombie until its CPU time is read. `TURNS` in the environment sets how many rounds are measured; without it, 60.
"""

import os
import signal
import statistics
import time
from contextlib import suppress
from pathlib import Path

import pytest

from breakglass.config import Config
from breakglass.load_config import load_config
from breakglass.store import sessions
from breakglass.store.turnlock import read_runner
from breakglass.turns import processes
from breakglass.turns.begin import submit_prompt
from tests.help import services
from tests.help.senders import find_senders
from tests.help.waiting import wait_until

TURNS = int(os.environ.get("TURNS", "60"))
CPUCLOCK_SCHED = 2
"""The clock of a process that counts its CPU time in nanoseconds (clock_getcpuclockid(3))."""


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
        rounds = []
        try:
            for number in range(TURNS):
                order = [*configs][number % len(configs) :] + [*configs][: number % len(configs)]
                rounds.append({kind: runner_seconds(configs[kind]) for kind in order})
        finally:
            for pid in (pid for config in configs.values() for pid in find_senders(config.data)):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    print(f"a runner: {statistics.median(each['none'] for each in rounds) * 1000:.1f} ms")
    more = {kind: [each[kind] - each["none"] for each in rounds] for kind in kinds if kind != "none"}
    for kind, seconds in more.items():
        low, middle, high = (each * 1000 for each in statistics.quantiles(seconds, n=4))
        print(f"{kind}: {middle:+.2f} ms, half of the rounds between {low:+.2f} and {high:+.2f} ms")
    assert {kind: median for kind, each in more.items() if (median := statistics.median(each)) > 0.001} == {}


def configured(folder: Path, address: str) -> Config:
    """Return the settings with one service that is told each turn, or without one."""
    folder.mkdir()
    on = 'on = ["first_action", "failed", "ended"]\nafter_seconds = 0.001\n'
    table = f'[[notify]]\nurl = "{address}"\n{on}' if address else ""
    (folder / "breakglass.toml").write_text(f'agent = "shell"\nvitals = false\n{table}')
    environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return load_config(environ, str(folder / "breakglass.toml"), {"data": str(folder / "var")})


def runner_seconds(config: Config) -> float:
    """Run a turn and return the CPU time of its runner: of all its threads, without that of its children."""
    session = sessions.create(config.data, "shell")
    if (pid := os.fork()) == 0:
        try:
            submit_prompt(config, session, "true", by="ann")
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    runner = wait_until(lambda: read_runner(session), "the runner to start")
    wait_until(lambda: not processes.is_alive(*runner), "the runner to exit")
    spent = time.clock_gettime((~runner.pid << 3) | CPUCLOCK_SCHED)
    os.waitpid(runner.pid, 0)
    return spent
