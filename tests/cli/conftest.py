"""What the tests of the command line share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.program import Data


@pytest.fixture
def data(tmp_path: Path) -> Data:
    """A data root that is not there yet."""
    return Data(tmp_path)


class Gate:
    """Lets a turn wait for the test: its script goes on when the gate is open."""

    BEGUN = "│ begun".encode()
    """What a transcript shows once its script runs."""

    def __init__(self, path: Path) -> None:
        self.script = f"echo begun; until [ -e {path} ]; do sleep 0.02; done; echo over"
        self.open = path.touch


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """A gate that is closed, and open in the end, so that no turn outlives its test."""
    made = Gate(tmp_path / "gate")
    yield made
    made.open()
