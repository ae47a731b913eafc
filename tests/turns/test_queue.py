"""Queued prompts run in order in the runner of the turn before. They can be withdrawn and are never lost."""

import errno
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from breakglass.config import Config
from breakglass.errors import BadConfig, CannotRecord, Conflict, NotFound, TurnRunning
from breakglass.events import Event
from breakglass.state import QueuedPrompt
from breakglass.store import sessions
from breakglass.store.sessions import Session
from breakglass.store.turnlock import TurnLock, read_runner
from breakglass.turn_limits import TurnLimits
from breakglass.turns import processes, runner
from breakglass.turns.begin import Accepted, submit_prompt, withdraw_prompt
from breakglass.turns.end import cancel_turn, end_if_lost, find_processes
from tests.help.session_logs import events_of
from tests.help.turns import find_broken_rules, make_job
from tests.help.waiting import wait_until


class ShellSession:
    """A session with a shell, and the events in its log."""

    def __init__(self, root: Path) -> None:
        self.config = Config(
            data=root, vitals=False, environ=dict(os.environ), limits=TurnLimits(interrupt=0.3)
        )
        self.session: Session = sessions.create(root, "shell")
        self.gate = root / "gate"

    def start(self, prompt: str) -> int:
        return submit_prompt(self.config, self.session, prompt, by="ann").id

    def start_and_keep_running(self) -> int:
        """Begin a turn that runs until `release`."""
        turn = self.start(f"echo begun; until [ -e {self.gate} ]; do read -t 0.02 <> <(:); done; echo done")
        wait_until(lambda: self.of_kind("tool_result"), "the turn to run")
        return turn

    def release(self) -> None:
        self.gate.touch()

    def queue(self, prompt: str, key: str | None = None, model: str | None = None) -> Accepted:
        return submit_prompt(self.config, self.session, prompt, by="bob", key=key, model=model, queue=True)

    def events(self) -> list[Event]:
        return events_of(self.session)

    def of_kind(self, kind: str) -> list[Event]:
        return [event for event in self.events() if event["kind"] == kind]

    def kinds(self) -> list[str]:
        return [event["kind"] for event in self.events() if event["kind"] != "tool_result"]

    def wait_until_idle(self) -> list[Event]:
        """Wait until no turn runs, and return all `turn_end` events."""
        wait_until(lambda: end_if_lost(self.session).turn is None, "the session to be idle")
        return self.of_kind("turn_end")

    def runner_pid(self) -> int:
        found = read_runner(self.session)
        assert found
        return found[0]


@pytest.fixture
def shell(tmp_path: Path) -> ShellSession:
    return ShellSession(tmp_path)


def test_the_turn_of_a_queued_prompt_begins_right_after_the_end_of_the_turn_before(
    shell: ShellSession,
) -> None:
    shell.start_and_keep_running()
    pid = shell.runner_pid()
    queued = shell.queue("echo second")
    assert queued.what == "queued"
    shell.release()
    assert [end["status"] for end in shell.wait_until_idle()] == ["ok", "ok"]
    events = shell.events()
    end = next(event for event in events if event["kind"] == "turn_end")
    following = events[end["id"] + 1]  # after the seal
    assert (following["kind"], following["queued"], following["text"], following["by"]) == (
        "user",
        queued.id,
        "echo second",
        "bob",
    )
    assert following["turn"] == following["id"]
    assert shell.runner_pid() == pid
    assert "second\n" in "".join(event["output"] for event in shell.of_kind("tool_result"))


def test_queued_prompts_run_in_their_order_and_each_turn_ends_once(shell: ShellSession) -> None:
    shell.start_and_keep_running()
    for number in range(3):
        shell.queue(f"echo n{number}")
    shell.release()
    assert len(shell.wait_until_idle()) == 4
    assert [event["text"] for event in shell.of_kind("user")][1:] == ["echo n0", "echo n1", "echo n2"]


def test_a_prompt_with_queue_begins_at_once_if_no_turn_is_running(shell: ShellSession) -> None:
    accepted = shell.queue("echo now")
    assert accepted.what == "turn"
    assert [end["turn"] for end in shell.wait_until_idle()] == [accepted.id]


def test_a_prompt_without_queue_is_refused_while_a_turn_is_running(shell: ShellSession) -> None:
    shell.start_and_keep_running()
    with pytest.raises(TurnRunning):
        shell.start("echo no")
    shell.release()
    assert len(shell.wait_until_idle()) == 1


def test_a_prompt_for_an_unknown_agent_is_refused_and_not_queued(shell: ShellSession) -> None:
    shell.start_and_keep_running()
    with pytest.raises(BadConfig, match="no-such"):
        submit_prompt(shell.config, shell.session, "true", by="ann", agent="no-such", queue=True)
    assert shell.of_kind("queued") == []
    shell.release()


def test_a_repeated_key_returns_the_same_queued_prompt_and_queues_no_second_one(shell: ShellSession) -> None:
    shell.start_and_keep_running()
    first = shell.queue("echo once", key="k")
    assert shell.queue("echo once", key="k") == first
    shell.release()
    shell.wait_until_idle()
    assert shell.queue("echo once", key="k") == first, "also after its turn"
    assert len(shell.of_kind("queued")) == 1
    assert len(shell.of_kind("user")) == 2


def test_a_withdrawn_prompt_begins_no_turn(shell: ShellSession) -> None:
    shell.start_and_keep_running()
    one, two = shell.queue("echo one"), shell.queue("echo two")
    withdraw_prompt(shell.session, one.id, by="ann")
    with pytest.raises(Conflict, match="no longer"):
        withdraw_prompt(shell.session, one.id, by="ann")
    shell.release()
    shell.wait_until_idle()
    assert [event["text"] for event in shell.of_kind("user")][1:] == ["echo two"]
    with pytest.raises(Conflict, match="no longer"):
        withdraw_prompt(shell.session, two.id, by="ann")


@pytest.mark.parametrize("number", [-1, 0, 1, 2, 999])
def test_a_line_that_is_no_queued_prompt_cannot_be_withdrawn(shell: ShellSession, number: int) -> None:
    shell.start("true")
    shell.wait_until_idle()
    with pytest.raises(NotFound):
        withdraw_prompt(shell.session, number, by="ann")


def test_a_stop_withdraws_all_queued_prompts(shell: ShellSession) -> None:
    shell.start_and_keep_running()
    queued = [shell.queue("echo one").id, shell.queue("echo two").id]
    assert cancel_turn(shell.session, by="ann")
    assert [end["status"] for end in shell.wait_until_idle()] == ["cancelled"]
    assert [(event["queued"], event["by"]) for event in shell.of_kind("withdrawn")] == [
        (number, "ann") for number in queued
    ]
    assert shell.session.state().queued == ()


def test_a_prompt_that_is_queued_after_a_stop_runs(shell: ShellSession) -> None:
    """A stopped turn takes a moment to end. A prompt that is sent in that moment is meant to run afterwards."""
    shell.start("trap '' INT; echo begun; sleep 60 & wait; sleep 60")
    wait_until(lambda: shell.of_kind("tool_result"), "the turn to run")
    cancel_turn(shell.session, by="ann")
    accepted = shell.queue("echo after")
    assert "ok" in [end["status"] for end in shell.wait_until_idle()]
    assert accepted.id in [event.get("queued", event["id"]) for event in shell.of_kind("user")]


def test_the_queue_survives_a_lost_turn_and_runs_after_the_next_turn(shell: ShellSession) -> None:
    shell.start_and_keep_running()
    queued = shell.queue("echo kept")
    os.kill(shell.runner_pid(), signal.SIGKILL)
    wait_until(lambda: end_if_lost(shell.session).turn is None, "the lost turn to be ended")
    assert [each.id for each in shell.session.state().queued] == [queued.id]
    shell.start("echo next")
    assert [end["status"] for end in shell.wait_until_idle()] == ["lost", "ok", "ok"]
    assert [event["text"] for event in shell.of_kind("user")][1:] == ["echo next", "echo kept"]


def test_a_stop_is_recorded_completely_or_not_at_all(
    shell: ShellSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.start_and_keep_running()
    shell.queue("echo waits")
    before, write = shell.kinds(), os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda fd, data: write(fd, data[: len(data) - 9]))
        with pytest.raises(CannotRecord):
            cancel_turn(shell.session, by="ann")
    assert shell.kinds() == before
    assert cancel_turn(shell.session, by="ann")
    assert shell.kinds()[len(before) : len(before) + 2] == ["cancelled", "withdrawn"]
    assert [end["status"] for end in shell.wait_until_idle()] == ["cancelled"]


def test_a_disk_that_fails_while_a_queued_turn_begins_ends_that_turn(
    shell: ShellSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = TurnLock(shell.session)
    lock.take()
    with shell.session.open_log() as opened:
        turn = opened.append("user", text="one", by="ann")
        queued = opened.append("queued", text="two", by="bob")
        job = make_job(shell.session, turn, opened.end, lock=lock.fds, queued=(QueuedPrompt(queued, "two"),))
        ending = runner.Turn(job, opened, SimpleNamespace(received=set(), wakeup=-1))  # type: ignore[arg-type]
        with monkeypatch.context() as failing:
            failing.setattr(os, "fdatasync", fail)
            assert ending._end("") is None
    lock.release()
    assert shell.kinds()[3:] == ["turn_end", "sealed", "user", "error", "turn_end", "sealed"]
    assert [(end["turn"], end["status"]) for end in shell.of_kind("turn_end")] == [(turn, "ok"), (6, "error")]
    assert find_broken_rules(shell.session) == []


def fail(_: int) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_no_process_survives_a_runner_that_is_killed_in_a_queued_turn(shell: ShellSession) -> None:
    """The runner's environment has the mark of the turn for which it was started, not of the queued one."""
    shell.start_and_keep_running()
    pid_file = shell.config.data / "pid"
    shell.queue(f"setsid sleep 300 & echo $! > {pid_file}; sleep 300")
    shell.release()
    wait_until(lambda: pid_file.exists() and pid_file.read_text().strip(), "the second turn to run")
    os.kill(shell.runner_pid(), signal.SIGKILL)
    assert [end["status"] for end in shell.wait_until_idle()] == ["ok", "lost"]
    assert not processes.is_alive(int(pid_file.read_text()), processes.start_time(int(pid_file.read_text())))
    assert find_processes(shell.session) == set()


def test_a_runner_that_receives_sigterm_begins_no_queued_turn(shell: ShellSession) -> None:
    shell.start_and_keep_running()
    shell.queue("echo later")
    os.kill(shell.runner_pid(), signal.SIGTERM)
    assert [end["status"] for end in shell.wait_until_idle()] == ["error"]
    assert len(shell.session.state().queued) == 1


def test_a_queued_prompt_runs_although_the_turn_before_failed(shell: ShellSession) -> None:
    """The user who queued the prompt can withdraw it if the failure matters. So no prompt waits forever unnoticed."""
    shell.start(f"until [ -e {shell.gate} ]; do read -t 0.02 <> <(:); done; exit 3")
    shell.queue("echo all the same", model="m-2")
    shell.release()
    assert [end["status"] for end in shell.wait_until_idle()] == ["error", "ok"]
    assert shell.of_kind("user")[1]["model"] == "m-2"


def test_a_stop_in_a_queued_turn_stops_that_turn(shell: ShellSession) -> None:
    shell.start_and_keep_running()
    shell.queue("echo begun; sleep 300")
    shell.release()
    wait_until(
        lambda: len(shell.of_kind("user")) == 2 and "begun" in shell.of_kind("tool_result")[-1]["output"],
        "the queued turn",
    )
    assert cancel_turn(shell.session, by="ann")
    assert [end["status"] for end in shell.wait_until_idle()] == ["ok", "cancelled"]


def test_a_stop_before_the_runner_opens_the_log_stops_the_turn(shell: ShellSession) -> None:
    """A user can stop the turn after the prompt is recorded and before the runner has opened the log."""
    turn = shell.start("sleep 300")
    cancel_turn(shell.session, by="ann")
    assert [(end["turn"], end["status"]) for end in shell.wait_until_idle()] == [(turn, "cancelled")]


def test_simultaneous_prompts_all_run_one_after_the_other(shell: ShellSession) -> None:
    accepted: list[Accepted] = []

    def send(number: int) -> None:
        accepted.append(shell.queue(f"echo n{number}"))

    run_in_threads(*[lambda number=number: send(number) for number in range(12)])
    wait_until(lambda: len(shell.of_kind("turn_end")) == 12, "all to run")
    shell.wait_until_idle()
    open_turn: Any = None
    for event in shell.events():
        if event["kind"] == "user":
            assert open_turn is None
            open_turn = event["turn"]
        elif event["kind"] == "turn_end":
            assert event["turn"] == open_turn
            open_turn = None
    assert len(shell.of_kind("user")) == 12
    begun = {event.get("queued", event["id"]) for event in shell.of_kind("user")}
    assert begun == {each.id for each in accepted}


def run_in_threads(*calls: Callable[[], None]) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
