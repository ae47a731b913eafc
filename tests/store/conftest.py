"""Fixtures of the store's tests: session directories with logs, writers, followers, and a small disk."""

import resource
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from breakglass.store import log
from breakglass.store.follow import Followers
from breakglass.store.log import Log
from breakglass.store.watch import Watch
from tests.help.logs import SAMPLES
from tests.help.small_disk import mount_small_disk


@pytest.fixture
def directory(tmp_path: Path) -> str:
    """A session's directory with a log of one line."""
    with log.create(str(tmp_path)) as created:
        created.append("created", **SAMPLES["created"])
    return str(tmp_path)


@pytest.fixture
def writer(directory: str) -> Iterator[Log]:
    """The log in `directory`, open for appending."""
    with log.open_log(directory) as opened:
        yield opened


@pytest.fixture
def followed(directory: str, writer: Log) -> str:
    """The same directory with a log of five lines, written by `writer`."""
    for number in range(4):
        writer.append("renamed", title=str(number), by="ann")
    return directory


@pytest.fixture
async def followers() -> AsyncIterator[Followers]:
    """Followers of logs whose watch ticks often."""
    made = Followers(Watch(tick=0.5))
    yield made
    await made.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[str]:
    """A session's directory with a log of one line, on a file system of 256 KiB."""
    with mount_small_disk(tmp_path / "disk", "256k") as disk:
        with log.create(str(disk)) as created:
            created.append("created", **SAMPLES["created"])
        yield str(disk)


@pytest.fixture
def file_size_limit() -> Iterator[int]:
    """Limit files of this process to 40,000 bytes. Python ignores SIGXFSZ, so a write fails instead."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))
    yield 40_000
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
