"""Start: the time from a server's command to its first byte, and from a prompt to the agent's first output."""

import contextlib
import http.client
import json
import re
import subprocess
import time
from collections.abc import Iterator

from tests.bench import client
from tests.bench.adapters import TOKEN, Ours
from tests.bench.bench import Bench, Sample, report_progress, reporting_failure
from tests.bench.client import ServerFailed
from tests.help.waiting import wait_until

NAME = "start"
TITLE = "Starts"
REFERENCE = "breakglass"
NOTE = (
    "`server`: from the command to the first byte of an answer. `turn`: the agent is `date +%s%N`. Its own start "
    "is included; the line `date alone` shows the time of that without us. `request to 202` includes the sync of the "
    "prompt. Ratios are to ours."
)
LOG = 20
AGENT = "date +%s%N"
STAMP = re.compile(rb"1[0-9]{18}")


def run(bench: Bench) -> Iterator[Sample]:
    """Yield the start times of all servers, then of turns."""
    for number in range(bench.sizes.rounds):
        for kind in bench.servers():
            report_progress(f"{NAME}: round {number + 1}, {kind.name}")
            server = kind(bench.folder())
            server.prepare(LOG)
            with reporting_failure(kind.name):
                try:
                    yield Sample(NAME, "server", "ms", kind.name, number, server.start() * 1e3)
                finally:
                    server.stop()
    if bench.servers("ours"):
        with bench.running(Ours, LOG) as ours:
            assert isinstance(ours, Ours)
            for number in range(bench.sizes.rounds):
                yield from _turn(ours, number)


def _turn(server: Ours, number: int) -> Iterator[Sample]:
    session = json.loads(_post(server, "/api/sessions", {"agent": "shell"}))["id"]
    path = server.data / "sessions" / session / "events.jsonl"
    asked = time.time_ns()
    _post(server, f"/api/sessions/{session}/turns", {"prompt": AGENT})
    answered = time.time_ns()
    wait_until(lambda: b'"turn_end"' in path.read_bytes(), "the turn to end")
    printed = int(STAMP.findall(path.read_bytes())[0])
    began = time.time_ns()
    alone = int(subprocess.run(["/bin/sh", "-c", AGENT], capture_output=True, check=True).stdout) - began
    yield Sample(NAME, "turn", "request to 202, ms", server.name, number, (answered - asked) / 1e6)
    yield Sample(NAME, "turn", "202 to agent, ms", server.name, number, (printed - answered) / 1e6)
    yield Sample(NAME, "turn", "202 to agent, ms", "date alone", number, alone / 1e6)


def _post(server: Ours, path: str, body: dict[str, str]) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=client.READER_SECONDS)
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    with contextlib.closing(connection):
        connection.request("POST", path, json.dumps(body), headers)
        response = connection.getresponse()
        text = response.read()
    if response.status not in (201, 202):
        raise ServerFailed(f"{path} answered {response.status}: {text[:200]!r}")
    return text
