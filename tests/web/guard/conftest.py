"""A data root with a guard in front of a small application."""

from pathlib import Path

import pytest

from breakglass.access.credentials import Access
from tests.help.guarded import Guarded


@pytest.fixture
def guarded(tmp_path: Path) -> Guarded:
    access = Access(tmp_path)
    return Guarded(access, (tmp_path / "token").read_text().strip(), tmp_path)
