"""Ending turns, from any process: stop one, wait for its end, and end those whose runner died.

A turn runs exactly as long as its runner holds the session's turn lock. The kernel releases the lock when the runner
dies, however it dies. A turn whose lock is free and whose log has no `turn_end` is lost. The first process that notices
ends it: it kills every process of the turn, then appends the end.
"""

import functools
import signal
import time
from collections.abc import Callable
from datetime import datetime

from breakglass.errors import BreakglassError, CannotRecord, TurnRunning
from breakglass.events import Draft
from breakglass.state import SessionState
from breakglass.store import log, turnlock
from breakglass.store.log import Log
from breakglass.store.sessions import Session
from breakglass.store.turnlock import TurnLock
from breakglass.turns import processes

STOP_SECONDS = 15.0
"""Seconds after which a runner that has not ended a stopped turn is killed: its own steps take 12."""


def has_runner(session: Session) -> bool:
    """Return whether a runner holds the turn lock: a look that reads no log. Raises NotFound."""
    lock = TurnLock(session)
    try:
        lock.take()
    except TurnRunning:
        return True
    lock.release()
    return False


def end_if_lost(session: Session, known: SessionState | None = None) -> SessionState:
    """Return the session's state, having ended its turn if the runner is dead. Raises NotFound.

    `known` spares reading the log where the caller has just done so.
    """
    known = known or session.state()
    if known.turn is None:
        return known
    lock = TurnLock(session)
    try:
        lock.take()
    except TurnRunning:
        return known
    try:
        with session.open_log() as log:
            known = session.log_state(log.fd).state
            if known.turn is not None:
                end_lost_turn(session, log, known)
    finally:
        lock.release()
    return session.state()


def current_state(
    session: Session, known: SessionState | None = None, warn: Callable[[str], object] = str
) -> SessionState:
    """Return the session's state as `end_if_lost` does, and also where a lost turn cannot be ended. Raises NotFound.

    For who only looks: on a disk that is full or read-only a session is still read. `warn` is told why.
    """
    known = known or session.state()
    try:
        return end_if_lost(session, known)
    except (BreakglassError, OSError) as error:
        warn(f"session {session.id}: {error}")
        return known


def end_lost_turn(session: Session, log: Log, known: SessionState) -> None:
    """Holding the turn lock, kill whatever is left of a dead runner's turn, then end it in the log."""
    turn = known.turn
    assert turn is not None
    if not processes.kill_all(functools.partial(processes.marked, session.id), 5.0):
        raise CannotRecord("processes of a turn whose runner died cannot be killed; the turn is left open")
    end = {"turn": turn, "duration_ms": age_ms(log.fd, known)}
    if known.cancelled:
        log.append_end(("turn_end", {**end, "status": "cancelled"}))
        return
    error = "The turn was lost: its process died. What it did so far is kept above."
    log.append_end(("error", {"turn": turn, "error": error}), ("turn_end", {**end, "status": "lost"}))


def cancel_turn(session: Session, *, by: str) -> bool:
    """Record that a person stops the running turn and tell its runner. Return whether one was running.

    What waits in the queue is withdrawn: who says stop wants nothing more to happen. Returns as soon as that is
    on disk; `wait_for_stop` waits for the end. Raises NotFound and CannotRecord.
    """
    if end_if_lost(session).turn is None:
        return False
    with session.open_log() as log:
        with log.exclusive():
            known = session.log_state(log.fd).state
            if known.turn is None:
                return False
            stop: list[Draft] = [("withdrawn", {"queued": each.id, "by": by}) for each in known.queued]
            if not known.cancelled:
                stop.insert(0, ("cancelled", {"turn": known.turn, "by": by}))
            if stop:  # in one write: a turn that is stopped must not end while the next prompt still waits
                log.append_together(*stop)
        notify_runner(session)
        return True


def notify_runner(session: Session) -> None:
    """Tell the runner to look at its log. It would anyway, within a second."""
    signed = turnlock.read_signer(session)
    if signed:
        pid, born = signed
        processes.send_all(lambda: [pid] if processes.is_alive(pid, born) else [], signal.SIGUSR1)


def wait_for_stop(session: Session, seconds: float = STOP_SECONDS) -> SessionState:
    """Wait for the end of a turn that was stopped and return the state. A runner that does not end it is killed."""
    deadline = time.monotonic() + seconds
    while (known := end_if_lost(session)).turn is not None and known.cancelled:
        if time.monotonic() > deadline:
            processes.kill_all(functools.partial(processes.marked, session.id), 5.0)
        time.sleep(0.02)
    return known


def age_ms(fd: int, state: SessionState) -> int:
    """Return the milliseconds from the beginning of the last turn to the last event, by the events' own times."""
    began = log.read_one(fd, state.last_turn or 1).get("ts", "")
    return max(0, _milliseconds(state.updated) - _milliseconds(began))


def _milliseconds(ts: str) -> int:
    try:
        return int(datetime.fromisoformat(ts).timestamp() * 1000)
    except ValueError:
        return 0
