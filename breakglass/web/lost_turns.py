"""The watch for dead runners: ends their turns and continues their queues, in the background of a web process.

A turn is lost when its runner died and its log has no `turn_end` (see turns/end.py). Every process that reads a session
ends its lost turn. This watch covers the two cases without such a reader: turns lost while no server ran, and
sessions that clients only follow.

A queue is left when the runner died between the end of its turn and the beginning of the next one. No reader starts a
turn, so the watch does.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from breakglass.config import Config
from breakglass.errors import BreakglassError, NotFound, ReadOnly
from breakglass.store import log, pieces, sessions, state_cache
from breakglass.store.follow import Followers
from breakglass.store.sessions import Session
from breakglass.turns.begin import continue_queue
from breakglass.turns.end import end_if_lost, has_runner

INTERVAL_SECONDS = 2.0
"""Seconds between two checks of the sessions that clients follow and in which a turn runs."""


class LostTurnWatch:
    """The background tasks of one process. Lives on its event loop."""

    def __init__(self, config: Config, followers: Followers, warn: Callable[[str], object]) -> None:
        self._config = config
        self._root = config.data
        self._followers = followers
        self._warn = warn
        self._follow_task: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def check_all(self) -> None:
        """End every turn that was lost while no server ran, and continue the queues, in the background."""
        self._spawn(asyncio.to_thread(self._check_all))

    def check_followed(self) -> None:
        """Do the same for followed sessions, in the background, until no client follows any."""
        if self._follow_task is None or self._follow_task.done():
            self._follow_task = self._spawn(self._check_followed())

    def close(self) -> None:
        """Cancel the background tasks."""
        for task in list(self._tasks):
            task.cancel()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)  # the loop itself holds only a weak reference
        task.add_done_callback(self._tasks.discard)
        return task

    def _check_all(self) -> None:
        for session_id in sessions.ids(self._root):
            session = Session(self._root, session_id)
            try:
                self._check(session)
            except (BreakglassError, OSError) as error:
                self._warn(f"session {session_id}: {error}")

    async def _check_followed(self) -> None:
        await asyncio.sleep(INTERVAL_SECONDS)
        checked: dict[str, int] = {}
        """The size of a log without a runner when it was checked last, by the session's directory."""
        while self._followers.is_followed():
            busy = set(self._followers.busy_directories())
            for directory in self._followers.directories():
                place = Path(directory)  # perhaps in the copy of another host, which can only be read
                session = Session(place.parent.parent, place.name)
                try:
                    size = os.stat(f"{directory}/{log.NAME}").st_size
                    if directory not in busy and checked.get(directory) == size:
                        continue
                    if await asyncio.to_thread(self._check, session):
                        checked[directory] = size
                except (FileNotFoundError, NotFound):
                    continue  # the session was deleted, and its followers are told
                except (BreakglassError, OSError) as error:
                    self._warn(f"session {session.id}: {error}")
            await asyncio.sleep(INTERVAL_SECONDS)

    def _check(self, session: Session) -> bool:
        """End a lost turn, or continue a queue that was left. Return False if the session must be checked again."""
        with contextlib.suppress(ReadOnly):  # the server's start has said so, or its pages do
            may_be_lost, may_have_queue = _unfinished(session)
            if may_be_lost or may_have_queue:
                if has_runner(session):
                    return False
                if may_be_lost:
                    end_if_lost(session)
                else:
                    continue_queue(self._config, session)
        return True


def _unfinished(session: Session) -> tuple[bool, bool]:
    """Return whether a turn may be lost, and whether a prompt may wait. Raises NotFound and OSError.

    A short log is read completely, so the first list need not read it. Of a long one only the end is read: whole logs
    may be gigabytes, and would delay the first clients.
    """
    if os.stat(f"{session.directory}/{log.NAME}").st_size <= state_cache.QUEUE_REACH:
        state = session.listed_state()
        return state.turn is not None, bool(state.queued)
    return pieces.is_busy(session.directory), state_cache.may_have_queue(session.directory)
