"""`breakglass send`: which session gets the prompt, how the prompt is read, and the turn that begins."""

import os
from typing import Any

import pytest

from tests.cli.conftest import Gate
from tests.cli.program import USER, Data
from tests.help.waiting import wait_until


def outputs(events: list[dict[str, Any]]) -> str:
    """Return the output of all tools."""
    return "".join(event["output"] for event in events if event["kind"] == "tool_result")


# --- which session --------------------------------------------------------------------------------


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


def test_a_turn_whose_process_cannot_start_is_a_failure(data: Data) -> None:
    session = data.new()
    workspace = data.root / "workspaces" / session
    workspace.rmdir()
    workspace.touch()
    for words in (("send", session, "true"), ("send", session, "true", "--wait")):
        done = data.run(*words)
        assert done.returncode == 1
        assert b"process could not start: File exists" in done.stdout + done.stderr
        assert data.events(session)[-2]["status"] == "error"


@pytest.mark.parametrize("words", [["attach"], ["answer"], ["cancel"], ["verify"], ["send", "", "true"]])
def test_an_empty_id_is_an_error_and_not_the_default_session(data: Data, words: list[str]) -> None:
    data.new()
    done = data.run(*words, *([] if words[0] == "send" else [""]))
    assert done.returncode == 2
    assert b"id" in done.stderr


def test_an_ambiguous_id_is_refused(data: Data) -> None:
    for number in range(17):  # with 16 digits, two ids must begin with the same one
        data.new("--title", str(number))
    ids = os.listdir(data.root / "sessions")
    prefix = next(id_[0] for id_ in ids if sum(other[0] == id_[0] for other in ids) > 1)
    done = data.run("send", prefix, "echo hello")
    assert done.returncode == 2
    assert b"is the beginning of" in done.stderr


def test_an_id_without_a_prompt_is_an_error_but_a_short_word_is_a_prompt(data: Data) -> None:
    session = data.new()
    for word in (session, session[:8], session[:4]):
        done = data.run("send", word)
        assert done.returncode == 2
        assert b"and there is no prompt; expected breakglass send " in done.stderr
    for words in (
        [session, session[:8]],
        [session[:2]],
    ):  # a short word is a prompt: `fc` and `dd` are programs
        assert f"shell: {words[-1]}\n".encode() in data.run("send", *words, "--wait").stdout
    assert [event["text"] for event in data.events(session) if event["kind"] == "user"] == [
        session[:8],
        session[:2],
    ]


# --- the prompt -----------------------------------------------------------------------------------


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


# --- the turn -------------------------------------------------------------------------------------


def test_send_returns_while_the_turn_runs(data: Data, gate: Gate) -> None:
    session, turn = data.ok("send", gate.script).split()
    events = data.events(session)
    assert "turn_end" not in data.kinds(session)
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
        f"to watch it: breakglass attach {name}, to stop it: breakglass cancel {name}, ".encode()
        in done.stderr
    )
    gate.open()
    data.wait_for_end(session)
    assert data.run("send", "echo more", "--wait").returncode == 0


def test_steer_puts_the_prompt_before_the_queue_and_without_a_turn_begins_one(data: Data, gate: Gate) -> None:
    session = data.ok("send", gate.script).split()[0]
    for words in (["--queue", "echo last"], ["--steer", "echo first"]):
        data.ok("send", session, *words)
    assert [event.get("steer") for event in data.events(session) if event["kind"] == "queued"] == [None, True]
    gate.open()
    wait_until(lambda: data.kinds(session).count("turn_end") == 3, "the turns of both prompts")
    prompts = [event["text"] for event in data.events(session) if event["kind"] == "user"]
    assert prompts[1:] == ["echo first", "echo last"]
    assert "│ now" in data.ok("send", session, "--steer", "echo now", "--wait")
