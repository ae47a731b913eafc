"""The order of locks, reads of the state, writes, syncs and acknowledgements for each operation on a turn.

Each row of the tables is a promise: a state that was read without the lock, or an acknowledgement before a sync, is
wrong although no other test may notice.
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from breakglass.config import Config
from breakglass.errors import Conflict
from breakglass.store import sessions
from breakglass.store.sessions import Session
from breakglass.store.turnlock import TurnLock
from breakglass.turns import begin, end, processes
from breakglass.turns import start as runner_start
from breakglass.turns.answer import answer_question
from breakglass.turns.begin import submit_prompt, withdraw_prompt
from breakglass.turns.end import cancel_turn, end_if_lost
from breakglass.turns.job import Job
from breakglass.turns.record import TurnRecord
from breakglass.turns.runner import Turn
from breakglass.turns.signals import Signals
from tests.help.io_order import IoRecorder
from tests.help.questions import open_turn
from tests.help.session_logs import events_of
from tests.help.turns import make_job, wait_for_end

OPEN = "read the state"
LOCK, READ, UNLOCK = "lock events.jsonl", "read the state", "unlock events.jsonl"
SYNC = "sync events.jsonl"
TAKE_TURN = ["lock sessions/ID", "lock turn.lock"]
RELEASE_TURN = ["unlock sessions/ID", "unlock turn.lock"]
NO_RUNNER_IS_LOST = [READ]
"""The turn lock is held by the test, so it cannot be taken: nothing is recorded but the read of the state."""


@pytest.fixture
def io(root: Path, monkeypatch: pytest.MonkeyPatch) -> IoRecorder:
    recorder = IoRecorder(root, monkeypatch)
    recorder.record(begin, "start_runner", "start the runner")
    recorder.record(processes, "kill_all", "kill the processes")
    return recorder


@pytest.fixture
def session(settings: Config) -> Session:
    return sessions.create(settings.data, "shell")


@pytest.fixture
def running(settings: Config, session: Session) -> Iterator[Session]:
    """A session whose turn is open, with a question `r` on line 3 and a queued prompt on line 4."""
    with open_turn(settings.data, session.id, {}) as opened:
        opened.append("queued", text="true", by="ann")
        yield session


def written(kind: str) -> list[str]:
    return [f"write {kind} to events.jsonl", SYNC]


def test_a_prompt_is_on_disk_before_its_runner_starts_and_the_turn_lock_is_held_throughout(
    io: IoRecorder, settings: Config, session: Session
) -> None:
    io.start()
    submit_prompt(settings, session, "true", by="ann", key="k-1")
    io.acknowledge()
    assert io.calls == [
        OPEN,
        *(LOCK, READ, UNLOCK),  # the first look for the key
        *TAKE_TURN,
        READ,
        *(LOCK, READ, READ),  # the key, then the state
        *written("user"),
        UNLOCK,
        "start the runner",
        *RELEASE_TURN,
        "acknowledged",
    ]


def test_a_prompt_in_the_queue_is_decided_written_and_synced_under_one_lock(
    io: IoRecorder, settings: Config, running: Session
) -> None:
    io.start()
    submit_prompt(settings, running, "true", by="ann", key="k-1", queue=True)
    io.acknowledge()
    assert io.calls == [
        OPEN,
        *(LOCK, READ, UNLOCK),
        READ,  # the turn lock is held, and the log shows its turn
        *(LOCK, READ, READ, *written("queued"), UNLOCK),
        "acknowledged",
    ]


@pytest.mark.parametrize("queue", [False, True])
def test_a_repeated_prompt_is_synced_under_the_lock_before_it_is_acknowledged(
    queue: bool, io: IoRecorder, settings: Config, session: Session
) -> None:
    with session.open_log() as opened:
        opened.append("user", text="true", by="ann", key="k-1")
    io.start()
    submit_prompt(settings, session, "true", by="ann", key="k-1", queue=queue)
    io.acknowledge()
    assert io.calls == [OPEN, LOCK, READ, SYNC, UNLOCK, "acknowledged"]


def test_an_earlier_prompt_is_looked_for_under_the_lock_before_the_budget_of_the_day_counts(
    io: IoRecorder, settings: Config, session: Session
) -> None:
    io.start()
    submit_prompt(replace(settings, max_cost_usd_per_day=1e6), session, "true", by="ann", key="k-1")
    assert io.calls[:4] == [OPEN, LOCK, READ, UNLOCK]


def test_the_process_that_sends_notifications_starts_after_the_runner(
    io: IoRecorder, settings: Config, session: Session
) -> None:
    io.record(begin, "start_and_reap", "start the sender")
    io.start()
    submit_prompt(settings, session, "true", by="ann")
    assert io.calls[-4:] == ["start the runner", "start the sender", *RELEASE_TURN]


def test_an_earlier_turn_is_looked_for_under_the_lock(io: IoRecorder, running: Session) -> None:
    io.start()
    assert begin.earlier_turn(running, "k-1") is None
    assert io.calls == [OPEN, LOCK, READ, UNLOCK]


def test_a_left_queue_is_taken_up_under_both_locks(
    io: IoRecorder, settings: Config, session: Session
) -> None:
    with session.open_log() as opened:
        opened.append("queued", text="true", by="ann")
    io.start()
    assert begin.continue_queue(settings, session)
    begun = io.calls.index("lock turn.lock")
    assert io.calls[begun - 1 :] == [
        *TAKE_TURN,
        *(LOCK, READ),
        *written("user"),
        UNLOCK,
        "start the runner",
        *RELEASE_TURN,
    ]


def test_a_withdrawal_is_decided_written_and_synced_under_one_lock(io: IoRecorder, running: Session) -> None:
    io.start()
    withdraw_prompt(running, 4, by="ann")
    io.acknowledge()
    assert io.calls == [OPEN, LOCK, READ, *written("withdrawn"), UNLOCK, "acknowledged"]


def test_a_repeated_withdrawal_is_synced_before_it_is_refused(io: IoRecorder, running: Session) -> None:
    withdraw_prompt(running, 4, by="ann")
    io.start()
    with pytest.raises(Conflict):
        withdraw_prompt(running, 4, by="ann")
    assert io.calls == [OPEN, LOCK, READ, SYNC, UNLOCK]


def test_a_stop_and_the_withdrawals_are_one_synced_write_before_the_runner_is_notified(
    io: IoRecorder, running: Session
) -> None:
    io.record(end, "notify_runner", "notify the runner")
    io.start()
    cancel_turn(running, by="ann")
    io.acknowledge()
    assert io.calls == [
        *NO_RUNNER_IS_LOST,
        *(OPEN, LOCK, READ, *written("cancelled and withdrawn"), UNLOCK),
        "notify the runner",
        "acknowledged",
    ]


def test_a_repeated_stop_is_synced_before_it_is_acknowledged(io: IoRecorder, running: Session) -> None:
    cancel_turn(running, by="ann")
    io.start()
    cancel_turn(running, by="ann")
    io.acknowledge()
    assert io.calls == [*NO_RUNNER_IS_LOST, OPEN, LOCK, READ, SYNC, UNLOCK, "acknowledged"]


def test_an_answer_is_decided_written_and_synced_under_one_lock(io: IoRecorder, running: Session) -> None:
    io.start()
    answer_question(running, "r", allow=True, by="ann")
    io.acknowledge()
    assert io.calls == [
        *NO_RUNNER_IS_LOST,
        *(OPEN, LOCK, READ, *written("answer"), UNLOCK),
        "acknowledged",
    ]


def test_a_notice_of_a_killed_process_is_written_under_the_lock_only_if_the_turn_is_open(
    io: IoRecorder, running: Session
) -> None:
    io.start()
    end._append_notice(running, "killed a process.")
    assert io.calls == [OPEN, LOCK, READ, "write notice to events.jsonl", UNLOCK]
    with running.open_log() as opened:
        opened.append("turn_end", turn=2, status="ok", duration_ms=1)
    before = events_of(running)
    end._append_notice(running, "killed a process.")
    assert events_of(running) == before


END_LOST = ["kill the processes", LOCK, READ, *written("error"), *written("turn_end and sealed"), UNLOCK]


def lose(session: Session) -> None:
    """Append a prompt that has no runner."""
    with session.open_log() as opened:
        opened.append("user", text="true", by="ann")


def test_a_lost_turn_is_read_again_under_the_turn_lock_and_ended_under_both_locks(
    io: IoRecorder, session: Session
) -> None:
    lose(session)
    io.start()
    end_if_lost(session)
    io.acknowledge()
    assert io.calls == [
        READ,
        *TAKE_TURN,
        *(OPEN, READ, *END_LOST),
        *RELEASE_TURN,
        *(READ, "acknowledged"),
    ]


def test_a_prompt_ends_the_lost_turn_before_it_begins_its_own(
    io: IoRecorder, settings: Config, session: Session
) -> None:
    lose(session)
    io.start()
    submit_prompt(settings, session, "true", by="ann")
    io.acknowledge()
    assert io.calls == [
        *(OPEN, LOCK, UNLOCK),
        *TAKE_TURN,
        *(READ, *END_LOST),
        *(LOCK, READ, *written("user"), UNLOCK),
        "start the runner",
        *RELEASE_TURN,
        "acknowledged",
    ]


def test_a_turn_that_ended_after_it_was_last_read_is_not_ended_as_lost(
    io: IoRecorder, session: Session
) -> None:
    lose(session)
    before = session.state()
    with session.open_log() as opened:
        opened.append("turn_end", turn=2, status="ok", duration_ms=1)
    io.start()
    assert end_if_lost(session, before).status == "ok"
    assert "kill the processes" not in io.calls
    assert [event["kind"] for event in events_of(session)] == ["created", "user", "turn_end", "sealed"]


def end_turn(session: Session, io: IoRecorder, status: str = "ok") -> None:
    """Run a turn whose agent is not configured and whose status is `status` already. `io` records its end."""
    with session.open_log() as opened:
        turn = opened.append("user", text="true", by="ann")
        running = Turn(make_job(session, turn, opened.end, agents=()), opened, Signals.__new__(Signals))
        running.signals.received = set()  # its constructor would take over the signals of this process
        if status != "ok":
            running.record.stop("Stopped.", status)
        io.start()
        running.run()


def test_a_runner_kills_the_processes_and_then_ends_its_turn_under_the_lock(
    io: IoRecorder, session: Session
) -> None:
    io.record(processes, "kill_children", "kill the processes")
    end_turn(session, io)
    assert io.calls == [
        *(LOCK, UNLOCK),  # a user may have stopped the turn already
        *(LOCK, "write error to events.jsonl", UNLOCK, SYNC),
        "kill the processes",
        *(LOCK, *written("turn_end and sealed"), UNLOCK),
    ]


@pytest.mark.parametrize(("before", "status"), [("ok", "error"), ("timeout", "timeout"), ("error", "error")])
def test_a_process_that_cannot_be_killed_is_an_error_of_the_turn_and_keeps_its_status(
    before: str, status: str, io: IoRecorder, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "kill_children", lambda _: False)
    monkeypatch.setattr(Turn, "_run_agent", lambda _: None)
    end_turn(session, io, before)
    *_, error, ended, _ = events_of(session)
    assert error["error"] == "Some processes that this turn started could not be killed."
    assert (ended["kind"], ended["status"]) == ("turn_end", status)


# --- what the runner accepts from others ------------------------------------------------------------------


def test_a_runner_reads_a_stop_that_was_recorded_before_it_began_and_starts_no_agent(
    settings: Config, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = runner_start.start_runner

    def stop_and_start(job: Job) -> None:
        cancel_turn(session, by="bob")
        start(job)

    monkeypatch.setattr(begin, "start_runner", stop_and_start)
    turn = submit_prompt(settings, session, "echo ran", by="ann").id
    events = wait_for_end(session, turn)
    assert [(event["kind"], event.get("status")) for event in events] == [
        *(("user", None), ("cancelled", None), ("turn_end", "cancelled"))
    ]


def test_a_runner_accepts_only_answers_of_its_own_turn(session: Session) -> None:
    lock = TurnLock(session)
    lock.take()
    with session.open_log() as opened, session.open_log() as other:
        turn = opened.append("user", text="one", by="ann")
        record = TurnRecord(make_job(session, turn, opened.end)._replace(lock=lock.fds), opened)
        record.add([("permission", {"request": "r", "name": "Bash", "input": {}})])
        other.append("answer", turn=turn - 1, request="r", allow=True, by="bob")
        record.read_others()
        assert record.take_undelivered_answers() == []
        other.append("answer", turn=turn, request="r", allow=False, by="bob")
        record.read_others()
        assert [(answer.request, answer.allow) for answer in record.take_undelivered_answers()] == [
            ("r", False)
        ]
    lock.release()


def test_streamed_text_is_synced_a_fifth_of_a_second_after_the_last_sync(
    io: IoRecorder, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with session.open_log() as opened:
        record = TurnRecord(
            make_job(session, opened.append("user", text="one", by="ann"), opened.end), opened
        )
        io.start()
        assert record.sync_due_at() == float("inf")
        for _ in range(2):
            now += 5.0
            record.sync_if_due()
            record.append("delta", text="x")
            record.sync_if_due()
            record.append("delta", text="y")
            assert record.sync_due_at() == now + 0.2
            record.sync_if_due()
    write = [LOCK, "write delta to events.jsonl", UNLOCK]
    assert io.calls == [*write, SYNC, *write, SYNC, *write, *write]
