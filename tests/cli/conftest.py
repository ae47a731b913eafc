"""Fixtures for the tests of the command line."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.program import Data


@pytest.fixture
def data(tmp_path: Path) -> Data:
    """A data root that does not exist yet."""
    return Data(tmp_path)


class Gate:
    """Makes a turn wait for the test: its script continues when the gate is opened."""

    BEGUN = "│ begun".encode()
    """What a transcript shows when the script has started."""

    def __init__(self, path: Path) -> None:
        self.script = f"echo begun; until [ -e {path} ]; do sleep 0.02; done; echo over"
        self.open = path.touch


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """A closed gate. It is opened after the test, so that no turn outlives the test."""
    made = Gate(tmp_path / "gate")
    yield made
    made.open()
