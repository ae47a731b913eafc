"""The recipes of docs/deploy.md for a few hosts, run as the page has them: a tunnel, rsync by ssh, and the API."""

import os
import re
import shlex
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from breakglass.store import hosts, sessions
from breakglass.store.sessions import Session
from tests.help.deploy_page import block, page
from tests.help.servers import TOKEN, Server, serving
from tests.help.sshd import Sshd
from tests.help.waiting import wait_until

HOST_SESSIONS = "/var/lib/breakglass/sessions/"
EVIL = "00000000-0000-4000-8000-000000000000"
"""A session whose log a host has replaced by a link."""
COPY = "/var/lib/breakglass/hosts/db1"


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    made = Sshd(tmp_path_factory.mktemp("sshd"))
    process = made.start()
    yield made
    process.terminate()
    process.wait()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server of db1, with one session whose log has a foreign line and a torn one."""
    root = tmp_path_factory.mktemp("db1") / "var"
    with serving(root) as server:
        path = server.log(server.new_session(title="disk"))
        with path.open("ab") as file:
            file.write(b"not JSON \xff\n" + b'{"id":3,"torn')
        yield server


def grow(host: Server) -> Path:
    """Add a line to the log of the session, and return the path of the log."""
    (session,) = [each for each in sessions.ids(host.data) if each != EVIL]
    sessions.change(Session(host.data, session), title="grown")
    return host.log(session)


def ssh_as(sshd: Sshd) -> str:
    """Return the words that start ssh with the client's key and the host's key pinned."""
    known = sshd.folder / "known"
    known.write_text(f"[127.0.0.1]:{sshd.port} {(sshd.folder / 'host.pub').read_text()}")
    return (
        f"ssh -F none -i {sshd.folder}/client -o UserKnownHostsFile={known} -o BatchMode=yes -p {sshd.port}"
    )


def user() -> str:
    return subprocess.check_output(["id", "-un"], text=True).strip()


def copied(hub: Path) -> bytes:
    (session,) = sessions.ids(hosts.root_of(hub, "db1"))
    return Path(f"{hub}/hosts/db1/sessions/{session}/events.jsonl").read_bytes()


def test_rsync_of_the_page_writes_a_copy_that_equals_the_logs(
    sshd: Sshd, host: Server, tmp_path: Path
) -> None:
    install, rsync, _ = block("text", "rsync ").splitlines()
    (timer,) = re.findall(r"^ExecStart=(rsync .*)$", page(), re.MULTILINE)
    options = rsync.split(" ops@")[0]
    assert shlex.split(options) == timer.split(" ops@")[0].split()  # systemd expands no `*`
    (tmp_path / "hub").mkdir()
    (host.data / "sessions" / EVIL).mkdir()
    (host.data / "sessions" / EVIL / "events.jsonl").symlink_to("/etc/passwd")
    typed = rsync.replace("/var/lib/breakglass/hosts", f"{tmp_path}/hub/hosts").replace(
        f"ops@db1:{HOST_SESSIONS}", f"{user()}@127.0.0.1:{host.data}/sessions/"
    )
    subprocess.run(shlex.split(install.replace("/var/lib/breakglass", f"{tmp_path}/hub")), check=True)
    environ = {**os.environ, "RSYNC_RSH": ssh_as(sshd)}
    subprocess.run(shlex.split(typed), check=True, env=environ)
    path = grow(host)  # repairs the torn line, which was copied
    subprocess.run(shlex.split(typed), check=True, env=environ)
    assert sorted(p.name for p in (tmp_path / "hub/hosts/db1/sessions").rglob("*") if not p.is_dir()) == [
        "events.jsonl"
    ]
    assert (
        tmp_path / f"hub/hosts/db1/sessions/{path.parent.name}/events.jsonl"
    ).read_bytes() == path.read_bytes()


def test_the_api_gives_the_lines_after_n_byte_for_byte(host: Server, tmp_path: Path) -> None:
    script = block("text", "get()").replace(COPY, f"{tmp_path}/hosts/db1")
    environ = {**os.environ, "TOKEN": TOKEN, "URL": host.address}
    subprocess.run(["bash", "-eu", "-c", script], check=True, env=environ)
    path = grow(host)
    subprocess.run(["bash", "-eu", "-c", script], check=True, env=environ)
    assert copied(tmp_path) == path.read_bytes()


def test_a_tunnel_leads_to_the_page_of_a_host(sshd: Sshd, host: Server) -> None:
    (line,) = block("text", "ssh -N").splitlines()
    words = line.replace("8421", str(host.port)).split()
    with socket.socket() as free:  # both ends are on this machine, so they cannot have one port
        free.bind(("127.0.0.1", 0))
        near = free.getsockname()[1]
    words[words.index("-L") + 1] = f"{near}:127.0.0.1:{host.port}"
    tunnel = subprocess.Popen([*ssh_as(sshd).split(), *words[1:-1], f"{user()}@127.0.0.1"])
    try:
        request = urllib.request.Request(
            f"http://127.0.0.1:{near}/login", headers={"Host": f"127.0.0.1:{host.port}"}
        )

        def answered() -> bool:
            try:
                return bool(urllib.request.urlopen(request).status == 200)
            except OSError:
                return False

        wait_until(answered, "the page through the tunnel")
    finally:
        tunnel.send_signal(signal.SIGTERM)
        tunnel.wait()
