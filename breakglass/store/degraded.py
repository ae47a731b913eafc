"""The file `degraded` beside a log: the disk failed under it. The administrator deletes it after repairing the disk."""

import contextlib
import os

from breakglass.errors import Degraded

NAME = "degraded"


def create(directory: str) -> None:
    """Mark the log in this directory for other processes, if the disk allows it."""
    with contextlib.suppress(OSError):
        # O_NONBLOCK: without it, an open of a named pipe waits for the other end.
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        os.close(os.open(os.path.join(directory, NAME), flags, 0o600))


def is_marked(directory: str) -> bool:
    """Return whether the disk failed under the log in this directory."""
    return os.path.lexists(os.path.join(directory, NAME))


def refuse(directory: str) -> None:
    """Raise Degraded if the disk failed under the log in this directory."""
    if is_marked(directory):
        raise Degraded(f"the disk failed under this session; once it is repaired, delete {directory}/{NAME}")
