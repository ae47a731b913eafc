"""Settings come from the file, the environment and the command line, the last first. A bad value is an error."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest

from breakglass.actions import Action, Param
from breakglass.config import (
    ACTION_SETTINGS,
    AGENT_SETTINGS,
    NOTIFY_SETTINGS,
    PARAM_SETTINGS,
    PRESET_SETTINGS,
    RELAY_SETTINGS,
    SETTINGS,
    TARGET_SETTINGS,
    Config,
)
from breakglass.config.agents import AgentConfig
from breakglass.config.presets import SHELL_PRESETS, Preset
from breakglass.errors import BadConfig
from breakglass.notify import Notify
from breakglass.relay_settings import RelaySettings
from breakglass.targets import Target
from tests.help.credentials import make_token
from tests.help.settings_files import WriteFile, empty_folder, load, write_file

__all__ = ["empty_folder", "write_file"]  # fixtures

# --- the sources of a setting ---------------------------------------------------------------------


def test_without_settings_the_defaults_of_the_contract_apply() -> None:
    got = load()
    assert (got.data, got.host, got.port, got.agent, got.model) == (
        Path("var"),
        "127.0.0.1",
        8420,
        "shell",
        None,
    )
    assert (got.turn_timeout_seconds, got.sse_keepalive_seconds, got.token) == (1800, 20, None)
    assert set(got.agents) == {"claude", "shell"}
    assert {agent.permissions for agent in got.agents.values()} == {"bypass"}


@pytest.mark.parametrize(
    ("name", "in_file", "in_environment", "on_command_line", "expected"),
    [
        ("data", '"/f"', "/e", "/c", [Path("/f"), Path("/e"), Path("/c")]),
        ("host", '"::"', "0.0.0.0", "localhost", ["::", "0.0.0.0", "localhost"]),
        ("port", "1", "2", 3, [1, 2, 3]),
        ("agent", '"claude"', "shell", "claude", ["claude", "shell", "claude"]),
        ("model", '"f"', "e", "c", ["f", "e", "c"]),
        ("turn_timeout_seconds", "1.5", "2", "3", [1.5, 2.0, 3.0]),
        ("sse_keepalive_seconds", "1", "0.5", 2, [1.0, 0.5, 2.0]),
        ("permission_timeout_seconds", "1", "2", 3, [1.0, 2.0, 3.0]),
    ],
)
def test_the_environment_overrides_the_file_and_the_command_line_overrides_both(
    name: str,
    in_file: str,
    in_environment: str,
    on_command_line: object,
    expected: list[object],
    write_file: WriteFile,
) -> None:
    path = write_file(f"{name} = {in_file}")
    environ = {f"BREAKGLASS_{name.upper()}": in_environment}
    assert getattr(load({}, path), name) == expected[0]
    assert getattr(load(environ, path), name) == expected[1]
    assert getattr(load(environ, path, **{name: on_command_line}), name) == expected[2]
    assert getattr(load(environ, path, **{name: None}), name) == expected[1]


@pytest.mark.parametrize(
    ("cls", "table", "others"),
    [
        (
            Config,
            SETTINGS,
            {
                *("agents", "presets", "actions", "targets", "notify", "relay"),
                *("file", "is_agent_chosen", "environ", "limits"),
            },
        ),
        (AgentConfig, AGENT_SETTINGS, {"name"}),
        (Preset, PRESET_SETTINGS, set()),
        (Action, ACTION_SETTINGS, {"name", "params", "logs_in"}),
        (Param, PARAM_SETTINGS, {"name"}),
        (Target, TARGET_SETTINGS, {"name"}),
        (Notify, NOTIFY_SETTINGS, {"index"}),
        (RelaySettings, RELAY_SETTINGS, set()),
    ],
)
def test_each_field_is_declared_as_a_setting(cls: type, table: dict[str, Any], others: set[str]) -> None:
    assert {field.name for field in dataclasses.fields(cls)} - table.keys() == others


@pytest.mark.parametrize("table", [SETTINGS, AGENT_SETTINGS, PRESET_SETTINGS])
def test_each_setting_has_a_meaning(table: dict[str, Any]) -> None:
    assert all(row.meaning for row in table.values())


def test_an_option_is_named_after_its_setting() -> None:
    options = {name: row.option.split()[0] for name, row in SETTINGS.items() if row.option}
    assert options == {name: f"--{name.replace('_', '-')}" for name in options}


def test_the_settings_file_is_an_argument_or_a_variable_or_in_the_current_folder(
    write_file: WriteFile, tmp_path: Path
) -> None:
    assert load({"BREAKGLASS_CONFIG": ""}).port == 8420
    (tmp_path / "breakglass.toml").write_text("port = 1")
    (tmp_path / "other.toml").write_text("port = 2")
    assert load().port == 1
    assert load({"BREAKGLASS_CONFIG": "other.toml"}).port == 2
    assert load({"BREAKGLASS_CONFIG": "other.toml"}, write_file("port = 3")).port == 3


@pytest.mark.parametrize(("is_installed", "expected"), [(True, "claude"), (False, "shell")])
def test_the_default_agent_is_claude_if_its_program_is_found(
    is_installed: bool, expected: str, tmp_path: Path
) -> None:
    if is_installed:
        (tmp_path / "claude").touch(0o755)
    assert load({"PATH": str(tmp_path)}).agent == expected


@pytest.mark.parametrize(
    ("environ", "file", "is_chosen"),
    [
        ({}, "", False),
        ({}, 'agent = "shell"', True),
        ({"BREAKGLASS_AGENT": "shell"}, "", True),
    ],
)
def test_an_agent_that_a_setting_names_is_chosen(
    environ: dict[str, str], file: str, is_chosen: bool, write_file: WriteFile
) -> None:
    got = load({"PATH": "", **environ}, write_file(file))
    assert (got.agent, got.is_agent_chosen) == ("shell", is_chosen)


def test_a_settings_file_cannot_hold_the_token(write_file: WriteFile) -> None:
    assert load({"BREAKGLASS_TOKEN": make_token("s")}).token == make_token("s")
    with pytest.raises(BadConfig, match="token: can be set only in the environment"):
        load({}, write_file('token = "secret"'))


def test_other_variables_change_no_setting_and_are_kept_for_the_agent() -> None:
    got = load({"PORT": "1", "BREAKGLASS_TURN": "x", "HOME": "/h"})
    assert got.port == 8420
    assert got.environ == {"PORT": "1", "BREAKGLASS_TURN": "x", "HOME": "/h"}
    assert "/h" not in repr(got)


def test_an_empty_model_lets_the_agent_choose(write_file: WriteFile) -> None:
    assert load({"BREAKGLASS_MODEL": ""}, write_file('model = "m"')).model is None


def test_a_loaded_config_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        load().port = 1  # type: ignore[misc]


def test_a_folder_may_be_given_as_a_path_object() -> None:
    assert load(data=Path(os.sep, "x")).data == Path("/x")


# --- agents and presets ---------------------------------------------------------------------------


def test_a_table_adds_an_agent_or_changes_a_built_in_one(write_file: WriteFile) -> None:
    got = load(
        {},
        write_file(
            """
            agent = "mine"
            [agents.mine]
            protocol = "shell"
            command = ["sh", "-e"]
            env = { A = "b" }
            pass_env = ["C"]
            [agents.claude]
            permissions = "ask"
            """
        ),
    )
    assert got.agent_named("mine") == AgentConfig(
        "mine", "shell", ("sh", "-e"), env={"A": "b"}, pass_env=("C",)
    )
    assert got.agent_named("claude") == AgentConfig("claude", "claude", ("claude",), "ask")
    assert got.agent_named("shell") == AgentConfig("shell", "shell", ("bash",))


def test_the_error_for_an_unknown_agent_lists_the_known_ones() -> None:
    with pytest.raises(BadConfig, match="expected one of claude, shell, got 'x'"):
        load().agent_named("x")


def test_presets_fit_the_agent(write_file: WriteFile) -> None:
    assert {each.agent for each in load({"BREAKGLASS_AGENT": "claude"}).presets_for(None)} == {None}
    shells = load({"BREAKGLASS_AGENT": "shell"})
    assert shells.presets_for(None) == shells.presets_for("shell") == SHELL_PRESETS
    look, up = (f'[[presets]]\nlabel = "{label}"\ntext = "look"\n' for label in ("Look", "Up"))
    path = write_file(f'{look}{up}agent = "shell"')
    ours = load({"BREAKGLASS_AGENT": "claude"}, path)
    assert [each.label for each in ours.presets_for(None)] == ["Look", "Up"]
    assert [each.label for each in ours.presets_for("claude")] == ["Look"]
    assert [each.label for each in ours.presets_for("shell")] == ["Look", "Up"]
