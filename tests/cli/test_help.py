"""The help explains every command, setting and exit status, and agrees with the contract."""

import re
from pathlib import Path

import pytest

from breakglass import config
from breakglass.cli import commands
from tests.cli.program import Data

FOLDER = Path(commands.__file__).parent
CONTRACT = (Path(__file__).parents[2] / "docs" / "contract.md").read_text()


def test_each_file_is_a_command_and_each_command_has_a_file() -> None:
    files = {path.stem for path in FOLDER.glob("*.py")} - {"__init__"}
    assert sorted(commands.NAMES) == sorted(files)


def test_the_contract_has_the_same_commands() -> None:
    assert set(re.findall(r"^\| `breakglass (\w+)", CONTRACT, re.MULTILINE)) == set(commands.NAMES)


@pytest.mark.parametrize("name", commands.NAMES)
def test_the_summary_of_a_command_is_the_first_line_of_its_file(name: str) -> None:
    text = commands.summary(name)
    assert re.fullmatch(r"[A-Z][^\"]{10,80}", text)
    assert (FOLDER / f"{name}.py").read_text().startswith(f'"""{text}."""\n')


def test_the_overview_has_all_commands_exit_statuses_and_settings(data: Data) -> None:
    text = data.ok("--help")
    assert text == data.ok("-h")
    for name in commands.NAMES:
        assert re.search(rf"^  {name} +{re.escape(commands.summary(name))}$", text, re.MULTILINE)
    statuses = text[text.index("exit status:") :]
    assert re.findall(r"^  (\d+) ", statuses, re.MULTILINE) == ["0", "1", "2", "3", "130", "141"]
    for variable in {*re.findall(r"BREAKGLASS_\w+", CONTRACT), *map(config.variable, config.SETTINGS)}:
        assert variable in text
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("name", commands.NAMES)
def test_the_help_of_a_command_has_its_options_examples_and_exit_statuses(data: Data, name: str) -> None:
    text = data.ok(name, "--help")
    rows = re.findall(rf"^\| `breakglass {name}\b.*", CONTRACT, re.MULTILINE)
    assert rows
    for option in re.findall(r"--[a-z-]+", "".join(rows)):
        assert option in text
    assert "\nexamples:\n" in text
    assert "\nexit status:\n  0    " in text
    assert max(map(len, text.splitlines())) <= 120


def test_the_help_of_serve_has_all_settings(data: Data) -> None:
    text = data.ok("serve", "--help")
    assert [name for name in config.SETTINGS if config.variable(name) not in text] == []


def test_the_help_of_agents_has_all_keys_of_an_agent(data: Data) -> None:
    text = data.ok("agents", "--help")
    assert [key for key in config.AGENT_SETTINGS if f"\n  {key} " not in text] == []


def test_the_version_is_that_of_the_package(data: Data) -> None:
    assert data.ok("--version") == "breakglass 0.2.0\n"
