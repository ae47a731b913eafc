"""Real turns of real shells for tests: their settings, the wait for a condition, and the look at what lives."""

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

SECONDS = 30.0
"""How long a condition is waited for: far longer than it ever takes."""

T = TypeVar("T")


def config(root: Path, *agents: AgentConfig, **settings: Any) -> Config:
    """Return settings for turns below `root`: this process's environment, and little patience with agents."""
    if agents:
        settings["agents"] = {agent.name: agent for agent in agents}
    settings["limits"] = TurnLimits(
        **{"interrupt": 0.3, "terminate": 0.2, "linger": 0.5, **settings.get("limits", {})}
    )
    return Config(data=root, environ=dict(os.environ), **settings)


def clear(root: Path) -> None:
    """Kill what a test left of turns below `root`."""
    for session_id in sessions.ids(root):
        processes.kill_all(functools.partial(processes.marked, session_id), SECONDS)


def until(condition: Callable[[], T], what: object = "") -> T:
    """Return the first true value of `condition`, which must come true in time."""
    deadline = time.monotonic() + SECONDS
    while not (value := condition()):
        assert time.monotonic() < deadline, f"never came true: {what or condition}"
        time.sleep(0.005)
    return value


def began(settings: Config, prompt: str, agent: str = "shell") -> tuple[Session, int]:
    """Return a new session and the turn begun in it."""
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
    """Return what the turn's script has printed so far."""
    own = [event for event in events(session) if event.get("turn") == turn]
    return "".join(event["output"] for event in own if event["kind"] == "tool_result")


def printed(session: Session, turn: int, word: str) -> str:
    """Wait until the turn's script has printed `word`, and return all it has printed."""
    return until(lambda: word in (text := output(session, turn)) and text, f"{word!r} printed") or ""


def ended(session: Session, turn: int) -> list[Event]:
    """Wait for the end of the turn, see that no rule is broken and nothing of it lives, and return its events."""
    until(lambda: session.state().turn is None, "the turn's end")
    signed = read_signer(session)
    assert processes.marked(session.id) <= ({signed[0]} if signed else set())
    assert broken(session) == []
    return [event for event in events(session) if event.get("turn") == turn]


def status(session: Session, turn: int) -> str:
    """Wait for the end of the turn and return how it ended."""
    return str(ended(session, turn)[-1]["status"])


def broken(session: Session) -> list[verify.Finding]:
    """Return what in the log breaks a rule."""
    with open(os.path.join(session.directory, log.NAME), "rb") as file:
        return [finding for finding in verify.findings(file) if not finding.is_note]


def runner(session: Session) -> int:
    """Wait until the runner has written down its pid, and return it."""
    signed = until(lambda: read_signer(session), "the runner's pid")
    assert signed
    return signed[0]
