"""The lock of a log: an exclusive `flock` that one writer at a time holds while it appends."""

import fcntl
import time

from breakglass.errors import CannotRecord, LogLocked
from breakglass.store import lock_holders


class LogLock:
    """A reentrant lock on the open log `fd`. `with lock:` waits until this writer is the only one.

    With a `timeout` in seconds, waiting longer raises LogLocked.
    """

    def __init__(self, fd: int, timeout: float | None = None) -> None:
        self._fd = fd
        self._timeout = timeout
        self._depth = 0

    def __enter__(self) -> None:
        if not self._depth:
            try:
                self._wait()
            except OSError as error:
                raise CannotRecord(f"the log could not be locked: {error.strerror}") from error
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _wait(self) -> None:
        if self._timeout is None:
            return fcntl.flock(self._fd, fcntl.LOCK_EX)
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                return fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    message = f"another process has had the log locked for {self._timeout:g} s"
                    holders = lock_holders.describe(lock_holders.find_holders(self._fd))
                    raise LogLocked(f"{message}: {holders}" if holders else message) from None
            time.sleep(0.001)
