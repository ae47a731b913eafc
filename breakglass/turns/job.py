"""The job that a runner gets when it starts. `begin` builds and encodes it, `runner` decodes it from standard input.

The job contains no prompt: the prompt is in the log. The runner imports this module at the start of every turn, so it
imports nothing slow. msgspec, for example, takes longer to import than all of the runner.
"""

import json
from types import NoneType
from typing import Any, NamedTuple, get_args, get_origin

from breakglass.agents import ACTION, about
from breakglass.masking import Fingerprint
from breakglass.sandbox import Sandbox
from breakglass.seals import Seal
from breakglass.state import AgentState, QueuedPrompt
from breakglass.store.seek import Position
from breakglass.turn_limits import TurnLimits
from breakglass.turns.notifying import Sender


class AgentJob(NamedTuple):
    """What a runner needs to know to start one of the configured agents."""

    name: str
    protocol: str
    """How the agent communicates: a key of `agents.PROTOCOLS`."""
    command: tuple[str, ...]
    environ: dict[str, str]
    """The agent's environment."""
    sandbox: Sandbox | None
    """What confines the agent, None for nothing."""
    ask: bool
    """Whether the agent must ask for permission to use a tool."""
    allow: tuple[str, ...]
    """The tools that the settings allow without a question to the user."""
    deny: tuple[str, ...]
    """The tools that the settings refuse without a question to the user."""
    choice_tools: tuple[str, ...]
    """The tools that ask the user to choose. Permission alone is no answer, so allow-rules never apply to them."""
    instructions: str
    """What the agent must heed besides the prompt."""
    runbooks: str
    """A directory that the agent may read besides its own, "" for none."""
    thinking: bool
    """Whether the agent's thinking is kept in the log."""

    @property
    def is_command_line(self) -> bool:
        """Whether a prompt is a command to run."""
        return about(self.protocol).is_command_line


class ActionStep(NamedTuple):
    """One program of an action: an action that runs before it, or the action itself."""

    name: str
    argv: tuple[str, ...]
    timeout: float
    """Seconds that it may take."""
    environ: dict[str, str] | None = None
    """The environment of the agent that it logs in. None: the environment of all actions."""
    protocol: str = ACTION
    """How to communicate with it: `agents.ACTION`, or how it logs an agent in."""


class Job(NamedTuple):
    """Everything that a runner needs to know about its turn, besides the log."""

    directory: str
    """The session's directory, absolute. Its name is the session's id."""
    workspace: str
    """The agent's working directory, absolute and without links."""
    cwd: str
    """Where the agent works: the workspace, or the directory where an adopted session was begun."""
    turn: int
    """The id of the `user` event."""
    end: Position
    """The position in the log after the prompt. Everything after it was appended by other processes."""
    seal: Seal | None
    """The newest seal of the log."""
    lock: tuple[int, ...]
    """The descriptors of the turn lock, which the runner inherits."""
    held: tuple[int, ...]
    """Descriptors of other locks that are held until the end of this turn: that of an action's target."""
    steps: tuple[ActionStep, ...]
    """The programs of an action, the action itself last. Empty if an agent gets the prompt."""
    agents: tuple[AgentJob, ...]
    """The turn's agent, and others that a queued prompt may name. An action's runner needs them too."""
    agent: str
    """The name of the agent of this turn. After an action it is that of the session, perhaps configured no longer."""
    environ: dict[str, str]
    """The environment of this process and of an action. Python adds LC_CTYPE to the former (PEP 538)."""
    secrets: tuple[Fingerprint, ...]
    """The secrets that must not get into the log."""
    models: dict[str, str]
    """The session's model, by agent. A prompt may name its own."""
    known: tuple[AgentState, ...]
    """The agents that had turns in the session, with their own sessions."""
    allowed: tuple[str, ...]
    """The tools that a user allowed for the session."""
    queued: tuple[QueuedPrompt, ...]
    """The prompts that wait for the end of this turn, without their texts."""
    timeout: float
    """Seconds that an agent's turn may take."""
    permission_timeout: float
    """Seconds that a question may be open."""
    limits: TurnLimits
    max_cost: float | None
    """The US dollars that a turn may cost."""
    sender: Sender | None
    """How the process that sends notifications is started. None if no notification is set."""

    def agent_job(self, name: str | None = None) -> AgentJob | None:
        """Return the agent of that name, by default the turn's agent; None if it is not configured."""
        return next((each for each in self.agents if each.name == (name or self.agent)), None)


def encode(job: Job) -> bytes:
    """Return the job as JSON: an object, in which nested tuples are arrays."""
    return json.dumps(job._asdict()).encode()


def decode(data: bytes) -> Job:
    """Return the job in `data`.

    Raises ValueError if a field is missing, unknown or of the wrong type. The package may have been upgraded between
    the start of the server and the start of the runner.
    """
    fields = json.loads(data)
    if not isinstance(fields, dict) or fields.keys() != {*Job._fields}:
        raise ValueError("the job does not have the fields that this version of the runner expects")
    return Job(**{name: _checked(kind, fields[name], name) for name, kind in Job.__annotations__.items()})


def _checked(kind: Any, value: Any, name: str) -> Any:
    """Return a decoded JSON value as the annotated type `kind`. Raises ValueError if it has another type."""
    origin, args = get_origin(kind), get_args(kind)
    if NoneType in args:  # X | None
        return None if value is None else _checked(args[0], value, name)
    if origin is tuple and type(value) is list:
        return tuple(_checked(args[0], each, name) for each in value)
    if origin is dict and type(value) is dict:
        return {key: _checked(args[1], each, name) for key, each in value.items()}
    if hasattr(kind, "_fields") and type(value) is list and len(value) == len(kind._fields):
        types = kind.__annotations__.values()
        return kind(*(_checked(own, each, name) for own, each in zip(types, value, strict=True)))
    if type(value) is kind or (kind is float and type(value) is int):
        return value
    raise ValueError(f"{name} of the job: expected {kind}, got {type(value).__name__}")
