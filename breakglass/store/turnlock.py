"""The turn lock: a session's turn runs exactly as long as its runner holds it.

The runner writes its pid and start time into `turn.lock`, so that other processes can signal it (`sign`, `signed_by`).
"""

import errno
import fcntl
import json
import os

from breakglass.errors import CannotRecord, NotFound, TurnRunning
from breakglass.store import log
from breakglass.store.sessions import Session


class TurnLock:
    """The lock of the running turn. Whoever inherits `fds` holds it; the kernel lets go when the last is closed.

    Two descriptors: `turn.lock`, which anybody may look at, and the session's directory, which cannot be
    deleted and made anew under a running turn as a file can.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.fds: tuple[int, ...] = ()

    def take(self) -> None:
        """Take the lock without waiting. Raises TurnRunning where it is held, NotFound and CannotRecord."""
        try:
            directory = os.open(
                self._session.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            )
        except OSError as error:
            if error.errno in log.ABSENT:
                raise NotFound(f"there is no session {self._session.id}") from error
            raise CannotRecord(f"the turn lock could not be taken: {error.strerror}") from error
        self.fds = (directory,)
        try:
            self.fds += (_open_lock(directory),)
            for fd in self.fds:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise TurnRunning(f"a turn is running in session {self._session.id}") from None
        except OSError as error:
            self.release()
            raise CannotRecord(f"the turn lock could not be taken: {error.strerror}") from error

    def release(self) -> None:
        """Close our copies. The lock stays with whoever else has them."""
        for fd in self.fds:
            os.close(fd)
        self.fds = ()


def _open_lock(directory: int) -> int:
    flags = os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open("turn.lock", flags | os.O_RDWR | os.O_CREAT, 0o600, dir_fd=directory)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        return os.open(
            "turn.lock", flags | os.O_RDONLY, dir_fd=directory
        )  # whether it is held can still be seen


def signed_by(session: Session) -> tuple[int, int] | None:
    """Return the pid and start time in the lock file, which may be of a process long dead; None without any."""
    try:
        fd = os.open(f"{session.directory}/turn.lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP):
            return None
        raise
    try:
        signed = json.loads(os.read(fd, 4096))
        return int(signed["pid"]), int(signed["started"])
    except (ValueError, KeyError, TypeError):
        return None
    finally:
        os.close(fd)
