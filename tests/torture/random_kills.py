"""Kills servers, runners and agents at random moments while turns run and clients follow, and checks that no
promise is broken.

How this works: `SessionDriver` prompts one session again and again and stores every acknowledgement. `KillTest`
runs a server, some drivers and some clients, and kills processes, also at chosen system calls. Meanwhile
`Disturbances` copies the data root, renames a log and starts commands with unusual signals. At the end the logs are
compared with the acknowledgements and with what each client received. No process may be left, and none of others hit.
"""

import http.client
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path

from breakglass.store import sessions
from breakglass.store.sessions import Session
from breakglass.store.turnlock import read_runner
from breakglass.turns import processes
from breakglass.turns.end import find_processes
from tests.help import validator
from tests.help.servers import Attached, Server
from tests.help.validator import Ack, Count
from tests.help.waiting import DEADLINE, wait_until
from tests.torture.disturbances import Disturbances, ServerOfAnyStarter

AGENT = Path(__file__).parents[1] / "help" / "many_events.py"
WEIGHTS = {"server": 1, "worker": 1, "runner": 5, "agent": 4}
"""How often each kind of process is killed. A server is killed less often, because its restart is slow."""
CALLS = {
    "server": ("accept4", "pread64", "sendto", "flock", "fdatasync"),
    "worker": ("accept4", "pread64", "sendto", "flock", "fdatasync"),
    "runner": ("write", "pread64", "flock", "fdatasync"),
    "agent": ("write", "read"),
}
"""The system calls at which processes are killed."""
AT_CALL_SHARE = 0.25
"""The share of kills at a system call."""
DISCONNECTED = (OSError, http.client.HTTPException, ValueError)
"""The exceptions of a request if the server dies. ValueError: the response is incomplete."""
PAUSE_SECONDS = 0.1
"""The longest pause between two kills."""
CALL_SECONDS = 0.3
"""How long a process has to make the chosen system call."""
EXIT_SECONDS = 20.0
"""How long the runners may take to exit after the ends of their turns."""
CAN_TRACE = os.geteuid() == 0 and shutil.which("strace") is not None
"""Only root sees the server's system calls: PR_SET_DUMPABLE closes it to others of its user."""


class SessionDriver:
    """A client that, in a thread, prompts one session again and again and cancels some of the turns.

    With `is_renamed`, the session's log is away at times, so it is not found.
    """

    def __init__(self, server: Server, rng: random.Random, *, is_renamed: bool = False) -> None:
        self.session = server.new_session()
        self._expected = (409, 503, 404) if is_renamed else (409, 503)
        self.acks = [Ack(1, "created")]
        self.over = threading.Event()
        self._server = server
        self._rng = rng
        self._prompts = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Send no more prompts, and wait until the last turn has ended."""
        self.over.set()
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        while not self.over.is_set():
            self._prompts += 1
            self._prompt(f"{self._rng.randrange(1, 400)} {self._rng.random():.2f}")
            if self._rng.random() < 0.1:
                self._cancel()
            wait_until(lambda: not self._request("GET", "")["turn_active"], "the turn to end")

    def _prompt(self, text: str) -> None:
        """Prompt until the server acknowledges it. The key makes all attempts one turn."""
        headers = {"Idempotency-Key": f"prompt-{self._prompts}"}
        turn = self._request("POST", "/turns", {"prompt": text}, headers)["turn"]
        self.acks.append(Ack(turn, "user", text))

    def _cancel(self) -> None:
        with suppress(*DISCONNECTED):
            self._server.ask("POST", f"/api/sessions/{self.session}/cancel")

    def _request(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> dict[str, int]:
        """Repeat a request until a server answers it, and return the answer."""
        attempt = partial(self._attempt, method, path, body, headers)
        return wait_until(attempt, f"an answer to {method} {path}")

    def _attempt(
        self, method: str, path: str, body: object, headers: dict[str, str] | None
    ) -> dict[str, int] | None:
        with suppress(*DISCONNECTED):
            status, answer, _ = self._server.ask(method, f"/api/sessions/{self.session}{path}", body, headers)
            if status < 300:
                return dict(answer)
            assert status in self._expected, answer
        return None


class KillTest:
    """One run: a server, drivers of sessions, clients that follow these, and the kills.

    With `disturbed`, one more driver has no clients, because a client starts again whenever the log was away.
    """

    def __init__(
        self,
        folder: Path,
        *,
        drivers: int,
        clients: int,
        seed: int,
        workers: int = 1,
        disturbed: bool = False,
    ) -> None:
        config = folder / "breakglass.toml"
        config.write_text(f'[agents.many]\nprotocol = "claude"\ncommand = ["{sys.executable}", "{AGENT}"]\n')
        options = ["--workers", str(workers)] if workers > 1 else []
        env = {"BREAKGLASS_CONFIG": str(config), "BREAKGLASS_AGENT": "many"}
        self.rng = random.Random(seed)
        self.server = ServerOfAnyStarter(folder / "var", random.Random(seed), *options, **env)
        self.weights = {kind: often for kind, often in WEIGHTS.items() if kind != "worker" or workers > 1}
        self.kills: Counter[str] = Counter()
        self.drivers = [SessionDriver(self.server, random.Random(self.rng.random())) for _ in range(drivers)]
        self.clients = [
            (driver, Attached(self.server, driver.session))
            for number in range(clients)
            for driver in [self.drivers[number % drivers]]
        ]
        self.disturbances: Disturbances | None = None
        if disturbed:
            renamed = SessionDriver(self.server, random.Random(self.rng.random()), is_renamed=True)
            self.drivers.append(renamed)
            self.disturbances = Disturbances(self.server, folder, renamed.session, seed)

    def run_kills(self, kills: int) -> None:
        """Kill that many times. A server is started again at once."""
        kinds, weights = [*self.weights], [*self.weights.values()]
        while self.kills.total() < kills:
            time.sleep(self.rng.random() * PAUSE_SECONDS)
            kind = self.rng.choices(kinds, weights)[0]
            victims = wait_until(partial(self._find_processes, kind), f"a process to kill: {kind}")
            at_call = CAN_TRACE and self.rng.random() < AT_CALL_SHARE
            call = self.rng.choice(CALLS[kind]) if at_call else None
            if call:
                _kill_at(call, min(victims))
            _kill(victims)
            if kind == "server":
                self.server.kill()
                self.server.start()
            self.kills[f"{kind} at {call}" if call else kind] += 1

    def _find_processes(self, kind: str) -> set[int]:
        """Return the server, one of its workers, or the runner or the agent's processes of a turn. May be empty."""
        if kind in ("server", "worker"):
            server = self.server.process.pid
            workers = sorted(processes.descendants(server))
            return {server} if kind == "server" else set(workers[:1])
        driver = self.rng.choice(self.drivers)
        runner = read_runner(Session(self.server.data, driver.session))
        if runner is None or not processes.is_alive(*runner):
            return set()
        return {runner[0]} if kind == "runner" else processes.descendants(runner[0])

    def settle(self) -> str:
        """Wait until all turns have ended and all clients have caught up. Return what was done and what was wrong.

        Fails if a log or a client breaks a promise.
        """
        times = self.disturbances.finish() if self.disturbances else {}
        for driver in self.drivers:
            driver.finish()
        total, found = 0, Count()
        ends: Counter[str] = Counter()
        for driver in self.drivers:
            log = self.server.log(driver.session)
            clients = [client for each, client in self.clients if each is driver]
            decoded = validator.validate(log, driver.acks, clients)
            found += validator.count(decoded, driver.acks, [client.received for client in clients])
            ends.update(event["status"] for event in decoded if event["kind"] == "turn_end")
            total += len(decoded)
        self.server.kill()
        self._check_ends(ends, times)
        left = self._count_left()
        others = self.disturbances.count_killed_others() if self.disturbances else 0
        acks = sum(len(driver.acks) for driver in self.drivers)
        attached = sum(client.attachments for _, client in self.clients)
        return (
            f"{self.kills.total()} kills {json.dumps(dict(sorted(self.kills.items())))}, {total} events, "
            f"turns {json.dumps(ends)}, {acks} acknowledgements, {attached} attachments, "
            f"disturbances {json.dumps(times)}: lost {found.lost}, doubled {found.doubled}, gaps {found.gaps}, "
            f"processes left {left}, processes of others killed {others}"
        )

    def _check_ends(self, ends: Counter[str], times: dict[str, int]) -> None:
        """Fail if more turns ended badly than were killed or had their log renamed.

        The kill of a server can leave a turn without a runner.
        """
        kills: Counter[str] = Counter()
        for kind, number in self.kills.items():
            kills[kind.split()[0]] += number
        assert ends["lost"] <= kills.total() - kills["agent"], (ends, self.kills)
        assert ends["error"] <= kills["agent"] + times.get("renames", 0), (ends, self.kills)

    def _count_left(self) -> int:
        """Return how many processes of turns are left. A runner exits soon after the end of its turn."""

        def find() -> set[int]:
            data = self.server.data
            return set().union(*(find_processes(Session(data, each)) for each in sessions.ids(data)))

        with suppress(AssertionError):
            wait_until(lambda: not find(), "the exit of all processes", EXIT_SECONDS)
        return len(find())

    def clear(self) -> None:
        """Kill every process of the run."""
        self.server.kill()
        if self.disturbances:
            self.disturbances.count_killed_others()
        for driver in self.drivers:
            driver.over.set()
            marked = partial(find_processes, Session(self.server.data, driver.session))
            assert processes.kill_all(marked, DEADLINE)


def _kill(victims: set[int]) -> None:
    for pid in victims:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _kill_at(call: str, pid: int) -> None:
    """Kill a process at its next system call of that name. Do nothing if it makes none within `CALL_SECONDS`."""
    inject = f"--inject={call}:signal=SIGKILL:when=1"
    command = ["strace", "-qq", "-f", "-p", str(pid), "-o", "/dev/null", inject]
    with suppress(subprocess.TimeoutExpired):
        subprocess.run(command, check=False, timeout=CALL_SECONDS, stderr=subprocess.DEVNULL)


def run_kill_test(folder: Path, kills: int, *, seed: int, workers: int = 1, disturbed: bool = False) -> str:
    """Run one test of that many kills, and return what was done and found. Fails if a promise is broken."""
    test = KillTest(folder, drivers=4, clients=10, seed=seed, workers=workers, disturbed=disturbed)
    try:
        test.run_kills(kills)
        return test.settle()
    finally:
        test.clear()
