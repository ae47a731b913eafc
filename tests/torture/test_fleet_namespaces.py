"""From nothing to three hosts: the commands of docs/fleet.md on four machines, each with a network of its own."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.program import Data
from tests.help.fleet import Fleet, add_session, append, nats_server
from tests.help.namespaces import Machines
from tests.help.sshd import SSHD, Sshd
from tests.help.waiting import wait_until

pytestmark = pytest.mark.torture

HOSTS = ("db1", "db2", "db3")
PAGE = Path(__file__).parents[2] / "docs" / "fleet.md"
COPYING = 'do scp -p "$host.creds" "$host:/var/lib/breakglass/relay.creds"'
SLOW = 120
"""Seconds. A host is not heard after 25 without a heartbeat."""


@pytest.fixture
def machines() -> Iterator[Machines]:
    with Machines("hub.example.com", HOSTS) as made:
        yield made


def on(machines: Machines, name: str, data: Data, script: str, *, scp: str = "") -> str:
    """Run the commands of a block of the page on a machine, and return what they print.

    Their programs go on after this. What they print then is in the file `said`, so no pipe keeps this waiting.
    """
    functions = f"""
        set -e
        pip() {{ [ "$*" = "install breakglass[relay]" ]; }}  # the tests have installed it
        breakglass() {{ {sys.executable} -m breakglass "$@"; }}
        nats-server() {{ {nats_server()} "$@"; }}
        scp() {{ command scp {scp} "$@"; }}
    """
    said = data.folder / "said"
    with said.open("ab") as file:
        before = file.tell()
        subprocess.run(
            machines.command(name, "bash", "-c", functions + script),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=data.env,
            cwd=data.folder,
            check=True,
            timeout=SLOW,
        )
    return said.read_bytes()[before:].decode()


def start_sshd(machines: Machines, name: str, keys: Sshd) -> None:
    """Start an sshd on a machine. It ends with the machine."""
    config = keys.folder / f"{name}_config"
    config.write_text(
        f"HostKey {keys.folder}/host\nAuthorizedKeysFile {keys.folder}/authorized\nPidFile none\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nSubsystem sftp internal-sftp\n"
    )
    subprocess.run(machines.command(name, SSHD, "-f", config, "-E", keys.folder / "log"), check=True)


def links(fleet: Fleet) -> dict[str, str]:
    """Return what `breakglass hosts` says of the link to each host."""
    return {row["host"]: row["link"] for row in fleet.hub.json("hosts")}


def test_the_commands_of_the_page_lead_from_nothing_to_three_hosts_in_networks_of_their_own(
    machines: Machines, tmp_path: Path
) -> None:
    blocks = re.findall(r"^```bash\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    on_hub, on_host, look = blocks[:3]
    commands = [line for block in (on_hub, on_host, look) for line in block.splitlines()]
    assert len(commands) == 11, "ten commands to three hosts, and one to see their sessions"
    assert COPYING in on_hub
    (tmp_path / "ssh").mkdir()
    keys, fleet = Sshd(tmp_path / "ssh"), Fleet(tmp_path)
    for name in HOSTS:
        host = fleet.add_host(name, b"")
        (host.root / "relay.creds").unlink()
        add_session(host, f"on {name}")
        start_sshd(machines, name, keys)
    ssh = (
        f"-F none -q -i {keys.folder}/client -o StrictHostKeyChecking=accept-new"
        f" -o UserKnownHostsFile={keys.folder}/known -o BatchMode=yes"
    )
    to_hosts = on_hub.replace(":/var/lib/breakglass/relay.creds", f":{tmp_path}/$host/var/relay.creds")
    on(machines, "hub", fleet.hub, f"umask 077\n{to_hosts}", scp=ssh)
    for name in HOSTS:
        on(machines, name, fleet.hosts[name], on_host)
    wait_until(lambda: links(fleet) == dict.fromkeys(HOSTS, "live"), "three hosts that are live", SLOW)
    wait_until(lambda: fleet.differences() == [], "the copies to equal the logs", SLOW)
    shown = on(machines, "hub", fleet.hub, look)
    assert [shown.count(f"on {name}") for name in HOSTS] == [1, 1, 1]
    cut_the_link_of_one_host(machines, fleet)


def cut_the_link_of_one_host(machines: Machines, fleet: Fleet) -> None:
    """The others go on, the hub says that it is not heard, and nothing is lost."""
    logs = {name: add_session(host, f"more on {name}") for name, host in fleet.hosts.items()}
    machines.cut("db2")
    for number in range(100):
        for log in logs.values():
            append(log, f"{number}")
    wait_until(lambda: links(fleet)["db2"] == "lost", "db2 to be lost", SLOW)
    wait_until(lambda: {each[:3] for each in fleet.differences()} == {"db2"}, "the other copies", SLOW)
    assert {links(fleet)["db1"], links(fleet)["db3"]} == {"live"}
    machines.restore("db2")
    wait_until(lambda: fleet.differences() == [], "the copies to equal the logs", SLOW)
    wait_until(lambda: links(fleet)["db2"] == "live", "db2 to be live", SLOW)
