"""The paths that watchfiles reports are absolute; a data root need not be."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from breakglass.store import sessions
from breakglass.store.follow import Hub, Mark, Piece
from breakglass.store.watch import Watch


async def test_a_change_wakes_its_followers_where_the_data_root_is_relative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    session = sessions.create(Path("var"), "shell")
    hub = Hub(Watch(tick=3600))
    steps = hub.follow(session.directory, 0, lambda lines, _: lines)
    async with asyncio.timeout(20), aclosing(steps):
        async for step in steps:
            if step is Mark.QUIET:  # the watcher is armed
                sessions.change(session, title="a new line")
            elif isinstance(step, Piece) and step.end.number == 2:
                break
    await hub.close()
