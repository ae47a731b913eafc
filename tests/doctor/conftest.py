"""Fixtures for the tests of the checks."""

from pathlib import Path

import pytest

from tests.cli.program import Data


@pytest.fixture
def data(tmp_path: Path) -> Data:
    """A data root that does not exist yet."""
    return Data(tmp_path)
