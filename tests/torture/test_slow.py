"""slowhttptest against a real server: slow heads, bodies and readers, in numbers, while somebody else is served."""

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.help.servers import Server, serving
from tests.help.waiting import DEADLINE, wait_until

pytestmark = pytest.mark.torture
CONNECTIONS = 1500
SECONDS = 20
KIND = {
    "heads": ("-H", "-i", "2", "-t", "GET"),
    "bodies": ("-B", "-i", "2", "-s", "100000"),
    "readers": ("-X", "-w", "512", "-y", "1024", "-n", "5", "-z", "32", "-k", "1"),
}
CUT = {"heads": 5, "bodies": 10 + 2, "readers": 40}
"""Seconds, by docs/security.md, after which the server has got rid of such a client."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path / "var") as started:
        yield started


def descriptors(server: Server) -> int:
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def resident(server: Server) -> int:
    """Return MiB."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{server.process.pid}/status").read_text())
    assert found
    return int(found[1]) >> 10


@pytest.mark.parametrize("kind", KIND)
def test_slow_clients_are_cut_and_cost_little_while_others_are_served(kind: str, server: Server) -> None:
    page = server.ask("GET", "/login")[1].decode()
    style = re.search(r'href="(/static/[^"]*\.css)"', page)
    assert style
    target = {"heads": "/", "bodies": "/login", "readers": style[1]}[kind]
    words = [
        "-c",
        str(CONNECTIONS),
        "-r",
        "500",
        "-l",
        str(SECONDS),
        "-p",
        "5",
        "-u",
        server.address + target,
    ]
    held, before = descriptors(server), resident(server)
    attack = subprocess.Popen(["slowhttptest", *KIND[kind], *words], stdout=subprocess.DEVNULL)
    most = slowest = 0.0
    memory = before
    while attack.poll() is None:
        began = time.monotonic()
        assert server.ask("GET", "/health")[0] == 200
        slowest = max(slowest, time.monotonic() - began)
        most, memory = max(most, descriptors(server)), max(memory, resident(server))
        time.sleep(0.2)
    print(f"{kind}: {most} descriptors, {memory - before} MiB more, slowest answer {slowest:.2f} s")
    assert most - held > 100, "it was attacked"
    assert memory - before < 150
    assert slowest < 3
    wait_until(lambda: descriptors(server) <= held + 5, "all of them to be gone", CUT[kind] + DEADLINE)
