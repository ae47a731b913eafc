"""What all tests share: the hypothesis profiles, and a data root whose turns are killed after the test."""

import gc
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

from breakglass.config import Config
from tests.help import turns as real_turns

# The objects of thousands of collected tests live to the end. Without this, the garbage collector would scan them again
# and again: while they are made, and then in every test.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


# A shell that starts the tests in the background ignores SIGINT for them, and the programs under test inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline: how long an example takes depends on the machine.
hypothesis_settings.register_profile("ci", max_examples=25, stateful_step_count=20, deadline=None)
hypothesis_settings.register_profile("torture", max_examples=1_000, stateful_step_count=50, deadline=None)
hypothesis_settings.load_profile("ci")  # `--hypothesis-profile` takes precedence: it is read after this file


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A data root that does not exist yet. The processes of its turns are killed after the test."""
    yield tmp_path / "var"
    real_turns.kill_turns(tmp_path / "var")


@pytest.fixture
def settings(root: Path) -> Config:
    """Settings for turns below `root`."""
    return real_turns.make_config(root)
