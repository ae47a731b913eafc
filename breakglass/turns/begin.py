"""Beginning turns, from any process: check the prompt, record it, start the runner; or put the prompt in the queue.

Two locks keep this correct. The turn lock says that a turn runs: this process takes it, and its runner inherits it. The
log's lock (`log.exclusive`) keeps other writers out between the look at the state and the append that depends on it.
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
from breakglass.errors import BadConfig, BadInput, Conflict, Degraded, NotFound, TooLarge, TurnRunning
from breakglass.settings import check_model
from breakglass.state import SessionState
from breakglass.store import sessions
from breakglass.store.log import DEGRADED, Log, is_degraded, read_one
from breakglass.store.seek import Position
from breakglass.store.sessions import Session
from breakglass.store.turnlock import TurnLock, place
from breakglass.turns import plan as plans
from breakglass.turns import processes
from breakglass.turns.end import end_lost_turn
from breakglass.turns.plan import Plan

MAX_PROMPT = 256 << 10
"""Maximum bytes of UTF-8 of a prompt."""
RELEASE_SECONDS = 1.0
"""Seconds for which a runner may still hold the turn lock after the end of its turn is in the log."""
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
    model or key), TooLarge, BadConfig and CannotRecord. Then no turn has begun.
    """
    _check(prompt, model, key)
    checked = Prompt(prompt, by, model, key)
    if is_degraded(session.directory):
        raise Degraded(
            f"the disk failed under this session; once it is repaired, delete {session.directory}/{DEGRADED}"
        )
    with session.open_log() as log:
        if earlier := _earlier_result(session, log, key):
            return earlier
        lock = _take_lock_or_queue(session, log, checked, queue=queue)
        if isinstance(lock, Accepted):
            return lock
        try:
            return _begin(config, session, log, lock, checked)
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
    if key is not None and not sessions.KEY.fullmatch(key):
        raise BadInput("Idempotency-Key: expected 1 to 200 visible ASCII characters")


def _earlier_result(session: Session, log: Log, key: str | None) -> Accepted | None:
    """Return what was done with an earlier prompt that had the same key, None if there was no such prompt."""
    number = session.log_state(log.fd).keys.get(key) if key else None
    if number is None:
        return None
    return Accepted("queued" if read_one(log.fd, number)["kind"] == "queued" else "turn", number)


def _take_lock_or_queue(session: Session, log: Log, prompt: Prompt, *, queue: bool) -> TurnLock | Accepted:
    """Take the turn lock. If a turn is running, put the prompt in the queue, or return the earlier result of its key.

    Raises TurnRunning if a turn is running and `queue` is false.
    """
    for _ in range(LOCK_ATTEMPTS):
        try:
            return _take_lock(session)
        except TurnRunning:
            with log.exclusive():  # a runner ends its turn and takes the next prompt under the same lock
                if earlier := _earlier_result(
                    session, log, prompt.key
                ):  # a simultaneous request with the same key
                    return earlier
                if not queue:
                    raise
                if session.log_state(log.fd).state.turn is not None:
                    return Accepted("queued", log.append("queued", **prompt._asdict()))
    raise TurnRunning(f"session {session.id} is neither free nor running; try again")


def _take_lock(session: Session) -> TurnLock:
    """Take the turn lock. If it is held but the turn has ended, the runner is about to exit, so wait for that."""
    lock = TurnLock(session)
    deadline = time.monotonic() + RELEASE_SECONDS
    while True:
        try:
            lock.take()
            return lock
        except TurnRunning:
            if session.state().turn is not None or time.monotonic() > deadline:
                raise
        time.sleep(0.005)


def _begin(config: Config, session: Session, log: Log, lock: TurnLock, prompt: Prompt) -> Accepted:
    """Record the prompt and start the runner, or return the earlier result of its key. Needs the turn lock."""
    state = session.log_state(log.fd).state
    if state.turn is not None:
        end_lost_turn(session, log, state)
    log.reserve_space()
    # The state contains every event up to the prompt. The runner reads what others append after it.
    with log.exclusive():
        if earlier := _earlier_result(session, log, prompt.key):
            return earlier
        state = session.log_state(log.fd).state
        agent = _configured_agent(config, session, state)
        turn, end = log.append("user", **prompt._asdict()), log.end
    try:
        _start_runner(_plan(config, agent, session, turn, end, state, lock))
    except OSError as error:
        log.append_end(
            ("error", {"turn": turn, "error": f"The turn's process could not start: {error.strerror}."}),
            ("turn_end", {"turn": turn, "status": "error", "duration_ms": 0}),
        )
    return Accepted("turn", turn)


def _configured_agent(config: Config, session: Session, state: SessionState) -> AgentConfig:
    try:
        return config.agent_named(state.agent)
    except BadConfig as error:
        raise BadConfig(f"the agent of session {session.id[:8]} is no longer configured: {error}") from error


def _plan(
    config: Config,
    agent: AgentConfig,
    session: Session,
    turn: int,
    end: Position,
    state: SessionState,
    lock: TurnLock,
) -> Plan:
    """Return what the runner of this turn is told. `end` is the log's position after the prompt."""
    environment = environ.environment(config.environ, agent.protocol, agent.pass_env, agent.env)
    variables = (config.environ, *(each.env for each in config.agents.values()))
    return Plan(
        directory=os.path.abspath(session.directory),
        workspace=os.path.abspath(session.workspace),
        turn=turn,
        end=end,
        lock=lock.fds,
        protocol=agent.protocol,
        command=agent.command,
        environ={**environment, processes.MARK: processes.mark(session.id, turn, place(lock.fds[0]))},
        secrets=masking.fingerprints(_access_tokens(config), *variables),
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
    found = [config.token] if config.token else []
    for name in tokens.TOKEN_FILES.values():
        with contextlib.suppress(OSError):
            found.append((config.data / name).read_text("ascii", "replace").strip())
    return found


def _start_runner(plan: Plan) -> None:
    """Start the runner in a session of its own, with the turn lock and the agent's environment. Raises OSError."""
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
    with session.open_log() as log, log.exclusive():
        if queued in [waiting.id for waiting in session.log_state(log.fd).state.queued]:
            log.append("withdrawn", queued=queued, by=by)
        elif read_one(log.fd, queued)["kind"] == "queued":
            raise Conflict("the prompt no longer waits: its turn has begun, or it was withdrawn")
        else:
            raise NotFound(f"line {queued} is not a queued prompt")
