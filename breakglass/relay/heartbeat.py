"""What the relay tells the hub every few seconds, besides the logs: how much waits, and what runs and asks here."""

import os
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from breakglass import __version__
from breakglass.errors import BreakglassError
from breakglass.relay import local_log
from breakglass.relay.piece import NOTHING, Head
from breakglass.store import log, turnlock
from breakglass.store.sessions import Session

RECENT_SECONDS = 86400.0
"""A log that did not change for so long has no turn that runs: each turn has a limit."""

MAX_COUNTED = 64 << 20
"""Bytes whose lines are counted at a time. If more waits, only its size is told."""


class Activity:
    """The sessions in which a turn runs, and those that ask."""

    def __init__(self) -> None:
        self._running: set[str] = set()
        self._asking: set[str] = set()

    def note(self, session: Session) -> None:
        """Read the state of a session that has changed. Blocks."""
        is_running = is_asking = False
        with suppress(OSError, BreakglassError):
            if _may_run(session):
                state = session.listed_state()
                is_running, is_asking = state.turn is not None, bool(state.asking)
        (self._running.add if is_running else self._running.discard)(session.id)
        (self._asking.add if is_asking else self._asking.discard)(session.id)

    def numbers(self) -> dict[str, int]:
        """Return how many sessions run, and how many ask."""
        return {"running": len(self._running), "asking": len(self._asking)}


def _may_run(session: Session) -> bool:
    """Return whether a turn may run. To read the state of every log would cost more than to ship it."""
    changed = os.stat(f"{session.directory}/{log.NAME}").st_mtime
    return time.time() - changed < RECENT_SECONDS and os.path.exists(f"{session.directory}/{turnlock.NAME}")


def describe(
    root: Path, activity: Activity, rest: Mapping[str, int], heads: Mapping[str, Head]
) -> dict[str, Any]:
    """Return what the hub is told. `rest` are the bytes that wait, by session. Blocks."""
    waiting = {session: size for session, size in rest.items() if size}
    behind = sum(waiting.values())
    lines = 0
    if behind <= MAX_COUNTED:
        lines = sum(
            local_log.count_lines(Session(root, session), heads.get(session, NOTHING).offset, size)
            for session, size in waiting.items()
        )
    return {
        "machine": os.uname().nodename,
        "version": __version__,
        "behind": behind,
        "behind_lines": lines,
        "free": _free_bytes(root),
        **activity.numbers(),
    }


def _free_bytes(root: Path) -> int:
    try:
        return shutil.disk_usage(root).free
    except OSError:
        return 0
