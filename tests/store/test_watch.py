"""Followers are woken when their log changes, quickly while a turn runs. Without followers, no watcher runs."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from subprocess import PIPE

import pytest

from breakglass.store import log, sessions
from breakglass.store.follow import Followers, FollowSignal
from breakglass.store.log import Log
from breakglass.store.pieces import Piece
from breakglass.store.watch import QUICK_MS, SLOW_MS, Watch
from tests.help.followers import Client, append_texts, content, unframed, until

# --- wakes --------------------------------------------------------------------------------------


class LosingWatch(Watch):
    """A watch that gets no report of a change, so that every wake is lost."""

    async def _watch(self, directories: frozenset[str], step: int, stop: asyncio.Event) -> None:
        await stop.wait()


async def test_when_every_wake_is_lost_lines_still_arrive_with_the_tick(followed: str, writer: Log) -> None:
    followers = Followers(LosingWatch(tick=0.05))
    client = await Client(followers, followed).caught_up()
    for number in range(5):
        append_texts(writer, str(number))
        await until(lambda: client.number == writer.end.number)
    Path(followed, log.NAME).unlink()
    await until(client.task.done)
    assert client.events == [FollowSignal.CAUGHT_UP, FollowSignal.GONE]
    await followers.close()


async def test_a_change_wakes_followers_when_the_data_root_is_a_relative_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """watchfiles reports absolute paths."""
    monkeypatch.chdir(tmp_path)
    session = sessions.create(Path("var"), "shell")
    followers = Followers(Watch(tick=3600))
    steps = followers.follow(session.directory, 0, unframed)
    async with asyncio.timeout(20), aclosing(steps):
        async for step in steps:
            if step is FollowSignal.QUIET:  # the watcher is armed
                sessions.change(session, title="a new line")
            elif isinstance(step, Piece) and step.end.number == 2:
                break
    await followers.close()


# --- the pace -----------------------------------------------------------------------------------


async def test_the_pace_is_quick_while_a_turn_runs_and_slow_otherwise(followed: str, writer: Log) -> None:
    watch = Watch(tick=0.5)
    followers = Followers(watch)
    client = await Client(followers, followed).caught_up()
    assert (watch.pace, followers.busy_directories()) == (SLOW_MS, [])
    append_texts(writer, "a")
    await until(lambda: watch.pace == QUICK_MS)
    assert followers.busy_directories() == [followed]
    writer.append("turn_end", turn=2, status="ok", duration_ms=1)
    await until(lambda: watch.pace == SLOW_MS)
    assert client.received == content(followed)
    await followers.close()


async def test_a_client_that_reconnects_within_a_turn_and_missed_nothing_makes_the_session_busy(
    followers: Followers, followed: str, writer: Log
) -> None:
    append_texts(writer, "a")
    client = await Client(followers, followed, writer.end.number).caught_up()
    assert (client.received, followers.busy_directories()) == (b"", [followed])


async def test_events_that_do_not_belong_to_a_turn_do_not_change_whether_a_session_is_busy(
    directory: str, writer: Log
) -> None:
    turn = writer.append("user", text="go", by="test")
    writer.append("renamed", title="within the turn", by="test")
    followers = Followers(Watch())
    async with aclosing(followers.follow(directory, writer.end.number, unframed)) as steps:
        assert await anext(steps) is FollowSignal.CAUGHT_UP
        assert followers.busy_directories() == [directory]
        writer.append("turn_end", turn=turn, status="ok", duration_ms=1)
        writer.append("renamed", title="after the turn", by="test")
        while followers.busy_directories():
            await anext(steps)
    await followers.close()


async def test_a_replay_of_an_ended_turn_does_not_make_a_session_busy(followed: str, writer: Log) -> None:
    append_texts(writer, *("x" * 1_000 for _ in range(500)))
    writer.append("turn_end", turn=2, status="ok", duration_ms=1)
    followers = Followers(Watch(tick=0.5))
    await Client(followers, followed, writer.end.number).caught_up()
    replay = Client(followers, followed)
    while not replay.events:
        await asyncio.sleep(0)
        assert followers.busy_directories() == []
    await followers.close()


# --- the watcher starts and ends ----------------------------------------------------------------


async def test_the_watcher_starts_with_the_first_follower_and_ends_after_the_last(
    followers: Followers, followed: str
) -> None:
    alone = asyncio.all_tasks()
    clients = [Client(followers, followed) for _ in range(3)]
    await until(lambda: all(client.events for client in clients))
    assert followers.is_followed()
    for client in clients:
        await until(lambda: followers.is_followed() and len(asyncio.all_tasks() - alone) >= 2)
        await client.disconnect()
    await until(lambda: asyncio.all_tasks() == alone)
    assert not followers.is_followed()


@asynccontextmanager
async def script(*prefix: str, code: str, arguments: list[str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run Python code in its own process, with pipes to it."""
    process = await asyncio.create_subprocess_exec(
        *prefix, sys.executable, "-c", code, *arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


FOLLOWS_TO_LINE_7 = """
import asyncio, sys
from breakglass.store.follow import FollowSignal, Followers
from breakglass.store.watch import Watch
def unframed(lines, first):
    return lines
async def main():
    followers = Followers(Watch(tick=60))
    steps = followers.follow(sys.argv[1], 5, unframed)
    async for step in steps:
        if step is FollowSignal.CAUGHT_UP:
            print("caught up", flush=True)
        elif step is not FollowSignal.QUIET:
            print(step.end.number, flush=True)
            if step.end.number == 7:
                break
    await steps.aclose()
    while len(asyncio.all_tasks()) > 1:  # the watcher ends a moment after the last follower
        await asyncio.sleep(0.01)
    print("idle", flush=True)
    input_came = asyncio.Event()
    asyncio.get_running_loop().add_reader(0, input_came.set)
    await input_came.wait()
    print("woken", flush=True)
    await followers.close()
asyncio.run(main())
"""


async def test_without_inotify_followers_poll_the_log_and_a_warning_says_so(
    followed: str, writer: Log
) -> None:
    prefix = ["unshare", "--user", "--map-root-user", "sh", "-c"]
    prefix += ['echo 0 > /proc/sys/user/max_inotify_instances && exec "$@"', "sh"]
    async with script(*prefix, code=FOLLOWS_TO_LINE_7, arguments=[followed]) as process:
        assert process.stdin
        assert process.stdout
        assert await process.stdout.readline() == b"caught up\n"
        for number in (b"6\n", b"7\n"):
            append_texts(writer, "x")
            assert await process.stdout.readline() == number
        process.stdin.write(b"\n")
        _, errors = await process.communicate()
        assert errors.count(b"cannot be watched") == 1
        assert errors.count(b"\n") <= 3


async def test_nothing_is_polled_without_followers(
    followed: str, writer: Log, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # The trace is not beside the log: a write there would be a change that wakes the watcher.
    trace = tmp_path_factory.mktemp("traces") / "trace"
    async with script(
        "strace", "-f", "-o", str(trace), code=FOLLOWS_TO_LINE_7, arguments=[followed]
    ) as process:
        assert process.stdin
        assert process.stdout
        assert await process.stdout.readline() == b"caught up\n"
        append_texts(writer, "x", "x")
        while await process.stdout.readline() != b"idle\n":
            pass
        await asyncio.sleep(1.5)  # nothing must happen in this time: 30 checks at the slow pace
        process.stdin.write(b"\n")
        await process.communicate()
    idle = trace.read_text(errors="replace").split('write(1, "idle"')[1].split('write(1, "woken"')[0]
    assert idle.count("nanosleep") < 10, idle
    assert idle.count("\n") < 150, idle
