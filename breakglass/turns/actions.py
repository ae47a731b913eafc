"""Run actions: commands of the settings that need no model. Each run is a turn without an agent.

How this works. A call is checked first: its values, its confirmation and its key. A disruptive action then takes the
lock of its target. Under that lock an earlier call with the same key is looked for, so a repeated key never disrupts
twice. Then the turn begins: in the given session, in a new one, or beside a running turn in a session of its own.
"""

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from breakglass.actions import MAX_REASON, Action, Call, Value
from breakglass.agents import ACP_LOGIN, LOGIN
from breakglass.agents.environ import environment
from breakglass.config import Config
from breakglass.errors import BadInput, BreakglassError, NotFound, ReadOnly, TurnRunning
from breakglass.sandbox import change_environ
from breakglass.store import root as data_root
from breakglass.store import sessions, target_lock
from breakglass.store.sessions import Session
from breakglass.turns.begin import Prompt, begin_action, earlier_turn
from breakglass.turns.job import ActionStep
from breakglass.turns.start import ActionRun

LOCK_SECONDS = 2.0
"""How long a call waits for the lock of its target: a runner that has ended its turn releases it within that time."""
_PAUSE_SECONDS = 0.02
STATUS_SECONDS = 60.0
"""Seconds for the program that says whether an agent is logged in."""


class Request(NamedTuple):
    """What a user asks for. Nothing of it is checked yet."""

    action: str
    params: Mapping[str, object]
    by: str
    confirm: str | None = None
    reason: str | None = None
    key: str | None = None
    """The Idempotency-Key. A disruptive action needs one."""
    beside: bool = False
    """Whether the action runs in a session of its own if a turn is running in the given one."""


class Started(NamedTuple):
    """Where an action runs."""

    session: Session
    turn: int


class _Run(NamedTuple):
    """A checked request."""

    action: Action
    call: Call
    values: dict[str, Value]
    request: Request

    @property
    def target(self) -> str | None:
        """The target's name, None for this machine."""
        param = self.action.target_param
        return str(self.values[param]) if param else None

    @property
    def lock(self) -> str | None:
        """The lock that it needs: one action at a time may disrupt a target, or log an agent in."""
        return f".{self.action.name}" if self.action.logs_in else self.target


def check_call(config: Config, name: str, params: Mapping[str, object]) -> tuple[Action, dict[str, Value]]:
    """Return an action and the checked values of a call. Raises NotFound and BadInput."""
    action = config.action_named(name)
    return action, action.read_values(params, tuple(config.targets))


def steps_of(config: Config, action: Action, values: Mapping[str, Value]) -> tuple[ActionStep, ...]:
    """Return the programs that a call runs, the action's own last."""
    if action.logs_in:
        return _log_in_steps(config, action)
    all_of_them = (*(config.actions[name] for name in action.before), action)
    return tuple(ActionStep(each.name, each.arguments(values), each.timeout_seconds) for each in all_of_them)


def _log_in_steps(config: Config, action: Action) -> tuple[ActionStep, ...]:
    """Return the program that logs an agent in, and the one that decides whether it is logged in, if it is another."""
    agent = config.agent_named(action.logs_in)
    variables = environment(change_environ(config, agent), agent.protocol, agent.pass_env, agent.env)
    own = ActionStep(action.name, action.command, action.timeout_seconds, variables)
    login = agent.about.login
    if login is None:  # its protocol says itself whether it is logged in
        return (own._replace(protocol=ACP_LOGIN),)
    status = (*agent.command, *login.arguments)
    return (
        own._replace(protocol=LOGIN),
        ActionStep("login-status", status, STATUS_SECONDS, variables),
    )


def start_action(config: Config, request: Request, session: Session | None = None) -> Started:
    """Begin the turn of an action, in `session` or in a new session, and return where it runs.

    A `key` that was used before returns the first result and runs nothing. Raises NotFound for an unknown action,
    BadInput, TurnRunning, Conflict if another disruptive action runs on the target, ReadOnly and CannotRecord.
    """
    run = _check(config, request)
    data_root.refuse_read_only(config.data)
    data_root.create(config.data)
    if run.action.effect != "disrupts" and not run.action.logs_in:
        return _find_earlier(config, run, session) or _start(config, run, session, None)
    with _held_target(config, run, session) as held:
        if isinstance(held, Started):
            return held
        return _find_earlier(config, run, session) or _start(config, run, session, held)


def _check(config: Config, request: Request) -> _Run:
    """Return the checked request. Raises NotFound and BadInput."""
    action, values = check_call(config, request.action, request.params)
    reason = (request.reason or "").strip() or None
    if reason and len(reason) > MAX_REASON:
        raise BadInput(f"reason: at most {MAX_REASON} characters, got {len(reason)}")
    try:
        (reason or "").encode()
    except UnicodeEncodeError:
        raise BadInput("reason: expected text, got half of a surrogate pair") from None
    sessions.check_key(request.key)
    if action.effect == "disrupts" and request.key is None:
        raise BadInput(f"Idempotency-Key: {action.shown_label} disrupts, so it needs a key")
    action.check_confirmed(request.confirm, values, config.this_machine)
    return _Run(action, Call(action.name, values, action.arguments(values), reason), values, request)


@contextlib.contextmanager
def _held_target(config: Config, run: _Run, session: Session | None) -> Iterator[int | Started]:
    """Hold the lock of the target, or return the earlier call with the same key that holds it.

    Raises Conflict if another action holds it.
    """
    deadline = time.monotonic() + LOCK_SECONDS
    while (fd := target_lock.take(config.data, run.lock)) is None:
        if earlier := _find_earlier(config, run, session):
            yield earlier
            return
        if time.monotonic() > deadline:
            raise target_lock.taken(config.data, run.lock)
        time.sleep(_PAUSE_SECONDS)
    try:
        yield fd
    finally:
        os.close(fd)  # the runner keeps the lock


def _find_earlier(config: Config, run: _Run, session: Session | None) -> Started | None:
    """Return where an earlier call with the same key runs or ran, None if there was none."""
    if run.request.key is None:
        return None
    own = Session(config.data, sessions.id_from_key(_own_key(run, session)))
    for each in filter(None, (session, own)):
        with contextlib.suppress(NotFound, ReadOnly):  # no such session, or its creation was interrupted
            if (turn := earlier_turn(each, run.request.key)) is not None:
                return Started(each, turn)
    return None


def _start(config: Config, run: _Run, session: Session | None, held: int | None) -> Started:
    """Begin the turn. `held` is the lock of the target."""
    if session is None:
        agent, target = config.agent, run.target
    else:
        try:
            return _begin(config, run, session, held)
        except TurnRunning as error:
            if not run.request.beside:
                raise TurnRunning(f"{error}; with beside, the action runs in a session of its own") from error
        agent, target = (state := session.state()).agent, state.target
    own = sessions.create(
        config.data,
        agent,
        by=run.request.by,
        key=None if run.request.key is None else _own_key(run, session),
        target=target,
    )
    is_linked = session is None or not _link(run, own, session)
    started = _begin(config, run, own, held)
    if session is not None and not is_linked:
        with contextlib.suppress(BreakglassError):  # the action must not fail because of a full log beside it
            _append_link(run, session, own)
    return started


def _begin(config: Config, run: _Run, session: Session, held: int | None) -> Started:
    values = ", ".join(f"{name}={value}" for name, value in run.values.items())
    prompt = Prompt(
        text=run.action.shown_label + (f": {values}" if values else ""),
        by=run.request.by,
        key=run.request.key,
        action=run.call.as_event(),
    )
    steps = steps_of(config, run.action, run.values)
    if held is not None:
        with contextlib.suppress(OSError):  # a full disk: others are not told which action it is
            target_lock.sign(held, run.action.name, session.id)
    turn = begin_action(config, session, prompt, ActionRun(steps, () if held is None else (held,)))
    return Started(session, turn)


def _link(run: _Run, own: Session, session: Session) -> bool:
    """Record in a new session beside which one it runs. Return False if it was not new."""
    with own.open_log() as opened, opened.exclusive():
        if own.log_state(opened.fd).state.last_id > 1:
            return False
        opened.append("beside", session=session.id, action=run.action.name, by=run.request.by)
        return True


def _append_link(run: _Run, session: Session, own: Session) -> None:
    with session.open_log() as opened:
        opened.append("beside", session=own.id, action=run.action.name, by=run.request.by)


def _own_key(run: _Run, session: Session | None) -> str:
    """Return the key of the session that a call with a key creates. The same call always gives the same session."""
    of = f"{session.id if session else ''} {run.request.key}"
    return "action:" + hashlib.sha256(of.encode()).hexdigest()
