"""A bad value of a setting is an error that says where it is and what was expected."""

import os
import re
import socket
from pathlib import Path

import pytest

from breakglass.errors import BadConfig
from breakglass.load_config import NO_SETTINGS
from breakglass.turns.processes import MARK
from tests.help.settings_files import WriteFile, empty_folder, load, write_file

__all__ = ["empty_folder", "write_file"]  # fixtures

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
    "an unknown agent": ('agent = "x"', "settings.toml: agent: expected one of claude, shell, got 'x'"),
    "a preset of an unknown agent": (
        '[[presets]]\nlabel = "a"\ntext = "b"\nagent = "clod"',
        "settings.toml: presets[0].agent: there is no agent 'clod'; did you mean claude?",
    ),
    "an origin without a scheme": (
        'origins = "ops"',
        "settings.toml: origins: expected https://NAME or https://NAME:PORT, in lower case, got 'ops'",
    ),
    "an origin with a path": ('origins = ["https://a", "https://b/c"]', "got 'https://b/c'"),
    "an access log in no folder": (
        'access_log = "no/such/log"',
        "settings.toml: access_log: expected a file in a directory that exists, or -, got 'no/such/log'",
    ),
    "an access log below a file": ('access_log = "settings.toml/log"', "in a directory that exists"),
    "a token": (
        'token = "a secret"',
        "settings.toml: token: can be set only in the environment, by BREAKGLASS_TOKEN",
    ),
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
    "an unknown sandbox": (
        '[agents.shell]\nsandbox = "docker"',
        'agents.shell.sandbox: expected "none" or "bwrap"',
    ),
    "network without a sandbox": (
        "[agents.shell]\nnetwork = false",
        "agents.shell.network: has an effect only with sandbox",
    ),
    "writable without a sandbox": (
        '[agents.shell]\nwritable = ["/srv"]',
        "agents.shell.writable: has an effect only with sandbox",
    ),
    "a relative path": (
        '[agents.shell]\nsandbox = "bwrap"\nreadable = ["src"]',
        "agents.shell.readable: expected paths that begin with / or ~/, got 'src'",
    ),
    "paths that are no list": (
        '[agents.shell]\nsandbox = "bwrap"\nwritable = "/srv"',
        "agents.shell.writable: expected a list of paths",
    ),
    "the data root": (
        'data = "/x"\n[agents.shell]\nsandbox = "bwrap"\nwritable = ["/x/sessions"]',
        "agents.shell.writable: expected paths outside of the data root",
    ),
    "root in a sandbox": (
        '[agents.shell]\nsandbox = "bwrap"\nuser = "root"',
        "agents.shell.user: expected a user other than root",
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
        ("AGENT", "x", "BREAKGLASS_AGENT: expected one of claude, shell, got 'x'"),
        ("ORIGINS", "https://a,ops", "BREAKGLASS_ORIGINS: expected https://NAME or https://NAME:PORT"),
        ("ACCESS_LOG", "no/log", "BREAKGLASS_ACCESS_LOG: expected a file in a directory that exists"),
        ("ACCESS_LOG", "/", "BREAKGLASS_ACCESS_LOG: expected a plain file or -, got '/'"),
        ("TOKEN", "secret", "BREAKGLASS_TOKEN is no token (6 characters): expected 32 to 512 of"),
        ("TOKEN", "x" * 40 + " ", "BREAKGLASS_TOKEN is no token (41 characters)"),
        ("TOKEN", "changeme" * 4, "BREAKGLASS_TOKEN is too easy to guess: it repeats itself or counts up"),
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
    ("name", "message"),
    [
        ("BREAKGLASS_PROT", "BREAKGLASS_PROT: no such setting; did you mean BREAKGLASS_PORT?"),
        ("BREAKGLASS_DATE", "BREAKGLASS_DATE: no such setting; did you mean BREAKGLASS_DATA?"),
        ("BREAKGLASS_CONFG", "did you mean BREAKGLASS_CONFIG?"),
        ("breakglass_port", "breakglass_port: no such setting; did you mean BREAKGLASS_PORT?"),
        ("BREAKGLASS_", "BREAKGLASS_: no such setting; expected one of BREAKGLASS_ACCESS_LOG, "),
        ("BREAKGLASS_XYZZY", "expected one of BREAKGLASS_ACCESS_LOG, BREAKGLASS_AGENT, "),
        ("BREAKGLASS_AGENTS", "BREAKGLASS_AGENTS: no such setting; agents can be set only in the file"),
        ("BREAKGLASS_LIMITS", "BREAKGLASS_LIMITS: no such setting"),
    ],
)
def test_an_unknown_variable_is_refused_with_a_similar_one(name: str, message: str) -> None:
    for value in ("1", ""):
        with pytest.raises(BadConfig) as caught:
            load({name: value})
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


def test_the_mark_of_a_turn_and_names_that_only_look_like_ours_are_accepted() -> None:
    assert {"BREAKGLASS_CONFIG", MARK} == NO_SETTINGS
    load({MARK: "x", "BREAKGLASS": "x", "BREAKGLASSPORT": "1", "MY_BREAKGLASS_PORT": "2"})


def test_an_access_log_may_be_in_the_current_folder_or_on_standard_error(tmp_path: Path) -> None:
    for path in ("log", "./log", "-", str(tmp_path / "log")):
        assert load({"BREAKGLASS_ACCESS_LOG": path}).access_log == path


def test_an_access_log_that_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("log")
    (tmp_path / "directory").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
    for path in (*sorted(tmp_path.iterdir()), Path("/dev/null"), Path("/dev/stdout")):
        for data in (tmp_path, tmp_path / "other"):
            with pytest.raises(BadConfig) as caught:
                load({"BREAKGLASS_ACCESS_LOG": str(path), "BREAKGLASS_DATA": str(data)})
            assert (
                str(caught.value) == f"BREAKGLASS_ACCESS_LOG: expected a plain file or -, got {str(path)!r}"
            )


@pytest.mark.parametrize("option", [{"port": "1"}, {"host": "::1"}])
@pytest.mark.parametrize("source", ["option", "variable", "file"])
def test_a_port_or_host_as_an_option_excludes_a_socket(
    option: dict[str, str], source: str, write_file: WriteFile
) -> None:
    path = write_file('socket = "s"' if source == "file" else "")
    environ = {"BREAKGLASS_SOCKET": "s"} if source == "variable" else {}
    options = {"socket": "s"} if source == "option" else {}
    shown = {"option": "--socket", "variable": "BREAKGLASS_SOCKET", "file": f"{path}: socket"}[source]
    with pytest.raises(BadConfig) as caught:
        load(environ, path, **option, **options)
    assert f"--{next(iter(option))}: cannot be combined with {shown}, which replaces" in str(caught.value)


def test_a_socket_as_an_option_overrides_a_port_of_the_file_or_environment(write_file: WriteFile) -> None:
    assert load({"BREAKGLASS_HOST": "::1"}, write_file("port = 1"), socket="s").socket == Path("s")


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
