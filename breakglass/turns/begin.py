"""Begin turns, from any process: check the prompt, record it and start the runner, or put the prompt in the queue.

Two locks keep this correct. The turn lock says that a turn runs: this process takes it, and its runner inherits it. The
log's lock (`Log.exclusive`) keeps other writers out between the read of the state and the append that depends on it.
"""

import time
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from breakglass.config import Config
from breakglass.errors import BadConfig, BadInput, Conflict, LogLocked, NotFound, TooLarge, TurnRunning
from breakglass.sandbox import find_sandbox
from breakglass.settings import check_model
from breakglass.state import SessionState
from breakglass.store import sessions
from breakglass.store.degraded import refuse_degraded
from breakglass.store.log import Log, read_one
from breakglass.store.sessions import Session
from breakglass.store.turnlock import TurnLock
from breakglass.turn_limits import MAX_PROMPT
from breakglass.turns import brief, instructions
from breakglass.turns.boot import boot_id
from breakglass.turns.budget import refuse_over_budget
from breakglass.turns.end import RELEASE_SECONDS, end_lost_turn, end_turn, kill_leftover_runner, notify_runner
from breakglass.turns.files import checked_paths
from breakglass.turns.job import Job
from breakglass.turns.notifying import mark_turn, start_and_reap
from breakglass.turns.start import NO_ACTION, ActionRun, make_job, start_runner
from breakglass.vitals.record import record_later

LOCK_ATTEMPTS = 5
"""How often a prompt may find the lock taken and yet no turn in the log, before that is an error."""


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
    steer: bool | None = None
    """True if the running agent may get it before its turn has ended. Only a queued prompt has it."""
    brief: dict[str, int] | None = None
    """The lines that are put before the prompt: `Brief.as_event`. A queued prompt gets it when its turn begins."""
    files: list[str] | None = None
    """The paths of the files that belong to the prompt."""
    action: dict[str, Any] | None = None
    """The action that runs instead of an agent: `Call.as_event`. Such a prompt is never queued."""

    def as_fields(self) -> dict[str, Any]:
        """Return the keys of the event, without those that are not given."""
        return {key: value for key, value in self._asdict().items() if value is not None}


class Accepted(NamedTuple):
    """What was done with a prompt: a turn has begun, or the prompt waits in the queue."""

    what: Literal["turn", "queued"]
    id: int
    """The id of the `user` or `queued` event."""
    failure: str = ""
    """Why the turn's process could not start, so that the turn has ended; "" if it has started."""


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
    steer: bool = False,
    files: Sequence[str | int] = (),
    over_budget: bool = False,
) -> Accepted:
    """Begin a turn, or with `queue` put the prompt in the queue if a turn is running. Return which of the two was done.

    With `steer` it goes to the head of the queue, and the running agent gets it as soon as it can read it.
    On return the prompt is on disk, and the runner of a new turn has been started. A `key` that was used before
    returns its first result and does nothing else. `files` are paths in the workspace, or ids of `file` events.
    `over_budget` confirms a prompt for which the day's budget is spent.

    Raises TurnRunning, OverBudget, NotFound, BadInput (an empty prompt, a bad model or key, a file that is not there),
    TooLarge, BadConfig, ReadOnly and CannotRecord. Then no turn has begun.
    """
    _check(prompt, model, key)
    if agent is not None:
        config.agent_named(agent)
    checked, queue = Prompt(prompt, by, model, key, agent, steer or None), queue or steer
    with session.open_log() as opened:
        ready = _check_on_machine(config, session, opened, checked, files, over_budget=over_budget)
        if isinstance(ready, Accepted):
            return ready
        try:
            return _begin_or_queue(config, session, opened, ready, queue=queue)
        except LogLocked:
            if not kill_leftover_runner(session):
                raise
        return _begin_or_queue(config, session, opened, ready, queue=queue)


def _check_on_machine(
    config: Config,
    session: Session,
    opened: Log,
    prompt: Prompt,
    files: Sequence[str | int],
    *,
    over_budget: bool,
) -> Prompt | Accepted:
    """Return the prompt with its files, or what was done with an earlier one of the same key. Raises OverBudget."""
    is_limited = config.max_cost_usd_per_day is not None and not over_budget
    if files or is_limited:
        # A repeated prompt is accepted although its files are gone, or the budget is spent.
        with opened.exclusive():
            if earlier := _earlier_result(session, opened, prompt.key):
                return earlier
    if is_limited:
        refuse_over_budget(config, prompt.agent or session.log_state(opened.fd).state.agent)
    return prompt._replace(files=checked_paths(session, opened.fd, files)) if files else prompt


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
    kind = read_one(opened.fd, number)["kind"]
    if kind == "file":
        raise BadInput("Idempotency-Key: it belongs to a file of this session")
    return Accepted("queued" if kind == "queued" else "turn", number)


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
                    if prompt.steer:
                        notify_runner(session)
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
        mark_turn(config, session, opened, is_first=state.last_turn is None)
        turn, end = _append_user(opened, prompt._replace(steer=None)), opened.end
    failure = _start(session, opened, make_job(config, session, turn, end, state, lock, run))
    record_later(config, session)
    return Accepted("turn", turn, failure)


def continue_queue(config: Config, session: Session) -> bool:
    """Begin the turn of the prompt that has waited longest if the session is idle, and return whether it has begun.

    The runner does this in the write that ends its turn. It may be killed within that write, or be unable to begin the
    next turn, as for an agent with an `env` of its own. After a lost turn nothing begins by itself (docs/decisions, 5).
    Raises NotFound, BadConfig, ReadOnly and CannotRecord.
    """
    if not _is_queue_left(session.state()):
        return False
    lock = TurnLock(session)
    with session.open_log() as opened:
        try:
            lock.take()
            opened.reserve_space()
            with opened.exclusive():
                refuse_degraded(session.directory)
                state = session.log_state(opened.fd).state
                if not _is_queue_left(state):
                    return False
                waiting, *others = state.queued
                queued = read_one(opened.fd, waiting.id)
                given = {key: queued.get(key) for key in ("model", "agent", "files")}
                prompt = Prompt(queued["text"], queued["by"], **given)
                state, prompt = _hand_over(config, session, opened, state, prompt)
                mark_turn(config, session, opened, is_first=False)
                turn, end = _append_user(opened, prompt, queued=waiting.id), opened.end
            state = state._replace(queued=tuple(others))
            _start(session, opened, make_job(config, session, turn, end, state, lock, NO_ACTION))
            return True
        except TurnRunning:
            return False
        finally:
            lock.release()


def _append_user(opened: Log, prompt: Prompt, **more: int) -> int:
    return opened.append("user", **prompt.as_fields(), **more, boot_id=boot_id())


def _is_queue_left(state: SessionState) -> bool:
    return state.turn is None and bool(state.queued) and state.status not in ("lost", "degraded")


def _start(session: Session, opened: Log, job: Job) -> str:
    """Start the runner of a turn whose prompt is recorded. If it cannot start, end the turn and return the reason."""
    reason = ""
    try:
        start_runner(job)
    except OSError as error:
        reason = f"The turn's process could not start: {error.strerror}."
        end_turn(session, opened, job.turn, status="error", error=reason)
    start_and_reap(job.sender)
    return reason


def _hand_over(
    config: Config, session: Session, opened: Log, state: SessionState, prompt: Prompt
) -> tuple[SessionState, Prompt]:
    """Return the state with the turn's agent, and the prompt with the lines that this agent has not seen.

    Raises BadConfig if the agent is not configured, its sandbox cannot be made as the settings say, or its
    instructions cannot be read.
    """
    state = state._replace(agent=prompt.agent or state.agent)
    try:
        agent = config.agent_named(state.agent)
    except BadConfig as error:
        raise BadConfig(f"the agent of session {session.id[:8]} is no longer configured: {error}") from error
    find_sandbox(config, agent)
    instructions.text_for(config, agent, state.target)
    if agent.about.is_command_line:
        return state, prompt
    found = brief.find(opened.fd, state.of_agent(agent.name).seen, state.last_id + 1)
    return state, prompt._replace(brief=found.as_event()) if found else prompt


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
