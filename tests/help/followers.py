"""Followers of a log for tests: clients that check what they receive, and the log's content to compare with."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

from breakglass.store import log
from breakglass.store.follow import Followers, FollowSignal
from breakglass.store.log import Log
from breakglass.store.pieces import Frame, Piece
from tests.help.waiting import wait_until_async


async def until(condition: Callable[[], object]) -> None:
    """Wait until `condition` holds."""
    await wait_until_async(condition, "a condition on followers")


def unframed(lines: bytes, first: int) -> bytes:
    """Return the lines unchanged: the frame in these tests."""
    return lines


class CountingFrame:
    """A frame that counts its calls: one for each piece that is read."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, lines: bytes, first: int) -> bytes:
        self.calls += 1
        return lines


class Client:
    """One follower. It keeps what it receives, and checks that no line is repeated, out of order or missing."""

    def __init__(self, followers: Followers, directory: str, after: int = 0, frame: Frame = unframed) -> None:
        self.after = self.number = after
        self.pieces: list[bytes] = []
        self.events: list[FollowSignal] = []
        """The follow events that it received, without QUIET."""
        self.task = asyncio.create_task(self._run(followers, directory, frame))

    @property
    def received(self) -> bytes:
        """The bytes received after line `after`."""
        return b"".join(self.pieces)

    async def _run(self, followers: Followers, directory: str, frame: Frame) -> None:
        async with aclosing(followers.follow(directory, self.after, frame)) as steps:
            async for step in steps:
                self._receive(step)

    def _receive(self, step: Piece | FollowSignal) -> None:
        if isinstance(step, FollowSignal):
            if step is FollowSignal.RESET:
                self.after, self.number, self.pieces = 0, 0, []
            if step is not FollowSignal.QUIET:
                self.events.append(step)
            return
        assert step.begin.number == self.number
        assert step.end.number - self.number == step.body.count(b"\n")
        self.number = step.end.number
        self.pieces.append(step.body)

    async def caught_up(self) -> "Client":
        """Wait until the client has received a follow event, usually CAUGHT_UP."""
        await until(lambda: self.events)
        return self

    async def disconnect(self) -> None:
        """Stop following."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def content(directory: str, after: int = 0) -> bytes:
    """Return the whole lines of the log that follow line `after`."""
    raw = Path(directory, log.NAME).read_bytes()
    return b"".join(raw[: raw.rfind(b"\n") + 1].splitlines(keepends=True)[after:])


def append_texts(writer: Log, *texts: str) -> None:
    """Append a `delta` event for each text."""
    for text in texts:
        writer.append("delta", turn=2, text=text)
