"""The service under a real systemd, installed in a Debian system by the lines of docs/deploy.md."""

import json
import re
from collections.abc import Iterator
from functools import partial

import pytest

from breakglass.cli.unit import SHIPPED
from tests.help.deploy_page import block, page
from tests.help.superuser import require_superuser
from tests.help.waiting import wait_until
from tests.torture.machine import CHECKOUT, Machine, running_machine

pytestmark = pytest.mark.torture

BREAKGLASS = "/opt/breakglass/bin/breakglass"
DATA = "/var/lib/breakglass"
STATE = "/home/ann/.local/state/breakglass"
CLAUDE = "#!/bin/sh\\necho 2.1.999\\n"
"""A program in the place of Claude Code, which no registry of this test has."""
LONG = "echo begun; until [ -e /tmp/open ]; do sleep 0.1; done; echo over"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with the packages of the lock, and no service yet."""
    require_superuser("to run a machine with its own systemd")
    with running_machine(tmp_path_factory.mktemp("machine")) as made:
        made.sh(f"cd {CHECKOUT}; {block('text', '--require-hashes')}")
        made.sh(
            f"mkdir -p /root/.local/bin; printf '{CLAUDE}' | install -m 755 /dev/stdin /root/.local/bin/claude"
        )
        made.sh("useradd --create-home ann; useradd --create-home ops")
        yield made


@pytest.fixture
def service(machine: Machine) -> Iterator[Machine]:
    """The machine with a new service of root, and without data."""
    machine.sh(f"{BREAKGLASS} install")
    yield machine
    machine.sh("touch /tmp/open")
    for session in machine.sh(f"ls {DATA}/sessions").split():
        wait_until(partial(is_over, machine, session), "the end of the turn")
    machine.sh(f"{BREAKGLASS} uninstall --force; rm -rf {DATA} /etc/breakglass /tmp/open")
    machine.sh("rm -rf /etc/systemd/system/breakglass.service.*; systemctl daemon-reload")


def send(machine: Machine, prompt: str, user: str = "root", data: str = DATA) -> str:
    """Start a turn and return its session."""
    return machine.sh(f"{BREAKGLASS} send --agent shell --data {data} '{prompt}'", user=user).split()[0]


def events(machine: Machine, session: str, data: str = DATA) -> list[dict[str, object]]:
    text = machine.sh(f"cat {data}/sessions/{session}/events.jsonl")
    return [json.loads(line) for line in text.splitlines()]


def outputs(machine: Machine, session: str, data: str = DATA) -> str:
    return "".join(str(event.get("output", "")) for event in events(machine, session, data))


def is_over(machine: Machine, session: str) -> bool:
    return events(machine, session)[-1]["kind"] in ("created", "sealed")  # a seal follows the end of a turn


def end_status(machine: Machine, session: str, data: str = DATA) -> object:
    """Return how the last turn that has ended did so, None if none has."""
    ends = [event for event in events(machine, session, data) if event["kind"] == "turn_end"]
    return ends[-1]["status"] if ends else None


def is_active(machine: Machine) -> bool:
    return machine.run("systemctl", "is-active", "breakglass").stdout == "active\n"


def health(machine: Machine) -> str:
    return str(json.loads(machine.sh("curl -sS http://127.0.0.1:8420/health"))["status"])


def test_the_six_lines_install_a_service_that_finds_claude(machine: Machine) -> None:
    install, _, _, settings, service, login = block("text", "claude auth login").splitlines()
    machine.sh(f"cd {CHECKOUT}; rm -r /opt/breakglass; {install}")
    machine.sh(settings)
    assert f"runs as root. Its sessions are in {DATA}.\n" in machine.sh(service)
    assert re.fullmatch(r"http://127\.0\.0\.1:8420/login#code=\S{32}\n", machine.sh(login))
    assert health(machine) == "ok"
    assert "New ones use claude" in machine.sh("journalctl -u breakglass")
    assert (
        machine.sh("stat -c %a /var/lib/breakglass /run/breakglass /etc/breakglass/environment")
        == "700\n700\n600\n"
    )
    machine.sh(f"{BREAKGLASS} uninstall; rm -r {DATA} /etc/breakglass")


def test_the_installed_unit_is_the_shipped_one(service: Machine) -> None:
    unit = service.sh("cat /etc/systemd/system/breakglass.service")
    assert unit.partition("\n")[2] == SHIPPED.read_text()
    assert service.sh("systemd-analyze verify breakglass.service 2>&1") == ""
    wait_until(lambda: is_active(service), "the start of the service")
    service.sh("systemctl reload breakglass")
    assert is_active(service)


def test_a_dry_run_prints_what_an_installation_does(machine: Machine) -> None:
    machine.sh(
        f"{BREAKGLASS} install --dry-run > /tmp/script; test ! -e /etc/systemd/system/breakglass.service"
    )
    machine.sh("sh -eu /tmp/script")
    assert health(machine) == "ok"
    assert "start breakglass.service" in machine.run(BREAKGLASS, "install").stderr  # not "restart"
    machine.sh(f"{BREAKGLASS} uninstall --dry-run > /tmp/script; sh -eu /tmp/script")
    assert machine.sh("ls /etc/systemd/system /etc/breakglass 2>&1 | grep breakglass.service || true") == ""
    left = "systemctl list-units --all --plain --no-legend 'breakglass*'"
    wait_until(lambda: machine.sh(left) == "", "systemd to forget the unit")
    machine.sh(f"test -d {DATA}/sessions; rm -r {DATA}")


def test_a_turn_continues_while_the_unit_is_restarted_stopped_and_started(service: Machine) -> None:
    session = send(service, LONG)
    for word in ("restart", "stop", "start", "kill --kill-whom=main --signal=KILL"):
        service.sh(f"systemctl {word} breakglass")
        assert not is_over(service, session)
    wait_until(lambda: is_active(service), "the restart after a kill")
    service.sh("touch /tmp/open")
    wait_until(lambda: is_over(service, session), "the end of the turn")
    assert (end_status(service, session), outputs(service, session)) == ("ok", "begun\nover\n")


def test_a_turn_continues_after_its_service_was_removed(service: Machine) -> None:
    session = send(service, LONG)
    assert f"The sessions are kept in {DATA}.\n" in service.sh(f"{BREAKGLASS} uninstall")
    assert not is_over(service, session)
    service.sh(f"{BREAKGLASS} install")
    assert not is_over(service, session)


def test_after_a_reboot_the_service_runs_and_the_turn_has_ended(service: Machine) -> None:
    session = send(service, LONG)
    service.reboot()
    wait_until(lambda: is_active(service), "the service after the boot")
    wait_until(lambda: is_over(service, session), "the end of the turn")
    assert end_status(service, session) in ("error", "lost")  # which process gets its signal first
    service.sh(f"{BREAKGLASS} verify --all --data {DATA}")


def test_a_data_directory_that_is_open_to_others_is_closed(service: Machine) -> None:
    service.sh(f"systemctl stop breakglass; chmod 755 {DATA}; systemctl start breakglass")
    assert service.sh(f"stat -c %a {DATA}") == "700\n"
    assert health(service) == "ok"


def test_a_server_that_cannot_start_is_an_error_and_starts_once_the_reason_is_gone(service: Machine) -> None:
    service.sh("echo BREAKGLASS_PORT=x >> /etc/breakglass/environment")
    assert service.run("systemctl", "restart", "breakglass").returncode != 0
    failures = "journalctl -u breakglass | grep -c BREAKGLASS_PORT || true"
    wait_until(lambda: int(service.sh(failures)) >= 6, "more attempts than the usual limit of systemd")
    service.sh("sed -i /PORT/d /etc/breakglass/environment")
    wait_until(lambda: is_active(service), "the next attempt")
    assert health(service) == "ok"


def test_the_journal_holds_no_secret(service: Machine) -> None:
    token = service.sh(f"cat {DATA}/token").strip()
    code = service.sh(f"{BREAKGLASS} login --data {DATA}").partition("code=")[2].strip()
    service.sh("systemctl restart breakglass")
    journal = service.sh("journalctl --output=export")
    assert "To log in: breakglass login" in journal
    assert len(token) == 43
    assert [secret for secret in (token, code) if secret in journal] == []


def test_a_changed_unit_is_kept(service: Machine) -> None:
    unit = "/etc/systemd/system/breakglass.service"
    service.sh(f"echo Nice=5 >> {unit}")
    for word in ("install", "uninstall"):
        refused = service.run(BREAKGLASS, word)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert f"{unit} was changed" in refused.stderr
    assert "\n-Nice=5\n" in service.run(BREAKGLASS, "install").stderr
    assert "Nice=5" in service.sh(f"cat {unit}")
    service.sh(f"{BREAKGLASS} install --force")
    assert service.sh(f"grep -l Nice {unit} {unit}.old || true") == f"{unit}.old\n"


def test_another_user_gets_the_data_and_the_agents(service: Machine) -> None:
    send(service, "echo as root")
    service.sh(f"{BREAKGLASS} install --user ops")
    assert service.sh(f"stat -c %U {DATA} {DATA}/token {DATA}/sessions/*/events.jsonl | sort -u") == "ops\n"
    session = send(service, "id -un; echo $HOME", user="ops")
    wait_until(lambda: is_over(service, session), "the end of the turn")
    assert outputs(service, session) == "ops\n/home/ops\n"
    (line,) = re.findall(r"`(runuser [^`]+)`", page().replace("\n", " "))
    assert "/login#code=" in service.sh(line)


def test_a_program_that_others_can_change_or_its_user_cannot_run_is_not_installed(service: Machine) -> None:
    service.sh("chown ops /opt/breakglass/bin/breakglass")
    refused = service.run(BREAKGLASS, "install")
    assert refused.returncode == 2
    assert "not trusted: /opt/breakglass/bin/breakglass belongs to user ops" in refused.stderr
    service.sh("chown root /opt/breakglass/bin/breakglass; chmod 700 /opt/breakglass")
    refused = service.run(BREAKGLASS, "install", "--user", "ops")
    assert refused.returncode == 1
    assert f"ops cannot run {BREAKGLASS}: Permission denied" in refused.stderr
    service.sh("chmod 755 /opt/breakglass")


def test_the_group_of_a_proxy_may_connect_to_the_socket_and_no_one_else(service: Machine) -> None:
    settings = block("toml", "proxy_user_header").replace("'", '"')
    service.sh(f"install -D -m 644 /dev/stdin /etc/breakglass/breakglass.toml <<'END'\n{settings}END")
    drop_in = "/etc/systemd/system/breakglass.service.d/override.conf"
    service.sh(f"install -D -m 644 /dev/stdin {drop_in} <<'END'\n{block('ini', 'ExecStartPre')}END")
    service.sh("systemctl daemon-reload; systemctl restart breakglass")
    assert service.sh("stat -c '%a %U %G' /run/breakglass /run/breakglass/socket") == (
        "2750 root www-data\n660 root www-data\n"
    )
    ask = (
        "curl",
        "-sS",
        "--unix-socket",
        "/run/breakglass/socket",
        "http://ops.example.com/breakglass/health",
    )
    assert (
        service.run("setpriv", "--reuid=www-data", "--regid=www-data", "--clear-groups", *ask).returncode == 0
    )
    assert service.run(*ask, user="ann").returncode == 7  # curl(1): failed to connect
    service.sh("systemctl restart breakglass")
    assert (
        service.run("setpriv", "--reuid=www-data", "--regid=www-data", "--clear-groups", *ask).returncode == 0
    )


def test_an_agent_may_have_a_cgroup_of_its_own(service: Machine) -> None:
    limits = re.search(
        r'^command = (\["systemd-run".*)"claude"\]$', block("toml", "systemd-run"), re.MULTILINE
    )
    assert limits
    settings = f'[agents.limited]\nprotocol = "shell"\ncommand = {limits[1]}"bash"]\n'
    service.sh(f"install -D -m 644 /dev/stdin /etc/breakglass/breakglass.toml <<'END'\n{settings}END")
    session = service.sh(f"{BREAKGLASS} new --agent limited --data {DATA}").strip()
    service.sh(f"{BREAKGLASS} send {session} --wait --data {DATA} 'cat /proc/self/cgroup'")
    assert ".scope" in outputs(service, session)


def test_a_user_installs_a_service_without_root(machine: Machine) -> None:
    refused = machine.run(BREAKGLASS, "install", user="ann")
    assert refused.returncode == 1
    assert "loginctl enable-linger ann" in refused.stderr
    machine.sh("loginctl enable-linger ann")
    wait_until(
        lambda: machine.run("test", "-e", "/run/user/1000/systemd/private").returncode == 0, "the manager"
    )
    assert f"runs as ann. Its sessions are in {STATE}.\n" in machine.sh(f"{BREAKGLASS} install", user="ann")
    session = send(machine, LONG, "ann", STATE)
    machine.sh("XDG_RUNTIME_DIR=/run/user/1000 systemctl --user restart breakglass", user="ann")
    assert health(machine) == "ok"
    machine.sh("touch /tmp/open")
    wait_until(lambda: end_status(machine, session, STATE) == "ok", "the end of the turn")
    machine.reboot()
    wait_until(
        lambda: machine.run("curl", "-sS", "http://127.0.0.1:8420/health").returncode == 0, "the service"
    )
    assert machine.run(BREAKGLASS, "install", "--user", "ops", user="ann").returncode == 2
    machine.sh(f"{BREAKGLASS} uninstall", user="ann")
    assert machine.run("curl", "-sS", "http://127.0.0.1:8420/health").returncode == 7
    assert machine.sh(f"ls {STATE}/sessions").strip() == session
