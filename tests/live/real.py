"""Sessions with the real agents through the real runner: a prompt submitted, a process, a log on disk."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from breakglass.config import Config
from breakglass.config.agents import AgentConfig
from breakglass.events import Event
from breakglass.store import sessions
from breakglass.store.sessions import Session
from breakglass.turns import processes
from breakglass.turns.answer import answer_question
from breakglass.turns.begin import submit_prompt
from breakglass.turns.end import cancel_turn, wait_for_stop
from tests.help import turns as real_turns
from tests.help.fake_model import FakeModel
from tests.help.session_logs import events_of
from tests.help.waiting import wait_until


class Real:
    """One session with one agent, and what a test can do with it."""

    def __init__(self, root: Path, agent: AgentConfig, environ: dict[str, str], model: FakeModel) -> None:
        self.config = Config(
            data=root, environ=environ, agents={agent.name: agent}, agent=agent.name, vitals=False
        )
        self.model = model
        self.session: Session = sessions.create(root, agent.name)

    @property
    def workspace(self) -> Path:
        return Path(self.session.workspace)

    def set(self, **settings: Any) -> None:
        """Change settings from the next turn on."""
        self.config = replace(self.config, **settings)

    def set_agent(self, **settings: Any) -> None:
        """Change the agent's own settings from the next turn on."""
        agent = replace(self.config.agents[self.config.agent], **settings)
        self.set(agents={agent.name: agent})

    def start(self, prompt: str, **more: Any) -> int:
        return submit_prompt(self.config, self.session, prompt, by="ann", **more).id

    def run(self, prompt: str, **more: Any) -> "Events":
        """Run one turn and return its events."""
        return self.end(self.start(prompt, **more))

    def end(self, turn: int) -> "Events":
        """Wait for a turn's end, check its log and that no process is left, and return its events."""
        return Events(real_turns.wait_for_end(self.session, turn))

    def so_far(self) -> "Events":
        """Return all events of the session so far."""
        return Events(events_of(self.session))

    def wait(self, kind: str, holds: Callable[[Event], bool] = lambda _: True) -> Event:
        """Wait for an event of `kind`, and return it."""
        return wait_until(lambda: next((e for e in self.so_far().of(kind) if holds(e)), None), kind)

    def answer(self, question: Event, *, allow: bool, by: str = "ann", **more: Any) -> None:
        answer_question(self.session, question["request"], allow=allow, by=by, **more)


@contextmanager
def ending(real: Real) -> Iterator[Real]:
    """Leave no process of the session alive after the context."""
    try:
        yield real
    finally:
        cancel_turn(real.session, by="the test's end")
        wait_for_stop(real.session)


class Events(list[Event]):
    """The events of a turn."""

    def of(self, kind: str) -> list[Event]:
        return [event for event in self if event["kind"] == kind]

    def all(self, kind: str, key: str) -> list[Any]:
        return [event.get(key) for event in self.of(kind)]

    def only(self, kind: str, key: str) -> Any:
        """Return the value under `key` of the only event of a kind. Fails if there are several, or none."""
        (value,) = self.all(kind, key)
        return value

    @property
    def kinds(self) -> list[str]:
        return [event["kind"] for event in self]

    @property
    def status(self) -> str:
        return str(self.only("turn_end", "status"))


def bash(command: str, **more: Any) -> str:
    """Return the marker that makes the fake model call the Bash tool."""
    return f"[[tool Bash {json.dumps({'command': command, 'description': 'Do it', **more})}]]"


def python(code: str) -> str:
    """Return a command line for Python code. The Bash tool refuses a lone `sleep`."""
    return f"python3 -c '{code}'"


SLEEP = python("import time; time.sleep(300)")


FILES = {
    "dot.png": base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    ),
    "kernel.log": b"panic\n",
}
"""Files that a user sends: a real PNG of one pixel, and text."""


def pid_in(path: Path) -> int:
    """Wait until a process has written its pid to a file, and return it."""
    return int(wait_until(lambda: path.read_text().strip() if path.exists() else "", path))


def is_gone(pid: int) -> bool:
    return not processes.is_alive(pid, processes.start_time(pid))
