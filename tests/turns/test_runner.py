"""Every turn ends once, its output is limited, and no process survives it. This holds for any agent."""

import fcntl
import os
import signal
import sys
from pathlib import Path

import pytest

from breakglass.config import Config
from breakglass.config.agents import AgentConfig
from breakglass.store import sessions, turnlock
from breakglass.store.turnlock import read_runner
from breakglass.turns import processes
from breakglass.turns.begin import submit_prompt
from breakglass.turns.end import cancel_turn, find_processes
from tests.help import turns as real_turns
from tests.help.session_logs import events_of
from tests.help.turns import (
    begin_turn,
    is_alive,
    pids_in,
    runner_pid,
    wait_for_end,
    wait_for_output,
    wait_for_status,
)
from tests.help.waiting import wait_until

# --- how a turn ends -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "outcome", "result"),
    [
        ("true", "ok", "exit status 0"),
        ("exit 3", "error", "exit status 3"),
        ("kill -9 $$", "error", "ended by signal KILL"),
        ("no-such-command-here", "error", "exit status 127"),
    ],
)
def test_the_exit_of_the_agent_decides_the_status_of_the_turn(
    script: str, outcome: str, result: str, settings: Config
) -> None:
    session, turn = begin_turn(settings, script)
    *_, summary, end = wait_for_end(session, turn)
    assert (summary["result"], end["status"]) == (result, outcome)


def test_a_shell_that_cannot_read_its_script_ends_the_turn_with_an_error(root: Path) -> None:
    dash = AgentConfig("shell", "shell", ("/bin/dash",), env={"PATH": "/nonexistent"})
    session, turn = begin_turn(real_turns.make_config(root, dash), "echo up")
    assert wait_for_status(session, turn) == "error"


def test_a_turn_that_exceeds_its_timeout_is_stopped(root: Path) -> None:
    session, turn = begin_turn(
        real_turns.make_config(root, turn_timeout_seconds=0.3), "trap '' INT; sleep 1000"
    )
    own = wait_for_end(session, turn)
    assert "ran longer than 0.3 seconds" in next(event["error"] for event in own if event["kind"] == "error")
    assert own[-1]["status"] == "timeout"


def test_a_runner_that_receives_sigterm_stops_its_turn(settings: Config) -> None:
    session, turn = begin_turn(settings, "echo up $$; sleep 1000")
    (shell,) = pids_in(wait_for_output(session, turn, "up"))
    os.kill(runner_pid(session), signal.SIGTERM)
    assert wait_for_status(session, turn) == "error"
    assert not is_alive(shell)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGUSR1])
def test_a_runner_ignores_other_signals(number: int, settings: Config) -> None:
    session, turn = begin_turn(settings, "echo up; until [ -e go ]; do sleep 0.01; done")
    wait_for_output(session, turn, "up")
    os.kill(runner_pid(session), number)
    Path(session.workspace, "go").touch()
    assert wait_for_status(session, turn) == "ok"


# --- processes that agents leave behind -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "script",
    [
        "sleep 1000 & echo $!",
        "setsid nohup sleep 1000 >/dev/null 2>&1 & echo $!",
        "setsid sleep 1000 & echo $!",
        "(setsid sh -c 'sleep 1000 & echo $!; exec sleep 1001' & echo $!)",
        "exec 5>&1; env -i setsid sh -c 'exec 1>&- 2>&-; (sleep 1000 5>&- & echo $! >&5)'; sleep 0.1",
        "trap '' TERM INT HUP; (trap '' TERM INT HUP; while :; do sleep 1; done) & echo $!",
    ],
)
def test_no_process_that_an_agent_started_survives_the_turn(script: str, settings: Config) -> None:
    session, turn = begin_turn(settings, script)
    assert wait_for_status(session, turn) == "ok"
    started = pids_in(real_turns.output_of_turn(session, turn))
    assert started
    assert not any(map(is_alive, started))


FORKING = """
import fcntl, os, time
end = time.monotonic() + 120  # for a chain of processes that a failed test leaves behind
os.setpgid(0, 0)  # as a shell does with a job
fcntl.flock(held := os.open("held", os.O_RDWR | os.O_CREAT), fcntl.LOCK_EX)
print("up", flush=True)
while time.monotonic() < end:
    if os.fork():
        os._exit(0)
"""


def test_a_process_that_forks_and_exits_all_the_time_does_not_survive_the_turn(settings: Config) -> None:
    session, turn = begin_turn(settings, f"{sys.executable} -S -c '{FORKING}' & sleep 1000")
    wait_for_output(session, turn, "up")
    assert cancel_turn(session, by="ann")
    assert wait_for_status(session, turn) == "cancelled"
    with open(f"{session.workspace}/held") as held:
        fcntl.flock(
            held, fcntl.LOCK_EX | fcntl.LOCK_NB
        )  # a process that survived would still hold the lock, under any pid


def test_a_runner_that_cannot_write_its_pid_still_runs_the_turn(
    settings: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text(
        "#!/bin/sh\n"
        f'exec strace -qq -o /dev/null -e inject=ftruncate:error=ENOSPC:when=1 {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    session, turn = begin_turn(settings, "echo ran")
    wait_until(lambda: session.state().turn is None and not find_processes(session), "the exit of the runner")
    assert wait_for_status(session, turn) == "ok"
    assert (real_turns.output_of_turn(session, turn), read_runner(session)) == ("ran\n", None)


ASKS_AND_WITHDRAWS = """
import json, sys
sys.stdin.readline()
for line in (
    {"type": "system", "subtype": "init", "session_id": "s"},
    {"type": "control_request", "request_id": "r", "request": {
        "subtype": "can_use_tool", "tool_name": "Bash", "input": {}}},
    {"type": "control_cancel_request", "request_id": "r"},
    {"type": "result", "is_error": False, "result": "done", "duration_ms": 1},
):
    sys.stdout.write(json.dumps(line) + "\\n")
"""


def test_a_question_that_the_agent_withdraws_at_once_has_one_answer(root: Path) -> None:
    command = (sys.executable, "-c", ASKS_AND_WITHDRAWS)
    agent = AgentConfig("claude", "claude", command, permissions="ask", allow=("Bash",))
    session, turn = begin_turn(real_turns.make_config(root, agent), "go", "claude")
    assert wait_for_status(session, turn) == "ok"
    assert [event["by"] for event in events_of(session) if event["kind"] == "answer"] == ["settings"]


def test_dead_orphans_are_reaped_while_the_turn_runs(settings: Config) -> None:
    script = (
        "for i in 1 2 3 4 5 6 7 8 9; do (setsid true &) ; done; echo up; until [ -e go ]; do sleep 0.01; done"
    )
    session, turn = begin_turn(settings, script)
    wait_for_output(session, turn, "up")

    def zombies() -> int:
        every = [fields for pid in processes.list_pids() if (fields := processes.stat(pid))]
        return sum(fields[0] == "Z" and int(fields[1]) == runner_pid(session) for fields in every)

    wait_until(lambda: zombies() == 0, "the reaping of all orphans")
    Path(session.workspace, "go").touch()
    assert wait_for_status(session, turn) == "ok"


def test_a_grandchild_that_holds_the_output_open_does_not_keep_the_turn_open(settings: Config) -> None:
    session, turn = begin_turn(settings, "setsid sleep 1000 & echo $!; exit 0")
    assert wait_for_status(session, turn) == "ok"
    assert wait_for_end(session, turn)[-1]["duration_ms"] < 20_000


def test_an_agent_that_closes_its_output_and_keeps_running_is_stopped(root: Path) -> None:
    settings = real_turns.make_config(root, limits={"silent": 0.3})
    session, turn = begin_turn(settings, "exec >&- 2>&-; sleep 1000")
    own = wait_for_end(session, turn)
    assert "closed its output" in next(event["error"] for event in own if event["kind"] == "error")
    assert own[-1]["status"] == "error"


def test_an_agent_that_closes_its_output_and_exits_in_time_ends_the_turn_normally(root: Path) -> None:
    session, turn = begin_turn(real_turns.make_config(root), "echo bye; exec >&- 2>&-; sleep 0.3")
    assert wait_for_status(session, turn) == "ok"


# --- output ---------------------------------------------------------------------------------------


def test_endless_output_stops_the_turn_and_the_log_stays_small(root: Path) -> None:
    settings = real_turns.make_config(root, limits={"output": 4 << 20})
    session, turn = begin_turn(settings, "yes flood")
    own = wait_for_end(session, turn)
    assert "printed more than 4 MiB" in next(event["error"] for event in own if event["kind"] == "error")
    assert own[-1]["status"] == "error"
    assert os.stat(f"{session.directory}/events.jsonl").st_size < 2 << 20


@pytest.mark.torture
def test_a_gigabyte_of_output_does_not_fill_the_memory_of_the_runner(root: Path) -> None:
    session, turn = begin_turn(real_turns.make_config(root), "yes flood | head -c 1G; sleep 1")
    peak = 0
    while session.state().turn is not None:
        peak = max(peak, resident(runner_pid(session)))
    assert wait_for_status(session, turn) == "error"
    assert 0 < peak < 64 << 20


def resident(pid: int) -> int:
    """Return the resident memory of a process in bytes, 0 if it has exited."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def test_the_beginning_and_the_end_of_a_ten_megabyte_line_are_kept(settings: Config) -> None:
    session, turn = begin_turn(settings, "printf begin; head -c 10M /dev/zero | tr '\\0' x; printf end")
    own = wait_for_end(session, turn)
    kept = [event for event in own if event["kind"] == "tool_result"]
    text = "".join(event["output"] for event in kept)
    assert text.startswith("beginx")
    assert text.endswith("xend")
    assert len(text) <= (1 << 20) + 200
    assert kept[-1]["truncated"] + len(text.replace("\n[breakglass", "", 1)) >= 10 << 20


def test_arbitrary_bytes_of_an_agent_do_not_corrupt_the_log(settings: Config) -> None:
    script = r"printf '\0\r\n\xff\xed\xa0\x80\xe2\x80\xa8\x1b[31m\x9b'; head -c 200000 /dev/urandom; printf '\xf0\x9f'"
    session, turn = begin_turn(settings, script)
    assert wait_for_status(session, turn) == "ok"
    assert "\x00" in real_turns.output_of_turn(session, turn)


@pytest.mark.parametrize(
    "block",
    [
        r'{"type":"text","text":"/var/\ud83d and the rest of it"}',
        '{"type":"tool_use","id":"1","name":"x","input":{"a":' + "[" * 600 + "]" * 600 + "}}",
    ],
    ids=["half a character", "nested deeply"],
)
def test_odd_json_of_an_agent_is_masked_and_does_not_corrupt_the_log(root: Path, block: str) -> None:
    message = '{"type":"assistant","message":{"content":[' + block + "]}}"
    result = '{"type":"result","is_error":false,"result":"done","duration_ms":1}'
    fake = AgentConfig("odd", "claude", ("printf", r"%s\n", message, result), env={"A_KEY": "/var/lib/key"})
    session, turn = begin_turn(real_turns.make_config(root, fake), "hello", "odd")
    assert wait_for_status(session, turn) == "ok"


def test_an_odd_session_id_of_an_agent_does_not_prevent_the_next_turn(root: Path) -> None:
    message = r'{"type":"system","subtype":"init","session_id":"a\u0000b"}'
    result = '{"type":"result","is_error":false,"result":"done","duration_ms":1}'
    fake = AgentConfig("odd", "claude", ("printf", r"%s\n", message, result))
    settings = real_turns.make_config(root, fake)
    session, turn = begin_turn(settings, "hello", "odd")
    assert wait_for_status(session, turn) == "ok"
    assert wait_for_status(session, submit_prompt(settings, session, "again", by="ann").id) == "ok"


def test_output_is_in_the_log_while_the_agent_still_runs(settings: Config) -> None:
    session, turn = begin_turn(settings, "echo one; until [ -e go ]; do sleep 0.01; done; echo two")
    assert wait_for_output(session, turn, "one") == "one\n"
    Path(session.workspace, "go").touch()
    assert wait_for_status(session, turn) == "ok"
    assert real_turns.output_of_turn(session, turn) == "one\ntwo\n"


def test_standard_error_is_read_completely_and_its_end_is_in_the_error(root: Path) -> None:
    script = "head -c 3000000 /dev/zero | tr '\\0' e >&2; echo the final line >&2; exit 3"
    fake = AgentConfig("claude", "claude", ("bash", "-c", script, "claude"))
    session, turn = begin_turn(real_turns.make_config(root, fake), "hello", "claude")
    own = wait_for_end(session, turn)
    error = next(event["error"] for event in own if event["kind"] == "error")
    assert "the final line" in error
    assert len(error) < 6_000
    assert own[-1]["status"] == "error"


def test_an_agent_that_does_not_read_its_input_does_not_block_the_turn(root: Path) -> None:
    fake = AgentConfig("odd", "shell", ("bash", "-c", "exec <&-; echo up; sleep 0.2; exit 0"))
    session, turn = begin_turn(real_turns.make_config(root, fake), "x" * 200_000, "odd")
    assert wait_for_status(session, turn) == "ok"
    assert real_turns.output_of_turn(session, turn) == "up\n"


# --- what an agent gets ---------------------------------------------------------------------------


def test_an_agent_inherits_no_descriptor_of_ours(settings: Config) -> None:
    session, turn = begin_turn(
        settings, "for fd in /proc/$$/fd/*; do echo ${fd##*/} $(readlink $fd); done; echo done"
    )
    lines = wait_for_output(session, turn, "done").splitlines()
    held = {int(line.split()[0]): line.split()[1] for line in lines if line != "done"}
    assert {fd for fd in held if fd not in (255, 3)} == {0, 1, 2}  # bash's own: the script, a glob
    assert not any(str(settings.data) in path for path in held.values())


def test_an_agent_gets_the_allowed_environment_and_the_mark(root: Path) -> None:
    shell = AgentConfig("odd", "shell", ("bash",), env={"MINE": "yes"}, pass_env=("ASKED_FOR",))
    given = {"PATH": os.environ["PATH"], "HOME": "/root", "LC_TIME": "C", "SECRET": "s", "ASKED_FOR": "a"}
    given |= {"BREAKGLASS_TOKEN": "t", "PYTHONPATH": "/evil", "ANTHROPIC_API_KEY": "k"}
    settings = Config(data=root, vitals=False, environ=given, agents={"odd": shell})
    session, turn = begin_turn(settings, "env -0 | tr '\\0' '\\n'; echo done", "odd")
    got = dict(
        line.split("=", 1) for line in wait_for_output(session, turn, "done").splitlines() if "=" in line
    )
    assert {key: value for key, value in got.items() if key not in ("PWD", "SHLVL", "_", "OLDPWD")} == {
        "PATH": os.environ["PATH"],
        "HOME": "/root",
        "LC_TIME": "C",
        "ASKED_FOR": "a",
        "MINE": "yes",
        processes.MARK: processes.mark(session.id, turn, turnlock.place(session.directory)),
    }
    assert got["PWD"] == session.workspace
    assert wait_for_status(session, turn) == "ok"


def test_modules_in_the_workspace_are_not_imported_by_the_runner(settings: Config) -> None:
    session = sessions.create(settings.data, "shell")
    for name in ("json", "breakglass", "sitecustomize"):
        Path(session.workspace, f"{name}.py").write_text("raise SystemExit(7)")
    assert wait_for_status(session, submit_prompt(settings, session, "true", by="ann").id) == "ok"


def test_a_stop_in_one_session_does_not_affect_a_turn_in_another(settings: Config) -> None:
    one, first = begin_turn(settings, "echo up $$; sleep 1000")
    two, second = begin_turn(settings, "echo up; until [ -e go ]; do sleep 0.01; done; echo done")
    wait_for_output(one, first, "up")
    wait_for_output(two, second, "up")
    cancel_turn(one, by="ann")
    assert wait_for_status(one, first) == "cancelled"
    Path(two.workspace, "go").touch()
    assert wait_for_status(two, second) == "ok"
    assert "cancelled" not in [event["kind"] for event in events_of(two)]
