"""End turns, from any process: stop a turn, wait for its end, and end a turn whose runner is dead.

A turn runs exactly as long as its runner holds the session's turn lock. The kernel releases the lock when the runner
dies, whether it exits or is killed. A turn whose lock is free and whose log has no `turn_end` is lost. The first
process that detects this ends the turn: it kills every process of the turn, then appends the end.
"""

import functools
import signal
import time
from collections.abc import Callable, Iterable
from datetime import datetime

from breakglass.errors import BreakglassError, CannotRecord, ReadOnly, TurnRunning
from breakglass.events import Draft
from breakglass.state import SessionState
from breakglass.store import log, turnlock
from breakglass.store.log import Log
from breakglass.store.sessions import Session
from breakglass.store.turnlock import TurnLock
from breakglass.turns import processes

STOP_SECONDS = 15.0
"""Seconds after which a runner that has not ended a stopped turn is killed. Its own steps to stop the agent take 12."""
KILL_SECONDS = 5.0
"""Seconds for which the processes of a lost turn are killed before that fails."""


def current_state(
    session: Session, state: SessionState | None = None, warn: Callable[[str], object] = str
) -> SessionState:
    """Return the session's state, and end its turn if that is lost. Raises NotFound.

    For readers: on a full disk a lost turn cannot be ended, but the session can still be read. Then `warn` gets the
    reason, and the state is returned as it is. A read-only session has the state that its log has, without a warning.
    """
    state = state or session.state()
    try:
        return end_if_lost(session, state)
    except ReadOnly:
        return state
    except (BreakglassError, OSError) as error:
        warn(f"session {session.id}: {error}")
        return state


def end_if_lost(session: Session, state: SessionState | None = None) -> SessionState:
    """Return the session's state, and end its turn if that is lost. Raises NotFound, ReadOnly and CannotRecord.

    A caller that has just read the state passes it as `state`.
    """
    state = state or session.state()
    if state.turn is None:
        return state
    session.refuse_unwritable_log()  # before a lock file is made
    lock = TurnLock(session)
    try:
        lock.take()
    except TurnRunning:
        return state
    try:
        with session.open_log() as opened:
            state = session.log_state(opened.fd).state
            if state.turn is not None:
                end_lost_turn(session, opened, state)
    finally:
        lock.release()
    return session.state()


def end_lost_turn(session: Session, opened: Log, state: SessionState) -> None:
    """Kill every process of a dead runner's turn, then append the end. The caller holds the turn lock.

    Raises CannotRecord if a process cannot be killed. Then the turn stays open.
    """
    turn = state.turn
    assert turn is not None
    if not _kill_processes(session):
        raise CannotRecord("processes of a turn whose runner died cannot be killed; the turn is left open")
    error = "The turn was lost: its process died. What it did so far is kept above."
    end_turn(session, opened, turn, status="lost", error=error)


def end_turn(session: Session, opened: Log, turn: int, *, status: str, error: str) -> None:
    """Append the end of a turn that no runner will end. The caller holds the turn lock. Raises CannotRecord.

    The state under the log's lock decides, because other processes may have appended in the meantime. A turn that a
    person stopped ends as `cancelled`, without the error. A turn that has ended gets no second end.
    """
    with opened.exclusive():
        state = session.log_state(opened.fd).state
        if state.turn != turn:
            return
        end = {
            "turn": turn,
            "status": state.end_status(status),
            "duration_ms": turn_duration_ms(opened.fd, state),
        }
        errors: list[Draft] = [] if state.cancelled else [("error", {"turn": turn, "error": error})]
        opened.append_end(*errors, ("turn_end", end))


def find_processes(session: Session, among: Iterable[int] | None = None) -> set[int]:
    """Return the pids of all processes of this session's turns, or of those in `among`. A copy has other processes."""
    return processes.find_marked(session.id, turnlock.place(session.directory), among)


def _kill_processes(session: Session) -> bool:
    """Kill every process of this session's turns. Return whether all are dead."""
    return processes.kill_all(functools.partial(find_processes, session), KILL_SECONDS)


def turn_duration_ms(fd: int, state: SessionState) -> int:
    """Return the milliseconds from the time of the last turn's first event to the time of the log's last event."""
    began = log.read_one(fd, state.last_turn or 1).get("ts", "")
    return max(0, _milliseconds(state.updated) - _milliseconds(began))


def _milliseconds(ts: str) -> int:
    try:
        return int(datetime.fromisoformat(ts).timestamp() * 1000)
    except ValueError:
        return 0


def has_runner(session: Session) -> bool:
    """Return whether a runner holds the turn lock, without reading the log. Raises NotFound and ReadOnly."""
    lock = TurnLock(session)
    try:
        lock.take()
    except TurnRunning:
        return True
    lock.release()
    return False


def cancel_turn(session: Session, *, by: str) -> bool:
    """Record that a person stops the running turn, and notify its runner. Return whether a turn was running.

    The waiting prompts are withdrawn too: a person who stops a turn does not expect the next one to begin. Returns as
    soon as the stop is on disk; `wait_for_stop` waits for the end. Raises NotFound, ReadOnly and CannotRecord.
    """
    session.refuse_unwritable_log()
    if end_if_lost(session).turn is None:
        return False
    try:
        with session.open_log() as opened, opened.exclusive():
            return _record_stop(session, opened, by)
    finally:
        notify_runner(session)  # also if the disk failed: the runner can read the stop


def _record_stop(session: Session, opened: Log, by: str) -> bool:
    """Append what stops the open turn, unless it is in the log already. Needs the log's lock. As `cancel_turn`."""
    state = session.log_state(opened.fd).state
    if state.turn is None:
        return False
    stop: list[Draft] = [("withdrawn", {"queued": each.id, "by": by}) for each in state.queued]
    if not state.cancelled:
        stop.insert(0, ("cancelled", {"turn": state.turn, "by": by}))
    if stop:  # in one write: a stopped turn must not end while the next prompt still waits
        opened.append_together(*stop)
    else:
        opened.confirm()
    return True


def notify_runner(session: Session) -> None:
    """Send the runner a signal to read its log. Without the signal it reads the log within a second.

    Any program may write a pid into `turn.lock`, so only a process with this session's mark gets the signal.
    """
    signed = turnlock.read_signer(session)
    if signed:
        pid, started = signed
        own = functools.partial(find_processes, session, [pid])
        processes.send_all(lambda: own() if processes.is_alive(pid, started) else (), signal.SIGUSR1)


def wait_for_stop(session: Session, seconds: float = STOP_SECONDS) -> SessionState:
    """Wait until a stopped turn has ended, and return the state. After `seconds` its processes are killed."""
    deadline = time.monotonic() + seconds
    while (state := end_if_lost(session)).turn is not None and state.cancelled:
        if time.monotonic() > deadline:
            _kill_processes(session)
        time.sleep(0.02)
    return state
