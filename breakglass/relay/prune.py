"""Removes old copies on the hub, and remembers how long they were, so that the mirror does not fetch them again.

If the host writes to the session again, its copy is fetched as a whole. What the engine has of it stays there.
"""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from breakglass.relay import fleet
from breakglass.store import hosts, log, sessions
from breakglass.store.sessions import Session

FILE = "pruned.json"
"""In the directory of a host: the bytes that each removed copy had, by session."""


def prune_copies(data: Path, before: float) -> Iterator[Session]:
    """Remove the copies that did not change since a time, in seconds since 1970. Yield each one that was removed."""
    for host in sorted(hosts.names(data)):
        root = hosts.root_of(data, host)
        for session_id in sorted(sessions.ids(root)):
            session = Session(root, session_id)
            try:
                found = os.stat(f"{session.directory}/{log.NAME}", follow_symlinks=False)
            except FileNotFoundError:
                continue
            if found.st_mtime < before:
                fleet.replace(root / FILE, read_pruned(root) | {session_id: found.st_size})
                shutil.rmtree(session.directory)
                yield session


def read_pruned(root: Path) -> dict[str, int]:
    """Return the bytes that each removed copy of a host had."""
    try:
        found = json.loads((root / FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    return {key: size for key, size in found.items() if type(size) is int} if isinstance(found, dict) else {}
