"""`new`, `send` and `cancel`: turns begun and stopped from a terminal, without a server."""

import os
import pwd
import signal
import time
from typing import Any

import pytest

from tests.cli.conftest import Gate
from tests.cli.program import Data
from tests.help.servers import wait_until

USER = f"cli:{pwd.getpwuid(os.getuid()).pw_name}"


def outputs(events: list[dict[str, Any]]) -> str:
    """Return all that tools printed."""
    return "".join(event["output"] for event in events if event["kind"] == "tool_result")


# --- new ----------------------------------------------------------------------------------------


# --- send: which session ------------------------------------------------------------------------


def test_send_creates_a_session_if_there_is_none(data: Data) -> None:
    session, turn = data.ok("send", "echo hello").split()
    assert data.only_session() == session
    assert data.wait_for_end(session) == "ok"
    user = data.events(session)[int(turn) - 1]
    assert {"id": 2, "turn": 2, "text": "echo hello", "by": USER}.items() <= user.items()
    assert outputs(data.events(session)) == "hello\n"


def test_send_without_an_id_goes_to_the_session_last_written_to(data: Data) -> None:
    first, second = data.new(), data.new()
    data.ok("send", first[:8], "echo 1", "--wait")
    assert data.ok("send", "echo 2").split()[0] == first
    data.wait_for_end(first)
    data.ok("send", second, "echo 3", "--wait")
    assert data.ok("send", "echo 4").split()[0] == second


@pytest.mark.parametrize("words", [("--agent", "shell"), ("--title", "another")])
def test_the_options_agent_and_title_begin_a_new_session(data: Data, words: tuple[str, str]) -> None:
    first = data.new()
    session = data.ok("send", *words, "echo hello").split()[0]
    assert session != first
    assert data.events(session)[0][words[0][2:]] == words[1]


@pytest.mark.parametrize("words", [["attach"], ["answer"], ["cancel"], ["verify"], ["send", "", "true"]])
def test_an_empty_id_is_an_error_and_not_the_default_session(data: Data, words: list[str]) -> None:
    data.new()
    done = data.run(*words, *([] if words[0] == "send" else [""]))
    assert done.returncode == 2
    assert b"id" in done.stderr


def test_an_ambiguous_id_is_refused(data: Data) -> None:
    for number in range(17):  # one of 16 digits begins two of them
        data.new("--title", str(number))
    ids = os.listdir(data.root / "sessions")
    prefix = next(id_[0] for id_ in ids if sum(other[0] == id_[0] for other in ids) > 1)
    done = data.run("send", prefix, "echo hello")
    assert done.returncode == 2
    assert b"is the beginning of" in done.stderr


def test_a_lone_id_is_an_error_but_a_short_word_is_a_prompt(data: Data) -> None:
    session = data.new()
    for word in (session, session[:8], session[:4]):
        done = data.run("send", word)
        assert done.returncode == 2
        assert b"and there is no prompt; expected breakglass send " in done.stderr
    for words in ([session, session[:8]], [session[:2]]):  # as a prompt; `fc` and `dd` are programs, too
        assert f"shell: {words[-1]}\n".encode() in data.run("send", *words, "--wait").stdout
    assert [event["text"] for event in data.events(session) if event["kind"] == "user"] == [
        session[:8],
        session[:2],
    ]


# --- send: the prompt ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "prompt",
    [
        "--",
        "echo 'zażółć 日本語 🚪 \u2028'",
        "--version",
        "-- x",
        "$(echo)\n\n'\"\\",
        "-x: begins as an option",
    ],
)
def test_a_prompt_is_recorded_unchanged(data: Data, prompt: str) -> None:
    session = data.ok("send", "--", prompt).split()[0]
    assert data.events(session)[1]["text"] == prompt


def test_a_prompt_comes_from_standard_input(data: Data) -> None:
    text = "echo one\necho zwei ✓\n"
    session = data.ok("send", "-", "--wait", stdin=text.encode()) and data.only_session()
    assert data.events(session)[1]["text"] == text
    assert outputs(data.events(session)) == "one\nzwei ✓\n"


def test_a_prompt_may_have_256_kib(data: Data) -> None:
    session = data.new()
    most = b"#" + b"x" * ((256 << 10) - 1)
    data.ok("send", "-", stdin=most)
    data.wait_for_end(session)
    assert len(data.events(session)[1]["text"]) == 256 << 10
    done = data.run("send", "-", stdin=most + b"x")
    assert (done.returncode, b"at most 256 KiB" in done.stderr) == (2, True)
    assert data.sh("yes | breakglass send -").returncode == 2
    assert data.run("send", "-", stdin=b"echo \xff").returncode == 2


# --- send: the turn -----------------------------------------------------------------------------


def test_send_returns_while_the_turn_runs(data: Data, gate: Gate) -> None:
    session, turn = data.ok("send", gate.script).split()
    events = data.events(session)
    assert events[-1]["kind"] != "turn_end"
    assert events[int(turn) - 1]["kind"] == "user"
    gate.open()
    assert data.wait_for_end(session) == "ok"
    assert outputs(data.events(session)) == "begun\nover\n"


def test_send_exits_with_3_while_a_turn_runs(data: Data, gate: Gate) -> None:
    session = data.ok("send", gate.script).split()[0]
    done = data.run("send", "echo more")
    assert done.returncode == 3
    name = session[:8]
    assert (
        f"watch it: breakglass attach {name}, stop it: breakglass cancel {name}, or".encode() in done.stderr
    )
    gate.open()
    data.wait_for_end(session)
    assert data.run("send", "echo more", "--wait").returncode == 0


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
    assert data.events(session)[-1]["status"] == "lost"


def runner_of(data: Data, session: str) -> int:
    """Return the pid in a session's lock file."""
    import json

    text = wait_until((data.root / "sessions" / session / "turn.lock").read_text, "the runner's signature")
    return int(json.loads(text)["pid"])


# --- cancel -------------------------------------------------------------------------------------


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
