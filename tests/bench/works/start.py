"""Starts: of each server, from the command to the first byte; of a turn, from the answer to the agent's first word."""

import contextlib
import http.client
import json
import re
import subprocess
import time
from collections.abc import Iterator

from tests.bench import client
from tests.bench.adapters import TOKEN, Ours
from tests.bench.bench import Bench, Sample, say, tolerating
from tests.bench.client import ServerFailed

WORK = "start"
TITLE = "Starts"
REFERENCE = "breakglass"
NOTE = (
    "`server`: from the command to the first byte of an answer. `turn`: the agent is `date +%s%N`, so its "
    "own start is in it, and the line `date alone` says what that takes without us; `request to 202` has "
    "the prompt's sync in it. Ratios are to ours."
)
LOG = 20
AGENT = "date +%s%N"
STAMP = re.compile(rb"1[0-9]{18}")
PATIENCE = 20.0


def run(bench: Bench) -> Iterator[Sample]:
    """Yield the starts of all servers, then of turns."""
    for number in range(bench.sizes.rounds):
        for kind in bench.servers():
            say(f"{WORK}: round {number + 1}, {kind.name}")
            server = kind(bench.folder())
            server.prepare(LOG)
            with tolerating(kind.name):
                try:
                    yield Sample(WORK, "server", "ms", kind.name, number, server.start() * 1e3)
                finally:
                    server.stop()
    if bench.servers("ours"):
        with bench.running(Ours, LOG) as ours:
            assert isinstance(ours, Ours)
            for number in range(bench.sizes.rounds):
                yield from _turn(ours, number)


def _turn(server: Ours, number: int) -> Iterator[Sample]:
    session = json.loads(_ask(server, "/api/sessions", {"agent": "shell"}))["id"]
    path = server.data / "sessions" / session / "events.jsonl"
    asked = time.time_ns()
    _ask(server, f"/api/sessions/{session}/turns", {"prompt": AGENT})
    answered = time.time_ns()
    deadline = time.monotonic() + PATIENCE
    while b'"turn_end"' not in (text := path.read_bytes()):
        if time.monotonic() > deadline:
            raise ServerFailed("a turn did not end")
        time.sleep(0.01)
    spoke = int(STAMP.findall(text)[0])
    began = time.time_ns()
    alone = int(subprocess.run(["/bin/sh", "-c", AGENT], capture_output=True, check=True).stdout) - began
    yield Sample(WORK, "turn", "request to 202, ms", server.name, number, (answered - asked) / 1e6)
    yield Sample(WORK, "turn", "202 to agent, ms", server.name, number, (spoke - answered) / 1e6)
    yield Sample(WORK, "turn", "202 to agent, ms", "date alone", number, alone / 1e6)


def _ask(server: Ours, path: str, body: dict[str, str]) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=client.PATIENCE)
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    with contextlib.closing(connection):
        connection.request("POST", path, json.dumps(body), headers)
        response = connection.getresponse()
        text = response.read()
    if response.status not in (201, 202):
        raise ServerFailed(f"{path} answered {response.status}: {text[:200]!r}")
    return text
