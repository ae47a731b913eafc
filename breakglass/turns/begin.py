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
from typing import Literal, NamedTuple

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
from breakglass.turns import plan as plans
from breakglass.turns import processes
from breakglass.turns.end import RELEASE_SECONDS, end_lost_turn, end_turn, kill_leftover_runner
from breakglass.turns.plan import Plan
from breakglass.turns.sandbox import Sandbox, change_environ, find_sandbox

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
    key: str | None = None,
    queue: bool = False,
) -> Accepted:
    """Begin a turn, or with `queue` put the prompt in the queue if a turn is running. Return which of the two was done.

    On return the prompt is on disk, and the runner of a new turn has been started. A `key` that was used before
    returns its first result and does nothing else. Raises TurnRunning, NotFound, BadInput (an empty prompt, a bad
    model or key), TooLarge, BadConfig, ReadOnly and CannotRecord. Then no turn has begun.
    """
    _check(prompt, model, key)
    checked = Prompt(prompt, by, model, key)
    with session.open_log() as opened:
        try:
            return _begin_or_queue(config, session, opened, checked, queue=queue)
        except LogLocked:
            if not kill_leftover_runner(session):
                raise
        return _begin_or_queue(config, session, opened, checked, queue=queue)


def _begin_or_queue(
    config: Config, session: Session, opened: Log, prompt: Prompt, *, queue: bool
) -> Accepted:
    """As `submit_prompt`, for a checked prompt."""
    with opened.exclusive():
        if earlier := _earlier_result(session, opened, prompt.key):
            return earlier
    lock = _take_lock_or_queue(session, opened, prompt, queue=queue)
    if isinstance(lock, Accepted):
        return lock
    try:
        return _begin(config, session, opened, lock, prompt)
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


def _take_lock_or_queue(session: Session, opened: Log, prompt: Prompt, *, queue: bool) -> TurnLock | Accepted:
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
                    return Accepted("queued", opened.append("queued", **prompt._asdict()))
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


def _begin(config: Config, session: Session, opened: Log, lock: TurnLock, prompt: Prompt) -> Accepted:
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
        agent = _configured_agent(config, session, state)
        sandbox = find_sandbox(config, agent)
        turn, end = opened.append("user", **prompt._asdict()), opened.end
    try:
        _start_runner(_plan(config, agent, sandbox, session, turn, end, state, lock))
    except OSError as error:
        reason = f"The turn's process could not start: {error.strerror}."
        end_turn(session, opened, turn, status="error", error=reason)
    return Accepted("turn", turn)


def _configured_agent(config: Config, session: Session, state: SessionState) -> AgentConfig:
    try:
        return config.agent_named(state.agent)
    except BadConfig as error:
        raise BadConfig(f"the agent of session {session.id[:8]} is no longer configured: {error}") from error


def _plan(
    config: Config,
    agent: AgentConfig,
    sandbox: Sandbox | None,
    session: Session,
    turn: int,
    end: Position,
    state: SessionState,
    lock: TurnLock,
) -> Plan:
    """Return the plan for the runner of this turn. `end` is the log's position after the prompt."""
    server = change_environ(config, agent)
    environment = environ.environment(server, agent.protocol, agent.pass_env, agent.env)
    return Plan(
        directory=os.path.abspath(session.directory),
        workspace=(os.path.realpath if sandbox else os.path.abspath)(session.workspace),
        turn=turn,
        end=end,
        lock=lock.fds,
        protocol=agent.protocol,
        command=agent.command,
        environ={**environment, processes.MARK: processes.mark(session.id, turn, place(lock.fds[0]))},
        sandbox=sandbox,
        secrets=masking.fingerprints(_access_tokens(config), config.environ, agent.env),
        ask=agent.permissions == "ask",
        allow=agent.allow,
        deny=agent.deny,
        choice_tools=tuple(agent.about.choice_tools),
        thinking=agent.thinking,
        model=state.model or config.model,
        agent_session=state.agent_session,
        agent_cost=state.agent_cost,
        allowed=state.allowed,
        queued=tuple(each.id for each in state.queued),
        timeout=config.turn_timeout_seconds,
        permission_timeout=config.permission_timeout_seconds,
        limits=config.limits,
    )


def _access_tokens(config: Config) -> list[str]:
    """Return the access tokens of this data root that this process can read."""
    return [*filter(None, [config.token]), *tokens.readable_tokens(config.data)]


def _start_runner(plan: Plan) -> None:
    """Start the runner in a session of its own, with the turn lock and the agent's environment. Raises OSError."""
    os.makedirs(plan.workspace, mode=0o700, exist_ok=True)
    process = subprocess.Popen(
        # -I: nothing in the agent's environment or working directory may change what the runner imports.
        [
            *(sys.executable, "-I", "-c", _RUNNER),
            f"{processes.MARK}={plan.environ[processes.MARK]}",  # also for a reader of `ps`
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=plan.lock,
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
