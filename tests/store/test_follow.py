"""Whoever follows a log gets every line once, in order, from wherever it begins, whatever happens to the file."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path

import pytest

from breakglass.errors import NotFound
from breakglass.events import encode
from breakglass.store import follow, log, seek
from breakglass.store.follow import Hub, Mark, Piece
from breakglass.store.log import Log
from breakglass.store.watch import QUICK_MS, SLOW_MS, Watch
from tests.help.logs import SAMPLES, line

SECONDS = 20.0
"""How long a condition is waited for: far longer than it ever takes."""


def whole(lines: bytes, first: int) -> bytes:
    """Frame lines as they are: `frame` in these tests."""
    return lines


class Counting:
    """A frame that counts how often it is asked: once for each piece that is read."""

    def __init__(self) -> None:
        self.pieces = 0

    def __call__(self, lines: bytes, first: int) -> bytes:
        self.pieces += 1
        return lines


class Deaf(Watch):
    """A watch that is never told of a change, as if every wake were lost."""

    async def _watch(self, directories: frozenset[str], step: int, stop: asyncio.Event) -> None:
        await stop.wait()


class Client:
    """One follower, which keeps what it got and sees to it that nothing comes twice, late or not at all."""

    def __init__(
        self, hub: Hub, directory: str, after: int = 0, frame: Callable[[bytes, int], bytes] = whole
    ) -> None:
        self.after = self.number = after
        self.pieces: list[bytes] = []
        self.marks: list[Mark] = []
        self.task = asyncio.create_task(self._run(hub, directory, frame))

    @property
    def got(self) -> bytes:
        """What came since line `after`."""
        return b"".join(self.pieces)

    async def _run(self, hub: Hub, directory: str, frame: Callable[[bytes, int], bytes]) -> None:
        async with aclosing(hub.follow(directory, self.after, frame)) as steps:
            async for step in steps:
                self._take(step)

    def _take(self, step: Piece | Mark) -> None:
        if isinstance(step, Mark):
            if step is Mark.RESET:
                self.after, self.number, self.pieces = 0, 0, []
            if step is not Mark.QUIET:
                self.marks.append(step)
            return
        assert step.begin.number == self.number
        assert step.end.number - self.number == step.body.count(b"\n")
        self.number = step.end.number
        self.pieces.append(step.body)

    async def caught_up(self) -> "Client":
        await until(lambda: self.marks)
        return self

    async def leave(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def until(condition: Callable[[], object]) -> None:
    """Wait until `condition` holds, which it must in time."""
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110 — files and other tasks' fields set no event
            await asyncio.sleep(0.002)


@pytest.fixture
def directory(tmp_path: Path) -> str:
    """A session's directory whose log has five lines."""
    with log.create(str(tmp_path)) as made:
        made.append("created", **SAMPLES["created"])
        for number in range(4):
            made.append("renamed", title=str(number), by="ann")
    return str(tmp_path)


@pytest.fixture
def writer(directory: str) -> Iterator[Log]:
    with log.open_log(directory) as opened:
        yield opened


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    made = Hub(Watch(tick=0.5))
    yield made
    await made.close()


def content(directory: str) -> bytes:
    """Return the whole lines of the log."""
    raw = Path(directory, log.NAME).read_bytes()
    return raw[: raw.rfind(b"\n") + 1]


def since(directory: str, after: int) -> bytes:
    return b"".join(content(directory).splitlines(keepends=True)[after:])


def say(writer: Log, *texts: str) -> None:
    for text in texts:
        writer.append("delta", turn=2, text=text)


# --- replay and tail ----------------------------------------------------------------------------


@pytest.mark.parametrize("after", range(6))
async def test_from_any_line_comes_what_follows_then_caught_up_then_what_is_new(
    after: int, hub: Hub, directory: str, writer: Log
) -> None:
    client = Client(hub, directory, after)
    await until(lambda: client.marks)
    assert (client.number, client.got) == (5, since(directory, after))
    say(writer, "a", "b")
    await until(lambda: client.number == 7)
    say(writer, "c")
    await until(lambda: client.number == 8)
    assert client.got == since(directory, after)
    assert client.marks == [Mark.CAUGHT_UP]


@pytest.mark.parametrize("after", [6, 7, 1 << 62])
async def test_beyond_the_end_it_starts_afresh(after: int, hub: Hub, directory: str) -> None:
    client = Client(hub, directory, after)
    await until(lambda: len(client.marks) == 2)
    assert client.marks == [Mark.RESET, Mark.CAUGHT_UP]
    assert client.got == content(directory)


async def test_without_a_log_there_is_nothing_to_follow(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        await anext(hub.follow(str(tmp_path), 0, whole))


async def test_an_empty_log_is_followed_from_its_first_line(hub: Hub, tmp_path: Path) -> None:
    with log.create(str(tmp_path)) as made:
        client = Client(hub, str(tmp_path))
        await until(lambda: client.marks)
        made.append("created", **SAMPLES["created"])
        await until(lambda: client.number == 1)


async def test_a_torn_line_is_never_shown_and_its_repair_is(hub: Hub, directory: str, writer: Log) -> None:
    client = Client(hub, directory)
    await until(lambda: client.marks)
    with open(f"{directory}/{log.NAME}", "ab", buffering=0) as file:
        for byte in b'{"id":6,"ts":"2026':
            file.write(bytes([byte]))
            await asyncio.sleep(0.002)
    assert client.number == 5
    say(writer, "after")
    await until(lambda: client.number == 7)
    assert client.got == content(directory)
    assert b'"kind":"repaired"' in client.got.splitlines()[5]


async def test_a_strangers_lines_keep_the_numbering(hub: Hub, directory: str, writer: Log) -> None:
    client = Client(hub, directory, 3)
    with open(f"{directory}/{log.NAME}", "ab") as file:
        file.write(b"hello\n\n\xff\r\n" + line(2, "text") + b"x" * 300_000 + b"\n")
    await until(lambda: client.number == 10)
    say(writer, "after")
    await until(lambda: client.number == 11)
    assert client.got == since(directory, 3)


async def test_of_a_strangers_endless_line_the_beginning_is_shown(
    hub: Hub, directory: str, writer: Log
) -> None:
    client = Client(hub, directory)
    path = Path(directory, log.NAME)
    os.truncate(path, 30 << 20)  # a hole: zeros without end
    await until(lambda: client.marks)
    assert client.number == 5
    with path.open("ab") as file:
        file.write(b"\n")
    say(writer, "after")
    await until(lambda: client.number == 7)
    assert len(client.got) < 100_000


async def test_lines_larger_than_a_piece_come_whole(hub: Hub, directory: str, writer: Log) -> None:
    client = Client(hub, directory)
    say(writer, "x" * follow.PIECE, "y", "z" * 3_000_000, "end")
    await until(lambda: client.number == 9)
    assert client.got == content(directory)


# --- a file that goes away ------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["deleted", "replaced", "cut short", "emptied", "cut short and grown"])
async def test_a_log_that_goes_away_ends_the_stream(how: str, hub: Hub, directory: str) -> None:
    client = Client(hub, directory)
    await until(lambda: client.marks)
    before = client.got
    path = Path(directory, log.NAME)
    if how == "deleted":
        path.unlink()
    elif how == "replaced":
        Path(directory, "new").write_bytes(before.replace(b"ann", b"eve") * 2)
        os.replace(Path(directory, "new"), path)
    elif how == "cut short":
        os.truncate(path, len(before) - 1)
    elif how == "emptied":
        path.write_bytes(b"")
    else:
        path.write_bytes(b"y" * len(before) + b"\nz\n")
    await until(client.task.done)
    assert client.marks == [Mark.CAUGHT_UP, Mark.GONE]
    assert client.got == before


async def test_who_comes_after_a_replacement_follows_the_new_log(hub: Hub, directory: str) -> None:
    old = Client(hub, directory)
    await until(lambda: old.marks)
    Path(directory, "new").write_bytes(line(1, "created", title="new"))
    os.replace(Path(directory, "new"), Path(directory, log.NAME))
    new = Client(hub, directory)
    await until(lambda: new.marks and old.task.done())
    assert new.got == content(directory)
    await new.leave()


# --- many -----------------------------------------------------------------------------------------


async def test_followers_at_the_end_share_one_read(hub: Hub, directory: str, writer: Log) -> None:
    frame = Counting()
    clients = [Client(hub, directory, number % 6, frame) for number in range(60)]
    await until(lambda: all(client.marks for client in clients))
    before = frame.pieces
    for number in range(10):
        say(writer, str(number))
        await until(lambda: all(client.number == writer.end.number for client in clients))
    assert frame.pieces - before <= 12
    assert all(client.got == since(directory, client.after) for client in clients)


async def test_replays_share_what_was_framed(hub: Hub, directory: str, writer: Log) -> None:
    say(writer, *("x" * 1_000 for _ in range(2_000)))
    frame = Counting()
    first = Client(hub, directory, 0, frame)
    await until(lambda: first.marks)
    pieces = frame.pieces
    assert pieces >= 2_000_000 // follow.PIECE
    others = [Client(hub, directory, 0, frame) for _ in range(5)]
    await until(lambda: all(client.marks for client in others))
    assert frame.pieces - pieces <= 1
    assert all(client.got == first.got for client in others)


async def test_followers_from_anywhere_soon_share_pieces(hub: Hub, directory: str, writer: Log) -> None:
    """Else each who comes back would leave copies of his own of the whole log."""
    say(writer, *("x" * 1_000 for _ in range(2_000)))
    frame, many = Counting(), 40
    for number in range(many):
        await (await Client(hub, directory, number * 7, frame).caught_up()).leave()
    shared = 2_000_000 // follow.PIECE + 1
    assert frame.pieces <= shared + 2 * many  # each one's first, and the end of the log, which nobody keeps


async def test_what_is_kept_is_bounded_and_forgotten_with_its_log(directory: str, writer: Log) -> None:
    kept = follow.Kept(limit=300_000)
    source = follow.Source(directory, whole, kept)
    say(writer, *("x" * 1_000 for _ in range(1_000)))
    position = seek.START
    while piece := await source.read(position, object()):
        position = piece.end
        assert kept.size <= 300_000
    assert kept.size > 0
    source.retire()
    assert kept.size == 0


async def test_nobody_gets_what_was_kept_of_a_log_that_was_cut_since(
    hub: Hub, directory: str, writer: Log
) -> None:
    say(writer, *("x" * 1_000 for _ in range(500)))
    await (await Client(hub, directory).caught_up()).leave()
    path = Path(directory, log.NAME)
    first = path.read_bytes().index(b"\n") + 1
    os.truncate(path, first)
    with log.open_log(directory) as again:
        say(again, *("y" * 1_000 for _ in range(400)))
    client = await Client(hub, directory).caught_up()
    assert client.got == content(directory)
    await client.leave()


@pytest.mark.parametrize("length", [1_000, 999])
async def test_nobody_gets_what_was_kept_of_a_log_that_was_written_over_in_place(
    length: int, hub: Hub, directory: str, writer: Log
) -> None:
    say(writer, *("x" * 1_000 for _ in range(500)))
    stays = await Client(hub, directory).caught_up()
    await (await Client(hub, directory).caught_up()).leave()
    path = Path(directory, log.NAME)
    begin = path.read_bytes()[: path.read_bytes().index(b"\n") + 1]
    with open(
        path, "rb+"
    ) as file:  # the same file, and never shorter: as a backup of another log put in its place
        file.write(begin)
        file.writelines(
            encode(number, log.now(), "text", {"turn": 2, "text": "y" * length}) for number in range(2, 700)
        )
    client = await Client(hub, directory).caught_up()
    assert client.got == content(directory)
    await client.leave()
    await until(lambda: stays.marks[-1] is Mark.GONE)


async def test_logs_that_nobody_follows_are_closed_but_for_a_few(hub: Hub, tmp_path: Path) -> None:
    def descriptors() -> int:
        found = 0
        for fd in os.listdir("/proc/self/fd"):
            with suppress(FileNotFoundError):  # it was listed, and closed since
                found += os.readlink(f"/proc/self/fd/{fd}").endswith(log.NAME)
        return found

    for number in range(follow.IDLE_SOURCES + 10):
        place = tmp_path / str(number)
        place.mkdir()
        with log.create(str(place)) as made:
            made.append("created", **SAMPLES["created"])
        await (await Client(hub, str(place)).caught_up()).leave()
    while (
        descriptors() > follow.IDLE_SOURCES
    ):  # one that a thread still read then is closed with the next to leave
        await (await Client(hub, str(tmp_path / "0")).caught_up()).leave()
    await hub.close()
    assert descriptors() == 0


async def test_clients_that_leave_at_any_moment_disturb_nobody(hub: Hub, directory: str, writer: Log) -> None:
    stays = Client(hub, directory)
    for number in range(100):
        leaves = [Client(hub, directory, number % 7) for _ in range(3)]
        for _ in range(number % 9):
            await asyncio.sleep(0)
        say(writer, str(number))
        for client in leaves:
            await client.leave()
    await until(lambda: stays.number == writer.end.number)
    assert stays.got == content(directory)


async def test_five_replays_leave_the_loop_to_others(hub: Hub, directory: str) -> None:
    lines = [line(number, "delta", text="x" * 200) for number in range(6, 200_001)]
    with open(f"{directory}/{log.NAME}", "ab") as file:
        file.write(b"".join(lines))
    clients = [Client(hub, directory, number) for number in range(5)]
    worst, turns = 0.0, 0
    while not all(client.marks for client in clients):
        before = time.thread_time()
        await asyncio.sleep(0)
        worst, turns = max(worst, time.thread_time() - before), turns + 1
    assert all(client.number == 200_000 for client in clients)
    assert turns > 300
    assert worst < 0.05  # of this thread's own time: a machine that is busy otherwise is no failure


# --- wakes ----------------------------------------------------------------------------------------


async def test_when_every_wake_is_lost_nothing_else_is(directory: str, writer: Log) -> None:
    hub = Hub(Deaf(tick=0.05))
    client = Client(hub, directory)
    await until(lambda: client.marks)
    for number in range(5):
        say(writer, str(number))
        await until(lambda: client.number == writer.end.number)
    Path(directory, log.NAME).unlink()
    await until(client.task.done)
    assert client.marks == [Mark.CAUGHT_UP, Mark.GONE]
    await hub.close()


async def test_the_pace_is_quick_while_a_turn_runs_and_slow_else(directory: str, writer: Log) -> None:
    watch = Watch(tick=0.5)
    hub = Hub(watch)
    client = Client(hub, directory)
    await until(lambda: client.marks)
    assert (watch.pace, hub.busy()) == (SLOW_MS, [])
    say(writer, "a")
    await until(lambda: watch.pace == QUICK_MS)
    assert hub.busy() == [directory]
    writer.append("turn_end", turn=2, status="ok", duration_ms=1)
    await until(lambda: watch.pace == SLOW_MS)
    assert client.got == content(directory)
    await hub.close()


async def test_who_comes_back_within_a_turn_with_nothing_missed_is_known_to_wait_for_more(
    hub: Hub, directory: str, writer: Log
) -> None:
    say(writer, "a")
    client = await Client(hub, directory, writer.end.number).caught_up()
    assert (client.got, hub.busy()) == (b"", [directory])


async def test_a_replay_of_the_past_does_not_make_a_session_busy(directory: str, writer: Log) -> None:
    say(writer, *("x" * 1_000 for _ in range(500)))
    writer.append("turn_end", turn=2, status="ok", duration_ms=1)
    watch = Watch(tick=0.5)
    hub = Hub(watch)
    tail = Client(hub, directory, writer.end.number)
    await until(lambda: tail.marks)
    replay = Client(hub, directory)
    while not replay.marks:
        await asyncio.sleep(0)
        assert hub.busy() == []
    await hub.close()


async def test_the_first_and_the_last_follower_bring_and_take_the_watcher(hub: Hub, directory: str) -> None:
    alone = asyncio.all_tasks()
    clients = [Client(hub, directory) for _ in range(3)]
    await until(lambda: all(client.marks for client in clients))
    assert hub.is_followed()
    for client in clients:
        await until(lambda: hub.is_followed() and len(asyncio.all_tasks() - alone) >= 2)
        await client.leave()
    await until(lambda: asyncio.all_tasks() == alone)
    assert not hub.is_followed()


async def test_close_ends_every_stream_at_once(directory: str, writer: Log) -> None:
    say(writer, *("x" * 1_000 for _ in range(3_000)))
    hub = Hub(Watch(tick=60))
    waiting = [Client(hub, directory) for _ in range(5)]
    await until(lambda: all(client.marks for client in waiting))
    replaying = [Client(hub, directory, number) for number in range(1, 6)]
    await until(lambda: any(client.pieces for client in replaying))
    async with asyncio.timeout(SECONDS):
        await hub.close()
        await asyncio.gather(*(client.task for client in waiting + replaying))
    assert all(Mark.CAUGHT_UP not in client.marks or client.number == 3_005 for client in replaying)
    late = Client(hub, directory)
    await until(late.task.done)
    assert late.marks == []


@asynccontextmanager
async def script(*prefix: str, code: str, arguments: list[str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run Python in a process of its own, to be talked to line by line."""
    pipe = subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *prefix, sys.executable, "-c", code, *arguments, stdin=pipe, stdout=pipe, stderr=pipe
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


FOLLOWS = """
import asyncio, sys
from breakglass.store.follow import Hub, Mark
from breakglass.store.watch import Watch
def whole(lines, first):
    return lines
async def main():
    hub = Hub(Watch(tick=60))
    steps = hub.follow(sys.argv[1], 5, whole)
    async for step in steps:
        if step is Mark.CAUGHT_UP:
            print("caught up", flush=True)
        elif step is not Mark.QUIET:
            print(step.end.number, flush=True)
            if step.end.number == 7:
                break
    await steps.aclose()
    while len(asyncio.all_tasks()) > 1:  # the watcher goes a moment after the last follower
        await asyncio.sleep(0.01)
    print("idle", flush=True)
    told = asyncio.Event()
    asyncio.get_running_loop().add_reader(0, told.set)
    await told.wait()
    print("woken", flush=True)
    await hub.close()
asyncio.run(main())
"""


async def test_without_inotify_the_log_is_looked_at_instead_and_said_so_once(
    directory: str, writer: Log
) -> None:
    prefix = ["unshare", "--user", "--map-root-user", "sh", "-c"]
    prefix += ['echo 0 > /proc/sys/user/max_inotify_instances && exec "$@"', "sh"]
    async with script(*prefix, code=FOLLOWS, arguments=[directory]) as process:
        assert process.stdin
        assert process.stdout
        assert await process.stdout.readline() == b"caught up\n"
        for number in (b"6\n", b"7\n"):
            say(writer, "x")
            assert await process.stdout.readline() == number
        process.stdin.write(b"\n")
        _, errors = await process.communicate()
        assert errors.count(b"cannot be watched") >= 1
        assert errors.count(b"\n") <= 3


async def test_when_nobody_follows_nothing_is_polled(
    directory: str, writer: Log, tmp_path_factory: pytest.TempPathFactory
) -> None:
    trace = (
        tmp_path_factory.mktemp("traces") / "trace"
    )  # not beside the log: writing it would be a change there
    async with script("strace", "-f", "-o", str(trace), code=FOLLOWS, arguments=[directory]) as process:
        assert process.stdin
        assert process.stdout
        assert await process.stdout.readline() == b"caught up\n"
        say(writer, "x", "x")
        while await process.stdout.readline() != b"idle\n":
            pass
        await asyncio.sleep(1.5)  # the time in which nothing must happen: 30 looks at the slow pace
        process.stdin.write(b"\n")
        await process.communicate()
    idle = trace.read_text(errors="replace").split('write(1, "idle"')[1].split('write(1, "woken"')[0]
    assert idle.count("nanosleep") < 10, idle
    assert idle.count("\n") < 150, idle


async def test_a_client_that_missed_nothing_still_makes_a_session_busy_that_is_within_a_turn(
    directory: str, writer: Log
) -> None:
    turn = writer.append("user", text="go", by="test")
    writer.append("renamed", title="said beside the turn", by="test")
    watch = Watch()
    hub = Hub(watch)
    async with aclosing(hub.follow(directory, writer.end.number, whole)) as steps:
        assert await anext(steps) is Mark.CAUGHT_UP
        assert hub.busy() == [directory]
        writer.append("turn_end", turn=turn, status="ok", duration_ms=1)
        writer.append("renamed", title="and after it", by="test")
        while hub.busy():
            await anext(steps)
    await hub.close()
