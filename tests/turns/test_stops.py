"""Any process can stop a turn, once. An agent or a runner that does not stop is killed."""

import os
import signal
import subprocess
import sys

import pytest

from breakglass.config import Config
from breakglass.store import sessions, turnlock
from breakglass.store.sessions import Session
from breakglass.store.turnlock import RunnerProcess, TurnLock, write_runner
from breakglass.turns import processes
from breakglass.turns.begin import submit_prompt
from breakglass.turns.end import (
    cancel_turn,
    notify_runner,
    wait_for_stop,
)
from tests.help.session_logs import kinds
from tests.help.turns import (
    BACKGROUND,
    begin_turn,
    is_alive,
    pids_in,
    runner_pid,
    wait_for_end,
    wait_for_output,
    wait_for_status,
)

CANCEL = """
import sys
from pathlib import Path
from breakglass.store.sessions import Session
from breakglass.turns.end import cancel_turn
print(cancel_turn(Session(Path(sys.argv[1]), sys.argv[2]), by="cli"))
"""


def test_a_turn_is_stopped_once_although_three_processes_stop_it(settings: Config) -> None:
    session, turn = begin_turn(settings, BACKGROUND)
    background = pids_in(wait_for_output(session, turn, "up"))
    command = [sys.executable, "-c", CANCEL, str(settings.data), session.id]
    cancelling = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    answers = {process.communicate()[0] for process in cancelling}
    assert "True\n" in answers <= {"True\n", "False\n"}
    assert wait_for_status(session, turn) == "cancelled"
    assert kinds(session).count("cancelled") == 1
    assert not any(map(is_alive, background))
    assert "error" not in kinds(session)


def test_a_second_stop_records_no_event_while_the_turn_is_still_running(settings: Config) -> None:
    session, turn = begin_turn(settings, "echo up; sleep 1000")
    wait_for_output(session, turn, "up")
    os.kill(runner_pid(session), signal.SIGSTOP)
    assert cancel_turn(session, by="ann")
    assert cancel_turn(session, by="bob")
    os.kill(runner_pid(session), signal.SIGCONT)
    assert wait_for_status(session, turn) == "cancelled"
    assert kinds(session).count("cancelled") == 1


def test_a_stop_without_a_running_turn_records_no_event(settings: Config) -> None:
    session, turn = begin_turn(settings, "true")
    wait_for_end(session, turn)
    before = kinds(session)
    assert not cancel_turn(session, by="ann")
    assert kinds(session) == before


@pytest.mark.parametrize("traps", ["", "trap '' INT", "trap '' INT TERM", "trap 'echo no' INT TERM"])
def test_an_agent_that_ignores_signals_is_killed(traps: str, settings: Config) -> None:
    session, turn = begin_turn(settings, f"{traps}\necho up $$\nwhile true; do sleep 1000; done")
    (shell,) = pids_in(wait_for_output(session, turn, "up"))
    assert cancel_turn(session, by="ann")
    assert wait_for_status(session, turn) == "cancelled"
    assert not is_alive(shell)


def test_an_agent_that_is_suspended_is_killed(settings: Config) -> None:
    session, turn = begin_turn(settings, "echo up $$; kill -STOP $$")
    (shell,) = pids_in(wait_for_output(session, turn, "up"))
    assert cancel_turn(session, by="ann")
    assert wait_for_status(session, turn) == "cancelled"
    assert not is_alive(shell)


def test_a_suspended_runner_is_killed(settings: Config) -> None:
    session, turn = begin_turn(settings, BACKGROUND)
    background = pids_in(wait_for_output(session, turn, "up"))
    os.kill(runner_pid(session), signal.SIGSTOP)
    assert cancel_turn(session, by="ann")
    assert wait_for_stop(session, 0.3).status == "cancelled"
    assert wait_for_status(session, turn) == "cancelled"
    assert not any(map(is_alive, background))


def race(settings: Config, session: Session, delay: int) -> None:
    """Cancel a short turn after some delay, and check that the returned value agrees with the log."""
    turn = submit_prompt(settings, session, "echo $$", by="ann").id
    for _ in range(delay):
        os.stat(session.directory)  # a few microseconds
    stopped = cancel_turn(session, by="ann")
    own = wait_for_end(session, turn)
    assert [event["kind"] for event in own].count("cancelled") == stopped
    assert own[-1]["status"] == ("cancelled" if stopped else "ok")
    assert [event["kind"] for event in own].count("turn_end") == 1


def test_a_stop_at_the_end_of_a_turn_is_either_in_time_or_refused(settings: Config) -> None:
    session = sessions.create(settings.data, "shell")
    for number in range(7):
        race(settings, session, number * 6_000)


@pytest.mark.torture
def test_five_hundred_stops_at_the_end_of_a_turn_are_either_in_time_or_refused(settings: Config) -> None:
    session = sessions.create(settings.data, "shell")
    for number in range(500):
        race(settings, session, number % 100 * 500)


def test_a_signal_for_a_dead_runner_does_not_reach_another_process_with_its_pid(settings: Config) -> None:
    """The lock file contains the pid of another process with another start time, so no signal is sent."""
    session = sessions.create(settings.data, "shell")
    marked = processes.mark(session.id, 2, turnlock.place(session.directory))
    other = subprocess.Popen(["sleep", "100"], env={**os.environ, processes.MARK: marked})
    started = processes.start_time(other.pid)
    lock = TurnLock(session)
    lock.take()
    write_runner(lock.fds, RunnerProcess(other.pid, started - 1))
    notify_runner(session)
    assert other.poll() is None
    write_runner(lock.fds, RunnerProcess(other.pid, started))
    notify_runner(session)
    assert other.wait() == -signal.SIGUSR1
    lock.release()


def test_a_runner_without_the_mark_of_the_session_gets_no_signal(settings: Config) -> None:
    """Any program may write the pid and start time of a living process into `turn.lock`: also those of this process."""
    session, another = sessions.create(settings.data, "shell"), sessions.create(settings.data, "shell")
    lock = TurnLock(session)
    lock.take()
    place = turnlock.place(session.directory)
    for mark in (
        "",
        processes.mark(another.id, 2, place),
        processes.mark(session.id, 2, turnlock.place(another.directory)),
        f"x{processes.mark(session.id, 2, place)}",
        f"{processes.mark(session.id, 2, place)}0",
    ):
        other = subprocess.Popen(["sleep", "100"], env={**os.environ, processes.MARK: mark})
        write_runner(lock.fds, RunnerProcess(other.pid, processes.start_time(other.pid)))
        notify_runner(session)
        other.terminate()
        assert other.wait() == -signal.SIGTERM, mark
    write_runner(lock.fds, RunnerProcess(os.getpid(), processes.start_time(os.getpid())))
    notify_runner(session)
    lock.release()
