"""The watch for the process that sends notifications: starts it when something must be told and it does not run.

A process that begins a turn starts it too. This watch covers its death, and logins, which belong to no turn.
"""

import asyncio
import contextlib

from breakglass.config import Config
from breakglass.store import root, untold
from breakglass.turns.notifying import has_destinations, sender_of, start_and_reap

INTERVAL_SECONDS = 5.0


class SenderWatch:
    """The background task of one process. Lives on its event loop."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch, if notifications go anywhere. It does not end before the server."""
        if self._task or root.read_only_message(self._config.data) or not has_destinations(self._config):
            return
        self._task = asyncio.create_task(self._watch())

    async def look(self) -> None:
        """Start the process now if that is needed: after a login."""
        if self._task:
            await asyncio.to_thread(lambda: start_and_reap(sender_of(self._config)))

    async def _watch(self) -> None:
        with contextlib.suppress(OSError):
            await asyncio.to_thread(untold.watch_logins, self._config.data)
        while True:
            await self.look()
            await asyncio.sleep(INTERVAL_SECONDS)

    def close(self) -> None:
        """Stop watching."""
        if self._task:
            self._task.cancel()
