"""A storm: web server, runners and agents are killed at random moments while turns run and clients watch.

What a session was told is done (prompts taken, turns stopped) and what each client received is held against
the files at the end.
"""

import http.client
import json
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from breakglass import processes
from breakglass.store import sessions
from tests import validator
from tests.servers import Attached, Server, wait_until
from tests.validator import Ack, Count

AGENT = Path(__file__).with_name("many_events.py")
TARGETS = {"server": 1, "runner": 5, "agent": 4}
"""Who is killed, and how often of ten. A server takes half a second to come back."""
CUT_OFF = (OSError, http.client.HTTPException, ValueError)
"""What a request raises whose server dies; ValueError is half an answer."""
PAUSE = 0.1
"""Seconds at most between two kills."""


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

    def __init__(self, folder: Path, *, stories: int, clients: int, seed: int) -> None:
        config = folder / "breakglass.toml"
        config.write_text(f'[agents.many]\nprotocol = "claude"\ncommand = ["{sys.executable}", "{AGENT}"]\n')
        self.server = Server(folder / "var", BREAKGLASS_CONFIG=str(config), BREAKGLASS_AGENT="many")
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
        kinds, weights = [*TARGETS], [*TARGETS.values()]
        while sum(self.kills.values()) < kills:
            time.sleep(self.chance.random() * PAUSE)
            kind = self.chance.choices(kinds, weights)[0]
            if kind == "server":
                self.server.kill()
                self.server.start()
            else:
                self._kill(wait_until(lambda kind=kind: self._victims(kind), kind))  # type: ignore[misc]
            self.kills[kind] += 1

    def _victims(self, kind: str) -> set[int]:
        """Return the runner or the agent's processes of a turn that runs now, none where none does."""
        story = self.chance.choice(self.stories)
        signed = sessions.signed_by(sessions.Session(self.server.data, story.session))
        if signed is None or not processes.is_alive(*signed):
            return set()
        return {signed[0]} if kind == "runner" else processes.descendants(signed[0])

    def _kill(self, victims: set[int]) -> None:
        for pid in victims:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

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
            f"{sum(self.kills.values())} kills {json.dumps(self.kills)}, {total} events, "
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


def run(folder: Path, kills: int, *, seed: int) -> str:
    """Storm, and return what was done and found. Fails where a promise is broken."""
    storm = Storm(folder, stories=4, clients=10, seed=seed)
    try:
        storm.rage(kills)
        return storm.calm()
    finally:
        storm.clear()
