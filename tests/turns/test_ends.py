"""A turn ends once, by the state under the log's lock: a turn that a user stopped ends as `cancelled`."""

import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from breakglass.config import Config
from breakglass.store import sessions
from breakglass.store.sessions import Session
from breakglass.turns import begin, processes, runner
from breakglass.turns.begin import submit_prompt
from breakglass.turns.end import cancel_turn, end_if_lost, end_turn, wait_for_stop
from tests.help.session_logs import events_of
from tests.help.turns import (
    begin_turn,
    find_broken_rules,
    kill_runner,
    make_job,
    wait_for_end,
    wait_for_output,
)


def ending_of(session: Session) -> list[tuple[str, Any]]:
    """Return the kinds from the first `cancelled`, `error` or `turn_end` on, each with its status."""
    kinds = [
        (event["kind"], event.get("status")) for event in events_of(session) if event["kind"] != "sealed"
    ]
    first = next(n for n, (kind, _) in enumerate(kinds) if kind in ("cancelled", "error", "turn_end"))
    return kinds[first:]


@pytest.fixture
def during(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, str, Callable[[], object]], None]:
    """Replace a function so that its next call first acts, and is then as before."""

    def replace(owner: Any, name: str, act: Callable[[], object]) -> None:
        original = getattr(owner, name)

        def act_and_call(*arguments: Any) -> Any:
            monkeypatch.setattr(owner, name, original)
            act()
            return original(*arguments)

        monkeypatch.setattr(owner, name, act_and_call)

    return replace


During = Callable[[Any, str, Callable[[], object]], None]


def lose(settings: Config) -> Session:
    """Return a session whose runner was killed in its turn."""
    session, turn = begin_turn(settings, "echo up; sleep 1000")
    wait_for_output(session, turn, "up")
    kill_runner(session)
    return session


@pytest.mark.parametrize("stops", [1, 3])
def test_a_turn_that_is_stopped_while_another_process_ends_it_as_lost_ends_as_cancelled(
    settings: Config, during: During, stops: int
) -> None:
    session = lose(settings)
    acknowledged: list[bool] = []
    during(
        processes,
        "kill_all",
        lambda: acknowledged.extend(cancel_turn(session, by="ann") for _ in range(stops)),
    )
    assert end_if_lost(session).status == "cancelled"
    assert acknowledged == [True] * stops
    assert wait_for_stop(session).status == "cancelled"
    assert ending_of(session) == [("cancelled", None), ("turn_end", "cancelled")]


def test_a_lost_turn_that_is_stopped_while_a_prompt_ends_it_ends_as_cancelled(
    settings: Config, during: During
) -> None:
    session = lose(settings)
    during(processes, "kill_all", lambda: cancel_turn(session, by="ann"))
    again = submit_prompt(settings, session, "true", by="bob").id
    wait_for_end(session, again)
    assert ending_of(session)[:3] == [("cancelled", None), ("turn_end", "cancelled"), ("user", None)]


def test_a_turn_that_is_stopped_before_its_process_fails_to_start_ends_as_cancelled(
    settings: Config, during: During
) -> None:
    session = sessions.create(settings.data, "shell")
    os.rmdir(session.workspace)
    os.symlink("/proc/nowhere", session.workspace)
    during(begin, "start_runner", lambda: cancel_turn(session, by="ann"))
    turn = submit_prompt(settings, session, "ls", by="ann").id
    wait_for_end(session, turn)
    assert ending_of(session) == [("cancelled", None), ("turn_end", "cancelled")]


def test_a_turn_that_has_ended_gets_no_second_end(settings: Config) -> None:
    session, turn = begin_turn(settings, "true")
    wait_for_end(session, turn)
    before = events_of(session)
    with session.open_log() as opened:
        end_turn(session, opened, turn, status="error", error="too late")
    assert events_of(session) == before


def test_a_turn_that_was_stopped_before_its_agent_failed_to_start_ends_as_cancelled(settings: Config) -> None:
    session = sessions.create(settings.data, "shell")
    with session.open_log() as opened:
        turn = opened.append("user", text="one", by="ann")
        job = make_job(session, turn, opened.end)
        with session.open_log() as other:
            other.append("cancelled", turn=turn, by="bob")
        ending = runner.Turn(job, opened, SimpleNamespace(received=set(), wakeup=-1))  # type: ignore[arg-type]
        ending.record.read_others()
        ending.record.stop("The agent could not start.")
        assert ending._end("") is None
    assert ending_of(session) == [("cancelled", None), ("error", None), ("turn_end", "cancelled")]
    assert find_broken_rules(session) == []
