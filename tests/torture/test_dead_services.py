"""The CPU time of a runner, with and without services for notifications that hang, refuse or fail.

The runner is an orphan that this process adopts, so it stays a zombie until its CPU time is read. `TURNS` in the
environment sets how many turns of each kind are measured; without it, 40.
"""

import os
import signal
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

TURNS = int(os.environ.get("TURNS", "40"))


@pytest.mark.torture
def test_dead_services_take_less_than_a_millisecond_of_a_runners_cpu_time(tmp_path: Path) -> None:
    processes.become_subreaper()
    with services.serve() as hanging, services.serve() as failing:
        hanging.hangs.set()
        failing.status = 500
        addresses = (hanging.webhook, "json://127.0.0.1:1/hook", failing.webhook)
        on = 'on = ["first_action", "failed", "ended"]\nafter_seconds = 0.001\n'
        tables = "".join(f'[[notify]]\nurl = "{each}"\n{on}' for each in addresses)
        without, dead = configured(tmp_path / "without", ""), configured(tmp_path / "dead", tables)
        try:
            pairs = [(runner_seconds(without), runner_seconds(dead)) for _ in range(TURNS)]
        finally:
            for pid in find_senders(dead.data):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    plain, told = (sorted(each) for each in zip(*pairs, strict=True))
    # Other programs on the machine make a turn dearer, never cheaper: the cheapest ones are compared.
    more = told[0] - plain[0]
    print(f"a runner: {plain[0] * 1000:.1f} ms, with dead services {more * 1000:+.2f} ms")
    assert more < 0.001


def configured(folder: Path, tables: str) -> Config:
    folder.mkdir()
    (folder / "breakglass.toml").write_text(f'agent = "shell"\nvitals = false\n{tables}')
    environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return load_config(environ, str(folder / "breakglass.toml"), {"data": str(folder / "var")})


def runner_seconds(config: Config) -> float:
    """Run a turn and return the CPU time of its runner, without that of its children."""
    session = sessions.create(config.data, "shell")
    if (pid := os.fork()) == 0:
        try:
            submit_prompt(config, session, "true", by="ann")
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    runner = wait_until(lambda: read_runner(session), "the runner to start")
    wait_until(lambda: not processes.is_alive(*runner), "the runner to exit")
    spent = int(Path(f"/proc/{runner.pid}/schedstat").read_text().split()[0])
    os.waitpid(runner.pid, 0)
    return spent / 1e9
