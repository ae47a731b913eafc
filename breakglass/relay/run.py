"""Runs a relay or a mirror in this process until it is stopped, and compares a host with its stream."""

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from breakglass.config import Config
from breakglass.errors import CannotRecord
from breakglass.relay import engine as engines
from breakglass.relay import local_log, piece
from breakglass.relay.credentials import Credentials, held, of_host
from breakglass.relay.engine import Engine
from breakglass.relay.enroll import Hub
from breakglass.relay.heads import HeadSigner
from breakglass.relay.mirror import Mirror
from breakglass.relay.piece import BadPiece
from breakglass.relay.remote import Remote
from breakglass.relay.ship import Relay
from breakglass.store import log, sessions
from breakglass.store.sessions import Session

Say = Callable[[str], object]


async def relay(config: Config, say: Say, *, once: bool) -> int:
    """Ship the sessions of a data root, and take signed commands. Return the exit status."""
    credentials = of_host(config)
    remote = None if once else Remote(config, credentials.host, lambda text: say(f"breakglass: {text}"))

    async def connect() -> Engine:
        return await engines.connect(credentials, f"breakglass relay {credentials.host}")

    signer = HeadSigner(credentials.host, credentials.seed)
    relay = Relay(config.data, connect, _once_each(say), signer, config.relay.rate_bytes, remote)
    with held(config):
        return await _until_stopped(relay.run(once=once))


async def mirror(data: Path, say: Say, *, once: bool) -> int:
    """Mirror all enrolled hosts into a data root. Return the exit status."""
    hub = Hub(data)

    async def connect(credentials: Credentials) -> Engine:
        return await engines.connect(credentials, f"breakglass mirror {credentials.host}")

    try:
        return await _until_stopped(
            Mirror(data, hub.hub_credentials, connect, _once_each(say)).run(once=once)
        )
    except CannotRecord as error:
        say(f"breakglass: {error}")
        return DISK
    except OSError as error:  # of the disk: those of the network are EngineLost
        say(f"breakglass: the copies cannot be read or written: {error.strerror or error}")
        return DISK


DISK = 5


async def _until_stopped(work: Coroutine[Any, Any, None]) -> int:
    """Run until the work ends, or a signal stops it. Raises what the work raises."""
    logging.getLogger("asyncio").setLevel(
        logging.ERROR
    )  # it warns of each TLS connection that the library closes
    task = asyncio.ensure_future(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        pass
    return 0


def _once_each(say: Say) -> Say:
    """Return a `say` that leaves out a text that was said last, such as that of each attempt to connect."""
    last = ""

    def say_new(text: str) -> None:
        nonlocal last
        if text != last:
            last = text
            say(f"breakglass: {text}")

    return say_new


async def check(config: Config, say: Say) -> int:
    """Compare every log of a data root with the stream. Return 0 if all is there, else 1."""
    root, credentials = config.data, of_host(config)
    engine = await engines.connect(credentials, f"breakglass relay --check {credentials.host}")
    try:
        asked = await engine.ask()
        bad = 0
        for session_id in sorted(sessions.ids(root)):
            if problem := await _compare(engine, asked, Session(root, session_id)):
                say(f"{session_id}: {problem}")
                bad += 1
        total = sum(1 for _ in sessions.ids(root))
        say(f"{total:,} sessions, {bad:,} of them differ from the stream")
        return 1 if bad else 0
    finally:
        await engine.close()


async def _compare(engine: Engine, asked: engines.Asked, session: Session) -> str:
    """Return how a log differs from the stream, "" if all its whole lines are there."""
    head = asked.heads.get(session.id)
    fd = log.open_reader(session.directory)
    try:
        whole = local_log.last_newline(fd, 0, log.size(fd))
        if head is None:
            if local_log.stays_here(fd):
                return ""
            return "nothing of it was shipped" if whole else ""
        generation, end = 0, 0
        async for message in engine.read(0, session.id):
            try:
                found = piece.read(message.headers, message.data)
            except BadPiece as error:
                return f"message {message.sequence}: {error}"
            if found.generation != generation:
                generation, end = found.generation, 0
            if generation == head.generation:
                if found.offset != end or os.pread(fd, len(found.data), end) != found.data:
                    return f"other bytes at offset {found.offset}"
                end = found.head.offset
            if message.sequence >= asked.last[session.id].sequence:
                break
        return f"{whole - end:,} bytes after byte {end:,} were not shipped" if whole != end else ""
    finally:
        os.close(fd)
