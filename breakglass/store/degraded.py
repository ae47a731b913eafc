"""Whether the disk has failed under a log: a file `degraded` beside it says so to every process.

The administrator deletes the file after repairing the disk.
"""

import contextlib
import errno
import os

from breakglass.errors import CannotRecord, Degraded

NAME = "degraded"


class DiskFailure:
    """Whether the disk failed under the log that one writer has open. After that, the writer appends nothing more."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self.has_failed = False

    def check(self) -> None:
        """Raise Degraded if the disk failed under this writer."""
        if self.has_failed:
            raise Degraded("the disk failed under this log; it accepts no more events")

    def note(self) -> None:
        """Note that the disk failed, and leave a `degraded` file for other processes if the disk allows it."""
        self.has_failed = True
        _create_file(self._directory)

    def refusal(self, what: str, error: OSError) -> CannotRecord:
        """Return the exception for a failed system call. An I/O error counts as a failure of the disk."""
        if error.errno != errno.EIO:
            return CannotRecord(f"{what}: {error.strerror}")
        self.note()
        return Degraded(f"{what}: the disk failed ({error.strerror})")


def refuse_degraded(directory: str) -> None:
    """Raise Degraded if the disk failed under the log in this directory."""
    if is_degraded(directory):
        raise Degraded(f"the disk failed under this session; once it is repaired, delete {directory}/{NAME}")


def is_degraded(directory: str) -> bool:
    """Return whether the disk failed under the log in this directory."""
    # Cheaper than a stat that fails: a list asks this for each session.
    return os.access(f"{directory}/{NAME}", os.F_OK)


def _create_file(directory: str) -> None:
    with contextlib.suppress(OSError):
        # O_NONBLOCK: without it, an open of a named pipe waits for the other end.
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        os.close(os.open(os.path.join(directory, NAME), flags, 0o600))
