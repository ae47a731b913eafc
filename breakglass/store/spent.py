"""What all sessions of a data root have cost today. Reads only the logs that changed today."""

import os
import time
from contextlib import suppress
from pathlib import Path

from breakglass.errors import BreakglassError
from breakglass.store import log, sessions
from breakglass.store.sessions import Session

DAY_SECONDS = 86_400


def spent_today(root: Path) -> float:
    """Return the US dollars of this day (UTC). A log that cannot be read counts as 0."""
    now = time.time()
    day, midnight = log.timestamp(now)[:10], now - now % DAY_SECONDS
    total = 0.0
    for session_id in sessions.ids(root):
        session = Session(root, session_id)
        with suppress(OSError, BreakglassError):
            if os.stat(f"{session.directory}/{log.NAME}").st_mtime >= midnight:
                on, dollars = session.state().spent
                total += dollars if on == day else 0.0
    return total
