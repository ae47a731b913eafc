"""Two processes act on one session at the same time, in many orders, and one of them may be killed in between.

In every order: nothing that was acknowledged is lost, even if the power fails then; nothing is recorded twice; every
line has its number; and the log breaks no rule. `tests/help/schedules.py` says how the orders are made.
"""

import dataclasses
import itertools
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
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
from tests.help.schedules import Outcome, Pair, Points, Schedule, all_schedules, some_schedules
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


def append(title: str, *, together: bool) -> Act:
    """Append without a lock around it, as a runner does with its agent's events."""

    def make(_: Config, session: Session) -> object:
        with session.open_log() as opened:
            if together:
                opened.append_together(("renamed", {"title": title, "by": "ann"}))
            else:
                opened.append("renamed", title=title, by="ann")
        return True

    return Act(make, {"kind": "renamed", "title": title})


def change(by: str, *, archived: bool) -> Act:
    def make(_: Config, session: Session) -> object:
        sessions.change(session, title=by, archived=archived, by=by)
        return True

    return Act(make, {"kind": "renamed", "title": by})


def prompt(key: str, *, queue: bool, **fields: str) -> Act:
    def make(settings: Config, session: Session) -> object:
        return submit_prompt(settings, session, "true", by="ann", key=key, queue=queue)

    return Act(make, {"key": key, **fields})


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


def end_turn(_: Config, session: Session) -> Callable[[], object]:
    """End the turn as its runner does, which holds the turn lock from the beginning."""
    lock = TurnLock(session)
    lock.take()

    def make() -> object:
        with log.open_log(session.directory) as opened:
            turn = Turn(make_job(session, 2, opened.end, lock=lock.fds), opened, Signals())
            turn.record.state = session.log_state(opened.fd).state
            turn._end("")
        lock.release()
        return True

    return make


CREATE = Act(create, {"kind": "created"})
STOP = Act(lambda _, session: cancel_turn(session, by="ann"), {"kind": "cancelled"})
# Its result is what a reader sees, and readers do not wait for a sync.
END_LOST = Act(lambda _, session: end_if_lost(session).status, {"kind": "turn_end", "turn": 2})
END = Act(end_turn, {"kind": "turn_end", "turn": 2})
RACES = (
    Race("create with one key", "none", (CREATE, CREATE), once=("created",)),
    Race("append", "idle", (append("a", together=False), append("b", together=True))),
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
    Race("rename and archive", "idle", (change("a", archived=True), change("b", archived=False))),
    Race("end a lost turn and stop", "lost", (END_LOST, STOP), once=("turn_end", "cancelled")),
    Race("end a lost turn twice", "lost", (END_LOST, END_LOST), once=("turn_end",)),
    Race("end and stop", "ending", (END, STOP), once=("cancelled",)),
    Race("end and queue", "ending", (END, prompt("a", queue=True))),
    Race("end and withdraw", "ending", (END, withdraw("bob")), once=("withdrawn",)),
)


class Stage:
    """Makes the session of a race anew for each schedule, from a copy."""

    def __init__(self, race: Race, settings: Config) -> None:
        self._race = race
        self._settings = settings
        self._root = settings.data
        self._number = 0
        self._pair = Pair(*(partial(self._prepare, act) for act in race.acts))
        if race.before != "none":
            session = sessions.create(settings.data, "shell", key=KEY)
            if race.before != "idle":
                with session.open_log() as opened:
                    turn = opened.append("user", text="go on", by="ann")
                    opened.append("permission", turn=turn, request="r", name="Bash", input={}, expires="9999")
                    if race.before != "lost":
                        opened.append("queued", text="true", by="ann")

    def close(self) -> None:
        self._pair.close()

    def _prepare(self, act: Act, root: Path) -> Callable[[], object]:
        session, settings = Session(root, ID), dataclasses.replace(self._settings, data=root)
        if act is END:
            return end_turn(settings, session)
        return partial(act.make, settings, session)

    def run(self, schedule: Schedule) -> Points:
        """Run the race in this order, and check what came out. Return the points of both operations."""
        self._number += 1
        session = Session(self._root.with_name(f"{self._number}"), ID)
        if self._root.exists():
            shutil.copytree(self._root, session.root)
        else:
            session.root.mkdir()
        lock = TurnLock(session)
        if self._race.before == "running":
            lock.take()
        try:
            outcomes, points = self._pair.run(schedule, session.root, Path(session.directory, log.NAME))
        finally:
            lock.release()
        self._check(session, outcomes, schedule)
        return points

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
        changed_by = [event["by"] for event in found if event["kind"] in ("renamed", "archived")]
        assert len([*itertools.groupby(changed_by)]) <= 2, "the events of one change do not stand together"
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


@contextmanager
def stage(race: Race, settings: Config) -> Iterator[tuple[Stage, Points]]:
    """Yield the stage of a race, and the points of its operations, one after the other."""
    made = Stage(race, settings)
    try:
        yield made, made.run(Schedule(0, (10_000, 0)))
    finally:
        made.close()


def explore(on: Stage, schedules: Iterable[Schedule]) -> None:
    for schedule in schedules:
        try:
            on.run(schedule)
        except AssertionError as error:
            raise AssertionError(f"{schedule}: {error}") from error


@pytest.mark.parametrize("race", RACES, ids=lambda race: race.name)
def test_two_processes_lose_and_double_nothing_in_any_order(race: Race, settings: Config) -> None:
    with stage(race, settings) as (on, points):
        explore(on, some_schedules(points, are_equal=race.acts[0] is race.acts[1]))


@pytest.mark.torture
@pytest.mark.parametrize("race", RACES, ids=lambda race: race.name)
def test_two_processes_lose_and_double_nothing_in_every_order(race: Race, settings: Config) -> None:
    with stage(race, settings) as (on, points):
        explore(on, all_schedules(points))
