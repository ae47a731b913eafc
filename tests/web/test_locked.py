"""A log that another program keeps locked: only writes to that log wait, and each is completed after the lock ends."""

import fcntl
import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from tests.help.servers import TOKEN, Attached, Server, serving
from tests.help.waiting import wait_until

MANY = 12
"""More than the threads that read logs."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("locked") / "var") as started:
        yield started


@contextmanager
def locked(log: Path) -> Iterator[None]:
    with log.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def writers(server: Server, log: Path) -> int:
    """Return how often the server has a log open for writing: the number of writes that wait while it is locked."""
    process, found = Path(f"/proc/{server.process.pid}"), 0
    for each in (process / "fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed in the meantime
            flags = (process / "fdinfo" / each.name).read_text().split()[3]
            found += os.readlink(each) == str(log) and int(flags, 8) & os.O_RDWR == os.O_RDWR
    return found


def test_waiting_for_one_log_delays_no_other_session_and_no_reader(server: Server) -> None:
    busy, other = server.new_session(), server.new_session()
    server.prompt(busy, "sleep 600")
    path = f"/api/sessions/{busy}/turns"
    with ThreadPoolExecutor(MANY) as pool, locked(server.log(busy)):
        asked = [pool.submit(server.ask, "POST", path, {"prompt": "x", "queue": True}) for _ in range(MANY)]
        wait_until(lambda: writers(server, server.log(busy)) == MANY, "all writes to wait for the lock")
        client = Attached(server, busy)
        wait_until(partial(client.has, 2), "the replay", 5)
        client.disconnect()
        assert server.ask("GET", "/api/sessions")[0] == 200
        server.prompt(other, "true")
        assert server.wait_for_end(other, 5) == "ok"
        assert not any(each.done() for each in asked)
    assert {each.result()[0] for each in asked} == {202}
    server.ask("POST", f"/api/sessions/{busy}/cancel")


@pytest.mark.parametrize("place", ["/api/sessions", "/sessions"])
def test_a_stop_is_completed_after_its_client_has_disconnected(server: Server, place: str) -> None:
    session = server.new_session()
    server.prompt(session, "sleep 600")
    log = server.log(session)
    wait_until(lambda: b'"kind":"tool"' in log.read_bytes(), "the turn to be running")
    runner = json.loads(log.with_name("turn.lock").read_text())
    connection = server.connection()
    with locked(log):
        kind = "application/json" if place.startswith("/api") else "application/x-www-form-urlencoded"
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": kind}
        connection.request("POST", f"{place}/{session}/cancel", headers=headers)
        wait_until(lambda: writers(server, log), "the stop to wait for the lock")
        connection.close()
        os.kill(runner["pid"], signal.SIGKILL)  # now only the server can end this turn
        server.ask("GET", "/health")  # when it answers, it has noticed that the client disconnected
    wait_until(lambda: b'"status":"cancelled"' in log.read_bytes(), "the end of the turn", 10)
