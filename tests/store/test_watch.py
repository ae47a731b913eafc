"""Followers are woken at once when their log changes. Without followers, nothing is watched and nothing runs."""

import asyncio
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from subprocess import PIPE

import pytest

from breakglass.store import log, pieces, sessions
from breakglass.store.follow import Followers, FollowSignal
from breakglass.store.log import Log
from breakglass.store.pieces import Piece
from breakglass.store.watch import PAUSE_SECONDS, Watch
from tests.help.followers import Client, append_texts, unframed, until

# --- wakes --------------------------------------------------------------------------------------


class LosingWatch(Watch):
    """A watch that gets no report of a change, so that every wake is lost."""

    def _listen(self) -> None:
        """Listen to nothing."""


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
    monkeypatch.chdir(tmp_path)
    session = sessions.create(Path("var"), "shell")
    followers = Followers(Watch(tick=3600))
    steps = followers.follow(session.directory, 0, unframed)
    async with asyncio.timeout(20), aclosing(steps):
        async for step in steps:
            if step is FollowSignal.CAUGHT_UP:
                sessions.change(session, title="a new line")
            elif isinstance(step, Piece) and step.end.number == 2:
                break
    await followers.close()


async def test_a_program_that_writes_single_lines_wakes_followers_at_most_every_2_ms(
    followed: str, writer: Log
) -> None:
    watch = Watch(tick=3600)
    with watch.topic(followed) as topic:
        wakes, began = 0, asyncio.get_running_loop().time()
        for number in range(300):
            changed = topic.changed
            append_texts(writer, str(number))
            await asyncio.sleep(0)
            wakes += changed.is_set()
        assert wakes <= (asyncio.get_running_loop().time() - began) / PAUSE_SECONDS + 2
        changed = topic.changed
        append_texts(writer, "last")
        await until(changed.is_set)
    watch.close()


async def test_a_directory_that_is_moved_or_deleted_is_watched_again_under_its_name(tmp_path: Path) -> None:
    watch = Watch(tick=3600)
    place = tmp_path / "one"
    for end in (lambda: place.rename(tmp_path / "two"), place.rmdir):
        place.mkdir()
        with watch.topic(str(place)) as topic:
            changed = topic.changed
            end()
            await until(changed.is_set)
    place.mkdir()
    with watch.topic(str(place)) as topic:
        changed = topic.changed
        (place / "file").write_text("x")
        await until(changed.is_set)
    watch.close()


async def test_when_the_kernel_drops_reports_every_follower_is_woken(
    followed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overflow = struct.pack("iIII", -1, 0x4000, 0, 0)  # inotify(7): IN_Q_OVERFLOW
    watch = Watch(tick=3600)
    with watch.topic(followed) as one, watch.topic(str(tmp_path)) as other:
        waited_for = one.changed, other.changed
        monkeypatch.setattr("breakglass.store.inotify.os.read", lambda fd, size: overflow)
        (tmp_path / "file").write_text("x")
        await until(lambda: all(event.is_set() for event in waited_for))
        monkeypatch.undo()
    watch.close()


# --- whether more lines are expected ------------------------------------------------------------


async def test_events_that_do_not_belong_to_a_turn_do_not_change_whether_a_session_is_busy(
    directory: str, writer: Log
) -> None:
    turn = writer.append("user", text="go", by="test")
    writer.append("renamed", title="within the turn", by="test")
    assert pieces.is_busy(directory)
    writer.append("turn_end", turn=turn, status="ok", duration_ms=1)
    writer.append("renamed", title="after the turn", by="test")
    assert not pieces.is_busy(directory)


# --- the watcher starts and ends ----------------------------------------------------------------


async def test_a_directory_is_watched_from_the_first_follower_to_the_last(
    followers: Followers, followed: str
) -> None:
    clients = [Client(followers, followed) for _ in range(3)]
    await until(lambda: all(client.events for client in clients))
    for client in clients:
        assert followers.is_followed()
        assert watches_of_this_process() == 1
        await client.disconnect()
    assert not followers.is_followed()
    assert watches_of_this_process() == 0


def watches_of_this_process() -> int:
    """Return how many directories the kernel watches for this process (proc(5), fdinfo of inotify)."""
    found = 0
    for each in Path("/proc/self/fdinfo").iterdir():
        with suppress(FileNotFoundError):
            found += each.read_text().count("inotify wd:")
    return found


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
        await asyncio.sleep(1.5)  # nothing must happen in this time
        process.stdin.write(b"\n")
        await process.communicate()
    idle = trace.read_text(errors="replace").split('write(1, "idle"')[1].split('write(1, "woken"')[0]
    assert idle.count("\n") < 40, idle
