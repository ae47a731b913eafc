"""Ships the logs of this host into its stream.

How this works
--------------
A relay claims the stream with an epoch, then asks it for the head of each log. Every message expects the sequence after
the one before. So if one piece is refused, all behind it are, and no gap can arise. On any surprise (a refusal, an
answer that is late, a lost connection) the relay drops what is under way, connects again, asks again, and goes on.

The file is the buffer: at most `UNDER_WAY` pieces are in memory. The newest log goes first, and each log gets a part of
`local_log.WINDOW` bytes in turn, so a log that grows does not wait for old ones.

A relay that finds a later claim of another one stops: two machines use the credentials of one host.
"""

import asyncio
import json
import os
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from breakglass.errors import BreakglassError, EngineLost, Fenced, WrongSequence
from breakglass.relay import engine as engines
from breakglass.relay import local_log, piece
from breakglass.relay.backlog import Backlog
from breakglass.relay.engine import Engine
from breakglass.relay.heads import HeadSigner
from breakglass.relay.piece import Head
from breakglass.relay.remote import Remote
from breakglass.store import log, sessions
from breakglass.store.sessions import Session
from breakglass.store.watch import changed_sessions
from breakglass.text import plural

UNDER_WAY = 32
"""Pieces that were sent and not acknowledged: at most 8 MiB."""
RETRY_SECONDS = (0.1, 5.0)
"""The first and the longest pause before another attempt."""
SEEN_SECONDS = 10.0
SYNC_SECONDS = 0.05
"""How long shipping waits for the disk."""

Connect = Callable[[], Awaitable[Engine]]
Say = Callable[[str], object]


class Relay:
    """The relay of one data root. Lives on one event loop."""

    def __init__(
        self,
        root: Path,
        connect: Connect,
        say: Say,
        signer: HeadSigner,
        rate: int = 0,
        remote: Remote | None = None,
    ) -> None:
        """`rate` is the most bytes a second, 0 for no limit. `remote` takes signed commands."""
        self._root = root
        self._connect = connect
        self._say = say
        self._signer = signer
        self._rate = rate
        self._remote = remote
        self._nonce = secrets.token_hex(8)
        self._epoch = 0
        self._heads: dict[str, Head] = {}
        self._sequence = 0
        self._acks: deque[asyncio.Future[int]] = deque()
        self._backlog = Backlog(root, signer, say)

    async def run(self, *, once: bool = False) -> None:
        """Ship until cancelled, or with `once` until everything is stored.

        Raises Fenced, StreamFull and EngineRefused. With `once`, also EngineLost if the engine does not answer, and
        BreakglassError if a log could not be read.
        """
        pause = RETRY_SECONDS[0]
        while True:
            began = time.monotonic()
            try:
                return await self._run_connected(once=once)
            except (EngineLost, WrongSequence) as error:
                if once and not self._epoch:
                    raise
                if isinstance(error, EngineLost):
                    self._say(f"{error}; trying again")
            pause = RETRY_SECONDS[0] if time.monotonic() - began > RETRY_SECONDS[1] else pause
            await asyncio.sleep(pause)
            pause = min(2 * pause, RETRY_SECONDS[1])

    async def _run_connected(self, *, once: bool) -> None:
        engine = await self._connect()
        self._acks.clear()
        seen = None
        try:
            await self._take_over(engine)
            seen = asyncio.create_task(self._be_seen(engine))
            if self._remote:
                await engine.listen(f"{engines.COMMANDS}*", self._take)
            await self._ship_all(engine)
            if once:
                if unread := len(self._backlog.unread):
                    raise BreakglassError(f"{plural(unread, 'log')} could not be read; all others are stored")
                return
            async for changed in changed_sessions(self._root, until=engine.lost):
                await self._ship_all(engine, changed)
            raise EngineLost("the connection to the engine was lost")
        finally:
            if seen:
                seen.cancel()
            for each in self._acks:
                each.cancel()
            await engine.close()

    async def _take(self, subject: str, data: bytes) -> bytes | None:
        assert self._remote
        return await self._remote.take(subject.removeprefix(engines.COMMANDS), data)

    async def _take_over(self, engine: Engine) -> None:
        """Ask where the stream is, and claim it unless the claim is ours already. Raises Fenced."""
        asked = await engine.ask()
        self._heads, self._sequence = asked.heads, asked.sequence
        is_ours = asked.claim.get("Bg-Relay") == self._nonce
        # An older claim is no reason to stop: ours was not stored, or the engine was emptied.
        if self._epoch and not is_ours and asked.claim_sequence >= self._epoch:
            last = {"epoch": self._epoch, "machine": os.uname().nodename}
            await engine.tell(engines.SEEN, json.dumps(last).encode())  # so the hub shows that there are two
            other = asked.claim.get("Bg-Machine", "")[:64]
            raise Fenced(f"another relay with the credentials of this host has taken over, on {other}")
        if not is_ours:
            self._epoch = self._sequence + 1
            claim = {"Bg-Epoch": str(self._epoch), "Bg-Relay": self._nonce, "Bg-Machine": os.uname().nodename}
            await self._publish(engine, "_claim", b"", claim)
            await self._settle()

    async def _ship_all(self, engine: Engine, only: set[str] | None = None) -> None:
        """Ship what there is, and return when all of it is stored, except for logs that cannot be read now."""
        if only is None:
            only = set(sessions.ids(self._root))
            self._backlog.keep_only(only)
        waiting = _newest_first(self._root, only)
        while waiting:
            waiting = [each for each in waiting if await self._ship_part(engine, each)]
        await self._settle()

    async def _ship_part(self, engine: Engine, session: Session) -> bool:
        """Ship a part of a log. Return whether there is more."""
        part = await self._backlog.next_part(session, self._heads.get(session.id))
        if part is None:
            return False
        syncing = asyncio.create_task(asyncio.to_thread(local_log.sync, session))
        await asyncio.wait([syncing], timeout=SYNC_SECONDS)
        for each in piece.divide(part.head, part.data):
            mark = {} if syncing.done() else {"Bg-Unsynced": "1"}
            await self._publish(
                engine, session.id, each.data, each.headers | mark | self._signer.sign(session.id, each)
            )
            self._heads[session.id] = each.head
            if self._rate:
                await asyncio.sleep(len(each.data) / self._rate)
        self._backlog.note_shipped(session, part)
        return part.rest > 0

    async def _publish(self, engine: Engine, name: str, data: bytes, headers: dict[str, str]) -> None:
        while len(self._acks) >= UNDER_WAY:
            await self._acks[0]
            self._acks.popleft()
        self._acks.append(await engine.publish(name, data, headers, self._sequence))
        self._sequence += 1

    async def _settle(self) -> None:
        """Wait until everything that was sent is stored."""
        while self._acks:
            await self._acks[0]
            self._acks.popleft()

    async def _be_seen(self, engine: Engine) -> None:
        """Tell the hub every few seconds that this host is there. Notice another relay, also without a new line."""
        while True:
            seen = await asyncio.to_thread(self._backlog.describe, dict(self._heads))
            if self._remote:
                seen["signers"] = self._remote.signers()
            with suppress(EngineLost):  # shipping notices it too
                await engine.tell(engines.SEEN, json.dumps(seen | {"epoch": self._epoch}).encode())
                claim = await engine.last_claim()
                if claim and claim.get("Bg-Relay") != self._nonce:
                    engine.lost.set()  # the next connection finds out who has taken over
            await asyncio.sleep(SEEN_SECONDS)


def _newest_first(root: Path, ids: set[str]) -> list[Session]:
    def changed(session: Session) -> float:
        try:
            return os.stat(f"{session.directory}/{log.NAME}").st_mtime
        except OSError:
            return 0.0

    return sorted((Session(root, each) for each in ids), key=changed, reverse=True)
