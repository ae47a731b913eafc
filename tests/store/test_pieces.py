"""Pieces of a log are read once for all followers, cached within a limit, and dropped when the log changes."""

import asyncio
import os
from pathlib import Path

import pytest

from breakglass.events import MAX_FOREIGN, encode
from breakglass.store import follow, log, pieces, seek
from breakglass.store.follow import Followers, FollowSignal
from breakglass.store.log import Log
from tests.help.followers import Client, CountingFrame, append_texts, content, unframed, until
from tests.help.log_files import open_logs
from tests.help.logs import SAMPLES
from tests.help.waiting import DEADLINE

# --- shared -------------------------------------------------------------------------------------


async def test_followers_at_the_end_share_one_read(followers: Followers, followed: str, writer: Log) -> None:
    frame = CountingFrame()
    clients = [Client(followers, followed, number % 6, frame) for number in range(60)]
    await until(lambda: all(client.events for client in clients))
    before = frame.calls
    for number in range(10):
        append_texts(writer, str(number))
        await until(lambda: all(client.number == writer.end.number for client in clients))
    assert frame.calls - before <= 12
    assert all(client.received == content(followed, client.after) for client in clients)


async def test_replays_share_framed_pieces(followers: Followers, followed: str, writer: Log) -> None:
    append_texts(writer, *("x" * 1_000 for _ in range(2_000)))
    frame = CountingFrame()
    first = await Client(followers, followed, 0, frame).caught_up()
    calls = frame.calls
    assert calls >= 2_000_000 // pieces.PIECE_BYTES
    others = [Client(followers, followed, 0, frame) for _ in range(5)]
    await until(lambda: all(client.events for client in others))
    assert frame.calls - calls <= 1
    assert all(client.received == first.received for client in others)


async def test_followers_that_begin_at_different_lines_soon_share_pieces(
    followers: Followers, followed: str, writer: Log
) -> None:
    """Otherwise each client that reconnects would leave its own copy of the whole log."""
    append_texts(writer, *("x" * 1_000 for _ in range(2_000)))
    frame, many = CountingFrame(), 40
    for number in range(many):
        await (await Client(followers, followed, number * 7, frame).caught_up()).disconnect()
    shared = 2_000_000 // pieces.PIECE_BYTES + 1
    assert frame.calls <= shared + 2 * many  # each client's first piece, and the log's last, are not cached


# --- cached -------------------------------------------------------------------------------------


async def test_a_very_long_line_is_read_once_for_clients_that_leave_before_it_is_read(
    followers: Followers, followed: str, writer: Log
) -> None:
    """On a loaded machine, a client with a short timeout would else never get behind such a line."""
    with open(Path(followed, log.NAME), "ab") as file:
        file.write(b"x" * (seek.MAX_LINE + pieces.PIECE_BYTES) + b"\n")
    append_texts(writer, "after")
    lengths: list[int] = []

    def frame(lines: bytes, number: int) -> bytes:
        lengths.append(len(lines))
        return unframed(lines, number)

    await (await Client(followers, followed, 0, frame).caught_up()).disconnect()
    again = await Client(followers, followed, 0, frame).caught_up()
    assert again.number == writer.end.number
    assert [length for length in lengths if length > MAX_FOREIGN] == [MAX_FOREIGN + 1]


async def test_the_cache_is_limited_and_drops_the_pieces_of_a_retired_reader(
    followed: str, writer: Log
) -> None:
    cache = pieces.PieceCache(limit=300_000)
    reader = pieces.PieceReader(followed, unframed, cache)
    append_texts(writer, *("x" * 1_000 for _ in range(1_000)))
    position = seek.START
    while piece := await reader.read(position, object()):
        position = piece.end
        assert cache.size <= 300_000
    assert cache.size > 0
    reader.retire()
    assert cache.size == 0


async def test_cached_pieces_of_a_log_that_was_cut_short_are_not_delivered(
    followers: Followers, followed: str, writer: Log
) -> None:
    append_texts(writer, *("x" * 1_000 for _ in range(500)))
    await (await Client(followers, followed).caught_up()).disconnect()
    path = Path(followed, log.NAME)
    os.truncate(path, path.read_bytes().index(b"\n") + 1)
    with log.open_log(followed) as again:
        append_texts(again, *("y" * 1_000 for _ in range(400)))
    client = await Client(followers, followed).caught_up()
    assert client.received == content(followed)
    await client.disconnect()


@pytest.mark.parametrize("length", [1_000, 999])
async def test_cached_pieces_of_a_log_that_was_written_over_in_place_are_not_delivered(
    length: int, followers: Followers, followed: str, writer: Log
) -> None:
    """The inode stays and the file never shrinks. A backup of another log that is copied over it does this."""
    append_texts(writer, *("x" * 1_000 for _ in range(500)))
    staying = await Client(followers, followed).caught_up()
    await (await Client(followers, followed).caught_up()).disconnect()
    path = Path(followed, log.NAME)
    first_line = path.read_bytes()[: path.read_bytes().index(b"\n") + 1]
    with open(path, "rb+") as file:
        file.write(first_line)
        file.writelines(
            encode(number, log.now(), "text", {"turn": 2, "text": "y" * length}) for number in range(2, 700)
        )
    client = await Client(followers, followed).caught_up()
    assert client.received == content(followed)
    await client.disconnect()
    await until(lambda: staying.events[-1] is FollowSignal.GONE)


# --- open files ---------------------------------------------------------------------------------


async def test_only_a_few_logs_without_followers_stay_open(followers: Followers, tmp_path: Path) -> None:
    before = open_logs()
    for number in range(follow.IDLE_READERS + 10):
        directory = tmp_path / str(number)
        directory.mkdir()
        with log.create(str(directory)) as created:
            created.append("created", **SAMPLES["created"])
        await (await Client(followers, str(directory)).caught_up()).disconnect()
    async with asyncio.timeout(DEADLINE):
        # A log that a thread was still reading is closed when the next client leaves.
        while open_logs() > before + follow.IDLE_READERS:
            await (await Client(followers, str(tmp_path / "0")).caught_up()).disconnect()
    await followers.close()
    assert open_logs() == before
