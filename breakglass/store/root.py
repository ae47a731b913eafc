"""The data root: created if only it is missing, and checked to be private and writable.

<root>/            mode 0700
  sessions/        one directory for each session
  workspaces/      the agents' working directories
"""

import os
import stat
from pathlib import Path

from breakglass.errors import BadConfig
from breakglass.store import disk


def prepare(root: Path) -> list[str]:
    """Create and check the data root. Return warnings, one line each.

    Raises BadConfig if it cannot be created or written, is not a directory, or other users have access to it.
    """
    try:
        create(root)
        status = os.stat(root)
    except OSError as error:
        raise BadConfig(f"data: {root} cannot be used: {error.strerror}") from error
    if status.st_uid != os.geteuid():
        raise BadConfig(
            f"data: {root} belongs to user {status.st_uid}, but this process is user {os.geteuid()}"
        )
    if rights := stat.S_IMODE(status.st_mode) & 0o077:
        raise BadConfig(f"data: others have rights on {root} ({rights:03o}); do: chmod 700 {root}")
    for directory in (root, root / "sessions", root / "workspaces"):
        if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
            raise BadConfig(f"data: {directory} cannot be written")
    if disk.is_untrusted(file_system := disk.file_system_type(root)):
        return [f"data: {root} is on {file_system}: locks and appends cannot be trusted there"]
    return []


def create(root: Path) -> None:
    """Create the root and its two directories. The parent of the root must exist. Raises OSError."""
    for directory in (root, root / "sessions", root / "workspaces"):
        try:
            os.mkdir(directory, 0o700)
        except FileExistsError:
            continue
        disk.sync_directory(directory.parent)
