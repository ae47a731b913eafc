"""What a runner appends to the log, and what it reads there before each decision. No agent runs."""

import fcntl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from breakglass.config import Config
from breakglass.errors import CannotRecord
from breakglass.masking import fingerprints
from breakglass.store import sessions
from breakglass.store.log import Log
from breakglass.store.sessions import Session
from breakglass.store.turnlock import TurnLock
from breakglass.turns.record import TurnRecord
from tests.help.session_logs import events_of
from tests.help.turns import make_job

SECRET = "a-secret-of-some-length"


class Running:
    """A turn of the test: its record, and the log as another process has it open."""

    def __init__(self, session: Session, opened: Log, other: Log, lock: TurnLock, **job: Any) -> None:
        self.session, self.other = session, other
        self.turn = opened.append("user", text="go on", by="ann")
        made = make_job(session, self.turn, opened.end, **{"lock": lock.fds, **job})
        self.record = TurnRecord(made, opened)

    def ask(self, request: str = "r", **fields: Any) -> None:
        self.record.add([("permission", {"request": request, "name": "Bash", "input": {}, **fields})])

    def answers(self) -> list[tuple[str, bool, str]]:
        """Return the answers in the log: request, whether it was allowed, and by whom."""
        own = [event for event in events_of(self.session) if event["kind"] == "answer"]
        return [(event["request"], event["allow"], event["by"]) for event in own]


@pytest.fixture
def begin(settings: Config) -> Iterator[Any]:
    """A function that begins the turn. Its arguments are values of the runner's job."""
    session = sessions.create(settings.data, "shell")
    lock = TurnLock(session)
    lock.take()
    with session.open_log() as opened, session.open_log() as other:
        yield lambda **job: Running(session, opened, other, lock, **job)
    lock.release()


def test_an_event_that_may_end_in_a_secret_is_written_at_the_end(begin: Any) -> None:
    running = begin(secrets=fingerprints([SECRET]))
    running.record.add([("delta", {"text": f"the key is {SECRET[:5]}"})])
    assert [event["kind"] for event in events_of(running.session)] == ["created", "user"]
    running.record.flush()
    assert events_of(running.session)[-1]["text"] == f"the key is {SECRET[:5]}"


def test_a_tool_whose_permission_was_revoked_meanwhile_is_asked_about(begin: Any) -> None:
    running = begin(allowed=("Bash",))
    running.ask("first")
    assert running.answers() == [("first", True, "session")]
    running.other.append("revoked", name="Bash", by="ann")
    running.ask("second")
    assert running.answers() == [("first", True, "session")]
    running.record.answer_due_questions()
    assert running.record.questions.is_open("second")


def test_a_question_that_a_user_has_answered_gets_no_second_answer(begin: Any) -> None:
    running = begin(permission_timeout=0)
    running.ask()
    running.other.append("answer", turn=running.turn, request="r", allow=True, by="bob")
    running.record.answer_due_questions()
    assert running.answers() == [("r", True, "bob")]
    (answer,) = running.record.take_undelivered_answers()
    assert (answer.request, answer.allow, answer.by) == ("r", True, "bob")


def test_a_question_without_an_answer_in_time_is_refused_once(begin: Any) -> None:
    running = begin(permission_timeout=0)
    running.ask()
    for _ in range(2):
        running.record.answer_due_questions()
    assert running.answers() == [("r", False, "timeout")]
    assert running.record.end_fields("ok")["unanswered"] == 1


def test_a_user_who_must_answer_is_told(begin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    running = begin(allowed=("Read",))
    told: list[str] = []
    monkeypatch.setattr(running.record.sender, "start", lambda: told.append("started"))
    running.record.add([("permission", {"request": "q", "name": "Read", "input": {}})])
    assert told == []
    running.ask()
    assert told == ["started"]


def test_an_answer_and_its_words_reach_the_agent(begin: Any) -> None:
    running = begin()
    running.ask()
    running.other.append(
        "answer", turn=running.turn, request="r", allow=False, by="bob", message="no", answers={"a": ["b"]}
    )
    running.record.read_others()
    (answer,) = running.record.take_undelivered_answers()
    assert (answer.allow, answer.message, answer.answers) == (False, "no", {"a": ["b"]})
    assert running.record.end_fields("ok")["refused"] == 1


def test_a_turn_that_costs_more_than_its_limit_is_stopped_once(begin: Any) -> None:
    running = begin(max_cost=1.0)
    result = {"is_error": False, "result": "done", "duration_ms": 1}
    running.record.append("result", **result, cost_usd=0.75)
    assert not running.record.is_stopping
    running.record.append("result", **result, cost_usd=0.5)
    running.record.append("result", **result, cost_usd=0.5)
    assert (running.record.is_stopping, running.record.status) == (True, "error")
    errors = [event["error"] for event in events_of(running.session) if event["kind"] == "error"]
    assert errors == ["The turn was stopped: it cost $1.25, and max_cost_usd is $1.00."]


def test_only_a_log_whose_name_leads_to_another_file_stops_the_turn(begin: Any) -> None:
    running = begin()
    running.record.refuse_replaced_log()
    path = Path(running.session.directory, "events.jsonl")
    copy = path.read_bytes()
    path.rename(path.with_name("renamed"))
    with pytest.raises(CannotRecord, match="deleted or renamed"):
        running.record.refuse_replaced_log()
    path.write_bytes(copy)
    with pytest.raises(CannotRecord, match="replaced by another file"):
        running.record.refuse_replaced_log()


def test_an_answer_by_rule_is_decided_and_written_under_one_lock(
    begin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = begin(allowed=("Bash",))
    locked: list[bool] = []
    append = running.record.append

    def note_lock(kind: str, **fields: Any) -> int:
        if kind == "answer":
            locked.append(is_locked(Path(running.session.directory, "events.jsonl")))
        number: int = append(kind, **fields)
        return number

    monkeypatch.setattr(running.record, "append", note_lock)
    running.ask()
    assert locked == [True]


def is_locked(path: Path) -> bool:
    """Return whether an open file of this path has a lock."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_streamed_text_is_synced_once_for_a_fifth_of_a_second(
    begin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = begin()
    now = time.monotonic() + 1.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    running.record.append("delta", text="x")
    running.record.sync_if_due()
    assert not running.record.log.unsynced
    running.record.append("delta", text="y")
    running.record.sync_if_due()
    assert running.record.log.unsynced
    assert running.record.sync_due_at() == now + 0.2
