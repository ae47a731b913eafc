"""`breakglass agents`: which agents can start here, and what to do about the others."""

import os
from pathlib import Path
from typing import Any

import pytest

from breakglass.sandbox.init import landlock_version
from tests.cli.program import Data


def write_program(path: Path, script: str, mode: int = 0o755) -> str:
    path.write_text(script)
    path.chmod(mode)
    return str(path)


def configured(data: Data, table: str) -> dict[str, Any]:
    """Return what `agents --json` says about an agent `it` with these settings."""
    (data.folder / "breakglass.toml").write_text(f"[agents.it]\n{table}\n")
    return {str(row["name"]): row for row in data.json("agents")}["it"]


def test_an_agent_whose_program_runs_can_start(data: Data) -> None:
    it = write_program(data.folder / "it", "#!/bin/sh\necho it 1.2.3\necho more")
    row = configured(data, f'protocol = "shell"\ncommand = ["{it}"]')
    assert row == {
        "name": "it",
        "protocol": "shell",
        "command": [it],
        "permissions": "bypass",
        "sandbox": "none",
        "landlock": None,
        "default": False,
        "can_start": True,
        "logged_in": None,
        "program": it,
        "version": "it 1.2.3",
        "problem": "",
    }


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("no-such-program", "no-such-program was not found on PATH: install it"),
        ("/no/such/program", "/no/such/program does not exist: install it"),
        ("bin/agent", "bin/agent: write the whole path into [agents.it] command"),
    ],
)
def test_an_agent_without_a_program_cannot_start(data: Data, command: str, says: str) -> None:
    row = configured(data, f'protocol = "shell"\ncommand = ["{command}"]')
    assert row["can_start"] is False
    assert says in str(row["problem"])


@pytest.mark.parametrize(
    ("script", "mode", "says"),
    [
        ("#!/bin/sh\n", 0o644, "is not executable: chmod +x it"),
        ("#!/no/interpreter\n", 0o755, "cannot be run: No such file or directory"),
        ("neither a script nor a program", 0o755, "cannot be run: Exec format error"),
    ],
)
def test_an_agent_whose_program_cannot_be_run_cannot_start(
    data: Data, script: str, mode: int, says: str
) -> None:
    it = write_program(data.folder / "it", script, mode)
    row = configured(data, f'protocol = "shell"\ncommand = ["{it}"]')
    assert row["can_start"] is False
    assert says in str(row["problem"])


@pytest.mark.parametrize(
    "script", ["#!/bin/sh\nexit 2", "#!/bin/sh\nexec sleep 60", "#!/bin/sh\nprintf '\\033[31m'"]
)
def test_an_agent_without_a_version_can_start(data: Data, script: str) -> None:
    it = write_program(data.folder / "it", script)
    row = configured(data, f'protocol = "shell"\ncommand = ["{it}"]')
    assert (row["can_start"], row["version"]) == (True, "")


def test_a_command_with_arguments_is_not_run_for_its_version(data: Data) -> None:
    row = configured(data, 'protocol = "shell"\ncommand = ["bash", "--norc"]')
    assert (row["can_start"], row["version"]) == (True, "")


@pytest.mark.parametrize(
    ("more", "can_start"),
    [
        ("", False),
        ('env = { IS_SANDBOX = "1" }', True),
        ('permissions = "ask"', True),
        ('pass_env = ["IS_SANDBOX"]', False),
    ],
)
def test_claude_as_root_needs_explicit_consent(data: Data, more: str, can_start: bool) -> None:
    it = write_program(data.folder / "it", "#!/bin/sh\necho 2.1")
    row = configured(data, f'protocol = "claude"\ncommand = ["{it}"]\n{more}')
    can_start = can_start or os.geteuid() != 0
    assert row["can_start"] is can_start
    assert ("IS_SANDBOX" in str(row["problem"])) is not can_start


def test_a_sandbox_is_tried_with_the_agents_program_in_it(data: Data) -> None:
    row = configured(data, 'protocol = "claude"\ncommand = ["sleep"]\nsandbox = "bwrap"')
    assert (row["can_start"], row["problem"], row["sandbox"]) == (True, "", "bwrap")
    assert row["landlock"] is (landlock_version() > 0)
    assert row["program"].endswith("/sleep")
    assert row["version"].startswith("sleep (GNU coreutils)"), "it ran in the sandbox"
    it = write_program(data.folder / "it", "#!/bin/sh\necho it 1.2.3")
    hidden = configured(data, f'protocol = "shell"\ncommand = ["{it}"]\nsandbox = "bwrap"')
    assert hidden["can_start"] is False
    assert f"{it} is not in the sandbox: add the directory of its installation to" in hidden["problem"]


def test_a_sandbox_that_does_not_work_here_is_a_problem(data: Data) -> None:
    bwrap = write_program(
        data.folder / "bwrap", "#!/bin/sh\necho No permissions to create new namespace >&2; exit 1"
    )
    data.env["PATH"] = f"{data.folder}:{os.environ['PATH']}"
    row = configured(data, 'protocol = "shell"\ncommand = ["bash"]\nsandbox = "bwrap"')
    assert row["can_start"] is False
    assert "the sandbox does not work here: No permissions to create new namespace" in row["problem"]
    os.unlink(bwrap)
    data.env["PATH"] = "/nowhere"
    row = configured(data, 'protocol = "shell"\ncommand = ["bash"]\nsandbox = "bwrap"')
    assert row["problem"] == "the sandbox needs bubblewrap: apt-get install bubblewrap"


def test_the_list_says_what_to_do_about_a_problem(data: Data) -> None:
    (data.folder / "breakglass.toml").write_text(
        '[agents.it]\nprotocol = "shell"\ncommand = ["no-such-program"]\n'
    )
    lines = data.ok("agents").splitlines()
    assert "✗ it: protocol shell · permissions bypass" in lines
    assert (
        "  no-such-program was not found on PATH: install it, or put its whole path into [agents.it] command"
        in lines
    )
    assert any(
        line.startswith("✓ shell (default): protocol shell · permissions bypass · version GNU bash")
        for line in lines
    )
