"""The fixtures of the contract suite.

They need nothing from tests/conftest.py: `pytest -m contract --confcutdir=tests/contract tests/contract` runs the
suite without it.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.driver import DataRoot, Gate, Server, serving


@pytest.fixture
def data(tmp_path: Path) -> DataRoot:
    """A data root for one test. It does not exist yet."""
    return DataRoot(tmp_path)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """A closed gate. It opens after the test, so that its turn ends."""
    made = Gate(tmp_path / "gate")
    yield made
    made.open()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that need no server of their own."""
    with serving(
        DataRoot(tmp_path_factory.mktemp("server")), BREAKGLASS_SSE_KEEPALIVE_SECONDS="0.2"
    ) as shared:
        yield shared


@pytest.fixture
def session(server: Server) -> str:
    """A new session on the shared server."""
    return server.new()
