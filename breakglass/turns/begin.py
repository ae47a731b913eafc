"""Begin turns, from any process: check the prompt, record it and start the runner, or put the prompt in the queue.

Two locks keep this correct. The turn lock says that a turn runs: this process takes it, and its runner inherits it. The
log's lock (`Log.exclusive`) keeps other writers out between the read of the state and the append that depends on it.
"""

import contextlib
import os
import subprocess
import sys
import threading
import time
from typing import Any, Literal, NamedTuple

from breakglass import masking
from breakglass.access import tokens
from breakglass.agents import environ
from breakglass.config import AgentConfig, Config
from breakglass.errors import BadConfig, BadInput, Conflict, LogLocked, NotFound, TooLarge, TurnRunning
from breakglass.settings import check_model
from breakglass.state import SessionState
from breakglass.store import sessions
from breakglass.store.log import Log, read_one, refuse_degraded
from breakglass.store.seek import Position
from breakglass.store.sessions import Session
from breakglass.store.turnlock import TurnLock, place
from breakglass.turn_limits import MAX_PROMPT
from breakglass.turns import brief, processes
from breakglass.turns import plan as plans
from breakglass.turns.end import RELEASE_SECONDS, end_lost_turn, end_turn, kill_leftover_runner
from breakglass.turns.plan import ActionStep, AgentPlan, Plan
from breakglass.vitals.record import record_later

LOCK_ATTEMPTS = 5
"""How often a prompt may find the lock taken and yet no turn in the log, before that is an error."""
_RUNNER = "from breakglass.turns.runner import main; main()"


class Prompt(NamedTuple):
    """A checked prompt. The fields are keys of the `user` and `queued` events."""

    text: str
    by: str
    model: str | None = None
    """The model for this turn, None for the session's."""
    key: str | None = None
    """The Idempotency-Key."""
    agent: str | None = None
    """The agent with which the session goes on, None for the session's present one."""
    brief: dict[str, int] | None = None
    """The lines that are put before the prompt: `Brief.as_event`. A queued prompt gets it when its turn begins."""
    action: dict[str, Any] | None = None
    """The action that runs instead of an agent: `Call.as_event`. Such a prompt is never queued."""

    def as_fields(self) -> dict[str, Any]:
        """Return the keys of the event, without those that are not given."""
        return {key: value for key, value in self._asdict().items() if value is not None}


class ActionRun(NamedTuple):
    """What the runner of an action needs besides its prompt."""

    steps: tuple[ActionStep, ...]
    held: tuple[int, ...]
    """The descriptors of locks that the runner holds until the end of the turn."""


NO_ACTION = ActionRun((), ())
"""Of a turn with an agent."""


class Accepted(NamedTuple):
    """What was done with a prompt: a turn has begun, or the prompt waits in the queue."""

    what: Literal["turn", "queued"]
    id: int
    """The id of the `user` or `queued` event."""


def submit_prompt(
    config: Config,
    session: Session,
    prompt: str,
    *,
    by: str,
    model: str | None = None,
    agent: str | None = None,
    key: str | None = None,
    queue: bool = False,
) -> Accepted:
    """Begin a turn, or with `queue` put the prompt in the queue if a turn is running. Return which of the two was done.

    On return the prompt is on disk, and the runner of a new turn has been started. A `key` that was used before
    returns its first result and does nothing else. Raises TurnRunning, NotFound, BadInput (an empty prompt, a bad
    model or key), TooLarge, BadConfig, ReadOnly and CannotRecord. Then no turn has begun.
    """
    _check(prompt, model, key)
    if agent is not None:
        config.agent_named(agent)
    checked = Prompt(prompt, by, model, key, agent)
    with session.open_log() as opened:
        try:
            return _begin_or_queue(config, session, opened, checked, queue=queue)
        except LogLocked:
            if not kill_leftover_runner(session):
                raise
        return _begin_or_queue(config, session, opened, checked, queue=queue)


def begin_action(config: Config, session: Session, prompt: Prompt, run: ActionRun) -> int:
    """Begin the turn of an action and return its id. A `key` that was used before returns its first result.

    Raises TurnRunning, NotFound, ReadOnly and CannotRecord. Then no turn has begun.
    """
    with session.open_log() as opened:
        return _begin_or_queue(config, session, opened, prompt, queue=False, run=run).id


def earlier_turn(session: Session, key: str | None) -> int | None:
    """Return the turn that an earlier prompt with the same key began in this session, None if there was none."""
    with session.open_log() as opened, opened.exclusive():
        earlier = _earlier_result(session, opened, key)
        return earlier.id if earlier else None


def _begin_or_queue(
    config: Config, session: Session, opened: Log, prompt: Prompt, *, queue: bool, run: ActionRun = NO_ACTION
) -> Accepted:
    """As `submit_prompt`, for a checked prompt, or as `begin_action`."""
    with opened.exclusive():
        if earlier := _earlier_result(session, opened, prompt.key):
            return earlier
    lock = _take_lock_or_queue(config, session, opened, prompt, queue=queue)
    if isinstance(lock, Accepted):
        return lock
    try:
        return _begin(config, session, opened, lock, prompt, run)
    finally:
        lock.release()


def _check(prompt: object, model: str | None, key: str | None) -> None:
    if not isinstance(prompt, str) or not prompt.strip():
        raise BadInput("prompt: expected a text that is not empty")
    try:
        length = len(prompt.encode())
    except UnicodeEncodeError as error:
        raise BadInput("prompt: expected text, got half of a surrogate pair") from error
    if length > MAX_PROMPT:
        raise TooLarge(f"prompt: at most {MAX_PROMPT >> 10} KiB are taken")
    if model is not None:
        check_model("model", model)
    sessions.check_key(key)


def _earlier_result(session: Session, opened: Log, key: str | None) -> Accepted | None:
    """Return what was done with an earlier prompt that had the same key, None if there was no such prompt.

    The caller holds the log's lock: the process of the earlier prompt holds it until that prompt is on disk, or until
    the disk has failed. Raises Degraded if it has.
    """
    refuse_degraded(session.directory)
    number = session.log_state(opened.fd).keys.get(key) if key else None
    if number is None:
        return None
    opened.confirm()
    return Accepted("queued" if read_one(opened.fd, number)["kind"] == "queued" else "turn", number)


def _take_lock_or_queue(
    config: Config, session: Session, opened: Log, prompt: Prompt, *, queue: bool
) -> TurnLock | Accepted:
    """Take the turn lock. If a turn is running, put the prompt in the queue, or return the earlier result of its key.

    Raises TurnRunning if a turn is running and `queue` is false.
    """
    for _ in range(LOCK_ATTEMPTS):
        try:
            return _take_lock(session)
        except TurnRunning:
            with opened.exclusive():  # under this lock a runner ends its turn and begins the next one
                # A simultaneous request may have used the same key.
                if earlier := _earlier_result(session, opened, prompt.key):
                    return earlier
                if not queue:
                    raise
                if session.log_state(opened.fd).state.turn is not None:
                    queued = opened.append("queued", **prompt.as_fields())
                    record_later(config, session)
                    return Accepted("queued", queued)
    raise TurnRunning(f"session {session.id} is neither idle nor running a turn; try again")


def _take_lock(session: Session) -> TurnLock:
    """Take the turn lock. If it is held but the turn has ended, the runner is about to exit, so wait for that.

    A runner that does not exit then is killed: it was stopped.
    """
    lock = TurnLock(session)
    deadline = time.monotonic() + RELEASE_SECONDS
    while True:
        try:
            lock.take()
            return lock
        except TurnRunning:
            if session.state().turn is not None:
                raise
            if time.monotonic() > deadline and not kill_leftover_runner(session):
                raise
        time.sleep(0.005)


def _begin(
    config: Config, session: Session, opened: Log, lock: TurnLock, prompt: Prompt, run: ActionRun
) -> Accepted:
    """Record the prompt and start the runner, or return the earlier result of its key. Needs the turn lock."""
    state = session.log_state(opened.fd).state
    if state.turn is not None:
        end_lost_turn(session, opened, state)
    opened.reserve_space()
    # The state contains every event up to the prompt. The runner reads what others append after it.
    with opened.exclusive():
        if earlier := _earlier_result(session, opened, prompt.key):
            return earlier
        state = session.log_state(opened.fd).state
        if not run.steps:
            state, prompt = _hand_over(config, session, opened, state, prompt)
        turn, end = opened.append("user", **prompt.as_fields()), opened.end
    try:
        _start_runner(_plan(config, session, turn, end, state, lock, run))
        record_later(config, session)
    except OSError as error:
        reason = f"The turn's process could not start: {error.strerror}."
        end_turn(session, opened, turn, status="error", error=reason)
    return Accepted("turn", turn)


def _hand_over(
    config: Config, session: Session, opened: Log, state: SessionState, prompt: Prompt
) -> tuple[SessionState, Prompt]:
    """Return the state with the turn's agent, and the prompt with the lines that this agent has not seen."""
    state = state._replace(agent=prompt.agent or state.agent)
    try:
        agent = config.agent_named(state.agent)
    except BadConfig as error:
        raise BadConfig(f"the agent of session {session.id[:8]} is no longer configured: {error}") from error
    if agent.about.is_command_line:
        return state, prompt
    found = brief.find(opened.fd, state.of_agent(agent.name).seen, state.last_id + 1)
    return state, prompt._replace(brief=found.as_event()) if found else prompt


def _models(config: Config, state: SessionState) -> dict[str, str]:
    """Return the model of each agent that has one: the session's for its first agent, the settings' for their agent."""
    found = {config.agent: config.model, state.first_agent: state.model or config.model}
    return {name: model for name, model in found.items() if model}


def _plan(
    config: Config,
    session: Session,
    turn: int,
    end: Position,
    state: SessionState,
    lock: TurnLock,
    run: ActionRun,
) -> Plan:
    """Return the plan for the runner of this turn. `end` is the log's position after the prompt."""
    mark = processes.mark(session.id, turn, place(lock.fds[0]))
    variables = (config.environ, *(each.env for each in config.agents.values()))
    return Plan(
        directory=os.path.abspath(session.directory),
        workspace=os.path.abspath(session.workspace),
        turn=turn,
        end=end,
        lock=lock.fds,
        held=run.held,
        steps=run.steps,
        agents=tuple(_agent_plan(config, agent) for agent in config.agents.values()),
        agent=state.agent,
        environ={**environ.environment(config.environ, "shell", (), {}), processes.MARK: mark},
        secrets=masking.fingerprints(_access_tokens(config), *variables),
        models=_models(config, state),
        known=state.agents,
        allowed=state.allowed,
        queued=tuple(each.id for each in state.queued),
        timeout=config.turn_timeout_seconds,
        permission_timeout=config.permission_timeout_seconds,
        limits=config.limits,
    )


def _agent_plan(config: Config, agent: AgentConfig) -> AgentPlan:
    return AgentPlan(
        name=agent.name,
        protocol=agent.protocol,
        command=agent.command,
        environ=environ.environment(config.environ, agent.protocol, agent.pass_env, agent.env),
        ask=agent.permissions == "ask",
        allow=agent.allow,
        deny=agent.deny,
        choice_tools=tuple(agent.about.choice_tools),
        thinking=agent.thinking,
    )


def _access_tokens(config: Config) -> list[str]:
    """Return the access tokens of this data root that this process can read."""
    return [*filter(None, [config.token]), *tokens.readable_tokens(config.data)]


def _start_runner(plan: Plan) -> None:
    """Start the runner in a session of its own, with the locks of the plan. Raises OSError."""
    os.makedirs(plan.workspace, mode=0o700, exist_ok=True)
    process = subprocess.Popen(
        # -I: nothing in the agent's environment or working directory may change what the runner imports.
        [
            *(sys.executable, "-I", "-c", _RUNNER),
            *(f"session={os.path.basename(plan.directory)}", f"turn={plan.turn}"),  # for a reader of `ps`
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=plan.lock + plan.held,
        start_new_session=True,
        cwd=plan.workspace,
        env=plan.environ,
    )
    assert process.stdin
    process.stdin.write(plans.encode(plan))
    process.stdin.close()
    # Without a free thread the dead runner stays a zombie until this process ends.
    with contextlib.suppress(RuntimeError):
        threading.Thread(target=process.wait, name=f"reap {process.pid}", daemon=True).start()


def withdraw_prompt(session: Session, queued: int, *, by: str) -> None:
    """Remove a prompt from the queue.

    Raises NotFound if line `queued` is not a queued prompt. Raises Conflict if its turn has begun or it was withdrawn.
    """
    with session.open_log() as opened, opened.exclusive():
        if queued in [waiting.id for waiting in session.log_state(opened.fd).state.queued]:
            opened.append("withdrawn", queued=queued, by=by)
        elif read_one(opened.fd, queued)["kind"] == "queued":
            opened.confirm()
            raise Conflict("the prompt no longer waits: its turn has begun, or it was withdrawn")
        else:
            raise NotFound(f"line {queued} is not a queued prompt")
