"""Two processes act on one session at the same time, in many orders, and one of them may be killed in between.

In every order: nothing that was acknowledged is lost, even if the power fails then; nothing is recorded twice; every
line has its number; and the log breaks no rule. `tests/help/schedules.py` says how the orders are made.
"""

import dataclasses
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from breakglass.config import Config
from breakglass.store import log, sessions
from breakglass.store.sessions import Session
from breakglass.store.turnlock import TurnLock
from breakglass.turns import begin, end, processes
from breakglass.turns.answer import answer_question
from breakglass.turns.begin import submit_prompt, withdraw_prompt
from breakglass.turns.end import cancel_turn, end_if_lost
from breakglass.turns.runner import Turn
from breakglass.turns.signals import Signals
from tests.help.schedules import Outcome, Schedule, all_schedules, run, sample
from tests.help.session_logs import events_of
from tests.help.turns import find_broken_rules, make_job

KEY, ID = "k-1", sessions.id_from_key("k-1")


class Act(NamedTuple):
    """An operation on the session with the id `ID`, and fields of the event that it records."""

    make: Callable[[Config, Session], object]
    """Returns a true value that is no text if the event is acknowledged."""
    event: dict[str, Any]


class Race(NamedTuple):
    """Two operations at the same time. `once` are the kinds of which the log then has at most one."""

    name: str
    before: str
    """The session before it: `none`, `idle`, `lost`, `running`, or `ending`: its runner is the first operation."""
    acts: tuple[Act, Act]
    once: tuple[str, ...] = ()


def create(_: Config, session: Session) -> object:
    return sessions.create(session.root, "shell", key=KEY).id == session.id


def rename(title: str) -> Act:
    def make(_: Config, session: Session) -> object:
        sessions.change(session, title=title, by="ann")
        return True

    return Act(make, {"kind": "renamed", "title": title})


def prompt(key: str, *, queue: bool, kind: str) -> Act:
    def make(settings: Config, session: Session) -> object:
        return submit_prompt(settings, session, "true", by="ann", key=key, queue=queue)

    return Act(make, {"kind": kind, "key": key})


def answer(by: str, *, allow: bool) -> Act:
    def make(_: Config, session: Session) -> object:
        answer_question(session, "r", allow=allow, by=by)
        return True

    return Act(make, {"kind": "answer", "by": by})


def withdraw(by: str) -> Act:
    def make(_: Config, session: Session) -> object:
        withdraw_prompt(session, 4, by=by)
        return True

    return Act(make, {"kind": "withdrawn", "queued": 4, "by": by})


def end_turn(_: Config, session: Session) -> object:
    """End the turn as its runner does. The fork has the turn lock from the test."""
    with log.open_log(session.directory) as opened:
        turn = Turn(make_job(session, 2, opened.end, lock=LOCK.fds), opened, Signals())
        turn.record.state = session.log_state(opened.fd).state
        turn._end("")
        LOCK.release()
    return True


LOCK: TurnLock
"""The turn lock of the session, taken by the test."""
CREATE = Act(create, {"kind": "created"})
STOP = Act(lambda _, session: cancel_turn(session, by="ann"), {"kind": "cancelled"})
END_LOST = Act(lambda _, session: end_if_lost(session).turn is None, {"kind": "turn_end", "turn": 2})
END = Act(end_turn, {"kind": "turn_end", "turn": 2})
RACES = (
    Race("create with one key", "none", (CREATE, CREATE), once=("created",)),
    Race("rename", "idle", (rename("a"), rename("b"))),
    Race(
        "begin turns", "idle", (prompt("a", queue=False, kind="user"), prompt("b", queue=False, kind="user"))
    ),
    Race("begin with one key", "idle", (prompt("a", queue=False, kind="user"),) * 2, once=("user",)),
    Race("queue with one key", "running", (prompt("a", queue=True, kind="queued"),) * 2),
    Race("queue and stop", "running", (prompt("a", queue=True, kind="queued"), STOP), once=("cancelled",)),
    Race("stop twice", "running", (STOP, STOP), once=("cancelled", "withdrawn")),
    Race("withdraw and stop", "running", (withdraw("bob"), STOP), once=("cancelled", "withdrawn")),
    Race("withdraw twice", "running", (withdraw("ann"), withdraw("bob")), once=("withdrawn",)),
    Race(
        "answer twice", "running", (answer("ann", allow=True), answer("bob", allow=False)), once=("answer",)
    ),
    Race("end a lost turn twice", "lost", (END_LOST, END_LOST), once=("turn_end",)),
    Race("end and stop", "ending", (END, STOP), once=("cancelled",)),
    Race("end and queue", "ending", (END, prompt("a", queue=True, kind="queued"))),
    Race("end and withdraw", "ending", (END, withdraw("bob")), once=("withdrawn",)),
)


class Stage:
    """Makes the session of a race anew for each schedule, from a copy."""

    def __init__(self, race: Race, settings: Config) -> None:
        self._race = race
        self._root = settings.data
        self._number = 0
        if race.before != "none":
            session = sessions.create(settings.data, "shell", key=KEY)
            if race.before != "idle":
                with session.open_log() as opened:
                    turn = opened.append("user", text="go on", by="ann")
                    opened.append("permission", turn=turn, request="r", name="Bash", input={}, expires="9999")
                    if race.before != "lost":
                        opened.append("queued", text="true", by="ann")

    def run(self, schedule: Schedule, settings: Config) -> tuple[int, int]:
        """Run the race in this order, and check what came out. Return how many steps each operation took."""
        self._number += 1
        session = Session(self._root.with_name(f"{self._number}"), ID)
        if self._root.exists():
            shutil.copytree(self._root, session.root)
        else:
            session.root.mkdir()
        settings = dataclasses.replace(settings, data=session.root)
        global LOCK  # noqa: PLW0603 — the first operation of an `ending` race inherits it
        LOCK = TurnLock(session)
        if self._race.before in ("running", "ending"):
            LOCK.take()
        first, second = (partial(act.make, settings, session) for act in self._race.acts)
        try:
            path = Path(session.directory, log.NAME)
            others = self._without_lock(second) if self._race.before == "ending" else second
            outcomes, steps = run(schedule, (first, others), session.root, path)
        finally:
            LOCK.release()
        self._check(session, outcomes, schedule)
        return steps

    def _without_lock(self, operation: Callable[[], object]) -> Callable[[], object]:
        def make() -> object:
            LOCK.release()
            return operation()

        return make

    def _check(self, session: Session, outcomes: list[Outcome], schedule: Schedule) -> None:
        found = events_of(session)
        for act, outcome in zip(self._race.acts, outcomes, strict=True):
            assert count(act, found) <= 1, found
            if outcome.is_acknowledged:
                assert count(act, outcome.on_disk) == 1, (outcome, found)
        assert [event["id"] for event in found] == [*range(1, len(found) + 1)]
        assert find_broken_rules(session) == []
        kinds = [event["kind"] for event in found]
        assert all(kinds.count(kind) <= 1 for kind in self._race.once), kinds
        stopped = {event["turn"] for event in found if event["kind"] == "cancelled"}
        ended = {event["turn"]: event["status"] for event in found if event["kind"] == "turn_end"}
        assert all(status == "cancelled" for turn, status in ended.items() if turn in stopped), ended
        state = session.state()
        if schedule.killed is None and self._race.before == "ending":
            assert state.turn is not None or not state.queued, "a prompt waits for ever"


def count(act: Act, found: list[Any] | tuple[Any, ...]) -> int:
    """Return how many events in `found` are the one that the operation records."""
    return sum(act.event.items() <= event.items() for event in found)


@pytest.fixture
def settings(settings: Config, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Settings for sessions whose runner is replaced by its turn lock."""
    monkeypatch.setattr(begin, "start_runner", lambda job: [os.dup(fd) for fd in job.lock])
    monkeypatch.setattr(processes, "kill_all", lambda *_: True)
    monkeypatch.setattr(end, "notify_runner", lambda _: None)
    return settings


def explore(race: Race, settings: Config, most: int) -> None:
    stage = Stage(race, settings)
    lengths = stage.run(Schedule(0, (10_000, 0)), settings)
    for schedule in sample(all_schedules(lengths), most, race.name):
        try:
            stage.run(schedule, settings)
        except AssertionError as error:
            raise AssertionError(f"{race.name}, {schedule}: {error}") from error


@pytest.mark.parametrize("race", RACES, ids=lambda race: race.name)
def test_two_processes_lose_and_double_nothing_in_any_order(race: Race, settings: Config) -> None:
    explore(race, settings, 6)


@pytest.mark.torture
@pytest.mark.parametrize("race", RACES, ids=lambda race: race.name)
def test_two_processes_lose_and_double_nothing_in_every_order(race: Race, settings: Config) -> None:
    explore(race, settings, 100_000)
