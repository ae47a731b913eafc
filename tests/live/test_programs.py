"""The real agents run offline with the fake model. Every other live test depends on this."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.help import programs
from tests.help.fake_model import FakeModel

SESSION = "5b0a3c5e-8f0f-4b0e-9a3e-2f6f3b1c9d10"


@pytest.fixture
def ask(claude: str, environ: dict[str, str], home: Path) -> Any:
    """A function that runs one turn of the real Claude Code and returns its last line, decoded."""

    def run(prompt: str, *arguments: str) -> dict[str, Any]:
        argv = [claude, "-p", "--output-format", "stream-json", "--verbose", *arguments]
        done = subprocess.run(
            argv,
            input=prompt.encode(),
            env=environ,
            cwd=home / "work",
            capture_output=True,
            check=True,
            timeout=60,
        )
        last: dict[str, Any] = json.loads(done.stdout.rstrip().rpartition(b"\n")[2])
        return last

    return run


@pytest.mark.torture
def test_the_real_claude_answers_with_the_scripted_text(ask: Any, model: FakeModel) -> None:
    result = ask("[[text Hello from the fake model]]", f"--session-id={SESSION}")
    assert (result["type"], result["is_error"], result["session_id"]) == ("result", False, SESSION)
    assert result["result"] == "Hello from the fake model"
    assert model.turns[0].headers["x-api-key"] == "dummy"


@pytest.mark.torture  # test_claude.py resumes it in `make test`
def test_a_resumed_claude_has_the_earlier_context(ask: Any, model: FakeModel) -> None:
    ask("[[text first answer]]", f"--session-id={SESSION}")
    result = ask("and before?", f"--resume={SESSION}")
    assert result["result"] == "echo: 2 user texts: ['[[text first answer]]', 'and before?']"
    assert model.turns[-1].texts == ["[[text first answer]]", "and before?"]


@pytest.mark.parametrize("name", ["claude", pytest.param("opencode", marks=pytest.mark.torture)])
def test_an_installed_program_has_the_pinned_version(name: str, environ: dict[str, str]) -> None:
    said = subprocess.run(
        [programs.install(name), "--version"], env=environ, capture_output=True, check=True, timeout=60
    )
    assert VERSIONS[name] in said.stdout.decode()


VERSIONS = {"claude": "2.1.330", "opencode": "1.18.33"}
"""The versions that they print. The package of Claude Code has another number."""


def test_an_installed_program_is_not_installed_again() -> None:
    path = programs.install("claude")
    before = path.stat()
    assert programs.install("claude") == path
    assert path.stat() == before
