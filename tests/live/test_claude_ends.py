"""How turns of the real Claude Code end: stopped, killed, timed out, after background tasks, or refused as root."""

import os
import shutil
import signal

import pytest

from breakglass.config.agents import AgentConfig
from breakglass.turns import processes
from breakglass.turns.end import cancel_turn, end_if_lost
from tests.help import turns as real_turns
from tests.help.fake_model import FakeModel
from tests.help.other_user import reachable_directory
from tests.help.superuser import require_superuser
from tests.help.waiting import wait_until
from tests.live.agents import base_environment
from tests.live.real import SLEEP, Real, bash, ending, is_gone, pid_in


def test_a_stop_while_prose_streams_keeps_the_prose(real: Real) -> None:
    turn = real.start("[[slow 500 0.02]]")
    real.wait("delta")
    assert cancel_turn(real.session, by="ann")
    events = real.end(turn)
    assert events.status == "cancelled"
    assert events.only("text", "text").startswith("w0 ")
    assert events.only("text", "text") == "".join(events.all("delta", "text"))
    assert real.run("and before?").status == "ok"


def test_a_stop_while_a_tool_runs_leaves_no_process_alive(real: Real) -> None:
    turn = real.start(bash(f"setsid {SLEEP} & echo $! > kept; {SLEEP}"))
    hidden = pid_in(real.workspace / "kept")
    assert cancel_turn(real.session, by="ann")
    assert real.end(turn).status == "cancelled"
    assert is_gone(hidden)


@pytest.mark.torture
def test_after_a_killed_runner_no_process_lives_and_the_turn_is_lost(real: Real) -> None:
    turn = real.start(bash(f"setsid {SLEEP} & echo $! > kept; {SLEEP}"))
    hidden = pid_in(real.workspace / "kept")
    os.kill(real_turns.runner_pid(real.session), signal.SIGKILL)
    wait_until(lambda: end_if_lost(real.session).turn is None, "the turn to be ended")
    events = real.end(turn)
    assert events.status == "lost"
    assert is_gone(hidden)


@pytest.mark.torture
def test_a_killed_agent_is_an_error_that_names_the_signal(real: Real) -> None:
    turn = real.start("[[text Half]][[hold]]")
    real.wait("delta")
    agent = processes.descendants(real_turns.runner_pid(real.session))
    for pid in agent:
        os.kill(pid, signal.SIGKILL)
    events = real.end(turn)
    assert events.status == "error"
    assert "signal KILL" in events.only("error", "error")
    assert events.only("text", "text") == "Half"


@pytest.mark.torture
def test_a_turn_that_takes_too_long_is_stopped(real: Real) -> None:
    real.set(turn_timeout_seconds=2.0)
    events = real.run("[[hold]]")
    assert events.status == "timeout"
    assert "longer than 2 seconds" in events.only("error", "error")


@pytest.mark.torture
def test_the_turn_ends_when_its_background_tasks_have_ended(real: Real) -> None:
    gate = real.workspace / "gate"
    os.mkfifo(gate)
    turn = real.start(bash("cat gate", run_in_background=True))
    real.wait("result")
    assert real.so_far()[-1]["kind"] != "turn_end"
    gate.write_text("late\n")  # waits for the reader, whose end is the end of the task
    events = real.end(turn)
    assert events.status == "ok"
    assert len(events.of("result")) == 2
    assert events[-1]["kind"] == "turn_end"
    assert len(events.of("session")) == 1


def test_root_gets_an_error_that_says_what_to_set(real: Real) -> None:
    require_superuser("because Claude Code refuses only root")
    real.set_agent(env={})
    events = real.run("[[text never]]")
    assert events.status == "error"
    assert 'IS_SANDBOX = "1"' in events.only("error", "error")


@pytest.mark.torture
def test_a_user_who_is_not_root_needs_nothing_special(model: FakeModel, claude: str) -> None:
    """Only the agent runs as another user: `setpriv` comes before it in `command`."""
    require_superuser("to start the agent as another user")
    nobody = 65534
    with reachable_directory() as folder:
        home, program = folder / "home", folder / "claude"
        home.mkdir()
        shutil.copy(claude, program)
        drop = ("setpriv", f"--reuid={nobody}", f"--regid={nobody}", "--clear-groups")
        agent = AgentConfig("claude", "claude", (*drop, str(program)))
        real = Real(folder / "var", agent, base_environment(model, home), model)
        for path in (home, real.workspace):
            os.chown(path, nobody, nobody)
        for path in (real.config.data, real.config.data / "workspaces"):
            path.chmod(0o711)
        with ending(real):
            events = real.run(bash("id -u"))
        assert (events.status, events.only("tool_result", "output")) == ("ok", str(nobody))
