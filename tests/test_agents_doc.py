"""docs/agents.md agrees with the tests: each cell names a test that exists, and the versions are the tested ones."""

import re
from pathlib import Path

from tests.help.programs import PROGRAMS

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "agents.md").read_text()
TESTS = re.findall(r"^([0-9]+)\. `(.+)::(.+)`$", PAGE, re.MULTILINE)


def test_every_test_of_the_page_exists() -> None:
    assert TESTS
    for _, path, name in TESTS:
        assert f"def {name}(" in (ROOT / path).read_text(), f"{path} has no {name}"


def test_every_cell_names_a_test_and_every_test_is_named() -> None:
    assert [number for number, _, _ in TESTS] == [str(number) for number in range(1, len(TESTS) + 1)]
    assert set(re.findall(r"\byes \[([0-9]+)\]", PAGE)) == {number for number, _, _ in TESTS}
    rows = re.findall(r"^\| [^-|].*", PAGE, re.MULTILINE)[1:]
    assert all(re.fullmatch(r"\| [^|]+( \| (yes \[[0-9]+\]|\u2013)){5} \|", row) for row in rows)


def test_the_versions_are_those_that_are_tested() -> None:
    for name in ("claude-agent-acp", "opencode", "codex-acp", "gemini"):
        assert f"{name} {PROGRAMS[name].version}" in PAGE
    command = (ROOT / "tests/live/test_agents_command.py").read_text()
    assert (
        re.findall(r'"([0-9.]+) \(Claude Code\)"', command) == re.findall(r"Claude Code ([0-9.]+)", PAGE)[:1]
    )
