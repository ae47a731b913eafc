"""What tests share: how hypothesis runs; for those of turns, a data root that they leave no process in."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings as examples

from breakglass.config import Config
from tests.help import turns as living

examples.register_profile("breakglass", deadline=None)  # how long an example takes is the machine's affair
examples.load_profile("breakglass")


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A data root, not made yet. What a test left running of its turns is killed."""
    yield tmp_path / "var"
    living.clear(tmp_path / "var")


@pytest.fixture
def settings(root: Path) -> Config:
    """Settings for turns below `root`."""
    return living.config(root)
