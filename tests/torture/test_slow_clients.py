"""slowhttptest attacks a real server with slow heads, bodies and readers, while another client is served."""

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

from tests.help.servers import Server, serving
from tests.help.waiting import wait_until
from tests.torture.measure import MEGABYTE, open_descriptors, resident_bytes

pytestmark = pytest.mark.torture

CONNECTIONS = 1500
SECONDS = 20
OPTIONS = {
    "heads": ("-H", "-i", "2", "-t", "GET"),
    "bodies": ("-B", "-i", "2", "-s", "100000"),
    "readers": ("-X", "-w", "512", "-y", "1024", "-n", "5", "-z", "32", "-k", "1"),
}
"""slowhttptest's options for each kind of attack."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path / "var") as started:
        yield started


@pytest.mark.parametrize("kind", OPTIONS)
def test_slow_clients_are_closed_and_cost_little_while_others_are_served(kind: str, server: Server) -> None:
    page = server.ask("GET", "/login")[1].decode()
    style = re.search(r'href="(/static/[^"]*\.css)"', page)
    assert style
    target = {"heads": "/", "bodies": "/login", "readers": style[1]}[kind]
    load = ["-c", str(CONNECTIONS), "-r", "500", "-l", str(SECONDS), "-p", "5", "-u", server.address + target]
    pid = server.process.pid
    descriptors_before, memory_before = open_descriptors(pid), resident_bytes(pid)
    attack = subprocess.Popen(["slowhttptest", *OPTIONS[kind], *load], stdout=subprocess.DEVNULL)
    descriptors, memory, times = 0, memory_before, []
    while attack.poll() is None:
        began = time.monotonic()
        assert server.ask("GET", "/health")[0] == 200
        times.append(time.monotonic() - began)
        descriptors = max(descriptors, open_descriptors(pid))
        memory = max(memory, resident_bytes(pid))
        time.sleep(0.2)
    grown = (memory - memory_before) / MEGABYTE
    answers = f"p50 {median(times):.2f} s, longest {max(times):.2f} s"
    print(f"{kind}: {descriptors} descriptors, {grown:.0f} MiB more, answers {answers}")
    assert descriptors - descriptors_before > 100, "the attack did not reach the server"
    assert grown < 150
    assert median(times) < 1  # not the longest: other programs of this machine delay some answers
    wait_until(lambda: open_descriptors(pid) <= descriptors_before + 5, "the connections to be closed")
