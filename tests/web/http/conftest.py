"""A running server with short deadlines, and a certificate for one with TLS."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from breakglass.web.http.limits import ConnectionLimits
from tests.help.commands import make_certificate
from tests.help.raw_server import RawServer, raw_server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RawServer]:
    with raw_server(tmp_path, ConnectionLimits(head_seconds=0.5, grace_seconds=0.5)) as server:
        yield server


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"))
