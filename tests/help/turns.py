"""Real turns with real shells: settings, waiting for a condition, and what a turn printed and left behind."""

import functools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from breakglass import verify
from breakglass.config import AgentConfig, Config
from breakglass.events import Event
from breakglass.store import log, seek, sessions
from breakglass.store.sessions import Session
from breakglass.store.turnlock import read_signer
from breakglass.turn_limits import TurnLimits
from breakglass.turns import processes
from breakglass.turns.begin import submit_prompt
from breakglass.turns.end import find_processes

SECONDS = 30.0
"""How long to wait for a condition. No condition takes that long, unless the test fails."""

T = TypeVar("T")


def config(root: Path, *agents: AgentConfig, **settings: Any) -> Config:
    """Return settings for turns below `root`, with the environment of this process and short limits."""
    if agents:
        settings["agents"] = {agent.name: agent for agent in agents}
    settings["limits"] = TurnLimits(
        **{"interrupt": 0.3, "terminate": 0.2, "linger": 0.5, **settings.get("limits", {})}
    )
    return Config(data=root, environ=dict(os.environ), **settings)


def clear(root: Path) -> None:
    """Kill the processes of all turns below `root`."""
    for session_id in sessions.ids(root):
        processes.kill_all(functools.partial(find_processes, Session(root, session_id)), SECONDS)


def until(condition: Callable[[], T], what: object = "") -> T:
    """Wait until `condition` returns a true value, and return it. Fails after `SECONDS`."""
    deadline = time.monotonic() + SECONDS
    while not (value := condition()):
        assert time.monotonic() < deadline, f"still waiting for {what or condition}"
        time.sleep(0.005)
    return value


def began(settings: Config, prompt: str, agent: str = "shell") -> tuple[Session, int]:
    """Begin a turn in a new session, and return both."""
    session = sessions.create(settings.data, agent)
    return session, submit_prompt(settings, session, prompt, by="ann").id


def events(session: Session) -> list[Event]:
    """Return all events of a session so far."""
    fd = log.open_reader(session.directory)
    try:
        return [*log.read(fd, seek.START, seek.find_end(fd, log.size(fd)))]
    finally:
        os.close(fd)


def output(session: Session, turn: int) -> str:
    """Return what the script of the turn has printed so far."""
    own = [event for event in events(session) if event.get("turn") == turn]
    return "".join(event["output"] for event in own if event["kind"] == "tool_result")


def printed(session: Session, turn: int, word: str) -> str:
    """Wait until the script of the turn has printed `word`, and return all of its output so far."""
    return until(lambda: word in (text := output(session, turn)) and text, f"the output {word!r}") or ""


def ended(session: Session, turn: int) -> list[Event]:
    """Wait for the end of the turn and return its events. Fails if a rule is broken or a process is left."""
    until(lambda: session.state().turn is None, "the end of the turn")
    signed = read_signer(session)
    assert find_processes(session) <= ({signed[0]} if signed else set())
    assert broken(session) == []
    return [event for event in events(session) if event.get("turn") == turn]


def status(session: Session, turn: int) -> str:
    """Wait for the end of the turn and return its status."""
    return str(ended(session, turn)[-1]["status"])


def broken(session: Session) -> list[verify.Finding]:
    """Return the broken rules in the log."""
    with open(os.path.join(session.directory, log.NAME), "rb") as file:
        return [finding for finding in verify.findings(file) if not finding.is_note]


def runner(session: Session) -> int:
    """Wait until the runner has written its pid into the lock file, and return it."""
    signed = until(lambda: read_signer(session), "the pid of the runner")
    assert signed
    return signed[0]
