"""A storm: web server, runners and agents are killed at random moments, and at chosen system calls, while turns
run and clients watch.

What a session was told is done (prompts taken, turns stopped) and what each client received is held against
the files at the end.
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
from breakglass.store.turnlock import read_signer
from breakglass.turns import processes
from tests.help import validator
from tests.help.servers import Attached, Server, wait_until
from tests.help.validator import Ack, Count

AGENT = Path(__file__).parents[1] / "help" / "many_events.py"
TARGETS = {"server": 1, "worker": 1, "runner": 5, "agent": 4}
"""Who is killed, and how often. A server takes half a second to come back; workers are where there are several."""
CALLS = {
    "server": ("accept4", "pread64", "sendto", "flock", "fdatasync"),
    "worker": ("accept4", "pread64", "sendto", "flock", "fdatasync"),
    "runner": ("write", "pread64", "flock", "fdatasync"),
    "agent": ("write", "read"),
}
"""The system calls at which somebody dies, as root and with strace, in one kill of four."""
CUT_OFF = (OSError, http.client.HTTPException, ValueError)
"""What a request raises whose server dies; ValueError is half an answer."""
PAUSE = 0.1
"""Seconds at most between two kills."""
MOMENT = 0.3
"""Seconds for which a system call is waited for."""
CAN_TRACE = os.geteuid() == 0 and shutil.which("strace") is not None
"""The server is closed to others of its user (PR_SET_DUMPABLE), so only root sees its system calls."""


class Story:
    """One session in the storm: somebody who prompts it again and again, and now and then stops a turn."""

    def __init__(self, server: Server, chance: random.Random) -> None:
        self.session = server.new_session()
        self.acks = [Ack(1, "created")]
        self.over = threading.Event()
        self._server = server
        self._chance = chance
        self._number = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait until the last turn that was begun has ended."""
        self.over.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        while not self.over.is_set():
            self._number += 1
            self._prompt(f"{self._chance.randrange(1, 400)} {self._chance.random():.2f}")
            if self._chance.random() < 0.1:
                self._cancel()
            while self._insist("GET", "")["turn_active"]:
                time.sleep(0.02)

    def _prompt(self, text: str) -> None:
        """Prompt until it is acknowledged; the key makes one turn of many attempts."""
        headers = {"Idempotency-Key": f"prompt-{self._number}"}
        turn = self._insist("POST", "/turns", {"prompt": text}, headers)["turn"]
        self.acks.append(Ack(turn, "user", text))

    def _cancel(self) -> None:
        with suppress(*CUT_OFF):
            self._server.ask("POST", f"/api/sessions/{self.session}/cancel")

    def _insist(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> dict[str, int]:
        """Return the answer, however many servers it takes."""
        while True:
            with suppress(*CUT_OFF):
                status, answer, _ = self._server.ask(
                    method, f"/api/sessions/{self.session}{path}", body, headers
                )
                if status < 300:
                    return dict(answer)
                assert status in (409, 503), answer
            time.sleep(0.01)


class Storm:
    """A server, sessions that run turns, clients that come back, and a killer."""

    def __init__(self, folder: Path, *, stories: int, clients: int, seed: int, workers: int = 1) -> None:
        config = folder / "breakglass.toml"
        config.write_text(f'[agents.many]\nprotocol = "claude"\ncommand = ["{sys.executable}", "{AGENT}"]\n')
        words = ["--workers", str(workers)] if workers > 1 else []
        self.server = Server(folder / "var", *words, BREAKGLASS_CONFIG=str(config), BREAKGLASS_AGENT="many")
        self.targets = {who: often for who, often in TARGETS.items() if who != "worker" or workers > 1}
        self.chance = random.Random(seed)
        self.kills: Counter[str] = Counter()
        self.stories = [Story(self.server, random.Random(self.chance.random())) for _ in range(stories)]
        self.clients = [
            (story, Attached(self.server, story.session))
            for number in range(clients)
            for story in [self.stories[number % stories]]
        ]

    def rage(self, kills: int) -> None:
        """Kill so often."""
        whos, often = [*self.targets], [*self.targets.values()]
        while sum(self.kills.values()) < kills:
            time.sleep(self.chance.random() * PAUSE)
            who = self.chance.choices(whos, often)[0]
            victims = wait_until(partial(self._victims, who), who)
            call = self.chance.choice(CALLS[who]) if CAN_TRACE and self.chance.random() < 0.25 else None
            if call:
                _kill_at(call, min(victims))
            _kill(victims)
            if who == "server":
                self.server.kill()
                self.server.start()
            self.kills[f"{who} at {call}" if call else who] += 1

    def _victims(self, who: str) -> set[int]:
        """Return the server, one of its workers, or the runner or the agent of a turn; nothing where none is there."""
        if who in ("server", "worker"):
            server = self.server.process.pid
            workers = sorted(processes.descendants(server))
            return {server} if who == "server" else set(workers[:1])
        story = self.chance.choice(self.stories)
        signed = read_signer(sessions.Session(self.server.data, story.session))
        if signed is None or not processes.is_alive(*signed):
            return set()
        return {signed[0]} if who == "runner" else processes.descendants(signed[0])

    def calm(self) -> str:
        """Let every turn end and every client catch up, and return what was done and what was wrong."""
        for story in self.stories:
            story.join()
        total, found = 0, Count()
        ends: Counter[str] = Counter()
        for story in self.stories:
            log = self.server.log(story.session)
            watchers = [client for each, client in self.clients if each is story]
            decoded = validator.validate(log, story.acks, watchers)
            found += validator.count(decoded, story.acks, [client.received for client in watchers])
            ends.update(event["status"] for event in decoded if event["kind"] == "turn_end")
            total += len(decoded)
        self.server.kill()
        acks = sum(len(story.acks) for story in self.stories)
        attached = sum(client.attachments for _, client in self.clients)
        return (
            f"{sum(self.kills.values())} kills {json.dumps(dict(sorted(self.kills.items())))}, {total} events, "
            f"turns {json.dumps(ends)}, {acks} acknowledgements, {attached} attachments: "
            f"lost {found.lost}, doubled {found.doubled}, gaps {found.gaps}"
        )

    def clear(self) -> None:
        """Leave no process of it."""
        self.server.kill()
        for story in self.stories:
            story.over.set()
            wait_until(
                lambda story=story: processes.kill_all(lambda: processes.marked(story.session), 5.0),  # type: ignore[misc]
                "the turns' processes to be dead",
            )


def _kill(victims: set[int]) -> None:
    for pid in victims:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _kill_at(call: str, pid: int) -> None:
    """Kill a process at its next system call of that name; leave it alone where it makes none for a moment."""
    words = [
        "strace",
        "-qq",
        "-f",
        "-p",
        str(pid),
        "-o",
        "/dev/null",
        f"--inject={call}:signal=SIGKILL:when=1",
    ]
    with suppress(subprocess.TimeoutExpired):
        subprocess.run(words, check=False, timeout=MOMENT, stderr=subprocess.DEVNULL)


def run(folder: Path, kills: int, *, seed: int, workers: int = 1) -> str:
    """Storm, and return what was done and found. Fails where a promise is broken."""
    storm = Storm(folder, stories=4, clients=10, seed=seed, workers=workers)
    try:
        storm.rage(kills)
        return storm.calm()
    finally:
        storm.clear()
