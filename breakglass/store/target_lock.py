"""The lock of a target: at most one disruptive action runs on a target at a time.

The process that begins such an action takes the lock, and its runner inherits it. So the kernel releases the lock with
the end of the action, however that ends. The file names the session of the action, for the message to others.
"""

import fcntl
import json
import os
from pathlib import Path

from breakglass.errors import CannotRecord, Conflict
from breakglass.plain_file import open_plain_file

DIRECTORY = "targets"
THIS_MACHINE = ".this-machine"
"""The name of the file for this machine. No target can have it: its name begins with a letter."""


def take(root: Path, target: str | None) -> int | None:
    """Return the descriptor that holds the lock of a target, None if another process holds it.

    `target` is None for this machine. Raises CannotRecord.
    """
    try:
        (root / DIRECTORY).mkdir(0o700, exist_ok=True)
        fd = open_plain_file(_path(root, target), os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise CannotRecord(f"the lock of the target could not be taken: {error.strerror}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def sign(fd: int, action: str, session: str) -> None:
    """Write into a held lock which action runs, and in which session. Raises OSError."""
    os.ftruncate(fd, 0)
    os.pwrite(fd, json.dumps({"action": action, "session": session}).encode() + b"\n", 0)


def taken(root: Path, target: str | None) -> Conflict:
    """Return the error that says which action holds the lock.

    A name that begins with a dot is no target: it is the lock of a login on this machine.
    """
    where = "this machine" if not target or target.startswith(".") else target
    try:
        held = json.loads(_path(root, target).read_text())
        text = f"{held['action']} runs on {where}, in session {held['session']}"
    except (OSError, ValueError, KeyError, TypeError):
        text = f"another such action runs on {where}"
    return Conflict(f"{text}; one runs at a time. Wait for its end, or stop it")


def _path(root: Path, target: str | None) -> Path:
    return root / DIRECTORY / f"{target or THIS_MACHINE}.lock"
