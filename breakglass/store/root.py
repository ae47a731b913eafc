"""The data root: made where only it is missing, and fit to hold what nobody else may read.

<root>/            mode 0700
  sessions/        one directory a session
  workspaces/      the agents' working directories
"""

import os
import stat
from pathlib import Path

from breakglass.errors import BadConfig
from breakglass.store import disk


def prepare(root: Path) -> list[str]:
    """Make the data root ready to be used and return warnings, one line each.

    Raises BadConfig where it cannot be made or written, is no directory, or is not ours alone.
    """
    try:
        make(root)
        status = os.stat(root)
    except OSError as error:
        raise BadConfig(f"data: {root} cannot be used: {error.strerror}") from error
    if status.st_uid != os.geteuid():
        raise BadConfig(
            f"data: {root} belongs to user {status.st_uid}, expected {os.geteuid()}, who runs this"
        )
    if rights := stat.S_IMODE(status.st_mode) & 0o077:
        raise BadConfig(f"data: others have rights on {root} ({rights:03o}); do: chmod 700 {root}")
    for place in (root, root / "sessions", root / "workspaces"):
        if not os.access(place, os.R_OK | os.W_OK | os.X_OK):
            raise BadConfig(f"data: {place} cannot be written")
    if disk.is_untrusted(kind := disk.kind(root)):
        return [f"data: {root} is on {kind}: locks and appends are not to be trusted there"]
    return []


def make(root: Path) -> None:
    """Make the root, where its parent exists, and what every root has in it. Raises OSError."""
    for place in (root, root / "sessions", root / "workspaces"):
        try:
            os.mkdir(place, 0o700)
        except FileExistsError:
            continue
        disk.sync_names(place.parent)
