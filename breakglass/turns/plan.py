"""The plan that a runner gets when it starts. `begin` builds and encodes it, `runner` decodes it from standard input.

The plan contains no prompt: the prompt is in the log. The runner imports this module at the start of every turn, so it
imports nothing slow. msgspec, for example, takes longer to import than all of the runner.
"""

import json
from types import NoneType
from typing import Any, NamedTuple, get_args, get_origin

from breakglass.masking import Fingerprint
from breakglass.store.seek import Position
from breakglass.turn_limits import TurnLimits
from breakglass.turns.sandbox import Sandbox


class Plan(NamedTuple):
    """Everything that a runner needs to know about its turn, besides the log."""

    directory: str
    """The session's directory, absolute. Its name is the session's id."""
    workspace: str
    """The agent's working directory, absolute, with a sandbox also without links."""
    turn: int
    """The id of the `user` event."""
    end: Position
    """The position in the log after the prompt. Everything after it was appended by other processes."""
    lock: tuple[int, ...]
    """The descriptors of the turn lock, which the runner inherits."""
    protocol: str
    """How the agent communicates: a key of `agents.PROTOCOLS`."""
    command: tuple[str, ...]
    environ: dict[str, str]
    """The agent's environment. The runner has the same, and LC_CTYPE, which Python adds (PEP 538)."""
    sandbox: Sandbox | None
    """What confines the agent, None for nothing."""
    secrets: tuple[Fingerprint, ...]
    """The secrets that must not get into the log."""
    ask: bool
    """Whether the agent must ask for permission to use a tool."""
    allow: tuple[str, ...]
    """The tools that the settings allow without a question to the user."""
    deny: tuple[str, ...]
    """The tools that the settings refuse without a question to the user."""
    choice_tools: tuple[str, ...]
    """The tools that ask the user to choose. Permission alone is no answer, so allow-rules never apply to them."""
    thinking: bool
    """Whether the agent's thinking is kept in the log."""
    model: str | None
    """The session's model. A prompt may name its own."""
    agent_session: str | None
    """The agent's own session to continue, None for a new one."""
    agent_cost: float
    """US dollars spent in `agent_session` so far."""
    allowed: tuple[str, ...]
    """The tools that a user allowed for the session."""
    queued: tuple[int, ...]
    """The ids of the `queued` events that wait for the end of this turn."""
    timeout: float
    """Seconds that the turn may take."""
    permission_timeout: float
    """Seconds that a question may be open."""
    limits: TurnLimits


def encode(plan: Plan) -> bytes:
    """Return the plan as JSON: an object, in which nested tuples are arrays."""
    return json.dumps(plan._asdict()).encode()


def decode(data: bytes) -> Plan:
    """Return the plan in `data`.

    Raises ValueError if a field is missing, unknown or of the wrong type. The package may have been upgraded between
    the start of the server and the start of the runner.
    """
    fields = json.loads(data)
    if not isinstance(fields, dict) or fields.keys() != {*Plan._fields}:
        raise ValueError("the plan does not have the fields that this version of the runner expects")
    return Plan(**{name: _checked(kind, fields[name], name) for name, kind in Plan.__annotations__.items()})


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
    raise ValueError(f"{name} of the plan: expected {kind}, got {type(value).__name__}")
