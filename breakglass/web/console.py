"""What one web process serves from: the settings, its followers, and what it keeps an eye on.

The routes in api.py and pages.py stand on this. It lives on one event loop, but for the methods that say
they block: those are called in threads. Nothing here is shared with other processes, nor needs to be.
"""

import asyncio
import logging
import os
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

from breakglass.access.credentials import Access
from breakglass.config import Config
from breakglass.errors import BreakglassError, NotFound
from breakglass.settings import check_model
from breakglass.state import SessionState, describe
from breakglass.store import log, pieces, sessions, window
from breakglass.store.follow import Followers
from breakglass.store.pieces import Frame
from breakglass.store.sessions import Session
from breakglass.store.watch import Watch
from breakglass.store.window import Window
from breakglass.turns.end import cancel_turn, current_state, end_if_lost, has_runner, wait_for_stop
from breakglass.web import sse, stream
from breakglass.web.page import render

LOST_SECONDS = 2.0
"""How often a busy session that somebody follows is looked at: has its runner died?"""
WRITERS = 32
"""Threads that may wait for logs' locks, which anybody may hold: apart from asyncio's few, which read logs."""
SHOWN = 200
"""Sessions that a page lists unless asked for all: 10,000 are 5 MB (2026-11-23)."""
PAGE_BYTES = 96 << 10
"""Bytes of log that a page shows at once: about 220 KiB of HTML."""

_log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")


class Desk:
    """One process's work."""

    def __init__(self, config: Config, access: Access) -> None:
        self.config = config
        self.access = access
        self.hub = Followers(Watch(tick=stream.tick(config.sse_keepalive_seconds)))
        self._writers = ThreadPoolExecutor(WRITERS, "writer")
        self._tasks: set[asyncio.Task[Any]] = set()
        self._undertaker: asyncio.Task[None] | None = None
        self._warned: set[str] = set()

    # --- called in threads: these block

    def create(
        self, agent: str | None, model: str | None, *, by: str, title: str = "", key: str | None = None
    ) -> Session:
        """Make a session, or return the one that `key` made. Raises BadInput for an unknown agent or a bad model."""
        chosen = self.config.agent_named(agent or self.config.agent).name
        if model:
            check_model("model", model)
        return sessions.create(self.config.data, chosen, model or None, title, by, key)

    def stop(self, session: Session, by: str) -> bool:
        """Stop the running turn and return whether there was one.

        That it ends is seen to in the background: whoever asked may be gone, and its request with it.
        """
        if not cancel_turn(session, by=by):
            return False
        # A thread of its own: it may wait 15 s.
        threading.Thread(target=self._see_off, args=(session,), daemon=True).start()
        return True

    def _see_off(self, session: Session) -> None:
        try:
            wait_for_stop(session)
        except (BreakglassError, OSError) as error:
            _log.warning("session %s: %s", session.id, error)

    def state(self, session: Session) -> SessionState:
        """Return a session's state, its turn ended if it was lost. Raises NotFound."""
        return current_state(session, warn=self._warn)

    def overview(self, *, archived: bool) -> list[dict[str, Any]]:
        """Return all sessions, latest first; archived ones only if asked for."""
        found = sessions.list_sessions(self.config.data)
        shown = [(session, state) for session, state in found if archived or state.is_shown]
        return [describe(session.id, current_state(session, state, self._warn)) for session, state in shown]

    def list_for_page(
        self, *, archived: bool = False, query: str = "", most: int | None = SHOWN
    ) -> tuple[list[dict[str, Any]], int]:
        """Return at most so many sessions as the page lists them, the urgent first, and how many there are.

        With a `query` those whose heading has all its words.
        """
        words = query.lower().split()
        found = {
            session.id: (session, current_state(session, state, self._warn))
            for session, state in sessions.list_sessions(self.config.data)
            if (archived or state.is_shown)
            and all(word in (state.title or state.first_prompt).lower() for word in words)
        }
        ordered = render.by_urgency(describe(id_, state) for id_, (_, state) in found.items())
        return [_for_page(*found[each["id"]]) for each in ordered[:most]], len(found)

    def describe_for_page(self, session: Session) -> dict[str, Any]:
        """Return one session as the page shows it. Raises NotFound."""
        return _for_page(session, self.state(session))

    def window(self, session: Session, *, before: int | None, after: int | None) -> Window:
        """Return what a page shows of a log. Raises NotFound."""
        fd = log.open_reader(session.directory)
        try:
            return window.read(fd, PAGE_BYTES, before=before, after=after)
        finally:
            os.close(fd)

    def place(self, session: Session, number: int, ts: str) -> int:
        """Return `number` where that line is of that time, else a number beyond any log. Raises NotFound.

        After a power loss other lines may have the numbers of those that a page has seen and the disk has not.
        """
        fd = log.open_reader(session.directory)
        try:
            return number if log.read_one(fd, number).get("ts") == ts else stream.BEYOND
        except NotFound:
            return stream.BEYOND
        finally:
            os.close(fd)

    def agents(self) -> list[dict[str, Any]]:
        """Return the agents that can be chosen, and whether each can start here."""
        found = []
        for agent in self.config.agents.values():
            ready = agent.program(self.config.environ) is not None
            note = "" if ready else f"{agent.command[0]} was not found"
            found.append(
                {"name": agent.name, "ready": ready, "note": note, "default": agent.name == self.config.agent}
            )
        return found

    def presets(self, agent: str | None = None) -> list[dict[str, Any]]:
        """Return the one-tap prompts for a session of that agent, or for a new one."""
        found = self.config.presets_for(agent)
        return [{"label": each.label, "text": each.text, "agent": each.agent} for each in found]

    # --- called on the loop

    async def write(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `call` returns in a thread for what may have to wait for a lock."""
        return await asyncio.get_running_loop().run_in_executor(self._writers, partial(call, *args, **kwargs))

    def attach(
        self, session: Session, after: int, frame: Frame = sse.frame, beat: bytes = sse.KEEPALIVE
    ) -> AsyncGenerator[bytes, None]:
        """Return the stream of a session for one client."""
        if self._undertaker is None or self._undertaker.done():
            self._undertaker = self._spawn(self._look_for_lost())
        keepalive = self.config.sse_keepalive_seconds
        return stream.attach(self.hub, session, after, frame=frame, keepalive=keepalive, beat=beat)

    def look_around(self) -> None:
        """End, in the background, every turn that was lost while no server ran."""
        self._spawn(asyncio.to_thread(self._look_around))

    def _look_around(self) -> None:
        for session_id in sessions.ids(self.config.data):
            session = Session(self.config.data, session_id)
            try:
                # Reading gigabytes of logs would hold up the first clients.
                if pieces.is_busy(session.directory) and not has_runner(session):
                    end_if_lost(session)
            except (BreakglassError, OSError) as error:
                self._warn(f"session {session_id}: {error}")

    async def _look_for_lost(self) -> None:
        """End lost turns of followed sessions while anybody follows one; end with the last follower."""
        await asyncio.sleep(LOST_SECONDS)
        while self.hub.is_followed():
            for directory in self.hub.busy_directories():
                session = Session(self.config.data, directory.rpartition("/")[2])
                try:
                    await asyncio.to_thread(self._end_lost, session)
                except (BreakglassError, OSError) as error:
                    self._warn(f"session {session.id}: {error}")
            await asyncio.sleep(LOST_SECONDS)

    def _end_lost(self, session: Session) -> None:
        if not has_runner(session):  # else every look would read what a long turn has written
            self.state(session)

    def _warn(self, text: str) -> None:
        """Say something once: a disk that cannot be written is found so with every look."""
        if text not in self._warned:
            self._warned.add(text)
            _log.warning(text)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """End every stream and all work in the background."""
        await self.hub.close()
        for task in list(self._tasks):
            task.cancel()
        self._writers.shutdown(wait=False, cancel_futures=True)


def _for_page(session: Session, state: SessionState) -> dict[str, Any]:
    """Return what the page knows of a session beyond the contract's object."""
    fd = log.open_reader(session.directory)
    try:
        last_line = window.read_last_text(fd)
    finally:
        os.close(fd)
    more = {"first_prompt": state.first_prompt, "asking": bool(state.asking), "last_line": last_line}
    return {**describe(session.id, state), **more, "cost": state.cost, "archived": state.archived}
