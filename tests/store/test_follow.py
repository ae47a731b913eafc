"""A follower gets every line once and in order, from any line on, until the log is deleted or replaced."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from breakglass.errors import NotFound
from breakglass.store import log, pieces
from breakglass.store.follow import Followers, FollowSignal
from breakglass.store.log import Log
from breakglass.store.watch import Watch
from tests.help.followers import Client, append_texts, content, unframed, until
from tests.help.log_files import open_logs
from tests.help.logs import SAMPLES, line
from tests.help.waiting import DEADLINE

# --- existing lines, then new lines --------------------------------------------------------------


@pytest.mark.parametrize("after", range(6))
async def test_a_client_gets_the_lines_it_misses_then_caught_up_then_new_lines(
    after: int, followers: Followers, followed: str, writer: Log
) -> None:
    client = await Client(followers, followed, after).caught_up()
    assert (client.number, client.received) == (5, content(followed, after))
    append_texts(writer, "a", "b")
    await until(lambda: client.number == 7)
    append_texts(writer, "c")
    await until(lambda: client.number == 8)
    assert client.received == content(followed, after)
    assert client.events == [FollowSignal.CAUGHT_UP]


@pytest.mark.parametrize("after", [6, 7, 1 << 62])
async def test_a_client_that_names_a_line_beyond_the_end_is_reset_and_gets_everything(
    after: int, followers: Followers, followed: str
) -> None:
    client = Client(followers, followed, after)
    await until(lambda: len(client.events) == 2)
    assert client.events == [FollowSignal.RESET, FollowSignal.CAUGHT_UP]
    assert client.received == content(followed)


async def test_following_without_a_log_is_not_found(followers: Followers, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        await anext(followers.follow(str(tmp_path), 0, unframed))


async def test_an_empty_log_is_followed_from_its_first_line(followers: Followers, tmp_path: Path) -> None:
    with log.create(str(tmp_path)) as created:
        client = await Client(followers, str(tmp_path)).caught_up()
        created.append("created", **SAMPLES["created"])
        await until(lambda: client.number == 1)


async def test_a_torn_line_is_not_delivered_but_its_repair_is(
    followers: Followers, followed: str, writer: Log
) -> None:
    client = await Client(followers, followed).caught_up()
    with open(f"{followed}/{log.NAME}", "ab", buffering=0) as file:
        for byte in b'{"id":6,"ts":"2026':
            file.write(bytes([byte]))
            await asyncio.sleep(0.002)
    assert client.number == 5
    append_texts(writer, "after")
    await until(lambda: client.number == 7)
    assert client.received == content(followed)
    assert b'"kind":"repaired"' in client.received.splitlines()[5]


async def test_foreign_lines_count_in_the_numbering(followers: Followers, followed: str, writer: Log) -> None:
    client = Client(followers, followed, 3)
    with open(f"{followed}/{log.NAME}", "ab") as file:
        file.write(b"hello\n\n\xff\r\n" + line(2, "text") + b"x" * 300_000 + b"\n")
    await until(lambda: client.number == 10)
    append_texts(writer, "after")
    await until(lambda: client.number == 11)
    assert client.received == content(followed, 3)


async def test_a_giant_foreign_line_is_delivered_cut_to_its_beginning(
    followers: Followers, followed: str, writer: Log
) -> None:
    client = Client(followers, followed)
    path = Path(followed, log.NAME)
    os.truncate(path, 30 << 20)  # a hole in the file reads as zeros
    await client.caught_up()
    assert client.number == 5
    with path.open("ab") as file:
        file.write(b"\n")
    append_texts(writer, "after")
    await until(lambda: client.number == 7)
    assert len(client.received) < 100_000


async def test_lines_longer_than_a_piece_are_delivered_whole(
    followers: Followers, followed: str, writer: Log
) -> None:
    client = Client(followers, followed)
    append_texts(writer, "x" * pieces.PIECE_BYTES, "y", "z" * 3_000_000, "end")
    await until(lambda: client.number == 9)
    assert client.received == content(followed)


# --- a log that is deleted, replaced or cut short ------------------------------------------------


@pytest.mark.parametrize("how", ["deleted", "replaced", "cut short", "emptied", "cut short and grown"])
async def test_a_deleted_replaced_or_shortened_log_ends_the_stream(
    how: str, followers: Followers, followed: str
) -> None:
    client = await Client(followers, followed).caught_up()
    before = client.received
    path = Path(followed, log.NAME)
    if how == "deleted":
        path.unlink()
    elif how == "replaced":
        Path(followed, "new").write_bytes(before.replace(b"ann", b"eve") * 2)
        os.replace(Path(followed, "new"), path)
    elif how == "cut short":
        os.truncate(path, len(before) - 1)
    elif how == "emptied":
        path.write_bytes(b"")
    else:
        path.write_bytes(b"y" * len(before) + b"\nz\n")
    await until(client.task.done)
    assert client.events == [FollowSignal.CAUGHT_UP, FollowSignal.GONE]
    assert client.received == before


async def test_a_client_that_connects_after_a_replacement_follows_the_new_log(
    followers: Followers, followed: str
) -> None:
    old = await Client(followers, followed).caught_up()
    Path(followed, "new").write_bytes(line(1, "created", title="new"))
    os.replace(Path(followed, "new"), Path(followed, log.NAME))
    new = Client(followers, followed)
    await until(lambda: new.events and old.task.done())
    assert new.received == content(followed)
    await new.disconnect()


# --- many clients -------------------------------------------------------------------------------


async def test_clients_that_leave_at_any_moment_do_not_disturb_others(
    followers: Followers, followed: str, writer: Log
) -> None:
    staying = Client(followers, followed)
    for number in range(100):
        leaving = [Client(followers, followed, number % 7) for _ in range(3)]
        for _ in range(number % 9):
            await asyncio.sleep(0)
        append_texts(writer, str(number))
        for client in leaving:
            await client.disconnect()
    await until(lambda: staying.number == writer.end.number)
    assert staying.received == content(followed)


async def test_replays_of_a_large_log_do_not_block_the_event_loop(
    followers: Followers, followed: str
) -> None:
    lines = [line(number, "delta", text="x" * 200) for number in range(6, 200_001)]
    with open(f"{followed}/{log.NAME}", "ab") as file:
        file.write(b"".join(lines))
    clients = [Client(followers, followed, number) for number in range(5)]
    longest, iterations = 0.0, 0
    while not all(client.events for client in clients):
        before = time.thread_time()  # of this thread only: a busy machine must not fail the test
        await asyncio.sleep(0)
        longest, iterations = max(longest, time.thread_time() - before), iterations + 1
    assert all(client.number == 200_000 for client in clients)
    assert iterations > 300
    assert longest < 0.05


async def test_close_ends_every_stream_at_once_and_closes_the_logs(followed: str, writer: Log) -> None:
    before = open_logs()
    append_texts(writer, *("x" * 1_000 for _ in range(3_000)))
    followers = Followers(Watch(tick=60))
    waiting = [Client(followers, followed) for _ in range(5)]
    await until(lambda: all(client.events for client in waiting))
    replaying = [Client(followers, followed, number) for number in range(1, 6)]
    await until(lambda: any(client.pieces for client in replaying))
    async with asyncio.timeout(DEADLINE):
        await followers.close()
        await asyncio.gather(*(client.task for client in waiting + replaying))
    last = writer.end.number
    assert all(FollowSignal.CAUGHT_UP not in client.events or client.number == last for client in replaying)
    late = Client(followers, followed)
    await until(late.task.done)
    assert late.events == []
    await until(lambda: open_logs() == before)
