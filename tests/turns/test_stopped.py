"""A stopped process that holds a lock of a session is found and named. If it belongs to the turn, a stop ends it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from breakglass.config import Config
from breakglass.errors import CannotRecord, LogLocked, TurnRunning
from breakglass.store import lock_holders, log, sessions, turnlock
from breakglass.store.sessions import Session
from breakglass.store.turnlock import TurnLock
from breakglass.turns import begin, end, processes, start
from breakglass.turns.begin import submit_prompt
from breakglass.turns.end import cancel_turn, wait_for_stop
from tests.help.servers import serving
from tests.help.session_logs import events_of
from tests.help.turns import (
    begin_turn,
    find_broken_rules,
    is_alive,
    runner_pid,
    wait_for_output,
    wait_for_status,
)
from tests.help.waiting import wait_until

STOPPING = """
import os, signal
write, point, text = os.write, {point!r}, {text!r}
def write_and_stop(fd, data):
    def stop_at(here):
        if point == here and text in data:
            os.kill(os.getpid(), signal.SIGSTOP)
    stop_at("before")
    written = write(fd, data)
    stop_at("after")
    return written
os.write = write_and_stop
from breakglass.turns.runner import main
main()
if point == "exit":
    os.kill(os.getpid(), signal.SIGSTOP)
"""
"""A runner that stops itself: before or after the write of a text, or before its exit."""

StopAt = Callable[[str, bytes], None]


@pytest.fixture
def stop_at(monkeypatch: pytest.MonkeyPatch) -> StopAt:
    """Make every runner stop itself at a point."""

    def prepare(point: str, text: bytes = b"") -> None:
        monkeypatch.setattr(start, "_RUNNER", STOPPING.format(point=point, text=text))

    return prepare


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "LOCK_TIMEOUT", 0.2)
    monkeypatch.setattr(begin, "RELEASE_SECONDS", 0.2)
    monkeypatch.setattr(end, "RELEASE_SECONDS", 0.2)
    monkeypatch.setattr(end, "KILL_SECONDS", 0.5)


def wait_until_stopped(session: Session) -> int:
    """Wait until the runner has stopped itself, and return its pid."""
    pid = runner_pid(session)
    wait_until(
        lambda: (found := lock_holders.look_up(pid)) and found.state == "stopped", "the stop of the runner"
    )
    return pid


def stopped(pid: int) -> str:
    return f"process {pid} ({name_of(pid)}), which is stopped"


def name_of(pid: int) -> str:
    found = lock_holders.look_up(pid)
    return found.name if found else ""


def last_kinds(session: Session) -> list[str]:
    return [event["kind"] for event in events_of(session) if event["kind"] != "sealed"][-2:]


@pytest.mark.parametrize(("point", "text"), [("before", b'"tool_result"'), ("after", b'"tool_result"')])
def test_a_stop_kills_a_runner_that_is_stopped_while_it_has_the_log_locked(
    settings: Config, stop_at: StopAt, point: str, text: bytes
) -> None:
    stop_at(point, text)
    session, turn = begin_turn(settings, "echo up; sleep 1000")
    pid = wait_until_stopped(session)
    named, said = stopped(pid), list[str]()
    assert cancel_turn(session, by="ann", warn=said.append)
    assert said == [f"killed {named}. It kept the log locked."]
    assert wait_for_stop(session).status == "cancelled"
    assert last_kinds(session) == ["cancelled", "turn_end"]
    assert not is_alive(pid)
    assert find_broken_rules(session) == []
    assert wait_for_status(session, turn) == "cancelled"


def test_a_stop_over_http_says_what_it_killed_in_its_response_and_in_the_log_of_the_turn(
    settings: Config, stop_at: StopAt
) -> None:
    stop_at("before", b'"tool_result"')
    session, turn = begin_turn(settings, "echo up; sleep 1000")
    what = f"killed {stopped(wait_until_stopped(session))}. It kept the log locked."
    with serving(settings.data) as server:
        status, answer, _ = server.ask("POST", f"/api/sessions/{session.id}/cancel")
        assert (status, answer) == (200, {"cancelled": True, "killed": [what]})
        assert server.wait_for_end(session.id) == "cancelled"
        assert f"A stop {what}" in server.ask("GET", f"/sessions/{session.id}")[1].decode()
    notices = [event for event in events_of(session) if event["kind"] == "notice"]
    assert [(event["turn"], event["text"]) for event in notices] == [(turn, f"A stop {what}")]
    assert find_broken_rules(session) == []


def test_a_stop_while_the_runner_is_stopped_before_the_write_of_its_end_ends_the_turn_as_cancelled(
    settings: Config, stop_at: StopAt
) -> None:
    stop_at("before", b'"turn_end"')
    session, turn = begin_turn(settings, "true")
    wait_until_stopped(session)
    assert cancel_turn(session, by="ann")
    wait_for_stop(session)
    assert wait_for_status(session, turn) == "cancelled"


def test_a_prompt_is_refused_with_the_name_of_a_stopped_runner_that_has_the_log_locked(
    settings: Config, stop_at: StopAt
) -> None:
    stop_at("before", b'"tool_result"')
    session, _ = begin_turn(settings, "echo up; sleep 1000")
    pid = wait_until_stopped(session)
    for queue in (False, True):
        with pytest.raises(LogLocked) as refused:
            submit_prompt(settings, session, "true", by="ann", queue=queue)
        assert stopped(pid) in str(refused.value)
    assert is_alive(pid), "its turn has not ended, so only a stop ends it"


@pytest.mark.parametrize(("point", "text"), [("exit", b""), ("after", b'"turn_end"')])
@pytest.mark.parametrize("queue", [False, True])
def test_a_prompt_kills_a_runner_that_is_stopped_after_its_turn_has_ended(
    settings: Config, stop_at: StopAt, point: str, text: bytes, queue: bool
) -> None:
    stop_at(point, text)
    session, _ = begin_turn(settings, "true")
    pid = wait_until_stopped(session)
    stop_at("never", b"")
    turn = submit_prompt(settings, session, "echo next", by="ann", queue=queue)
    assert turn.what == "turn"
    assert not is_alive(pid)
    assert wait_for_status(session, turn.id) == "ok"


@pytest.mark.parametrize(("point", "text"), [("exit", b""), ("after", b'"turn_end"')])
def test_a_stop_kills_a_runner_that_is_stopped_after_its_turn_has_ended(
    settings: Config, stop_at: StopAt, point: str, text: bytes
) -> None:
    stop_at(point, text)
    session, _ = begin_turn(settings, "true")
    named = stopped(pid := wait_until_stopped(session))
    before, said = events_of(session), list[str]()
    assert not cancel_turn(session, by="ann", warn=said.append)
    assert said == [f"killed {named}. Its turn had ended, and it did not exit."]
    assert not is_alive(pid)
    assert events_of(session) == before


def test_a_stop_says_that_it_killed_a_stopped_runner_without_a_lock(settings: Config) -> None:
    session, turn = begin_turn(settings, "echo up; sleep 1000")
    wait_for_output(session, turn, "up")
    os.kill(pid := runner_pid(session), signal.SIGSTOP)
    named, said = stopped(wait_until_stopped(session)), list[str]()
    assert cancel_turn(session, by="ann", warn=said.append)
    assert said == []
    assert wait_for_stop(session, 0.1, said.append).status == "cancelled"
    assert said == [f"killed {named}. It had not ended the turn."]
    assert not is_alive(pid)


def test_a_stopped_agent_is_ended_by_its_own_runner(settings: Config) -> None:
    session, turn = begin_turn(settings, "echo up; kill -STOP $$")
    wait_for_output(session, turn, "up")
    said: list[str] = []
    assert cancel_turn(session, by="ann", warn=said.append)
    assert wait_for_stop(session, warn=said.append).status == "cancelled"
    assert said == []


# --- processes that do not belong to the turn ----------------------------------------------------------

HOLD = """
import fcntl, os, sys
from pathlib import Path
from breakglass.store.sessions import Session
from breakglass.store.turnlock import TurnLock
session = Session(Path(sys.argv[1]), sys.argv[2])
if sys.argv[3] == "log":
    with session.open_log() as opened, opened.exclusive():
        print("held", flush=True)
        sys.stdin.read()
lock = TurnLock(session)
lock.take()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def hold() -> Iterator[Callable[[Session, str], int]]:
    """Start a process that takes a lock of a session, as `breakglass send` does, and is then stopped."""
    started: list[subprocess.Popen[str]] = []

    def start(session: Session, lock: str) -> int:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(session.root), session.id, lock],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        process.send_signal(signal.SIGSTOP)
        wait_until(
            lambda: (found := lock_holders.look_up(process.pid)) and found.state == "stopped", "the stop"
        )
        return process.pid

    yield start
    for process in started:
        process.kill()
        process.communicate()


Hold = Callable[[Session, str], int]


def test_a_stop_names_a_stopped_command_that_has_the_log_locked_and_does_not_kill_it(
    settings: Config, hold: Hold
) -> None:
    session, turn = begin_turn(settings, "echo up; sleep 1000")
    wait_for_output(session, turn, "up")
    pid = hold(session, "log")
    with pytest.raises(LogLocked) as refused:
        cancel_turn(session, by="ann")
    assert f"{stopped(pid)}; to continue it: kill -CONT {pid}, to end it: kill -KILL {pid}" in str(
        refused.value
    )
    os.kill(pid, signal.SIGCONT)
    os.kill(pid, signal.SIGKILL)
    assert cancel_turn(session, by="ann")
    assert wait_for_status(session, turn) == "cancelled"


def test_a_stop_names_a_foreign_program_that_has_the_log_locked_and_does_not_kill_it(
    settings: Config,
) -> None:
    session, turn = begin_turn(settings, "echo up; sleep 1000")
    wait_for_output(session, turn, "up")
    path = Path(session.directory, log.NAME)
    foreign = subprocess.Popen(["flock", "--no-fork", path, "sleep", "1000"])
    try:
        wait_until(lambda: name_of(foreign.pid) == "sleep", "the lock")
        with pytest.raises(LogLocked, match=rf"process {foreign.pid} \(sleep\)"):
            cancel_turn(session, by="ann")
        assert foreign.poll() is None
    finally:
        foreign.kill()
        foreign.wait()
    assert cancel_turn(session, by="ann")
    assert wait_for_status(session, turn) == "cancelled"


def test_a_stop_kills_an_agent_that_keeps_the_log_of_its_own_session_locked(settings: Config) -> None:
    session = sessions.create(settings.data, "shell")
    path = Path(session.directory, log.NAME)
    turn = submit_prompt(settings, session, f"exec flock {path} sleep 1000", by="ann").id
    with path.open("rb") as file:
        wait_until(
            lambda: any(each.name == "sleep" for each in lock_holders.find_holders(file.fileno())), "the lock"
        )
    assert cancel_turn(session, by="ann")
    assert wait_for_stop(session).status == "cancelled"
    assert wait_for_status(session, turn) == "cancelled"


def test_a_prompt_and_a_stop_do_not_kill_a_stopped_command_that_is_beginning_a_turn(
    settings: Config, hold: Hold
) -> None:
    session = sessions.create(settings.data, "shell")
    pid = hold(session, "turn")
    with pytest.raises(TurnRunning):
        submit_prompt(settings, session, "true", by="ann")
    assert not cancel_turn(session, by="ann")
    assert [each.pid for each in turnlock.find_holders(session)] == [pid]


def test_the_wait_for_a_stop_ends_with_the_name_of_the_process_that_prevents_it(
    settings: Config, hold: Hold
) -> None:
    """A command was stopped between its prompt and the start of the runner."""
    session = sessions.create(settings.data, "shell")
    pid = hold(session, "turn")
    with session.open_log() as opened:
        opened.append("user", text="ls", by="ann")
    assert cancel_turn(session, by="bob")
    with pytest.raises(CannotRecord) as refused:
        wait_for_stop(session, 0.0)
    assert f"the stop is recorded, but the turn lock is held by {stopped(pid)}; to continue" in str(
        refused.value
    )


def test_a_stop_does_not_kill_its_own_process(settings: Config) -> None:
    session = sessions.create(settings.data, "shell")
    lock = TurnLock(session)
    lock.take()
    turnlock.write_runner(lock.fds, turnlock.RunnerProcess(os.getpid(), processes.start_time(os.getpid())))
    assert not cancel_turn(session, by="ann")
    lock.release()


def test_a_process_that_cannot_be_killed_is_named(settings: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    session, turn = begin_turn(settings, "echo up; sleep 1000")
    wait_for_output(session, turn, "up")
    os.kill(pid := runner_pid(session), signal.SIGSTOP)
    named = stopped(wait_until_stopped(session))
    with monkeypatch.context() as unkillable:
        unkillable.setattr(signal, "pidfd_send_signal", lambda *_: None)
        assert cancel_turn(session, by="ann")
        with pytest.raises(CannotRecord) as refused:
            wait_for_stop(session, 0.0)
    assert str(refused.value) == f"cannot kill {named}. It had not ended the turn."
    assert is_alive(pid)
