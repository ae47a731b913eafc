"""Turns, from any process: begin one, stop one, end the lost.

*Running* means *locked*: a turn runs as long as its runner holds the session's turn lock, which the kernel
lets go however the runner dies. A turn whose lock is free and which has no `turn_end` is lost, and whoever
notices ends it: first every process of it, then, in the log, the turn.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from typing import Literal, NamedTuple

from breakglass import masking
from breakglass.agents import environ
from breakglass.config import AgentConfig, Config
from breakglass.errors import (
    BadConfig,
    BadInput,
    Conflict,
    Degraded,
    NotFound,
    TooLarge,
    TurnRunning,
)
from breakglass.settings import check_model
from breakglass.state import SessionState
from breakglass.store import sessions
from breakglass.store.log import DEGRADED, Log, is_degraded, read_one
from breakglass.store.seek import Position
from breakglass.store.sessions import Session
from breakglass.store.turnlock import TurnLock
from breakglass.turns import processes
from breakglass.turns.end import end_lost_turn

MAX_PROMPT = 256 << 10
"""Bytes of UTF-8 that a prompt may have."""
PATIENCE = 1.0
"""Seconds that a turn which has ended in the log may take to let its lock go."""
TRIES = 5
"""How often a prompt may find the session neither free nor running, before that is an error."""
_RUNNER = "from breakglass.turns.runner import main; main()"


class Prompt(NamedTuple):
    """What a person asks for, checked."""

    text: str
    by: str
    model: str | None = None
    """This turn's model, None for the session's."""
    key: str | None = None
    """The Idempotency-Key."""


class Accepted(NamedTuple):
    """What became of a prompt: a turn, or a place in the queue; and the id of its event."""

    what: Literal["turn", "queued"]
    id: int


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
    """Begin a turn, or, with `queue` and while one runs, have the prompt wait for its end. Return what became of it.

    When this returns the prompt is on disk, and of a turn the runner has been started. A `key` that was used
    before returns what it gave then, and begins nothing. Raises TurnRunning, NotFound, BadInput (an empty
    prompt, a bad model or key), TooLarge, CannotRecord; then nothing was begun.
    """
    _check(prompt, model, key)
    asked = Prompt(prompt, by, model, key)
    if is_degraded(session.directory):
        raise Degraded(
            f"the disk failed under this session; once it is mended, delete {session.directory}/{DEGRADED}"
        )
    with session.open_log() as log:
        if earlier := _earlier(session, log, key):
            return earlier
        lock = _lock_or_queue(session, log, asked, queue=queue)
        if isinstance(lock, Accepted):
            return lock
        try:
            return _begin(config, session, log, lock, asked)
        finally:
            lock.release()


def _earlier(session: Session, log: Log, key: str | None) -> Accepted | None:
    """Return what became of the prompt that came with this key before, None where none did."""
    number = session.log_state(log.fd).keys.get(key) if key else None
    if number is None:
        return None
    return Accepted("queued" if read_one(log.fd, number)["kind"] == "queued" else "turn", number)


def _lock_or_queue(session: Session, log: Log, asked: Prompt, *, queue: bool) -> TurnLock | Accepted:
    """Take the turn lock; or, while a turn runs, return the earlier prompt of that key, or put this one in the queue.

    Raises TurnRunning where it is not to be queued.
    """
    for _ in range(TRIES):
        try:
            return _take_lock(session)
        except TurnRunning:
            with log.exclusive():  # a turn ends, and takes up what waits, under this lock
                if earlier := _earlier(session, log, asked.key):  # the same request, a moment ahead
                    return earlier
                if not queue:
                    raise
                if session.log_state(log.fd).state.turn is not None:
                    number = log.append(
                        "queued", text=asked.text, by=asked.by, model=asked.model, key=asked.key
                    )
                    return Accepted("queued", number)
    raise TurnRunning(f"session {session.id} is neither free nor running; try again")


def _begin(config: Config, session: Session, log: Log, lock: TurnLock, asked: Prompt) -> Accepted:
    """Holding the turn lock, record the prompt and start the runner; or return the earlier prompt of that key."""
    known = session.log_state(log.fd).state
    if known.turn is not None:
        end_lost_turn(session, log, known)
    log.reserve_space()
    # What others append is known here, or stands behind the prompt, where the runner looks.
    with log.exclusive():
        if earlier := _earlier(session, log, asked.key):
            return earlier
        known = session.log_state(log.fd).state
        agent = _agent(config, session, known)
        turn, end = log.append("user", **asked._asdict()), log.end
    try:
        _spawn(config, agent, session, turn, end, known, lock)
    except OSError as error:
        log.append_end(
            ("error", {"turn": turn, "error": f"The turn's process could not start: {error.strerror}."}),
            ("turn_end", {"turn": turn, "status": "error", "duration_ms": 0}),
        )
    return Accepted("turn", turn)


def _agent(config: Config, session: Session, known: SessionState) -> AgentConfig:
    try:
        return config.agent_named(known.agent)
    except BadConfig as error:
        raise BadConfig(
            f"session {session.id[:8]} is for an agent that is configured no more: {error}"
        ) from error


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


def _take_lock(session: Session) -> TurnLock:
    """Take the turn lock. One that is held though its turn has ended is about to be free: wait for that."""
    lock = TurnLock(session)
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            lock.take()
            return lock
        except TurnRunning:
            if session.state().turn is not None or time.monotonic() > deadline:
                raise
        time.sleep(0.005)


def _spawn(
    config: Config,
    agent: AgentConfig,
    session: Session,
    turn: int,
    end: Position,
    known: SessionState,
    lock: TurnLock,
) -> None:
    """Start the runner with the lock, the agent's environment and the turn's mark, in a session of its own."""
    environment = environ.environment(config.environ, agent.protocol, agent.pass_env, agent.env)
    environment[processes.MARK] = f"{session.id}/{turn}"
    plan = {
        "directory": os.path.abspath(session.directory),
        "workspace": os.path.abspath(session.workspace),
        "turn": turn,
        "end": end,
        "protocol": agent.protocol,
        "command": agent.command,
        "masks": masking.prints_of(
            _tokens(config), config.environ, *(each.env for each in config.agents.values())
        ),
        "environ": environment,
        "ask": agent.permissions == "ask",
        "allow": agent.allow,
        "deny": agent.deny,
        "thinking": agent.thinking,
        "model": known.model or config.model,
        "agent_session": known.agent_session,
        "agent_cost": known.agent_cost,
        "allowed": known.allowed,
        "queued": [each.id for each in known.queued],
        "timeout": config.turn_timeout_seconds,
        "permission_timeout": config.permission_timeout_seconds,
        "limits": config.limits._asdict(),
        "lock": lock.fds,
    }
    os.makedirs(session.workspace, mode=0o700, exist_ok=True)
    process = subprocess.Popen(
        # -I: nothing in the agent's environment or its folder may change what the runner imports.
        [sys.executable, "-I", "-c", _RUNNER, f"session={session.id}", f"turn={turn}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=lock.fds,
        start_new_session=True,
        cwd=session.workspace,
        env=environment,
    )
    assert process.stdin
    process.stdin.write(json.dumps(plan).encode())
    process.stdin.close()
    with contextlib.suppress(RuntimeError):  # no thread to be had: then it stays a zombie until we end
        threading.Thread(target=process.wait, name=f"reap {process.pid}", daemon=True).start()


def _tokens(config: Config) -> list[str]:
    """Return the access tokens that are known here."""
    found = [config.token] if config.token else []
    for name in ("token", "token.readonly"):
        with contextlib.suppress(OSError):
            found.append((config.data / name).read_text("ascii", "replace").strip())
    return found


def withdraw_prompt(session: Session, queued: int, *, by: str) -> None:
    """Take a prompt out of the queue.

    Raises NotFound for one that never was in it and Conflict for one taken up or out.
    """
    with session.open_log() as log, log.exclusive():
        if queued in [waiting.id for waiting in session.log_state(log.fd).state.queued]:
            log.append("withdrawn", queued=queued, by=by)
        elif read_one(log.fd, queued)["kind"] == "queued":
            raise Conflict("the prompt waits no longer: its turn has begun, or it was withdrawn")
        else:
            raise NotFound(f"line {queued} is no prompt that was put in the queue")
