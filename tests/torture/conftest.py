"""The fixtures that several torture tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.help.fleet import Fleet


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A hub with an engine that runs, and an enrolled host `db1`."""
    made = Fleet(tmp_path)
    made.enroll("db1")
    made.engine.start()
    assert made.hub.run("mirror", "--once").returncode == 0
    yield made
    made.engine.kill()
