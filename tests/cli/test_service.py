"""The systemd service: the shipped unit, the steps of `install` and `uninstall`, and what systemd says about them.

tests/torture/test_systemd.py runs them under a real systemd.
"""

import json
import re
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from breakglass.cli.notify import notify_ready
from breakglass.cli.unit import (
    ENVIRONMENT,
    SHIPPED,
    Service,
    Step,
    data_of,
    installation,
    is_as_written,
    removal,
    unit_text,
)
from breakglass.errors import Conflict
from tests.cli.program import Data
from tests.help.servers import serving
from tests.help.waiting import DEADLINE


def service(folder: Path, **changes: object) -> Service:
    """Return a system service of root as on a real machine, but with its files in `folder`."""
    usual: dict[str, object] = {
        "user": "root",
        "home": Path("/root"),
        "is_system": True,
        "program": Path("/opt/breakglass/bin/breakglass"),
        "data": Path("/var/lib/breakglass"),
        "units": folder / "systemd",
        "configuration": folder / "breakglass",
    }
    return Service(**(usual | changes))  # type: ignore[arg-type]


def body(unit: str) -> str:
    return unit.partition("\n")[2]


def run_with_fake_systemctl(steps: list[Step]) -> list[str]:
    """Run the steps as `--dry-run` prints them, and return the calls of systemctl."""
    script = "\n".join(("systemctl() { echo systemctl $*; }", *(step.as_shell() for step in steps)))
    done = subprocess.run(["sh", "-euc", script], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    "line",
    [
        "Type=notify",
        "ExecStart=/opt/breakglass/bin/breakglass serve --data /var/lib/breakglass",
        "ExecReload=sh -c 'kill -HUP $MAINPID'",
        "User=root",
        "EnvironmentFile=-/etc/breakglass/environment",
        "StateDirectory=breakglass",
        "StateDirectoryMode=0700",
        "RuntimeDirectory=breakglass",
        "RuntimeDirectoryMode=0700",
        "Restart=always",
        "StartLimitIntervalSec=0",
        "KillMode=process",
        "OOMPolicy=continue",
        "OOMScoreAdjust=-900",
        "WantedBy=multi-user.target",
    ],
)
def test_the_shipped_unit_says(line: str) -> None:
    assert SHIPPED.read_text().splitlines().count(line) == 1


def test_the_shipped_unit_is_that_of_root_at_the_usual_places(tmp_path: Path) -> None:
    assert body(unit_text(service(tmp_path, configuration=Path("/etc/breakglass")))) == SHIPPED.read_text()


def test_another_user_and_place_change_these_lines_only(tmp_path: Path) -> None:
    ops = service(
        tmp_path,
        user="ops",
        home=Path("/home/ops"),
        data=Path("/srv/50% $x"),
        config=Path("/srv/x.toml"),
        configuration=Path("/etc/breakglass"),
    )
    new, old = body(unit_text(ops)).splitlines(), SHIPPED.read_text().splitlines()
    assert [line for line in new if line not in old] == [
        'ExecStart=/opt/breakglass/bin/breakglass serve --data "/srv/50%% $$x" --config /srv/x.toml',
        "User=ops",
        "Environment=PATH=/home/ops/.local/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        'ExecStartPre=+install -d -m 0700 -o ops "/srv/50%% $$x"',
    ]
    assert data_of(unit_text(ops)) == Path("/srv/50% $x")


def test_the_unit_of_a_user_service_needs_no_root(tmp_path: Path) -> None:
    home = Path("/home/ann")
    text = unit_text(service(tmp_path, user="ann", home=home, is_system=False, data=home / ".local/state/bg"))
    assert "\nExecStartPre=install -d -m 0700 /home/ann/.local/state/bg\n" in text
    assert "\nWantedBy=default.target\n" in text
    assert re.findall("^(?:User|StateDirectory|StateDirectoryMode)=", text, re.MULTILINE) == []


@pytest.mark.parametrize("is_system", [True, False])
@pytest.mark.parametrize("data", ["/var/lib/breakglass", "/srv/my data"])
def test_systemd_finds_no_mistake_in_a_unit(tmp_path: Path, *, is_system: bool, data: str) -> None:
    made = service(tmp_path, program=Path(sys.executable), data=Path(data), is_system=is_system)
    path = tmp_path / "breakglass.service"
    path.write_text(unit_text(made))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--system" if is_system else "--user", "--man=no", path],
        capture_output=True,
        text=True,
        check=False,
        env={"XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)},
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_restricts_nothing_that_an_agent_would_inherit(tmp_path: Path) -> None:
    path = tmp_path / "breakglass.service"
    path.write_text(SHIPPED.read_text().replace("/opt/breakglass/bin/breakglass", sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--json=short", "--no-pager", path],
        capture_output=True,
        text=True,
        check=True,
    )
    satisfied = {row["name"] for row in json.loads(done.stdout) if row["set"]}
    assert satisfied == {"AmbientCapabilities=", "Delegate=", "KeyringMode=", "NotifyAccess="}


def test_an_installation_writes_both_files_and_starts_the_service(tmp_path: Path) -> None:
    made = service(tmp_path)
    assert run_with_fake_systemctl(installation(made, None, has_environment=False, force=False)) == [
        "systemctl daemon-reload",
        "systemctl enable breakglass.service",
        "systemctl restart breakglass.service",
    ]
    assert made.unit.read_text() == unit_text(made)
    assert made.environment.read_text() == ENVIRONMENT
    assert (made.unit.stat().st_mode & 0o777, made.environment.stat().st_mode & 0o777) == (0o644, 0o600)


def test_a_second_installation_writes_nothing_and_restarts_nothing(tmp_path: Path) -> None:
    made = service(tmp_path, is_system=False)
    steps = installation(made, unit_text(made), has_environment=True, force=False)
    assert [step.as_shell() for step in steps] == [
        "systemctl --user daemon-reload",
        "systemctl --user enable breakglass.service",
        "systemctl --user start breakglass.service",
    ]


def test_a_unit_of_another_version_is_replaced(tmp_path: Path) -> None:
    old = unit_text(service(tmp_path, user="ops"))
    assert is_as_written(old)
    steps = installation(service(tmp_path), old, has_environment=True, force=False)
    assert [step.words[0] for step in steps] == ["install", "systemctl", "systemctl", "systemctl"]


@pytest.mark.parametrize(
    "changed",
    ["", "[Service]\nExecStart=/bin/true\n", "{unit}Nice=5\n", "{unit}\n"],
    ids=["masked", "other", "line", "newline"],
)
def test_a_changed_unit_is_neither_replaced_nor_removed_without_force(tmp_path: Path, changed: str) -> None:
    made = service(tmp_path)
    text = changed.replace("{unit}", unit_text(made))
    for steps in (
        partial(installation, made, text, has_environment=True),
        partial(removal, made, text, None),
    ):
        with pytest.raises(Conflict, match=r"was changed.*--force"):
            steps(force=False)
        assert Step(("mv", str(made.unit), f"{made.unit}.old")) in steps(force=True)


def test_a_removal_deletes_what_was_written_and_keeps_what_a_user_wrote(tmp_path: Path) -> None:
    made = service(tmp_path)
    for environment, left in ((ENVIRONMENT, False), ("ANTHROPIC_API_KEY=x\n", True)):
        run_with_fake_systemctl(installation(made, None, has_environment=False, force=False))
        made.environment.write_text(environment)
        calls = run_with_fake_systemctl(removal(made, made.unit.read_text(), environment, force=False))
        assert calls == ["systemctl disable --now breakglass.service", "systemctl daemon-reload"]
        assert not made.unit.exists()
        assert made.configuration.exists() == made.environment.exists() == left


def test_a_dry_run_prints_a_script_and_changes_nothing(data: Data) -> None:
    unit = data.folder / "home" / ".config" / "systemd" / "user" / "breakglass.service"
    done = data.run("install", "--dry-run", "--data", "/srv/bg", XDG_CONFIG_HOME=str(unit.parents[2]))
    assert done.returncode == 0
    script = done.stdout.decode()
    assert subprocess.run(["sh", "-n"], input=done.stdout, check=False).returncode == 0
    assert "serve --data /srv/bg\n" in script
    assert re.search(r"^systemctl (--user )?enable breakglass.service$", script, re.MULTILINE)
    assert not data.root.exists()
    assert not unit.exists()
    elsewhere = data.run("install", "--dry-run", XDG_CONFIG_HOME="/elsewhere").stdout
    assert b"/elsewhere/breakglass" not in elsewhere  # no command looks for settings there
    wrong = data.run("install", "--user", "no-such-user", "--dry-run")
    assert (wrong.returncode, wrong.stdout) == (2, b"")
    assert b"--user no-such-user: " in wrong.stderr


def test_a_server_tells_systemd_when_clients_can_connect(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        with serving(tmp_path / "var", NOTIFY_SOCKET=path) as server:
            sock.settimeout(DEADLINE)
            assert sock.recv(100) == b"READY=1"
            assert server.ask("GET", "/health")[0] == 200


def test_the_socket_of_the_service_manager_may_be_abstract(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0{tmp_path}")
        notify_ready({"NOTIFY_SOCKET": f"@{tmp_path}"})
        assert sock.recv(100, socket.MSG_DONTWAIT) == b"READY=1"


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "/no/such/socket"}])
def test_without_a_service_manager_nothing_happens(environ: dict[str, str]) -> None:
    notify_ready(environ)
