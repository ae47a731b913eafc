"""`breakglass send --wait`: it shows the prompt's own turn to its end, and its exit status says how the turn ended."""

import os
import signal
import time

import pytest

from tests.cli.conftest import Gate
from tests.cli.program import Data
from tests.help.waiting import wait_until


@pytest.mark.parametrize(
    ("prompt", "status", "ending"),
    [("true", 0, "ok"), ("exit 7", 1, "error"), ("kill -9 $$", 1, "error"), ("sleep 60", 1, "timeout")],
)
def test_waiting_ends_with_the_turn_and_reports_its_status(
    data: Data, prompt: str, status: int, ending: str
) -> None:
    seconds = "0.5" if ending == "timeout" else "60"
    done = data.run("send", prompt, "--wait", BREAKGLASS_TURN_TIMEOUT_SECONDS=seconds)
    assert (done.returncode, done.stderr) == (status, b"")
    assert f" {ending} · ".encode() in done.stdout.splitlines()[-1]


def test_waiting_shows_only_its_own_turn(data: Data) -> None:
    data.ok("send", "echo first", "--wait")
    shown = data.ok("send", "echo second; echo; echo third", "--wait")
    assert "first" not in shown
    assert "│ second\n" in shown
    assert "│ third\n" in shown


def test_an_agent_that_cannot_start_ends_the_turn_with_an_error(data: Data) -> None:
    (data.folder / "breakglass.toml").write_text(
        '[agents.gone]\nprotocol = "shell"\ncommand = ["/no/such"]\n'
    )
    done = data.run("send", "--agent", "gone", "echo hello", "--wait")
    assert done.returncode == 1
    assert b"The agent could not start: /no/such" in done.stdout


def test_waiting_ends_within_5_s_if_the_turn_is_lost(data: Data, gate: Gate) -> None:
    session = data.new()
    with data.running("send", "--wait", gate.script) as waiter:
        waiter.until(Gate.BEGUN)
        os.kill(data.runner_pid(session), signal.SIGKILL)
        killed = time.monotonic()
        assert waiter.end() == 1
        assert time.monotonic() - killed < 5
        assert b"lost" in waiter.out.splitlines()[-1]
    assert data.last_status(session) == "lost"


def test_ctrl_c_stops_the_waiting_and_not_the_turn(data: Data, gate: Gate) -> None:
    session = data.new()
    with data.running("send", "--wait", gate.script) as waiter:
        waiter.until(Gate.BEGUN)
        waiter.process.send_signal(signal.SIGINT)
        assert waiter.end() == 130
        assert b"detached; the turn goes on" in waiter.err
        assert waiter.err.count(b"\n") == 1
    gate.open()
    assert data.wait_for_end(session) == "ok"


def test_waiting_for_a_queued_prompt_shows_only_its_turn(data: Data, gate: Gate) -> None:
    session = data.ok("send", gate.script).split()[0]
    with data.running("send", "--queue", "--wait", "echo second") as waiter:
        wait_until(lambda: data.kinds(session).count("queued") == 1, "the prompt to wait")
        gate.open()
        assert waiter.end() == 0
        assert "│ second".encode() in waiter.out
        assert b"over" not in waiter.out


def test_waiting_for_a_withdrawn_prompt_exits_with_130(data: Data, gate: Gate) -> None:
    session = data.ok("send", gate.script).split()[0]
    queued = int(data.ok("send", "--queue", "echo second").split()[1])
    with data.running("send", "--queue", "--wait", "echo third") as waiter:
        wait_until(lambda: data.kinds(session).count("queued") == 2, "the prompt to wait")
        data.ok("cancel")
        assert waiter.end() == 130
        assert b"was withdrawn by cli:" in waiter.out
    assert data.kinds(session)[queued - 1] == "queued"
