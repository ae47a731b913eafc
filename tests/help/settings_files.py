"""Settings files for tests. A test file imports the fixtures that it uses."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from breakglass.config import Config
from breakglass.load_config import load_config

WriteFile = Callable[[str], str]


@pytest.fixture
def write_file(tmp_path: Path) -> WriteFile:
    """A function that writes a settings file and returns its path."""

    def write(text: str) -> str:
        path = tmp_path / "settings.toml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test in a folder without a settings file."""
    monkeypatch.chdir(tmp_path)


def load(environ: dict[str, str] | None = None, path: str | None = None, **overrides: Any) -> Config:
    return load_config(environ or {}, path, overrides)
