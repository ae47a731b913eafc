"""What tests of turns share: a data root that they leave no process in, and settings for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from breakglass.config import Config
from tests import living


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A data root, not made yet. What a test left running of its turns is killed."""
    yield tmp_path / "var"
    living.clear(tmp_path / "var")


@pytest.fixture
def settings(root: Path) -> Config:
    """Settings for turns below `root`."""
    return living.config(root)
