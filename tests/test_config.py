"""Settings come from the file, over it the environment, over that the command line; a bad one stops the program."""

import dataclasses
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from breakglass import config, settings
from breakglass.config import AgentConfig, Config
from breakglass.errors import BadConfig

Write = Callable[[str], str]


@pytest.fixture
def written(tmp_path: Path) -> Write:
    """Write a settings file and return its path."""

    def write(text: str) -> str:
        path = tmp_path / "settings.toml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in a folder that has no settings file."""
    monkeypatch.chdir(tmp_path)


def load(environ: dict[str, str] | None = None, path: str | None = None, **overrides: Any) -> Config:
    return config.load(environ or {}, path, overrides)


# --- where a setting comes from ---------------------------------------------------------------------


def test_without_any_settings_there_are_the_contracts_defaults() -> None:
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
    ("key", "in_file", "in_environment", "on_command_line", "expected"),
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
def test_the_environment_goes_over_the_file_and_the_command_line_over_both(
    key: str,
    in_file: str,
    in_environment: str,
    on_command_line: object,
    expected: list[object],
    written: Write,
) -> None:
    path = written(f"{key} = {in_file}")
    environ = {f"BREAKGLASS_{key.upper()}": in_environment}
    assert getattr(load({}, path), key) == expected[0]
    assert getattr(load(environ, path), key) == expected[1]
    assert getattr(load(environ, path, **{key: on_command_line}), key) == expected[2]
    assert getattr(load(environ, path, **{key: None}), key) == expected[1]


def test_every_setting_has_a_field_of_its_name_and_back() -> None:
    fields = {field.name for field in dataclasses.fields(Config)}
    assert set(settings.SETTINGS) <= fields
    assert fields - set(settings.SETTINGS) == {"agents", "presets", "environ", "limits"}


def test_the_file_is_the_one_named_else_the_environments_else_the_one_here(
    written: Write, tmp_path: Path
) -> None:
    assert load({"BREAKGLASS_CONFIG": ""}).port == 8420
    (tmp_path / "breakglass.toml").write_text("port = 1")
    (tmp_path / "other.toml").write_text("port = 2")
    assert load().port == 1
    assert load({"BREAKGLASS_CONFIG": "other.toml"}).port == 2
    assert load({"BREAKGLASS_CONFIG": "other.toml"}, written("port = 3")).port == 3


@pytest.mark.parametrize(("there", "expected"), [(True, "claude"), (False, "shell")])
def test_the_agent_is_claude_where_that_program_is_found(there: bool, expected: str, tmp_path: Path) -> None:
    if there:
        (tmp_path / "claude").touch(0o755)
    assert load({"PATH": str(tmp_path)}).agent == expected


def test_the_token_comes_from_the_environment_alone_and_is_not_shown(written: Write) -> None:
    assert load({"BREAKGLASS_TOKEN": "secret"}).token == "secret"
    with pytest.raises(BadConfig, match="token: no such setting"):
        load({}, written('token = "secret"'))


def test_other_variables_are_kept_for_the_agent_and_change_nothing() -> None:
    got = load({"PORT": "1", "BREAKGLASS_TURN": "x", "HOME": "/h"})
    assert got.port == 8420
    assert got.environ == {"PORT": "1", "BREAKGLASS_TURN": "x", "HOME": "/h"}
    assert "/h" not in repr(got)


# --- agents ---------------------------------------------------------------------------------------


def test_an_agent_of_ones_own_is_added_and_a_built_in_one_changed(written: Write) -> None:
    got = load(
        {},
        written(
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


def test_an_agent_that_is_none_is_named_with_those_there_are() -> None:
    with pytest.raises(BadConfig, match="expected one of claude, shell, got 'x'"):
        load().agent_named("x")


# --- bad values -----------------------------------------------------------------------------------

IN_FILE: dict[str, tuple[str, str]] = {
    "no TOML": ("port 3", "settings.toml: expected TOML"),
    "an unknown key": ("colour = 1", "colour: no such setting; expected one of "),
    "an unknown table": ("[server]\nport = 1", "server: no such setting"),
    "a text for a number": ('port = "x"', "port: expected a whole number from 0 to 65535, got 'x'"),
    "a broken number": ("port = 8.5", "port: expected a whole number"),
    "a truth for a number": ("port = true", "port: expected a whole number"),
    "a number too large": ("port = 65536", "got 65536"),
    "a number below": ("port = -1", "got -1"),
    "no time": (
        "turn_timeout_seconds = 0",
        "turn_timeout_seconds: expected a number of seconds greater than 0",
    ),
    "endless time": ("turn_timeout_seconds = inf", "greater than 0, got inf"),
    "no number": ("sse_keepalive_seconds = nan", "got nan"),
    "a truth for a time": ("sse_keepalive_seconds = true", "got True"),
    "an empty text": ('host = ""', "host: expected a text that is not empty, got ''"),
    "a number for a text": ("host = 1", "host: expected a text"),
    "a NUL": ('data = "a\\u0000b"', "data: expected a text"),
    "a model like an option": ('model = "--help"', "model: expected a model's name"),
    "a model with a blank": ('model = "a b"', "got 'a b'"),
    "an agent that is none": ('agent = "x"', "agent: expected one of claude, shell, got 'x'"),
    "agents that are none": ("agents = 5", "agents: expected a table for each agent"),
    "an agent that is no table": ("agents.x = 5", "agents.x: expected a table, got 5"),
    "an agent's bad name": ('[agents."A b"]', "expected a name of small letters"),
    "an agent's unknown key": ("[agents.x]\ncolour = 1", "agents.x.colour: no such setting"),
    "an agent without protocol": ("[agents.x]", "agents.x.protocol: expected one of"),
    "an agent's bad protocol": ('[agents.x]\nprotocol = "y"', "got 'y'"),
    "an agent without command": (
        '[agents.x]\nprotocol = "shell"',
        "agents.x.command: expected a list of texts",
    ),
    "an empty command": ("[agents.shell]\ncommand = []", "agents.shell.command"),
    "an empty program": ('[agents.shell]\ncommand = [""]', "agents.shell.command"),
    "a command that is a text": (
        '[agents.shell]\ncommand = "sh -c"',
        "agents.shell.command: expected a list",
    ),
    "bad permissions": ('[agents.shell]\npermissions = "no"', 'expected "bypass" or "ask", got \'no\''),
    "env that is no table": ("[agents.shell]\nenv = []", "agents.shell.env: expected a table of texts"),
    "env of numbers": ("[agents.shell]\nenv = { A = 1 }", "agents.shell.env"),
    "env with a bad name": ('[agents.shell]\nenv = { "A=B" = "c" }', "named as variables are"),
    "pass_env of numbers": (
        "[agents.shell]\npass_env = [1]",
        "agents.shell.pass_env: expected a list of names",
    ),
    "allow without ask": (
        '[agents.shell]\nallow = ["x"]',
        "agents.shell.allow: has an effect only with permissions",
    ),
    "allowed and refused": (
        '[agents.shell]\npermissions = "ask"\nallow = ["x"]\ndeny = ["x"]',
        "agents.shell.deny: 'x' is in allow as well",
    ),
    "presets that are none": ("presets = 1", "presets: expected tables"),
    "a preset without text": ('[[presets]]\nlabel = "a"', "presets[0]: expected a table of label"),
}


@pytest.mark.parametrize("name", IN_FILE)
def test_a_bad_value_in_the_file_stops_with_key_value_and_what_was_expected(
    name: str, written: Write
) -> None:
    text, message = IN_FILE[name]
    with pytest.raises(BadConfig) as caught:
        load({}, written(text))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("PORT", "", "BREAKGLASS_PORT: expected a whole number from 0 to 65535, got ''"),
        ("PORT", "1_000", "got '1_000'"),
        ("PORT", "٨٤٢٠", "BREAKGLASS_PORT"),
        ("PORT", " 80", "got ' 80'"),
        ("PORT", "+80", "got '+80'"),
        ("PORT", "80\n", "BREAKGLASS_PORT"),
        ("TURN_TIMEOUT_SECONDS", "1e3", "BREAKGLASS_TURN_TIMEOUT_SECONDS: expected a number of seconds"),
        ("TURN_TIMEOUT_SECONDS", "-1", "got '-1'"),
        ("TURN_TIMEOUT_SECONDS", "0", "greater than 0"),
        ("TURN_TIMEOUT_SECONDS", "inf", "got 'inf'"),
        ("DATA", "", "BREAKGLASS_DATA: expected a text that is not empty"),
        ("HOST", "", "BREAKGLASS_HOST"),
        ("TOKEN", "", "BREAKGLASS_TOKEN"),
        ("MODEL", "a b", "BREAKGLASS_MODEL: expected a model's name"),
        ("AGENT", "x", "agent: expected one of claude, shell, got 'x'"),
        ("CONFIG", "nowhere.toml", "nowhere.toml: could not be read: No such file"),
    ],
)
def test_a_bad_value_in_the_environment_stops_with_the_variables_name(
    variable: str, value: str, message: str
) -> None:
    with pytest.raises(BadConfig) as caught:
        load({f"BREAKGLASS_{variable}": value})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "message"), [("port", "x", "--port: expected a whole number"), ("data", "", "--data")]
)
def test_a_bad_value_on_the_command_line_stops_with_the_options_name(
    key: str, value: str, message: str
) -> None:
    with pytest.raises(BadConfig) as caught:
        load({}, None, **{key: value})
    assert message in str(caught.value)


def test_a_file_that_cannot_be_read_stops(written: Write, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="could not be read: Is a directory"):
        load({}, str(tmp_path))
    path = written("")
    with open(path, "wb") as file:
        file.write(b"port = 1 # \xff")
    with pytest.raises(BadConfig, match="expected TOML"):
        load({}, path)


def test_an_empty_model_is_the_agents_own(written: Write) -> None:
    assert load({"BREAKGLASS_MODEL": ""}, written('model = "m"')).model is None


def test_the_settings_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        load().port = 1  # type: ignore[misc]


def test_a_folder_that_is_given_as_a_path_is_taken() -> None:
    assert load(data=Path(os.sep, "x")).data == Path("/x")


def test_a_shell_is_offered_commands_and_an_agent_sentences(written: Write) -> None:
    assert {each.agent for each in load({"BREAKGLASS_AGENT": "claude"}).presets_for(None)} == {None}
    shells = load({"BREAKGLASS_AGENT": "shell"})
    assert shells.presets_for(None) == shells.presets_for("shell") == config.SHELL_PRESETS
    look, up = (f'[[presets]]\nlabel = "{label}"\ntext = "look"\n' for label in ("Look", "Up"))
    path = written(f'{look}{up}agent = "shell"')
    ours = load({"BREAKGLASS_AGENT": "claude"}, path)
    assert [each.label for each in ours.presets_for(None)] == ["Look", "Up"]
    assert [each.label for each in ours.presets_for("claude")] == ["Look"]
    assert [each.label for each in ours.presets_for("shell")] == ["Look", "Up"]


def test_what_is_wrong_in_a_file_names_the_file_and_what_was_meant(written: Write) -> None:
    path = written("prot = 1")
    with pytest.raises(BadConfig, match=re.escape(f"{path}: prot: no such setting; did you mean port?")):
        load({}, path)
