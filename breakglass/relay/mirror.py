"""Writes the copies of all enrolled hosts: `hosts/<host>/sessions/<id>/events.jsonl`, byte for byte.

How this works
--------------
Each host has an account of its own in the engine, and so a connection of its own here. A `HostMirror` reads the stream
of one host and gives each piece to `Copies`. The sequence of the last message that is on disk is kept as a hint. It
saves time only: a stream that is older than the hint, or a copy that differs from its head, is read from the beginning,
and what is known is recognized.

The files are synced five times a second, and the hint is written after that.
"""

import asyncio
import fcntl
import json
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from breakglass.errors import CannotRecord, Conflict, EngineLost, EngineRefused
from breakglass.relay import engine as engines
from breakglass.relay import fleet, heads, piece, prune
from breakglass.relay.copies import Copies, Outcome
from breakglass.relay.credentials import Credentials
from breakglass.relay.engine import Engine, Message
from breakglass.relay.heads import SignedHead
from breakglass.relay.piece import BadPiece
from breakglass.store import hosts

SYNC_SECONDS = 0.2
RETRY_SECONDS = (0.2, 5.0)
HINT = "mirror.json"
Connect = Callable[[Credentials], Awaitable[Engine]]
Say = Callable[[str], object]


class HostMirror:
    """The mirror of one host."""

    def __init__(self, data: Path, credentials: Credentials, connect: Connect, say: Say) -> None:
        self.host = credentials.host
        self.state = fleet.Link()
        self._root = data / hosts.DIRECTORY / credentials.host
        (self._root / "sessions").mkdir(0o700, parents=True, exist_ok=True)
        self._credentials = credentials
        self._connect = connect
        self._say = say
        self._copies = Copies(self._root)
        self._signed: dict[str, SignedHead] = {}
        """The signed heads that are not in the file yet, the last of each session."""
        self._pruned: dict[str, int] = {}
        self._sequence = 0
        """Of the last message that was applied."""

    async def run(self, *, once: bool = False) -> None:
        """Mirror until cancelled, or with `once` until everything that the engine has is on disk.

        Raises CannotRecord and EngineRefused. With `once`, also EngineLost.
        """
        pause = RETRY_SECONDS[0]
        while True:
            began = time.monotonic()
            try:
                return await self._run_connected(once=once)
            except EngineLost as error:
                self.state.connected = False
                if once:
                    raise
                self._say(f"{self.host}: {error}; trying again")
            pause = RETRY_SECONDS[0] if time.monotonic() - began > RETRY_SECONDS[1] else pause
            await asyncio.sleep(pause)
            pause = min(2 * pause, RETRY_SECONDS[1])

    async def _run_connected(self, *, once: bool) -> None:
        engine = await self._connect(self._credentials)
        syncing = None
        try:
            await engine.ensure_stream()
            await engine.listen(engines.SEEN, self._note_seen)
            self.state.connected = True
            asked = await engine.ask()
            self.state.epoch = asked.claim_sequence
            hint = _read_hint(self._root)
            self._sequence = hint if hint <= asked.sequence else 0
            self._pruned = prune.read_pruned(self._root)
            syncing = asyncio.create_task(self._sync_always(engine))
            if asked.sequence > self._sequence:
                async for message in engine.read(self._sequence):
                    await self._apply(engine, message)
                    if message.sequence >= asked.sequence:
                        break
            asked = await engine.ask()
            for session, head in asked.heads.items():
                if not self._agrees(session, head):
                    await self._read_again(engine, session, asked.last[session].sequence)
            if once:
                return
            async for message in engine.read(self._sequence):
                await self._apply(engine, message)
        finally:
            await engine.close()
            if syncing is not None:
                await asyncio.wait([syncing])  # not cancelled: its thread would go on, and an error be unseen
            self._sync_at_end(syncing, once=once)

    def _sync_at_end(self, syncing: "asyncio.Task[None] | None", *, once: bool) -> None:
        """Put on disk what is not there yet. Raises CannotRecord, also if the disk has refused before."""
        try:
            if syncing is not None and (error := syncing.exception()):
                raise error
            if self._copies.changed or once:
                self._sync()
        except CannotRecord:
            self._copies.take_back()
            raise

    async def _apply(self, engine: Engine, message: Message) -> None:
        if message.name == "_claim":
            self.state.epoch = message.sequence
        elif self._apply_piece(message) is Outcome.GAP:
            await self._read_again(engine, message.name, message.sequence)
        self._sequence = max(self._sequence, message.sequence)
        self.state.pending = message.pending

    def _apply_piece(self, message: Message) -> Outcome | None:
        try:
            whole = piece.read(message.headers, message.data)
            found = self._copies.apply(message.name, whole)
            if signed := heads.read(message.name, whole.head, message.headers):
                self._signed[message.name] = signed
        except BadPiece as error:
            self.state.problems[message.name[:64]] = str(error)
            self._say(f"{self.host}: refused a piece of {message.name[:64]!r}: {error}")
            return None
        self.state.problems.pop(message.name, None)
        return found

    async def _read_again(self, engine: Engine, session: str, sequence: int) -> None:
        """Read the log of one session from its beginning to a sequence. What is known is recognized."""
        async for message in engine.read(0, session):
            if self._apply_piece(message) is Outcome.GAP:
                self.state.problems[session] = "a part of the log is missing in the engine"
            if message.sequence >= sequence:
                return

    def _agrees(self, session: str, head: piece.Head) -> bool:
        try:
            generation, end = self._copies.end(session)
        except BadPiece as error:
            self.state.problems[session[:64]] = str(error)
            return True
        if not end and self._pruned.get(session) == head.offset:
            return True  # it was removed here, and has not grown since
        return end == head.offset and generation >= head.generation

    async def _sync_always(self, engine: Engine) -> None:
        """Put the copies on disk again and again until the connection ends. Raises CannotRecord, and ends it then."""
        try:
            while not engine.lost.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(engine.lost.wait(), SYNC_SECONDS)
                if self._copies.changed:
                    sequence = self._sequence
                    await asyncio.to_thread(self._copies.sync)
                    await asyncio.to_thread(self._write_signed)
                    _write_hint(self._root, sequence)
        finally:
            engine.lost.set()

    def _sync(self) -> None:
        self._copies.sync()
        self._write_signed()
        _write_hint(self._root, self._sequence)

    def _write_signed(self) -> None:
        """Append what the host has signed of the copies. Raises CannotRecord."""
        signed, self._signed = self._signed, {}
        if signed:
            heads.append(self._root / heads.FILE, signed.values())

    async def _note_seen(self, subject: str, data: bytes) -> None:
        with suppress(ValueError):
            seen: Any = json.loads(data)
            if isinstance(seen, dict):
                self.state.note(seen, time.time())
                self.state.generation = self._copies.generation


def _read_hint(root: Path) -> int:
    with suppress(OSError, ValueError, TypeError, KeyError):
        return max(0, int(json.loads((root / HINT).read_bytes())["sequence"]))
    return 0


def _write_hint(root: Path, sequence: int) -> None:
    fleet.replace(root / HINT, {"sequence": sequence})


class Mirror:
    """The mirrors of all enrolled hosts, in one process."""

    def __init__(
        self, data: Path, enrolled: Callable[[], list[Credentials]], connect: Connect, say: Say
    ) -> None:
        self._data = data
        self._enrolled = enrolled
        self._connect = connect
        self._say = say
        self._mirrors: dict[str, HostMirror] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._lock = self._take_lock()

    def _take_lock(self) -> int:
        directory = self._data / hosts.DIRECTORY
        directory.mkdir(0o700, exist_ok=True)
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise Conflict(f"another breakglass mirror writes {directory}") from None
        return fd

    async def run(self, *, once: bool = False) -> None:
        """Mirror all hosts until cancelled, also those that are enrolled later; with `once` until all is on disk."""
        try:
            while True:
                self._begin(once=once)
                if once:
                    await asyncio.gather(*self._tasks.values())
                    self._write_status()
                    return
                self._write_status()
                await asyncio.sleep(fleet.STATUS_SECONDS)
                for host, task in list(self._tasks.items()):
                    if task.done():
                        self._ended(host, task)
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _begin(self, *, once: bool) -> None:
        """Begin to mirror the hosts that are enrolled, and end it for those that are not any more."""
        wanted = {each.host: each for each in self._enrolled()}
        for host in set(self._tasks) - set(wanted):
            self._tasks.pop(host).cancel()
            self._mirrors.pop(host)
        for host in set(wanted) - set(self._tasks):
            mirror = HostMirror(self._data, wanted[host], self._connect, self._say)
            self._mirrors[host] = mirror
            self._tasks[host] = asyncio.create_task(mirror.run(once=once))

    def _ended(self, host: str, task: "asyncio.Task[None]") -> None:
        """Take note of a mirror that ended. A full disk ends all; a refusal only that host, until the next attempt."""
        error = task.exception()
        if isinstance(error, EngineRefused):
            self._say(f"{host}: {error}")
            del self._tasks[host]
        elif error:
            raise error

    def _write_status(self) -> None:
        fleet.write_status(
            self._data, {host: each.state for host, each in self._mirrors.items()}, time.time()
        )
