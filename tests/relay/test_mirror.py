"""The mirror of one host, with an engine that is only a few Python objects."""

import asyncio
import errno
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from breakglass.errors import CannotRecord, EngineLost, EngineRefused
from breakglass.relay import copies, piece
from breakglass.relay.credentials import Credentials
from breakglass.relay.engine import Asked, Engine, Message
from breakglass.relay.mirror import HostMirror

ID = "11111111-1111-4111-8111-111111111111"


class LosesItsConnection:
    """An engine that has one piece. Its connection is lost while the copy is synced, which fails after that."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()
        self.syncing = threading.Event()
        self.is_closed = threading.Event()

    def sync(self, path: Path) -> None:
        """Fail to put a file on disk, after the connection was closed."""
        self.syncing.set()
        self.is_closed.wait(60)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    async def ensure_stream(self) -> None:
        pass

    async def listen(self, *_: object) -> None:
        pass

    async def ask(self) -> Asked:
        return Asked(1, {}, {}, {})

    async def read(self, after: int) -> AsyncIterator[Message]:
        (found,) = piece.divide(piece.NOTHING, b"one\n")
        yield Message(ID, found.headers, found.data, 1, 1)
        await asyncio.to_thread(self.syncing.wait, 60)
        raise EngineLost("the connection was lost")

    async def close(self) -> None:
        self.lost.set()
        asyncio.get_running_loop().call_soon(self.is_closed.set)  # when the mirror has begun to end


def test_a_disk_that_refuses_while_the_connection_ends_is_not_overlooked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hosts").mkdir()
    attempts: list[LosesItsConnection] = []

    async def connect(_: Credentials) -> Engine:
        if attempts:
            raise EngineRefused("a second connection")
        attempts.append(engine := LosesItsConnection())
        monkeypatch.setattr(copies, "_sync", engine.sync)
        return cast(Engine, engine)

    mirror = HostMirror(tmp_path, Credentials("db1", "nats://127.0.0.1", ""), connect, print)
    with pytest.raises(CannotRecord, match="a copy could not be synced: Input/output error"):
        asyncio.run(mirror.run())
    root = tmp_path / "hosts" / "db1"
    assert (root / "sessions" / ID / "events.jsonl").read_bytes() == b""
    assert not (root / "mirror.json").exists()
