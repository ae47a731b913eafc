"""Fixtures of the live tests: a fake model, a new HOME, and the agents that `tests.help.programs` installs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from breakglass.config.agents import AgentConfig
from tests.help import programs
from tests.help.fake_model import FakeModel
from tests.live.agents import base_environment
from tests.live.real import Real, ending


@pytest.fixture
def model() -> Iterator[FakeModel]:
    """A fake model of this test alone."""
    with FakeModel() as running:
        yield running


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A HOME that no agent has used, with the working directory `work` in it."""
    (tmp_path / "home" / "work").mkdir(parents=True)
    return tmp_path / "home"


@pytest.fixture
def environ(model: FakeModel, home: Path) -> dict[str, str]:
    """An agent's whole environment. It reaches the fake model and nothing else."""
    return base_environment(model, home)


@pytest.fixture(scope="session")
def claude() -> str:
    """The path of the real Claude Code."""
    return str(programs.install("claude"))


@pytest.fixture
def real(model: FakeModel, home: Path, claude: str, environ: dict[str, str]) -> Iterator[Real]:
    """A session with Claude Code that acts without asking. No process of it outlives the test."""
    env = {"IS_SANDBOX": "1", "CLAUDE_CODE_MAX_RETRIES": "1"}
    agent = AgentConfig("claude", "claude", (claude,), env=env)
    with ending(Real(home.parent / "var", agent, environ, model)) as made:
        yield made


@pytest.fixture
def asking(real: Real) -> Real:
    """The same session, but the agent asks for permission."""
    real.set_agent(permissions="ask")
    return real
