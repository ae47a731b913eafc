"""What the routes of one web process share: the settings, the access rules, the followers and the writer threads.

Everything lives on the process's event loop, except the methods that block: those are called in threads. Other
processes share none of it: they read the logs.
"""

import asyncio
import json
import logging
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

from breakglass.access.credentials import Access
from breakglass.config import Config
from breakglass.doctor import only_red_checks, quiet_probes
from breakglass.errors import BreakglassError
from breakglass.settings import check_model
from breakglass.state import SessionState, describe
from breakglass.store import disk, root, sessions
from breakglass.store.derived import Derived
from breakglass.store.follow import Followers
from breakglass.store.sessions import Session
from breakglass.store.watch import Watch
from breakglass.turns.end import cancel_turn, current_state, wait_for_stop
from breakglass.vitals import Vitals
from breakglass.vitals.agents import agent_probes
from breakglass.vitals.measure import measure
from breakglass.vitals.probes import Place
from breakglass.web import stream
from breakglass.web.lost_turns import LostTurnWatch
from breakglass.web.sender_watch import SenderWatch

WRITER_THREADS = 32
"""Threads for writes, which may wait for a log's lock. Separate from asyncio's few threads, which read logs: any
process may hold a lock, and reading must go on meanwhile."""

VITALS_SECONDS = 10.0
"""For how long measured vital signs are shown again."""

CONSOLE = "breakglass.console"
"""The key of the Console in the extensions of the application."""

_log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")


def _session_object(session: Session, state: SessionState) -> bytes:
    return json.dumps(describe(session.id, state), ensure_ascii=False).encode()


class Console:
    """The shared objects of one web process."""

    def __init__(self, config: Config, access: Access) -> None:
        self.config = config
        self.access = access
        self.followers = Followers(Watch(tick=stream.tick(config.sse_keepalive_seconds)))
        self.lost_turns = LostTurnWatch(config, self.followers, self.warn_once)
        self.senders = SenderWatch(config)
        self._writers = ThreadPoolExecutor(WRITER_THREADS, "writer")
        self._warned: set[str] = set()
        self._session_objects = Derived(_session_object)
        self._probes = [*agent_probes(config), *quiet_probes(config)]
        self._vitals: Vitals | None = None
        self._vitals_at = 0.0
        self._measuring: asyncio.Task[None] | None = None
        self._writing: asyncio.Task[tuple[float, float] | None] | None = None
        self._writing_since = 0.0

    # --- these block: call them in a thread

    def create(
        self,
        agent: str | None,
        model: str | None,
        *,
        by: str,
        title: str = "",
        target: str | None = None,
        key: str | None = None,
    ) -> Session:
        """Create a session, or return the one of an earlier call with `key`.

        Raises BadInput for an unknown agent or target, or a bad model.
        """
        chosen = self.config.agent_named(agent or self.config.agent).name
        if model:
            check_model("model", model)
        if target is not None:
            self.config.target_named(target)
        return sessions.create(self.config.data, chosen, model or None, title, by, key, target)

    def stop_turn(self, session: Session, by: str) -> tuple[bool, list[str]]:
        """Stop the running turn. Return whether there was one, and what was killed so that it could be stopped.

        A background thread waits for the end and kills a runner that does not stop. It outlives the request, because
        the client may disconnect at once.
        """
        killed: list[str] = []

        def warn(text: str) -> None:
            _log.warning(text)
            killed.append(text)

        if not cancel_turn(session, by=by, warn=warn):
            return False, killed
        # Not a thread of the pool, because it may wait for `end.STOP_SECONDS`.
        threading.Thread(target=self._wait_for_stop, args=(session,), daemon=True).start()
        return True, killed

    def _wait_for_stop(self, session: Session) -> None:
        try:
            wait_for_stop(session, warn=_log.warning)
        except (BreakglassError, OSError) as error:
            _log.warning("session %s: %s", session.id, error)

    def state(self, session: Session) -> SessionState:
        """Return a session's state. Ends its turn first if the turn is lost. Raises NotFound."""
        return current_state(session, warn=self.warn_once)

    def list_sessions(self, data: Path, *, archived: bool) -> bytes:
        """Return the contract's list of all sessions in a data root, latest first; archived ones if asked."""
        found = [
            (session, current_state(session, state, self.warn_once))
            for session, state in sessions.list_sessions(data)
            if archived or state.is_shown
        ]
        return b'{"sessions": [%b]}' % b", ".join(self._session_objects.of_all(data, found))

    def warn_once(self, text: str) -> None:
        """Log a warning, each text only once: on a full disk every read would repeat it."""
        if text not in self._warned:
            self._warned.add(text)
            _log.warning(text)

    # --- these run on the event loop

    async def write(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `call` returns in a writer thread."""
        return await asyncio.get_running_loop().run_in_executor(self._writers, partial(call, *args, **kwargs))

    def attach(
        self, session: Session, after: int, write: stream.Write | None, shown_as: stream.Format = stream.JSON
    ) -> AsyncGenerator[bytes, None]:
        """Return the stream of a session for one client. `write` writes to its connection, if that is possible."""
        self.lost_turns.check_followed()
        interval = self.config.sse_keepalive_seconds
        return stream.attach(self.followers, session, after, interval, write, shown_as)

    async def vitals(self, patience: float | None = None) -> Vitals | None:
        """Return the vital signs and the red checks of `doctor`, measured again if older than `VITALS_SECONDS`.

        With `patience`, a measurement that takes longer is not waited for. Then the earlier signs are returned, None
        if there are none.
        """
        is_old = asyncio.get_running_loop().time() - self._vitals_at > VITALS_SECONDS
        if self._measuring is None and (is_old or self._vitals is None):
            self._measuring = asyncio.create_task(self._measure())
        if self._measuring is not None:
            await asyncio.wait([self._measuring], timeout=patience)
        return self._vitals

    async def _measure(self) -> None:
        try:
            place = Place(self.config.data, self.config.environ)
            self._vitals = only_red_checks(await asyncio.to_thread(measure, place, self._probes))
            self._vitals_at = asyncio.get_running_loop().time()
        finally:
            self._measuring = None

    async def write_seconds(self, patience: float) -> tuple[float, float] | None:
        """Return how long a write to the disk of the data root takes, and its sync; None if it cannot be written.

        A write that takes longer than `patience` goes on. Until it ends, its time so far is returned: no disk that
        hangs gets a second write.
        """
        now = asyncio.get_running_loop().time
        if self._writing is None:
            self._writing, self._writing_since = asyncio.create_task(self._measure_write()), now()
        writing = self._writing
        if not (await asyncio.wait([writing], timeout=patience))[0]:
            return 0.0, now() - self._writing_since
        if self._writing is writing:
            self._writing = None
        return writing.result()

    async def _measure_write(self) -> tuple[float, float] | None:
        if root.read_only_message(self.config.data):
            return None
        try:
            return await asyncio.to_thread(disk.measure_write, self.config.data)
        except OSError:
            return None

    async def close(self) -> None:
        """End every stream and all background work."""
        await self.followers.close()
        self.lost_turns.close()
        self.senders.close()
        self._writers.shutdown(wait=False, cancel_futures=True)
