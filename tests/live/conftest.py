"""What every live test needs: a fake model, a fresh home, and the agents that `tests.programs` installs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import programs
from tests.fake_model import FakeModel
from tests.live.agents import surroundings


@pytest.fixture
def model() -> Iterator[FakeModel]:
    """A model of this test's own."""
    with FakeModel() as running:
        yield running


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A HOME in which no agent has been, with the working directory `work` in it."""
    (tmp_path / "home" / "work").mkdir(parents=True)
    return tmp_path / "home"


@pytest.fixture
def environ(model: FakeModel, home: Path) -> dict[str, str]:
    """An agent's whole environment: it reaches the fake model, and nothing else."""
    return surroundings(model, home)


@pytest.fixture(scope="session")
def claude() -> str:
    """The path of the real Claude Code."""
    return str(programs.install("claude"))
