"""A turn whose runner died is ended once, by the next process that looks at the session."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from breakglass.config import Config
from breakglass.errors import CannotRecord, Conflict
from breakglass.store import degraded, log, sessions
from breakglass.store.log import Log
from breakglass.store.sessions import Session
from breakglass.turns.answer import answer_question
from breakglass.turns.end import (
    cancel_turn,
    current_state,
    end_if_lost,
    has_runner,
)
from tests.help import turns as real_turns
from tests.help.questions import open_turn
from tests.help.session_logs import events_of, kinds
from tests.help.turns import (
    BACKGROUND,
    begin_turn,
    is_alive,
    kill_runner,
    pids_in,
    runner_pid,
    wait_for_output,
    wait_for_status,
)
from tests.help.waiting import wait_until


def test_the_agent_dies_with_its_runner_and_the_next_reader_ends_the_lost_turn(settings: Config) -> None:
    session, turn = begin_turn(settings, BACKGROUND)
    shell, *background = pids_in(wait_for_output(session, turn, "up"))
    assert all(map(is_alive, [shell, *background]))
    kill_runner(session)
    wait_until(lambda: not is_alive(shell), "the death of the agent")
    before = len(events_of(session))
    assert end_if_lost(session).status == "lost"
    assert not any(map(is_alive, background))
    assert [event["kind"] for event in events_of(session)[before:]] == ["error", "turn_end", "sealed"]
    assert wait_for_status(session, turn) == "lost"
    assert end_if_lost(session).turn is None
    assert len(events_of(session)) == before + 3


def test_a_look_at_a_session_without_a_turn_makes_no_file(settings: Config) -> None:
    session = sessions.create(settings.data, "shell")
    assert end_if_lost(session).turn is None
    assert os.listdir(session.directory) == ["events.jsonl"]


def test_has_runner_does_not_read_the_log(settings: Config) -> None:
    session, turn = begin_turn(settings, "echo up; sleep 1000")
    wait_for_output(session, turn, "up")
    os.rename(f"{session.directory}/{log.NAME}", f"{session.directory}/aside")
    assert has_runner(session)
    kill_runner(session)
    assert not has_runner(session)
    os.rename(f"{session.directory}/aside", f"{session.directory}/{log.NAME}")


def test_a_stopped_turn_whose_runner_dies_ends_as_cancelled(settings: Config) -> None:
    session, turn = begin_turn(settings, "trap '' INT; echo up; sleep 1000")
    wait_for_output(session, turn, "up")
    os.kill(runner_pid(session), signal.SIGSTOP)
    assert cancel_turn(session, by="ann")
    kill_runner(session)
    assert end_if_lost(session).status == "cancelled"
    assert wait_for_status(session, turn) == "cancelled"


def test_a_session_whose_disk_failed_stays_degraded_after_its_lost_turn_is_ended(settings: Config) -> None:
    session, turn = begin_turn(settings, "sleep 1000")
    kill_runner(session)
    Path(session.directory, degraded.NAME).touch()
    assert end_if_lost(session).status == "degraded"
    assert wait_for_status(session, turn) == "lost"


def test_a_question_of_a_lost_turn_cannot_be_answered(settings: Config) -> None:
    session, _ = begin_turn(settings, "sleep 1000")
    with session.open_log() as opened:
        opened.append(
            "permission", turn=2, request="r", name="Bash", input={}, expires="2126-01-01T00:00:00.000Z"
        )
    kill_runner(session)
    with pytest.raises(Conflict):
        answer_question(session, "r", allow=True, by="ann")
    assert "answer" not in kinds(session)


def test_a_question_can_be_answered_although_its_time_is_over_by_the_wall_clock(settings: Config) -> None:
    """The machine has slept, or its clock has jumped. The runner's clock decides, and the agent still waits."""
    session = sessions.create(settings.data, "shell")
    with open_turn(settings.data, session.id, {"expires": "2001-01-01T00:00:00.000Z"}):
        assert [each.request for each in current_state(session).asking] == ["r"]
        answer_question(session, "r", allow=True, by="ann")
        with pytest.raises(Conflict, match="already answered"):
            answer_question(session, "r", allow=False, by="bob")


@pytest.mark.parametrize(
    ("by", "closed"), [("timeout", "expired"), ("agent", "withdrawn"), ("settings", "answered")]
)
def test_a_question_is_closed_by_any_answer_although_its_time_is_not_over(
    by: str, closed: str, settings: Config
) -> None:
    session = sessions.create(settings.data, "shell")
    with open_turn(settings.data, session.id, {}) as opened:
        opened.append("answer", turn=2, request="r", allow=False, by=by)
        assert current_state(session).asking == ()
        with pytest.raises(Conflict, match=f"already {closed}"):
            answer_question(session, "r", allow=True, by="ann")


def test_a_session_can_be_read_although_its_lost_turn_cannot_be_ended(
    settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, turn = begin_turn(settings, "sleep 1000")
    kill_runner(session)
    warnings: list[str] = []
    with monkeypatch.context() as readonly:
        readonly.setattr(Session, "open_log", refuse_to_open)
        assert current_state(session, warn=warnings.append).turn == turn
    assert warnings == [f"session {session.id}: Read-only file system"]
    assert current_state(session).status == "lost"


def refuse_to_open(_: Session) -> Log:
    raise CannotRecord("Read-only file system")


def test_many_simultaneous_readers_end_a_lost_turn_once(settings: Config) -> None:
    session, turn = begin_turn(settings, "sleep 1000")
    kill_runner(session)
    with ThreadPoolExecutor(8) as pool:
        [*pool.map(lambda _: end_if_lost(session), range(16))]
    assert wait_for_status(session, turn) == "lost"


def test_a_torn_last_line_of_a_lost_turn_is_repaired_before_its_end(settings: Config) -> None:
    session, turn = begin_turn(settings, "echo up; sleep 1000")
    wait_for_output(session, turn, "up")
    kill_runner(session)
    with open(f"{session.directory}/{log.NAME}", "ab") as file:
        file.write(b'{"id":5,"ts":"20')
    assert end_if_lost(session).status == "lost"
    assert kinds(session)[-4:] == ["repaired", "error", "turn_end", "sealed"]
    assert real_turns.find_broken_rules(session) == []
