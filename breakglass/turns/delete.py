"""Deletes sessions, for good. A session in which a turn runs is never deleted."""

from breakglass.errors import TurnRunning
from breakglass.store import root, space
from breakglass.store.sessions import Session
from breakglass.store.turnlock import TurnLock
from breakglass.turns.end import kill_processes


def delete_session(session: Session) -> int:
    """Delete a session's log, its other files and its workspace. Return the bytes that they used on disk.

    A lost turn is not recorded before: the disk may be full. Its processes are killed. A session whose creation was
    interrupted has no log, and is deleted too.

    Raises TurnRunning, NotFound, ReadOnly, CannotRecord, and Conflict for a mount in the session's directories.
    """
    root.refuse_read_only(session.root)
    lock = TurnLock(session)
    try:
        lock.take()
    except TurnRunning as error:
        raise TurnRunning(f"{error}; to stop it: breakglass cancel {session.id[:8]}") from error
    try:
        kill_processes(session, "the session was not deleted")
        return space.delete_files(session)
    finally:
        lock.release()
