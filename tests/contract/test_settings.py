"""Section 6 of the contract: the settings, their sources, and their effects."""

import json
import re
import socket
import ssl
import stat
import subprocess
import sys
from typing import Any

import pytest

from tests.contract.driver import ANONYMOUS, SECONDS, TOKEN, DataRoot, serving, wait_until

pytestmark = pytest.mark.contract

SETTINGS: dict[str, tuple[Any, Any]] = {
    "data": ("elsewhere", 7),
    "host": ("127.0.0.1", 7),
    "port": (0, 65536),
    "agent": ("shell", "nosuch"),
    "model": ("a-model", "-x"),
    "turn_timeout_seconds": (1.5, -1),
    "max_cost_usd": (0.5, 0),
    "max_cost_usd_per_day": (20, "much"),
    "permission_timeout_seconds": (60, 0),
    "sse_keepalive_seconds": (0.5, "soon"),
    "vitals": (True, "perhaps"),
    "metrics": (True, "perhaps"),
    "token": (TOKEN, 7),
    "origins": (["https://ops.example.com", "https://b.example.com:8443"], 7),
    "prefix": ("/breakglass", "breakglass/"),
    "proxies": (["127.0.0.1", "unix"], "somewhere"),
    "proxy_user_header": ("X-User", "a b"),
    "proxy_address_header": ("X-Forwarded-For", "a:b"),
    "tls_cert": ("cert.pem", 7),
    "tls_key": ("key.pem", 7),
    "socket": ("socket", 7),
    "allow_plain": (True, "perhaps"),
    "access_log": ("access.log", 7),
    "push_services": (["https://push.example.com"], 7),
}
"""Each setting with a value that is accepted and one that is not. 7 is refused where a text is expected."""


def variable(key: str) -> str:
    return f"BREAKGLASS_{key.upper()}"


def in_environment(value: Any) -> str:
    """Return a value as text for a variable. A variable is always a text, so return "" for 7: it is never accepted."""
    if isinstance(value, list):
        return ",".join(value)
    return "" if value == 7 else str(value).lower() if value is True else str(value)


def write(data: DataRoot, text: str, name: str = "breakglass.toml") -> None:
    (data.folder / name).write_text(text)


def is_refused(done: subprocess.CompletedProcess[str], key: str, value: object) -> bool:
    """Return whether a command failed with one line of error that contains a key and its value."""
    named = key in done.stderr.lower() and str(value) in done.stderr
    return done.returncode != 0 and done.stderr.count("\n") == 1 and named


# --- every setting ----------------------------------------------------------------------------------


def test_the_help_of_serve_names_every_setting(data: DataRoot) -> None:
    shown = set(re.findall(r"BREAKGLASS_[A-Z_]+", data.ok("serve", "--help")))
    assert shown - {"BREAKGLASS_CONFIG"} == {variable(key) for key in SETTINGS}


@pytest.mark.parametrize("left_out", ["socket", "tls"])
def test_every_setting_is_accepted_in_the_environment_and_in_the_file(data: DataRoot, left_out: str) -> None:
    good = {key: value for key, (value, _) in SETTINGS.items() if not key.startswith(left_out)}
    data.ok("ls", **{variable(key): in_environment(value) for key, value in good.items()})
    write(data, "\n".join(f"{key} = {json.dumps(value)}" for key, value in good.items() if key != "token"))
    data.ok("ls")


# `make test` starts the program for some settings only: they are one table, tested in tests/test_bad_settings.py.
BAD = [
    pytest.param(key, bad, marks=[pytest.mark.torture] * (number % 4 > 0))
    for number, (key, (_, bad)) in enumerate(SETTINGS.items())
]


@pytest.mark.parametrize(("key", "bad"), BAD)
def test_the_error_for_a_bad_value_contains_the_key_and_the_value(data: DataRoot, key: str, bad: Any) -> None:
    value = in_environment(bad)
    assert is_refused(data.run("ls", **{variable(key): value}), key, value)
    data.env.pop(variable(key), None)
    write(data, f"{key} = {json.dumps(bad)}")
    assert is_refused(data.run("ls"), key, "" if key == "token" else bad)  # a file may not contain a token


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("prot = 1", "prot", ""),
        ('[agents.x]\nprotocol = "nosuch"\ncommand = ["x"]', "agents.x.protocol", "nosuch"),
        ('[agents.x]\nprotocol = "shell"\ncommand = "x y"', "agents.x.command", "x y"),
        ('[agents.claude]\npermissions = "perhaps"', "agents.claude.permissions", "perhaps"),
        ('[agents.claude]\npermissions = "ask"\nallow = "Bash"', "agents.claude.allow", "Bash"),
        ('[agents.claude]\npermissions = "ask"\ndeny = "Bash"', "agents.claude.deny", "Bash"),
        ('[agents.claude]\nthinking = "perhaps"', "agents.claude.thinking", "perhaps"),
        ("[agents.claude]\nenv = { A = 7 }", "agents.claude.env", "7"),
        ('[agents.claude]\npass_env = "A"', "agents.claude.pass_env", "A"),
        ('[[presets]]\nlabel = "no text"', "presets", ""),
    ],
)
def test_a_bad_line_in_the_file_stops_the_program(data: DataRoot, text: str, key: str, value: str) -> None:
    write(data, text)
    assert is_refused(data.run("ls"), key, value)


def test_an_unknown_variable_stops_the_program_with_a_suggestion(data: DataRoot) -> None:
    for words in ("ls", "new", "serve --port 0", "token show"):
        done = data.run(*words.split(), BREAKGLASS_PROT="1")
        assert is_refused(done, "breakglass_prot", "BREAKGLASS_PORT"), words
        assert done.returncode == 2


def test_an_agent_can_use_breakglass(data: DataRoot) -> None:
    python = f"{sys.executable} -m breakglass"
    session = data.new()
    data.run("send", session, "--wait", f"{python} --data {data.root} ls; echo $? $BREAKGLASS_TURN")
    assert f"\n0 {session}/" in data.output(session)


def test_options_override_the_environment_which_overrides_the_file(data: DataRoot) -> None:
    del data.env["BREAKGLASS_DATA"]
    data.ok("new")
    assert (data.folder / "var" / "sessions").is_dir()
    for name, folder in (("breakglass", "here"), ("named", "named"), ("option", "option")):
        write(data, f'data = "{folder}"', f"{name}.toml")
    by_name, by_variable = {"BREAKGLASS_CONFIG": "named.toml"}, {"BREAKGLASS_DATA": "variable"}
    for folder, options, env in (
        ("here", "", {}),
        ("named", "", by_name),
        ("option", "--config option.toml", by_name),
        ("variable", "--config option.toml", by_variable),
        ("last", "--data last", by_variable),
    ):
        data.ok("new", *options.split(), **env)
        assert (data.folder / folder / "sessions").is_dir(), folder


def test_the_default_agent_is_claude_if_that_is_found_and_otherwise_the_shell(data: DataRoot) -> None:
    del data.env["BREAKGLASS_AGENT"]
    data.env["PATH"] = str(data.folder)
    assert data.last(data.new(), "created")["agent"] == "shell"
    (data.folder / "claude").touch(0o755)
    assert data.last(data.new(), "created")["agent"] == "claude"


AGENTS = """
[agents.mine]
protocol = "shell"
command = ["sh", "-e"]
env = { SET = "1" }
pass_env = ["PASSED"]
[agents.claude]
permissions = "ask"
allow = ["Edit"]
deny = ["Bash"]
thinking = true
[agents.other]
protocol = "acp"
command = ["other"]
permissions = "bypass"
[[presets]]
label = "Disk"
text = "df -h"
agent = "mine"
"""


def test_an_agent_gets_its_command_and_no_variable_that_is_not_allowed(data: DataRoot) -> None:
    write(data, AGENTS)
    session = data.new("--agent", "mine")
    script = 'echo "$SET $PASSED $LC_X $TZ [$STRAY$BREAKGLASS_DATA$BREAKGLASS_TOKEN]"; false; echo no'
    env = {"PASSED": "2", "LC_X": "3", "TZ": "UTC", "STRAY": "4"}
    data.run("send", session, "--wait", script, **env)
    assert data.output(session) == "1 2 3 UTC []\n"  # `sh -e` ends before `no`


# --- the server -------------------------------------------------------------------------------------


def test_a_listed_proxy_names_the_user_and_the_address_below_a_prefix(data: DataRoot) -> None:
    settings = {
        "BREAKGLASS_PREFIX": "/breakglass",
        "BREAKGLASS_ORIGINS": "https://ops.example.com",
        "BREAKGLASS_PROXIES": "127.0.0.1",
        "BREAKGLASS_PROXY_USER_HEADER": "X-User",
        "BREAKGLASS_PROXY_ADDRESS_HEADER": "X-Forwarded-For",
        "BREAKGLASS_ACCESS_LOG": "access.log",
    }
    ops, log = "https://ops.example.com", data.folder / "access.log"
    proxy = {**ANONYMOUS, "Host": "ops.example.com", "Origin": ops, "X-Forwarded-For": "192.0.2.7"}
    with serving(data, **settings) as server:
        assert server.ask("GET", "/breakglass/api/sessions", headers=proxy).status == 401
        made = server.ask("POST", "/breakglass/api/sessions?secret", {}, {**proxy, "X-User": "ann"})
        assert made.status == 201
        assert made.headers["location"] == f"/breakglass/api/sessions/{made.json['id']}"
        assert data.last(made.json["id"], "created")["by"] == "ann"
        wait_until(lambda: log.exists() and '"ann"' in log.read_text(), "the line in the access log")
    (line,) = [line for line in log.read_text().splitlines() if '"ann"' in line]
    entry = json.loads(line)
    assert list(entry) == ["ts", "by", "from", "method", "path", "status", "ms"]
    assert list(entry.values())[1:-1] == ["ann", "192.0.2.7", "POST", "/breakglass/api/sessions", 201]


def health(client: socket.socket, host: str) -> bytes:
    """Send a request on a connected socket and return the status of the response."""
    client.settimeout(SECONDS)
    client.sendall(f"GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    return client.recv(1024).split()[1]


@pytest.mark.parametrize(("folder_mode", "mode"), [(0o700, 0o600), (0o2750, 0o660)])
def test_only_the_owner_or_the_group_of_a_setgid_folder_has_access_to_a_unix_socket(
    data: DataRoot, folder_mode: int, mode: int
) -> None:
    path = data.folder / "run" / "socket"
    path.parent.mkdir()
    path.parent.chmod(folder_mode)
    with data.running("serve", "--socket", str(path)) as program, socket.socket(socket.AF_UNIX) as client:
        program.wait_for(b"\n")
        assert stat.S_IMODE(path.stat().st_mode) == mode
        client.connect(str(path))
        assert health(client, "localhost") == b"200"


def test_with_a_certificate_and_its_key_the_server_uses_tls(data: DataRoot) -> None:
    made = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost"
    files = "-addext subjectAltName=DNS:localhost -keyout key.pem -out cert.pem"
    subprocess.run(f"{made} {files}".split(), cwd=data.folder, check=True, capture_output=True)
    context = ssl.create_default_context(cafile=str(data.folder / "cert.pem"))
    with (
        serving(data, BREAKGLASS_TLS_CERT="cert.pem", BREAKGLASS_TLS_KEY="key.pem") as server,
        socket.create_connection(("127.0.0.1", server.port), SECONDS) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as client,
    ):
        assert health(client, f"localhost:{server.port}") == b"200"


def test_beyond_loopback_the_server_requires_tls_or_a_proxy(data: DataRoot) -> None:
    assert is_refused(data.run("serve", "--host", "0.0.0.0", "--port", "0"), "host", "0.0.0.0")
