"""Watch all sessions of a data root, for a program that handles each change.

A server does not use this: to arm a watch for each of thousands of sessions takes long, and most are not followed.
"""

import asyncio
import logging
import os
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Literal

from breakglass.store.inotify import Inotify
from breakglass.store.watch import GONE, first_refusal

GATHER_SECONDS = 0.02
"""How long changes are gathered after the first one."""
ALL_SECONDS = 30.0
"""How often all sessions count as changed, because a change may be missed."""
POLL_SECONDS = 3.0
"""The same while the kernel refuses to watch."""

_log = logging.getLogger(__name__)


async def changed_sessions(root: Path, *, until: asyncio.Event) -> AsyncGenerator[set[str] | None, None]:
    """Yield the names of the sessions whose files have changed, until an event is set. None stands for all sessions."""
    stopping = asyncio.ensure_future(until.wait())
    try:
        try:
            with Inotify() as inotify:
                watches, all_at = _Watches(f"{root}/sessions", inotify), 0.0
                while not stopping.done():
                    changed = watches.read()
                    if changed is None or time.monotonic() > all_at:
                        all_at = time.monotonic() + ALL_SECONDS
                        yield None
                    elif changed:
                        yield changed
                    await _wait_until_readable(inotify.fd, stopping)
        except OSError as error:
            if message := first_refusal(error):
                _log.warning(message)
        while not stopping.done():
            yield None
            await asyncio.wait([stopping], timeout=POLL_SECONDS)
    finally:
        stopping.cancel()


class _Watches:
    """The watches of the directory of all sessions, and of each session in it."""

    def __init__(self, directory: str, inotify: Inotify) -> None:
        """Raises OSError if the kernel refuses to watch."""
        self._directory = directory
        self._inotify = inotify
        self._all = inotify.add(directory)
        self._names: dict[int, str] = {}
        for name in os.listdir(directory):
            self._add(name)

    def _add(self, name: str) -> None:
        try:
            self._names[self._inotify.add(os.path.join(self._directory, name))] = name
        except OSError as error:
            if error.errno not in GONE:
                raise

    def read(self) -> set[str] | None:
        """Return the names of the sessions that have changed since the last call, None if any may have."""
        names: set[str] = set()
        for change in self._inotify.read():
            if change.watch is None:
                return None
            if change.watch == self._all:
                self._add(change.name)  # what it has already counts as changed
                names.add(change.name)
            elif name := self._names.get(change.watch):
                names.add(name)
                if change.is_end:
                    del self._names[change.watch]
        return names - {""}


async def _wait_until_readable(fd: int, stopping: asyncio.Task[Literal[True]]) -> None:
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()
    loop.add_reader(fd, lambda: None if readable.done() else readable.set_result(None))
    either: list[asyncio.Future[Any]] = [readable, stopping]
    try:
        await asyncio.wait(either, timeout=ALL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    finally:
        loop.remove_reader(fd)
    if not stopping.done():
        await asyncio.sleep(GATHER_SECONDS)
