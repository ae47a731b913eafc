"""End turns, from any process: stop a turn, wait for its end, and end a turn whose runner is dead.

A turn runs exactly as long as its runner holds the session's turn lock. The kernel releases the lock when the runner
dies, whether it exits or is killed. A turn whose lock is free and whose log has no `turn_end` is lost. The first
process that detects this ends the turn: it kills every process of the turn, then appends the end.
"""

import contextlib
import functools
import os
import signal
import time
from collections.abc import Callable, Iterable
from datetime import datetime

from breakglass.errors import BreakglassError, CannotRecord, LogLocked, ReadOnly, TurnRunning
from breakglass.events import LOST, Draft
from breakglass.state import SessionState
from breakglass.store import lock_holders, log, turnlock
from breakglass.store.lock_holders import Holder
from breakglass.store.log import Log
from breakglass.store.sessions import Session
from breakglass.store.turnlock import TurnLock
from breakglass.turns import processes, secret_answers
from breakglass.turns.boot import has_restarted

STOP_SECONDS = 15.0
"""Seconds after which a runner that has not ended a stopped turn is killed. Its own steps to stop the agent take 12."""
KILL_SECONDS = 5.0
"""Seconds for which processes are killed before that fails."""
RELEASE_SECONDS = 1.0
"""Seconds for which a runner may still hold the turn lock after the end of its turn is in the log."""

Warn = Callable[[str], object]
"""Takes a warning for the user, one line."""


def ignore_warning(text: str) -> None:
    """Do nothing: a `Warn` for callers that cannot show a warning."""


def current_state(
    session: Session, state: SessionState | None = None, warn: Warn = ignore_warning
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
    kill_processes(session, "the runner of the turn died; the turn is left open")
    secret_answers.delete_all(session.directory)
    reason = "the machine restarted" if has_restarted(state.boot_id) else "its process died"
    end_turn(session, opened, turn, status="lost", error=LOST.format(reason))


def end_turn(session: Session, opened: Log, turn: int, *, status: str, error: str) -> None:
    """Append the end of a turn that no runner will end. The caller holds the turn lock. Raises CannotRecord.

    The state under the log's lock decides, because other processes may have appended in the meantime. A turn that a
    user stopped ends as `cancelled`, without the error. A turn that has ended gets no second end.
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


def kill_processes(session: Session, why: str) -> None:
    """Kill every process of this session's turns. Raises CannotRecord, with `why`, if one cannot be killed."""
    find = functools.partial(find_processes, session)
    if not processes.kill_all(find, KILL_SECONDS):
        left = ", ".join(str(each) for each in map(lock_holders.look_up, sorted(find())) if each)
        raise CannotRecord(f"cannot kill {left or 'a process of the turn'}; {why}")


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


def cancel_turn(session: Session, *, by: str, warn: Warn = ignore_warning) -> bool:
    """Record that a user stops the running turn, and notify its runner. Return whether a turn was running.

    The waiting prompts are withdrawn too: a user who stops a turn does not expect the next one to begin. Returns as
    soon as the stop is on disk; `wait_for_stop` waits for the end. Raises NotFound, ReadOnly and CannotRecord.

    A process of the turn that keeps the log locked, or the turn lock after the turn's end, is killed: it was stopped,
    or its disk hangs. `warn` gets one line about it.
    """
    session.refuse_unwritable_log()
    if end_if_lost(session).turn is None:
        kill_leftover_runner(session, RELEASE_SECONDS, warn)
        return False
    try:
        with session.open_log() as opened:
            try:
                return _record_stop(session, opened, by)
            except LogLocked:
                if not _kill_own(
                    session, lock_holders.find_holders(opened.fd), "It kept the log locked.", warn
                ):
                    raise
            return _record_stop(session, opened, by)
    finally:
        notify_runner(session)  # also if the disk failed: the runner can read the stop


def _record_stop(session: Session, opened: Log, by: str) -> bool:
    """Append what stops the open turn, unless it is in the log already. As `cancel_turn`."""
    with opened.exclusive():
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


def kill_leftover_runner(session: Session, seconds: float = 0.0, warn: Warn = ignore_warning) -> bool:
    """Kill a runner that still holds the turn lock `seconds` after the end of its turn. Return whether there was one.

    Such a runner was stopped between its `turn_end` and its exit. Raises CannotRecord if it cannot be killed.
    """
    deadline = time.monotonic() + seconds
    while has_runner(session):
        # Found before the state is read, so the runner of a turn that begins now is not among them.
        holders = turnlock.find_holders(session)
        if session.state().turn is not None:
            return False
        if time.monotonic() >= deadline:
            return bool(holders) and _kill_own(
                session, holders, "Its turn had ended, and it did not exit.", warn
            )
        time.sleep(0.005)
    return False


def _kill_own(session: Session, holders: list[Holder], why: str, warn: Callable[[str], object]) -> bool:
    """Kill those of the processes that belong to this session's turns. Return whether none of `holders` is left.

    `warn` gets one line about what was killed and `why`. Raises CannotRecord if one cannot be killed.
    """
    runner = turnlock.read_runner(session)
    marked = find_processes(session)
    own = [
        each
        for each in holders
        if each.pid != os.getpid() and (each.pid in marked or (each.pid, each.started) == runner)
    ]

    def find_alive(among: list[Holder]) -> list[int]:
        return [each.pid for each in among if processes.is_alive(each.pid, each.started)]

    if not processes.kill_all(lambda: find_alive(own), KILL_SECONDS):
        alive = ", ".join(str(each) for each in own if each.pid in find_alive(own))
        raise CannotRecord(f"cannot kill {alive}. {why}")
    left = find_alive(holders)
    if own:
        text = f"killed {', '.join(map(str, own))}. {why}"
        warn(text)
        if not left:
            _append_notice(session, f"A stop {text}")
    return not left


def _append_notice(session: Session, text: str) -> None:
    """Append a notice for all clients, if a turn is open."""
    with contextlib.suppress(CannotRecord), session.open_log() as opened, opened.exclusive():
        if (turn := session.log_state(opened.fd).state.turn) is not None:
            opened.append("notice", turn=turn, text=text)


def notify_runner(session: Session) -> None:
    """Send the runner a signal to read its log. Without the signal it reads the log within a second.

    Any program may write a pid into `turn.lock`, so only a process with this session's mark gets the signal.
    """
    runner = turnlock.read_runner(session)
    if runner:
        pid, started = runner
        own = functools.partial(find_processes, session, [pid])
        processes.send_all(lambda: own() if processes.is_alive(pid, started) else (), signal.SIGUSR1)


def wait_for_stop(
    session: Session, seconds: float = STOP_SECONDS, warn: Warn = ignore_warning
) -> SessionState:
    """Wait until a stopped turn has ended, and return the state. After `seconds` its processes are killed.

    Then `warn` gets one line. Raises CannotRecord, with the process that does not end, if that does not end the turn.
    """
    deadline, is_killed = time.monotonic() + seconds, False
    while (state := end_if_lost(session)).turn is not None and state.cancelled:
        if time.monotonic() > deadline:
            holders = turnlock.find_holders(session)
            if is_killed:
                held_by = lock_holders.describe(holders) or "a process that /proc does not show"
                raise CannotRecord(f"the stop is recorded, but the turn lock is held by {held_by}")
            _kill_own(session, holders, "It had not ended the turn.", warn)
            kill_processes(session, "the stop is recorded")
            deadline, is_killed = time.monotonic() + KILL_SECONDS, True
        time.sleep(0.02)
    return state
