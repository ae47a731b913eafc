"""The watch for lost turns: ends turns whose runner died, in the background of a web process.

A turn is lost when its runner died and its log has no `turn_end` (see turns/end.py). Every process that reads a session
ends its lost turn. This watch covers the two cases without such a reader: turns lost while no server ran, and
sessions that clients only follow.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from breakglass.errors import BreakglassError, ReadOnly
from breakglass.store import pieces, sessions
from breakglass.store.follow import Followers
from breakglass.store.sessions import Session
from breakglass.turns.end import current_state, end_if_lost, has_runner

INTERVAL_SECONDS = 2.0
"""Seconds between two checks of the sessions that clients follow and in which a turn runs."""


class LostTurnWatch:
    """The background tasks of one process. Lives on its event loop."""

    def __init__(self, root: Path, followers: Followers, warn: Callable[[str], object]) -> None:
        self._root = root
        self._followers = followers
        self._warn = warn
        self._follow_task: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def check_all(self) -> None:
        """End, in the background, every turn that was lost while no server ran."""
        self._spawn(asyncio.to_thread(self._end_all))

    def check_followed(self) -> None:
        """End, in the background, lost turns of followed sessions until no client follows any."""
        if self._follow_task is None or self._follow_task.done():
            self._follow_task = self._spawn(self._end_followed())

    def close(self) -> None:
        """Cancel the background tasks."""
        for task in list(self._tasks):
            task.cancel()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)  # the loop itself holds only a weak reference
        task.add_done_callback(self._tasks.discard)
        return task

    def _end_all(self) -> None:
        for session_id in sessions.ids(self._root):
            session = Session(self._root, session_id)
            try:
                # Only the end of each log is read: whole logs may be gigabytes and would delay the first clients.
                if pieces.is_busy(session.directory) and not has_runner(session):
                    end_if_lost(session)
            except ReadOnly:
                continue  # the server's start has said so, or its pages do
            except (BreakglassError, OSError) as error:
                self._warn(f"session {session_id}: {error}")

    async def _end_followed(self) -> None:
        await asyncio.sleep(INTERVAL_SECONDS)
        while self._followers.is_followed():
            for directory in self._followers.busy_directories():
                session = Session(self._root, directory.rpartition("/")[2])
                try:
                    await asyncio.to_thread(self._end_one, session)
                except (BreakglassError, OSError) as error:
                    self._warn(f"session {session.id}: {error}")
            await asyncio.sleep(INTERVAL_SECONDS)

    def _end_one(self, session: Session) -> None:
        with contextlib.suppress(ReadOnly):
            # Otherwise each check would read everything that a long turn has written since the last check.
            if not has_runner(session):
                current_state(session, warn=self._warn)
