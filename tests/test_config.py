"""Settings come from the file, the environment and the command line, the last first. A bad value is an error."""

import dataclasses
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from breakglass import config
from breakglass.config import AGENT_SETTINGS, PRESET_SETTINGS, SETTINGS, AgentConfig, Config, Preset
from breakglass.errors import BadConfig
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
        (Config, SETTINGS, {"agents", "presets", "environ", "limits"}),
        (AgentConfig, AGENT_SETTINGS, {"name"}),
        (Preset, PRESET_SETTINGS, set()),
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


def test_a_settings_file_cannot_hold_the_token(write_file: WriteFile) -> None:
    assert load({"BREAKGLASS_TOKEN": "secret"}).token == "secret"
    with pytest.raises(BadConfig, match="token: no such setting"):
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
    assert shells.presets_for(None) == shells.presets_for("shell") == config.SHELL_PRESETS
    look, up = (f'[[presets]]\nlabel = "{label}"\ntext = "look"\n' for label in ("Look", "Up"))
    path = write_file(f'{look}{up}agent = "shell"')
    ours = load({"BREAKGLASS_AGENT": "claude"}, path)
    assert [each.label for each in ours.presets_for(None)] == ["Look", "Up"]
    assert [each.label for each in ours.presets_for("claude")] == ["Look"]
    assert [each.label for each in ours.presets_for("shell")] == ["Look", "Up"]


# --- bad values -----------------------------------------------------------------------------------

BAD_FILES: dict[str, tuple[str, str]] = {
    "not TOML": ("port 3", "settings.toml: expected TOML"),
    "an unknown key": ("colour = 1", "colour: no such setting; expected one of "),
    "an unknown table": ("[server]\nport = 1", "server: no such setting"),
    "a text for a number": ('port = "x"', "port: expected a whole number from 0 to 65535, got 'x'"),
    "a fraction for a whole number": ("port = 8.5", "port: expected a whole number"),
    "a boolean for a number": ("port = true", "port: expected a whole number"),
    "a number too large": ("port = 65536", "got 65536"),
    "a number too small": ("port = -1", "got -1"),
    "zero seconds": (
        "turn_timeout_seconds = 0",
        "turn_timeout_seconds: expected a number of seconds greater than 0",
    ),
    "infinite seconds": ("turn_timeout_seconds = inf", "greater than 0, got inf"),
    "seconds that are not a number": ("sse_keepalive_seconds = nan", "got nan"),
    "a boolean for seconds": ("sse_keepalive_seconds = true", "got True"),
    "an empty text": ('host = ""', "host: expected a text that is not empty, got ''"),
    "a number for a text": ("host = 1", "host: expected a text"),
    "a NUL": ('data = "a\\u0000b"', "data: expected a text"),
    "a model like an option": ('model = "--help"', "model: expected a model's name"),
    "a model with a blank": ('model = "a b"', "got 'a b'"),
    "an unknown agent": ('agent = "x"', "agent: expected one of claude, shell, got 'x'"),
    "agents that are a number": ("agents = 5", "agents: expected a table for each agent"),
    "an agent that is no table": ("agents.x = 5", "agents.x: expected a table, got 5"),
    "an agent's bad name": ('[agents."A b"]', "expected a name of small letters"),
    "an agent's unknown key": ("[agents.claude]\ncolour = 1", "agents.claude.colour: no such setting"),
    "an agent without a protocol": (
        "[agents.x]",
        "agents.x.protocol: expected one of acp, claude, shell, got nothing",
    ),
    "an agent's unknown protocol": ('[agents.x]\nprotocol = "y"', "got 'y'"),
    "an agent's protocol that is a list": ("[agents.x]\nprotocol = []", "got []"),
    "an agent without a command": (
        '[agents.x]\nprotocol = "shell"',
        "agents.x.command: expected a list of texts, the program first, got nothing",
    ),
    "an empty command": ("[agents.shell]\ncommand = []", "agents.shell.command"),
    "an empty program": ('[agents.shell]\ncommand = [""]', "agents.shell.command"),
    "a command that is a text": (
        '[agents.shell]\ncommand = "sh -c"',
        "agents.shell.command: expected a list",
    ),
    "unknown permissions": ('[agents.shell]\npermissions = "no"', 'expected "bypass" or "ask", got \'no\''),
    "thinking that is a number": ("[agents.shell]\nthinking = 1", "agents.shell.thinking: expected true"),
    "thinking that is a text": ('[agents.shell]\nthinking = "true"', "expected true or false, got 'true'"),
    "env that is no table": ("[agents.shell]\nenv = []", "agents.shell.env: expected a table of texts"),
    "env of numbers": ("[agents.shell]\nenv = { A = 1 }", "agents.shell.env"),
    "env with a bad name": (
        '[agents.shell]\nenv = { "A=B" = "c" }',
        "named as environment variables are",
    ),
    "pass_env of numbers": (
        "[agents.shell]\npass_env = [1]",
        "agents.shell.pass_env: expected a list of names",
    ),
    "allow without ask": (
        '[agents.shell]\nallow = ["x"]',
        "agents.shell.allow: has an effect only with permissions",
    ),
    "a tool without a name": (
        '[agents.shell]\npermissions = "ask"\nallow = [""]',
        "agents.shell.allow: expected a list of names of tools",
    ),
    "a tool both allowed and refused": (
        '[agents.shell]\npermissions = "ask"\nallow = ["x"]\ndeny = ["x"]',
        "agents.shell.deny: 'x' is in allow as well",
    ),
    "presets that are a number": ("presets = 1", "presets: expected tables"),
    "a preset that is a number": ("presets = [1]", "presets[0]: expected a table, got 1"),
    "a preset without text": (
        '[[presets]]\nlabel = "a"',
        "presets[0].text: expected a text that is not empty, got nothing",
    ),
    "a preset's unknown key": (
        '[[presets]]\nlabel = "a"\ntext = "b"\ntxt = "c"',
        "presets[0].txt: no such setting; did you mean text?",
    ),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_value_in_the_file_is_named_with_what_was_expected(name: str, write_file: WriteFile) -> None:
    text, message = BAD_FILES[name]
    with pytest.raises(BadConfig) as caught:
        load({}, write_file(text))
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
def test_a_bad_value_in_the_environment_is_named_by_its_variable(
    variable: str, value: str, message: str
) -> None:
    with pytest.raises(BadConfig) as caught:
        load({f"BREAKGLASS_{variable}": value})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "message"), [("port", "x", "--port: expected a whole number"), ("data", "", "--data")]
)
def test_a_bad_value_on_the_command_line_is_named_by_its_option(name: str, value: str, message: str) -> None:
    with pytest.raises(BadConfig) as caught:
        load({}, None, **{name: value})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('tls_cert = "c"', "tls_cert and tls_key: expected both or neither"),
        ('socket = "s"\ntls_cert = "c"\ntls_key = "k"', "socket: cannot be combined with tls_cert"),
        ('proxy_user_header = "X-User"', "proxy_user_header: expected proxies as well"),
        ('proxy_address_header = "X-Real-IP"', "proxy_address_header: expected proxies as well"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(
    text: str, message: str, write_file: WriteFile
) -> None:
    with pytest.raises(BadConfig) as caught:
        load({}, write_file(text))
    assert message in str(caught.value)


def test_an_unreadable_settings_file_is_an_error(write_file: WriteFile, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="could not be read: Is a directory"):
        load({}, str(tmp_path))
    path = write_file("")
    with open(path, "wb") as file:
        file.write(b"port = 1 # \xff")
    with pytest.raises(BadConfig, match="expected TOML"):
        load({}, path)


def test_an_unknown_key_is_reported_with_the_file_and_a_similar_key(write_file: WriteFile) -> None:
    path = write_file("prot = 1")
    with pytest.raises(BadConfig, match=re.escape(f"{path}: prot: no such setting; did you mean port?")):
        load({}, path)
