"""Relay and mirror reach the engine by WebSocket: directly, and behind the web server of docs/fleet.md."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.help.fleet import Fleet, free_port
from tests.help.fleet_storm import run_storm
from tests.help.proxies import replaced
from tests.help.waiting import wait_until

pytestmark = pytest.mark.torture
PAGE = (Path(__file__).parents[2] / "docs" / "fleet.md").read_text(encoding="utf-8")


@contextmanager
def web_server(folder: Path, port: int, engine: Fleet) -> Iterator[None]:
    """Run nginx with the block of the page in front of an engine."""
    block = re.findall(r"^```nginx\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[0]
    block = replaced(block, ("127.0.0.1:4443", f"127.0.0.1:{engine.port}"))
    files = engine.hub.root / "engine"
    config = folder / "nginx.conf"
    config.write_text(
        f"{'user root;' * (os.geteuid() == 0)} daemon off; pid {folder}/pid; error_log {folder}/log;\n"
        f"events {{}}\nhttp {{ access_log off; server {{ listen 127.0.0.1:{port} ssl;\n"
        f"ssl_certificate {files}/cert.pem; ssl_certificate_key {files}/key.pem;\n{block} }} }}\n"
    )
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program
    process = subprocess.Popen([program, "-c", config, "-e", folder / "log"])
    try:
        wait_until((folder / "pid").exists, "nginx")
        yield
    finally:
        process.terminate()
        process.wait()


def test_nothing_is_lost_or_doubled_over_websocket(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    fleet.url = f"wss://127.0.0.1:{fleet.port}"
    storm_of(fleet)


def test_nothing_is_lost_or_doubled_behind_the_web_server_of_the_page(tmp_path: Path) -> None:
    fleet, port = Fleet(tmp_path), free_port()
    fleet.url = f"wss://127.0.0.1:{port}"
    fleet.enroll("db1")
    behind = re.findall(r"^```text\n(websocket .*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[0]
    config = fleet.hub.root / "engine" / "nats-server.conf"
    text, count = re.subn(r"websocket \{\n.*?\n\}\n", lambda _: behind, config.read_text(), flags=re.DOTALL)
    assert count == 1
    config.write_text(replaced(text, ("127.0.0.1:4443", f"127.0.0.1:{fleet.port}")))
    with web_server(tmp_path, port, fleet):
        storm_of(fleet)


def storm_of(fleet: Fleet) -> None:
    """Enroll a host unless there is one, and disturb the programs."""
    if not fleet.hosts:
        fleet.enroll("db1")
    fleet.engine.start()
    try:
        assert fleet.hub.run("mirror", "--once").returncode == 0
        run_storm(fleet, kills=6, stops=2)
    finally:
        fleet.engine.kill()
