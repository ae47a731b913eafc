"""Kills of server, runners and the process that sends: each failed turn is told at least once, and at most twice.

`KILLS` in the environment sets how many kills the long test makes; without it, 1,000.
"""

import os
import random
import re
import signal
import threading
import time
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from breakglass.store import sessions, untold
from breakglass.store.sessions import Session
from breakglass.store.turnlock import read_runner
from breakglass.turns import processes
from tests.help.servers import Server
from tests.help.services import Service, serve
from tests.help.session_logs import events_of
from tests.help.waiting import DEADLINE, wait_until
from tests.torture.random_kills import DISCONNECTED

KILLS = int(os.environ.get("KILLS", "1000"))
CAUSES = {"error": "failed", "lost": "lost"}
PROMPTS = ("exit 3", "sleep 0.3; exit 4", "sleep 1; exit 5")
HOOKS = 2


def find_senders(root: Path) -> set[int]:
    """Return the pids of the processes that send for this data root."""
    words = (b"breakglass.notifier", os.fsencode(root))
    found = set()
    for pid in processes.list_pids():
        with suppress(OSError):
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
            if all(word in arguments for word in words):
                found.add(pid)
    return found


def find_runners(root: Path) -> set[int]:
    """Return the pids of the runners that live."""
    runners = (read_runner(Session(root, each)) for each in sessions.ids(root))
    return {each.pid for each in runners if each and processes.is_alive(each.pid, each.started)}


def make_turns(server: Server, rng: random.Random, over: threading.Event) -> None:
    """Begin turns that fail, each in a session of its own, until `over`."""
    while not over.is_set():
        with suppress(*DISCONNECTED, AssertionError):
            server.prompt(server.new_session(agent="shell"), rng.choice(PROMPTS))
        over.wait(rng.random() * 2)


def run_storm(folder: Path, kills: int, seed: int) -> str:
    """Kill that many processes while turns fail. Return what was done. Fails if a cause is told never or thrice."""
    rng, over = random.Random(seed), threading.Event()
    with serve() as service:
        hooks = [f'[[notify]]\nurl = "{service.webhook}-{number}"\n' for number in range(HOOKS)]
        file = folder / "breakglass.toml"
        file.write_text("".join(hooks))
        env = {"BREAKGLASS_CONFIG": str(file), "BREAKGLASS_ORIGINS": "https://ops.example.com"}
        server = Server(folder / "var", BREAKGLASS_VITALS="false", **env)
        turns = threading.Thread(target=make_turns, args=(server, rng, over), daemon=True)
        turns.start()
        try:
            killed = kill_at_random(server, rng, kills)
            over.set()
            turns.join(DEADLINE)
            wait_until(partial(is_all_told, server), "everything to be told", 600)
            return f"{dict(killed)} kills: {compare(server.data, service)}"
        finally:
            over.set()
            server.kill()
            for pid in find_senders(server.data) | find_runners(server.data):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def kill_at_random(server: Server, rng: random.Random, kills: int) -> Counter[str]:
    """Kill servers, runners and senders, and start the server again."""
    done: Counter[str] = Counter()
    finders = {"server": lambda _: {server.process.pid}, "runner": find_runners, "sender": find_senders}
    while done.total() < kills:
        time.sleep(rng.random())  # the fault itself: when the next kill comes
        kind = rng.choices([*finders], (1, 4, 5))[0]
        found = sorted(finders[kind](server.data))
        if not found:
            continue
        with suppress(ProcessLookupError):
            os.kill(rng.choice(found), signal.SIGKILL)
            done[kind] += 1
        if kind == "server":
            server.kill()
            server.start()
    return done


def is_all_told(server: Server) -> bool:
    """Return whether no turn runs and nothing is left to tell."""
    return not find_runners(server.data) and not untold.names(server.data)


def compare(root: Path, service: Service) -> str:
    """Compare what must be told with what the service took and what the logs say."""
    taken = Counter(
        (match[1], path[-1], "lost" if "was lost" in each["title"] else "failed")
        for path, each in service.taken
        if (match := re.search(r"([0-9a-f-]{36})\n", each["message"]))
    )
    wanted = 0
    for session_id in sessions.ids(root):
        events = events_of(Session(root, session_id))
        ends = [CAUSES[each["status"]] for each in events if each["kind"] == "turn_end"]
        notified = Counter((each["to"], each["cause"]) for each in events if each["kind"] == "notified")
        for number in range(HOOKS):
            for cause in ends:
                wanted += 1
                times = taken.pop((session_id, f"{number}", cause), 0)
                assert 1 <= times <= 2, (number, cause, times, events)
                assert notified.pop((f"notify[{number}]", cause)) == 1
        assert not notified, (session_id, notified)
    assert not taken, taken
    return f"{wanted} told, {len(service.received) - wanted} of them twice"


def test_a_few_kills_of_server_runner_and_sender_lose_no_notification(tmp_path: Path) -> None:
    print(run_storm(tmp_path, 4, seed=4))


@pytest.mark.torture
def test_a_thousand_kills_of_server_runner_and_sender_lose_no_notification(tmp_path: Path) -> None:
    began = time.monotonic()
    print(f"notifications: {run_storm(tmp_path, KILLS, seed=1000)} ({time.monotonic() - began:.0f} s)")
