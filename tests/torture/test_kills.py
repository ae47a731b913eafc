"""Whoever is killed, stopped or restarted, at whatever moment: turns end once, and nothing acknowledged is lost."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from breakglass.store.sessions import Session
from breakglass.store.turnlock import read_signer
from breakglass.turns import processes
from tests.help.servers import Attached, Server, environment, serving, wait_until
from tests.help.validator import Ack, validate

pytestmark = pytest.mark.torture

LONG = "for i in 1 2 3 4 5; do head -c 200000 /dev/zero | tr '\\0' x; echo; sleep 0.02; done; sleep 1000"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path / "var") as started:
        yield started


def test_200_kills_of_a_runner_that_writes_lines_of_200_kb(server: Server) -> None:
    chance = random.Random(200)
    written = torn = 0
    for _ in range(10):
        session = server.new_session()
        client = Attached(server, session)
        acks = [kill_while_it_writes(server, session, chance) for _ in range(20)]
        events = validate(server.log(session), acks, [client])
        written += len(events)
        torn += sum(event["kind"] == "repaired" for event in events)
    print(f"200 kills within lines of 200 KB: {written} events, {torn} torn lines mended")


def kill_while_it_writes(server: Server, session: str, chance: random.Random) -> Ack:
    """Begin a turn, kill its runner at some byte of the log, see the turn ended as lost and return its prompt."""
    log, place = server.log(session), Session(server.data, session)
    goal = log.stat().st_size + chance.randrange(900_000)  # the turn writes somewhat more, then sleeps
    turn = server.prompt(session, LONG)
    runner = wait_until(lambda: alive(place), "the runner")
    while log.stat().st_size < goal and alive(place):  # no pause: it is to die within a write
        pass
    os.kill(runner, signal.SIGKILL)
    assert server.ended(session) == "lost"
    return Ack(turn, "user", LONG)


def alive(place: Session) -> int:
    """Return the pid of the session's runner, 0 where it is dead or has not signed yet."""
    signed = read_signer(place)
    return signed[0] if signed and processes.is_alive(*signed) else 0


def test_50_restarts_of_the_server_touch_no_turn_and_no_client(server: Server) -> None:
    session = server.new_session()
    clients = [Attached(server, session) for _ in range(3)]
    go = server.data / "workspaces" / session / "go"
    script = "i=0; until [ -e go ]; do i=$((i+1)); echo $i; sleep 0.01; done; echo over"
    turn = server.prompt(session, script)
    for number in range(50):
        seen = max(client.received[-1][0] if client.received else 0 for client in clients)
        wait_until(lambda seen=seen: all(each.has(seen + 2) for each in clients), "the turn to go on")  # type: ignore[misc]
        server.process.send_signal(signal.SIGTERM if number % 2 else signal.SIGKILL)
        assert server.process.wait(5) == (0 if number % 2 else -signal.SIGKILL)
        server.kill()
        server.start()
    go.touch()
    assert server.ended(session) == "ok"
    validate(server.log(session), [Ack(turn, "user", script)], clients)
    assert all(client.attachments > 50 for client in clients)


REUSED = """
import os, signal, subprocess, sys
from pathlib import Path
from breakglass.config import Config
from breakglass.store import sessions
from breakglass.store.turnlock import read_signer
from breakglass.turns import processes
from breakglass.turns.begin import submit_prompt
from breakglass.turns.end import cancel_turn, notify_runner, wait_for_stop
from tests.help.servers import wait_until

settings = Config(data=Path(sys.argv[1]), environ=dict(os.environ))
session = sessions.create(settings.data, "shell")
submit_prompt(settings, session, "sleep 1000", by="ann")
runner, born = wait_until(lambda: read_signer(session), "the runner's name")
os.kill(runner, signal.SIGKILL)
wait_until(lambda: not processes.stat(runner), "its pid to be free")
Path("/proc/sys/kernel/ns_last_pid").write_text(str(runner - 1))
stranger = subprocess.Popen(["sleep", "1000"], start_new_session=True)
assert stranger.pid == runner, (stranger.pid, runner)
assert processes.started(runner) != born
notify_runner(session)
assert cancel_turn(session, by="ann") is False
assert wait_for_stop(session).status == "lost"
assert stranger.poll() is None
print("the stranger lives")
stranger.kill()
"""


def test_a_stranger_that_got_the_dead_runners_pid_is_never_signalled(tmp_path: Path) -> None:
    env = {**environment(tmp_path / "var"), "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", REUSED, tmp_path / "var"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("the stranger lives\n", "")


@pytest.mark.parametrize("spoil", ["delete", "replace", "truncate"])
def test_whoever_spoils_the_lock_file_of_a_running_turn_gets_no_second_one(
    spoil: str, server: Server
) -> None:
    session = server.new_session()
    turn = server.prompt(session, "until [ -e go ]; do sleep 0.02; done")
    lock = server.log(session).with_name("turn.lock")
    wait_until(lambda: lock.stat().st_size, "the runner's name")
    if spoil == "truncate":
        os.truncate(lock, 0)
    else:
        lock.unlink()
        if spoil == "replace":
            lock.write_bytes(b"")
    for _ in range(5):
        assert server.ask("POST", f"/api/sessions/{session}/turns", {"prompt": "true"})[0] == 409
        assert server.state(session)["turn_active"]
    (server.data / "workspaces" / session / "go").touch()
    assert server.ended(session) == "ok"
    validate(server.log(session), [Ack(turn, "user")])


@pytest.mark.parametrize("who", ["runner", "agent"])
def test_a_stopped_process_of_a_turn_cannot_keep_it_from_being_stopped(who: str, server: Server) -> None:
    session = server.new_session()
    client = Attached(server, session)
    server.prompt(session, "echo up; sleep 1000")
    wait_until(lambda: b'"up' in server.log(session).read_bytes(), "the first words")
    runner = alive(Session(server.data, session))
    victims = [runner] if who == "runner" else [*processes.descendants(runner)]
    for pid in victims:
        os.kill(pid, signal.SIGSTOP)
    assert server.ask("POST", f"/api/sessions/{session}/cancel")[1] == {"cancelled": True}
    assert server.ended(session, 60) == "cancelled"
    wait_until(lambda: not processes.marked(session), "nothing of it to live")
    validate(server.log(session), clients=[client])
