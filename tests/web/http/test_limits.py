"""Limits by descriptors and memory, and a certificate that cannot be used."""

import subprocess
import sys
from pathlib import Path

import pytest

from breakglass.errors import BadConfig
from breakglass.store import memory
from breakglass.web.http import limits
from breakglass.web.http.limits import configure


def test_the_descriptor_limit_is_raised_to_the_hard_limit() -> None:
    script = (
        "import resource as r; from breakglass.web.http.limits import max_connections, raise_descriptor_limit\n"
        "r.setrlimit(r.RLIMIT_NOFILE, (64, 512)); small = max_connections(); raise_descriptor_limit()\n"
        "print(small, r.getrlimit(r.RLIMIT_NOFILE), max_connections())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "32 (512, 512) 256\n"


def test_little_memory_allows_few_connections_but_at_least_16(monkeypatch: pytest.MonkeyPatch) -> None:
    for megabytes, connections in ((24, 16), (80, 256)):
        monkeypatch.setattr(memory, "limit", lambda megabytes=megabytes: megabytes << 20)
        assert limits.max_connections() == connections


def test_an_unusable_certificate_prevents_the_start(certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    cert.chmod(0o600)  # a key that every user may read is refused before
    for wrong in ((cert, cert), (key, key), (cert, Path("/nonexistent"))):
        with pytest.raises(BadConfig, match="no certificate with its key"):
            configure(*wrong)
