"""A program that handles each change learns of every session that changes, is new or is deleted."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from breakglass.store import sessions, watch_all
from breakglass.store.inotify import Inotify
from tests.help.followers import until


@asynccontextmanager
async def following(root: Path) -> AsyncIterator[tuple[list[set[str] | None], asyncio.Event]]:
    """Collect what `changed_sessions` yields, after its first None."""
    found: list[set[str] | None] = []
    until_set = asyncio.Event()

    async def run() -> None:
        async with aclosing(watch_all.changed_sessions(root, until=until_set)) as changes:
            async for each in changes:
                found.append(each)  # noqa: PERF401 - seen at once

    task = asyncio.create_task(run())
    await until(lambda: found)
    assert found.pop() is None
    yield found, until_set
    until_set.set()
    await task


def names(found: list[set[str] | None]) -> set[str]:
    return {name for each in found if each for name in each}


async def test_a_session_that_changes_is_new_or_is_deleted_is_named(tmp_path: Path) -> None:
    old = sessions.create(tmp_path, "shell")
    async with following(tmp_path) as (found, _):
        sessions.change(old, title="new title")
        await until(lambda: names(found) == {old.id})
        new = sessions.create(tmp_path, "shell")
        await until(lambda: names(found) == {old.id, new.id})
        found.clear()
        sessions.change(new, title="new title")
        await until(lambda: names(found) == {new.id})
        found.clear()
        shutil.rmtree(old.directory)
        await until(lambda: names(found) == {old.id})


async def test_nothing_is_yielded_after_the_event_is_set(tmp_path: Path) -> None:
    session = sessions.create(tmp_path, "shell")
    async with following(tmp_path) as (found, until_set):
        until_set.set()
        await asyncio.sleep(0)
        sessions.change(session, title="new title")
    assert found == []


async def test_while_the_kernel_refuses_to_watch_all_sessions_count_as_changed_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions.create(tmp_path, "shell")

    def refuse(self: Inotify, directory: str) -> int:
        raise OSError(28, "No space left on device")  # inotify_add_watch(2): the user's limit was reached

    monkeypatch.setattr(Inotify, "add", refuse)
    monkeypatch.setattr(watch_all, "POLL_SECONDS", 0.01)
    async with following(tmp_path) as (found, _):
        await until(lambda: len(found) > 2)
    assert set(map(type, found)) == {type(None)}
