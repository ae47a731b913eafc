"""`breakglass agents` with the real Claude Code: its version, and whether it seems logged in."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.help.waiting import DEADLINE

KEY = "ANTHROPIC_API_KEY"


def listed(home: Path, claude: str, environ: dict[str, str]) -> dict[str, Any]:
    """Return what the command prints about an agent that is Claude Code."""
    (home / "c.toml").write_text(f'[agents.claude]\ncommand = ["{claude}"]\npermissions = "ask"\n')
    words = [sys.executable, "-m", "breakglass", "agents", "--json", "--config", str(home / "c.toml")]
    rows = subprocess.check_output(words, env=environ, cwd=home, timeout=DEADLINE).splitlines()
    return dict(next(row for row in map(json.loads, rows) if row["name"] == "claude"))


@pytest.mark.parametrize("has_key", [True, False])
def test_an_agent_says_its_version_and_whether_it_is_logged_in(
    home: Path, claude: str, environ: dict[str, str], *, has_key: bool
) -> None:
    row = listed(home, claude, {key: value for key, value in environ.items() if has_key or key != KEY})
    assert (row["can_start"], row["logged_in"]) == (True, has_key)
    assert row["version"] == "2.1.330 (Claude Code)"
    assert (KEY in row["problem"]) is not has_key
