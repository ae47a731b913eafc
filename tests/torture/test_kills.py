"""Processes that are killed, stopped or restarted at any moment: each turn ends once, and no event is lost."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from breakglass.store.sessions import Session
from breakglass.store.turnlock import read_runner
from breakglass.turns import processes
from breakglass.turns.end import find_processes
from tests.help.servers import Attached, Server, environment, serving
from tests.help.session_logs import output_of
from tests.help.validator import Ack, validate
from tests.help.waiting import DEADLINE, wait_until

pytestmark = pytest.mark.torture

LONG_LINES = (
    "for i in 1 2 3 4 5; do head -c 200000 /dev/zero | tr '\\0' x; echo; sleep 0.02; done; sleep 1000"
)
PROJECT = Path(__file__).parents[2]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path / "var") as started:
        yield started


def test_200_kills_of_a_runner_that_writes_lines_of_200_kb(server: Server) -> None:
    rng = random.Random(200)
    written = repaired = 0
    for _ in range(10):
        session = server.new_session()
        client = Attached(server, session)
        acks = [kill_runner_while_it_writes(server, session, rng) for _ in range(20)]
        events = validate(server.log(session), acks, [client])
        written += len(events)
        repaired += sum(event["kind"] == "repaired" for event in events)
    print(f"200 kills within lines of 200 KB: {written} events, {repaired} torn lines repaired")


def kill_runner_while_it_writes(server: Server, session: str, rng: random.Random) -> Ack:
    """Start a turn, kill its runner at a random size of the log, wait for the end, and return the prompt."""
    log, turn_session = server.log(session), Session(server.data, session)
    goal = log.stat().st_size + rng.randrange(900_000)  # less than the turn writes before it sleeps
    turn = server.prompt(session, LONG_LINES)
    runner = wait_until(lambda: live_runner(turn_session), "the runner")
    while log.stat().st_size < goal and live_runner(turn_session):  # no pause, to kill it within a write
        pass
    os.kill(runner, signal.SIGKILL)
    assert server.wait_for_end(session) == "lost"
    return Ack(turn, "user", LONG_LINES)


def live_runner(session: Session) -> int:
    """Return the pid of the session's runner; 0 if it is dead or has not written its lock file yet."""
    runner = read_runner(session)
    return runner[0] if runner and processes.is_alive(*runner) else 0


def test_50_restarts_of_the_server_disturb_no_turn_and_no_client(server: Server) -> None:
    session = server.new_session()
    clients = [Attached(server, session) for _ in range(3)]
    go = server.data / "workspaces" / session / "go"
    script = "i=0; until [ -e go ]; do i=$((i+1)); echo $i; sleep 0.01; done; echo over"
    turn = server.prompt(session, script)
    for number in range(50):
        seen = max(client.received[-1][0] if client.received else 0 for client in clients)
        for client in clients:
            wait_until(partial(client.has, seen + 2), "more output")
        server.process.send_signal(signal.SIGTERM if number % 2 else signal.SIGKILL)
        assert server.process.wait(DEADLINE) == (0 if number % 2 else -signal.SIGKILL)
        server.kill()
        server.start()
    go.touch()
    assert server.wait_for_end(session) == "ok"
    validate(server.log(session), [Ack(turn, "user", script)], clients)
    assert all(client.attachments > 50 for client in clients)


def test_another_process_that_got_the_pid_of_a_dead_runner_is_never_signalled(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "tests.torture.reuse_pid", str(tmp_path / "var")]
    done = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", *program],
        env=environment(tmp_path / "var"),
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE,
    )
    assert (done.stdout, done.stderr) == ("the other process is alive\n", "")


@pytest.mark.parametrize("damage", ["delete", "replace", "truncate"])
def test_no_second_turn_starts_when_the_lock_file_of_a_running_turn_is_damaged(
    damage: str, server: Server
) -> None:
    session = server.new_session()
    turn = server.prompt(session, "until [ -e go ]; do sleep 0.02; done")
    lock = server.log(session).with_name("turn.lock")
    wait_until(lambda: lock.stat().st_size, "the runner's entry in the lock file")
    if damage == "truncate":
        os.truncate(lock, 0)
    else:
        lock.unlink()
        if damage == "replace":
            lock.write_bytes(b"")
    for _ in range(5):
        assert server.ask("POST", f"/api/sessions/{session}/turns", {"prompt": "true"})[0] == 409
        assert server.state(session)["turn_active"]
    (server.data / "workspaces" / session / "go").touch()
    assert server.wait_for_end(session) == "ok"
    validate(server.log(session), [Ack(turn, "user")])


@pytest.mark.parametrize("kind", ["runner", "agent"])
def test_a_turn_can_be_cancelled_although_a_process_of_it_is_stopped(kind: str, server: Server) -> None:
    session = server.new_session()
    client = Attached(server, session)
    server.prompt(session, "echo up; sleep 1000")
    wait_until(lambda: "up" in output_of(server.log(session)), "the first output")
    runner = live_runner(Session(server.data, session))
    for pid in [runner] if kind == "runner" else [*processes.descendants(runner)]:
        os.kill(pid, signal.SIGSTOP)
    assert server.ask("POST", f"/api/sessions/{session}/cancel")[1] == {"cancelled": True}
    assert server.wait_for_end(session) == "cancelled"
    wait_until(lambda: not find_processes(Session(server.data, session)), "all processes of the turn to end")
    validate(server.log(session), clients=[client])
