"""Start the runner of a turn: a process of its own, which gets a job and the turn lock."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import NamedTuple

from breakglass import masking
from breakglass.access import tokens
from breakglass.agents import environ
from breakglass.config import Config
from breakglass.config.agents import AgentConfig
from breakglass.errors import BadConfig
from breakglass.sandbox import change_environ, find_sandbox
from breakglass.state import SessionState
from breakglass.store.seek import Position
from breakglass.store.sessions import Session
from breakglass.store.turnlock import TurnLock, place
from breakglass.turns import instructions, processes
from breakglass.turns import job as jobs
from breakglass.turns.job import ActionStep, AgentJob, Job
from breakglass.turns.notifying import sender_of

_RUNNER = "from breakglass.turns.runner import main; main()"


class ActionRun(NamedTuple):
    """What the runner of an action needs besides its prompt."""

    steps: tuple[ActionStep, ...]
    held: tuple[int, ...]
    """The descriptors of locks that the runner holds until the end of the turn."""


NO_ACTION = ActionRun((), ())
"""Of a turn with an agent."""


def make_job(
    config: Config,
    session: Session,
    turn: int,
    end: Position,
    state: SessionState,
    lock: TurnLock,
    run: ActionRun,
) -> Job:
    """Return the job for the runner of this turn. `end` is the log's position after the prompt."""
    mark = processes.mark(session.id, turn, place(lock.fds[0]))
    own = config.agents.get(state.agent)
    variables = (config.environ, own.env if own else {})
    return Job(
        directory=os.path.abspath(session.directory),
        workspace=os.path.realpath(session.workspace),
        cwd=_working_directory(session, state),
        turn=turn,
        end=end,
        seal=state.seal,
        lock=lock.fds,
        held=run.held,
        steps=run.steps,
        agents=tuple(_agent_jobs(config, state.agent, state.target)),
        agent=state.agent,
        environ={**environ.environment(config.environ, "shell", (), {}), processes.MARK: mark},
        secrets=masking.fingerprints([*_access_tokens(config), *_addresses(config)], *variables),
        models=_models(config, state),
        known=state.agents,
        allowed=state.allowed,
        queued=tuple(each._replace(text="") for each in state.queued),
        timeout=config.turn_timeout_seconds,
        permission_timeout=config.permission_timeout_seconds,
        limits=config.limits,
        max_cost=config.max_cost_usd,
        sender=sender_of(config),
    )


def _working_directory(session: Session, state: SessionState) -> str:
    """Return where agents work: the workspace if the directory of an adopted session is gone. So a shell can start."""
    begun = state.directory or ""
    return begun if os.path.isdir(begun) else os.path.realpath(session.workspace)


def _models(config: Config, state: SessionState) -> dict[str, str]:
    """Return the model of each agent that has one: the session's for its first agent, the settings' for their agent."""
    found = {config.agent: config.model, state.first_agent: state.model or config.model}
    return {name: model for name, model in found.items() if model}


def _agent_jobs(config: Config, own: str, target: str | None) -> Iterator[AgentJob]:
    """Yield the agents that a runner can start: its own, and others for the queued prompts that name them.

    Another agent with an `env` is left out, because that may hold keys. So is one whose sandbox cannot be made, or
    whose instructions cannot be read. A queued prompt for such an agent waits for a process that has the settings: see
    `begin.continue_queue`.
    """
    for agent in config.agents.values():
        if agent.name == own or not agent.env:
            with contextlib.suppress(BadConfig):
                yield _agent_job(config, agent, target)


def _agent_job(config: Config, agent: AgentConfig, target: str | None) -> AgentJob:
    return AgentJob(
        name=agent.name,
        protocol=agent.protocol,
        command=agent.command,
        environ=environ.environment(change_environ(config, agent), agent.protocol, agent.pass_env, agent.env),
        sandbox=find_sandbox(config, agent),
        ask=agent.permissions == "ask",
        allow=agent.allow,
        deny=agent.deny,
        choice_tools=tuple(agent.about.choice_tools),
        instructions=instructions.text_for(config, agent, target),
        runbooks=instructions.runbooks_of(config, agent),
        thinking=agent.thinking,
    )


def _access_tokens(config: Config) -> list[str]:
    """Return the access tokens of this data root that this process can read."""
    return [*filter(None, [config.token]), *tokens.readable_tokens(config.data)]


def _addresses(config: Config) -> list[str]:
    """Return the addresses of notifications that this process knows. They are secrets."""
    known = ((each.url, config.environ.get(each.url_env or "")) for each in config.notify)
    return [address for pair in known for address in pair if address]


def start_runner(job: Job) -> None:
    """Start the runner in a session of its own, with the locks of the job. Raises OSError."""
    import socket  # imported only here: it delays the commands that start no turn

    os.makedirs(job.workspace, mode=0o700, exist_ok=True)
    # Not a pipe: until the runner hides itself, any process of this user can open the pipe by /proc/PID/fd.
    ours, runners = socket.socketpair()
    with ours, runners:
        process = _start(job, runners.fileno())
        runners.close()
        ours.sendall(jobs.encode(job))
    # Without a free thread the dead runner stays a zombie until this process ends.
    with contextlib.suppress(RuntimeError):
        threading.Thread(target=process.wait, name=f"reap {process.pid}", daemon=True).start()


def _start(job: Job, stdin: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        # -I: nothing in the agent's environment or working directory may change what the runner imports.
        [
            *(sys.executable, "-I", "-c", _RUNNER),
            f"{processes.MARK}={job.environ[processes.MARK]}",  # also for a reader of `ps`
        ],
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=job.lock + job.held,
        start_new_session=True,
        cwd=job.workspace,
        env=job.environ,
    )
