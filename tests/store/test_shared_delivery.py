"""Followers at the end of a log share one task. Each gets every line once and in order, also while others
join, leave or lag.
"""

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from breakglass.store import log
from breakglass.store.follow import Followers, FollowSignal
from breakglass.store.log import Log
from breakglass.store.pieces import Frame, Piece
from breakglass.store.watch import Watch
from tests.help.followers import Client, append_texts, content, until
from tests.help.logs import SAMPLES


class Taking(Client):
    """A follower whose lines are delivered by `take`, while it does not lag."""

    def __init__(self, followers: Followers, directory: str, after: int = 0) -> None:
        self.is_lagging = False
        self.taken = 0
        """The pieces that the shared task delivered."""
        super().__init__(followers, directory, after)

    async def _run(self, followers: Followers, directory: str, frame: Frame) -> None:
        async with aclosing(followers.follow(directory, self.after, frame, self._take)) as steps:
            async for step in steps:
                self._receive(step)

    def _take(self, step: Piece | FollowSignal) -> bool:
        assert step is FollowSignal.QUIET or isinstance(step, Piece)
        if not self.is_lagging:
            self._receive(step)
            self.taken += isinstance(step, Piece)
        return not self.is_lagging


class UntoldWatch(Watch):
    """A watch that reports nothing. The tests wake the followers."""

    async def _watch(self, directories: frozenset[str], step: int, stop: asyncio.Event) -> None:
        await stop.wait()

    def wake(self) -> None:
        for topic in self.followed().values():
            topic.wake()


class World:
    """A log, its followers and their clients."""

    def __init__(self, directory: str, writer: Log) -> None:
        self.directory, self.writer = directory, writer
        self.watch = UntoldWatch(tick=3600)
        self.followers = Followers(self.watch)
        self.clients: list[Taking] = []

    async def join(self, number: int) -> None:
        self.clients.append(Taking(self.followers, self.directory, number % (self.writer.end.number + 1)))

    async def leave(self, number: int) -> None:
        if self.clients:
            client = self.clients.pop(number % len(self.clients))
            await client.disconnect()
            assert client.received == content(self.directory, client.after)[: len(client.received)]

    async def lag(self, number: int) -> None:
        if self.clients:
            client = self.clients[number % len(self.clients)]
            client.is_lagging = not client.is_lagging

    async def append(self, number: int) -> None:
        append_texts(self.writer, *("x" * (4_000 if number % 5 == 0 else 9) for _ in range(number % 7)))

    async def wake(self, number: int) -> None:
        self.watch.wake()

    async def run(self, number: int) -> None:
        for _ in range(number):
            await asyncio.sleep(0)


def in_world(work: Callable[[World], Awaitable[None]]) -> None:
    """Run `work` with a new log. Fail unless each client that stays gets all lines."""

    async def run(directory: str) -> None:
        with log.create(directory) as writer:
            writer.append("created", **SAMPLES["created"])
            world = World(directory, writer)
            await work(world)
            world.watch.wake()
            await until(lambda: all_have_all(world))
            for client in world.clients:
                assert client.received == content(directory, client.after)
            async with asyncio.timeout(60):
                await world.followers.close()
                await asyncio.gather(*(client.task for client in world.clients))

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(run(directory))


def all_have_all(world: World) -> bool:
    return all(client.number == world.writer.end.number and client.events for client in world.clients)


NAMES = ("join", "join", "leave", "lag", "lag", "append", "append", "append", "wake", "wake", "run", "run")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 12)), max_size=60))
def test_clients_that_join_leave_and_lag_at_any_moment_get_each_line_once_and_in_order(
    steps: list[tuple[str, int]],
) -> None:
    async def work(world: World) -> None:
        for name, number in steps:
            await getattr(world, name)(number)

    in_world(work)


def test_a_client_at_the_end_gets_lines_from_the_shared_task_again_after_it_lagged() -> None:
    async def work(world: World) -> None:
        await world.join(0)
        await world.join(0)
        slow, quick = world.clients
        await until(lambda: all_have_all(world))
        await deliver(world)
        assert (slow.taken, quick.taken) == (1, 1)
        slow.is_lagging = True
        await deliver(world)
        assert (slow.taken, quick.taken) == (1, 2)
        slow.is_lagging = False
        await deliver(world)
        assert (slow.taken, quick.taken) == (2, 3)

    in_world(work)


async def deliver(world: World) -> None:
    append_texts(world.writer, "x")
    world.watch.wake()
    await until(lambda: all_have_all(world))


def test_a_delivery_wakes_no_task_of_a_client() -> None:
    async def work(world: World) -> None:
        for _ in range(20):
            await world.join(0)
        await until(lambda: all_have_all(world))
        waiting = [client.task._fut_waiter for client in world.clients]  # type: ignore[attr-defined]
        await deliver(world)
        assert [client.task._fut_waiter for client in world.clients] == waiting  # type: ignore[attr-defined]

    in_world(work)


def test_a_log_that_is_deleted_ends_the_streams_of_clients_that_share_a_task() -> None:
    async def work(world: World) -> None:
        for _ in range(3):
            await world.join(0)
        await until(lambda: all_have_all(world))
        os.unlink(Path(world.directory, log.NAME))
        world.watch.wake()
        await until(lambda: all(client.task.done() for client in world.clients))
        assert [client.events[-1] for client in world.clients] == [FollowSignal.GONE] * 3
        world.clients.clear()

    in_world(work)
