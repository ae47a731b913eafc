"""Real turns with real shells: their settings, their output, their end, and their processes."""

import functools
import os
import signal
from pathlib import Path
from typing import Any

from breakglass import verify
from breakglass.config import Config
from breakglass.config.agents import AgentConfig
from breakglass.events import Event
from breakglass.store import log, sessions
from breakglass.store.seek import Position
from breakglass.store.sessions import Session
from breakglass.store.turnlock import read_runner
from breakglass.turn_limits import TurnLimits
from breakglass.turns import processes
from breakglass.turns.begin import submit_prompt
from breakglass.turns.end import find_processes, has_runner
from breakglass.turns.job import AgentJob, Job
from breakglass.verify.finding import Finding
from tests.help.session_logs import events_of
from tests.help.waiting import DEADLINE, wait_until

BACKGROUND = "setsid sleep 1000 & echo $$ $!; (setsid nohup sleep 1001 >/dev/null & echo $!); echo up; wait"
"""A command that leaves two processes in sessions of their own. It prints the pids of the shell and of both."""

SHELL = AgentJob(
    name="shell",
    protocol="shell",
    command=("bash",),
    environ={},
    sandbox=None,
    ask=False,
    allow=(),
    deny=(),
    choice_tools=(),
    instructions="",
    runbooks="",
    thinking=False,
)
"""The shell in the job of a turn."""


def make_config(root: Path, *agents: AgentConfig, **settings: Any) -> Config:
    """Return settings for turns below `root`, with the environment of this process and short limits."""
    if agents:
        settings["agents"] = {agent.name: agent for agent in agents}
    settings.setdefault("vitals", False)  # they come at any time, and most tests compare whole logs
    settings["limits"] = TurnLimits(
        **{"interrupt": 0.3, "terminate": 0.2, "linger": 0.5, **settings.get("limits", {})}
    )
    return Config(data=root, environ=dict(os.environ), **settings)


def kill_turns(root: Path) -> None:
    """Kill the processes of all turns below `root`."""
    for session_id in sessions.ids(root):
        processes.kill_all(functools.partial(find_processes, Session(root, session_id)), DEADLINE)


def begin_turn(settings: Config, prompt: str, agent: str = "shell") -> tuple[Session, int]:
    """Begin a turn in a new session, and return both."""
    session = sessions.create(settings.data, agent)
    return session, submit_prompt(settings, session, prompt, by="ann").id


def output_of_turn(session: Session, turn: int) -> str:
    """Return what the script of the turn has printed so far."""
    own = [event for event in events_of(session) if event.get("turn") == turn]
    return "".join(event["output"] for event in own if event["kind"] == "tool_result")


def wait_for_output(session: Session, turn: int, text: str) -> str:
    """Wait until the script of the turn has printed `text`, and return all of its output so far."""
    wait_until(lambda: text in output_of_turn(session, turn), f"the output {text!r}")
    return output_of_turn(session, turn)


def wait_for_end(session: Session, turn: int) -> list[Event]:
    """Wait for the end of the turn and return its events. Fails if a rule is broken or a process is left."""
    wait_until(lambda: session.state().turn is None, "the end of the turn")
    runner = read_runner(session)
    assert find_processes(session) <= ({runner[0]} if runner else set())
    assert find_broken_rules(session) == []
    return [event for event in events_of(session) if event.get("turn") == turn]


def wait_for_status(session: Session, turn: int) -> str:
    """Wait for the end of the turn and return its status."""
    return str(wait_for_end(session, turn)[-1]["status"])


def find_broken_rules(session: Session) -> list[Finding]:
    """Return the broken rules in the log."""
    with open(os.path.join(session.directory, log.NAME), "rb") as file:
        return [finding for finding in verify.findings(file) if not finding.is_note]


def runner_pid(session: Session) -> int:
    """Wait until the runner has written its pid into the lock file, and return it."""
    return wait_until(lambda: read_runner(session), "the pid of the runner").pid


def kill_runner(session: Session) -> None:
    """Kill the runner and wait until its lock is free. A process that it was forking holds the lock a moment longer."""
    os.kill(runner_pid(session), signal.SIGKILL)
    wait_until(lambda: not has_runner(session), "the death of the runner")


def pids_in(text: str) -> list[int]:
    """Return the pids that a script printed."""
    return [int(field) for field in text.split() if field.isdecimal()]


def is_alive(pid: int) -> bool:
    """Return whether a process exists and is not a zombie."""
    return processes.is_alive(pid, processes.start_time(pid))


def make_job(session: Session, turn: int, end: Position, **changes: Any) -> Job:
    """Return the job of a turn with the shell, for a test of the runner's parts. `changes` are other values."""
    job = Job(
        directory=session.directory,
        workspace=session.workspace,
        cwd=session.workspace,
        turn=turn,
        end=end,
        seal=None,
        lock=(),
        held=(),
        steps=(),
        agents=(SHELL,),
        agent="shell",
        environ={},
        secrets=(),
        models={},
        known=(),
        allowed=(),
        queued=(),
        timeout=120,
        permission_timeout=120,
        limits=TurnLimits(),
        max_cost=None,
        sender=None,
    )
    return job._replace(**changes)
