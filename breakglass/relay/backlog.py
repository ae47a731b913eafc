"""Which bytes of the logs of this host wait to be shipped, and which logs cannot be read now. For one event loop.

A log that cannot be read, or that a writer keeps locked, delays no other one. It is tried again at each later look.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Set
from pathlib import Path
from typing import Any

from breakglass.errors import NotFound
from breakglass.relay import local_log
from breakglass.relay.heads import HeadSigner
from breakglass.relay.heartbeat import Activity, describe
from breakglass.relay.local_log import Part
from breakglass.relay.piece import Head
from breakglass.store.sessions import Session

LOCKED_SECONDS = 0.5
"""How long shipping waits for a log that another process has locked. A writer holds the lock for microseconds."""


class Backlog:
    """The logs of a data root, as the relay reads them."""

    def __init__(self, root: Path, signer: HeadSigner, say: Callable[[str], object]) -> None:
        self._root = root
        self._signer = signer
        self._say = say
        self._activity = Activity()
        self._rest: dict[str, int] = {}
        """The bytes of whole lines that wait, by session."""
        self.unread: set[str] = set()
        """The sessions whose logs could not be read the last time."""

    async def next_part(self, session: Session, known: Head | None) -> Part | None:
        """Return what comes next of a log after the head that is known, None if nothing can be shipped now."""
        until = time.monotonic() + (0 if session.id in self.unread else LOCKED_SECONDS)
        try:
            while (part := await asyncio.to_thread(self._read, session, known)) is None:
                if time.monotonic() > until:
                    self._leave_out(session, "another process keeps it locked")
                    return None
                await asyncio.sleep(0.01)
        except NotFound:  # it was deleted; its record stays
            self.unread.discard(session.id)
            self._rest.pop(session.id, None)
            return None
        except OSError as error:
            self._leave_out(session, error.strerror or str(error))
            return None
        self.unread.discard(session.id)
        self._rest[session.id] = len(part.data) + part.rest
        return part if part.data else None

    def keep_only(self, ids: Set[str]) -> None:
        """Forget all other sessions: they were deleted."""
        self.unread &= ids
        self._rest = {session: size for session, size in self._rest.items() if session in ids}
        self._activity.keep_only(ids)

    def note_shipped(self, session: Session, part: Part) -> None:
        """Take note that a part was handed to the engine."""
        self._rest[session.id] = part.rest

    def describe(self, heads: Mapping[str, Head]) -> dict[str, Any]:
        """Return what the hub is told of this host. `heads` is what was shipped. Blocks."""
        unread = len(self.unread)
        return describe(self._root, self._activity, dict(self._rest), heads) | {"unread": unread}

    def _leave_out(self, session: Session, reason: str) -> None:
        self.unread.add(session.id)
        self._say(f"the log of session {session.id[:8]} cannot be read: {reason}; it is not shipped now")

    def _read(self, session: Session, known: Head | None) -> Part | None:
        part = None
        try:
            part = local_log.read_part(session, known)
        finally:  # also of a log that was deleted or cannot be read: what was known of it is no longer true
            if part is None or not part.rest:
                self._activity.note(session)
        if part and part.data and not self._signer.is_ready(session.id, part.head):
            self._signer.prepare(session, part.head)
        return part
