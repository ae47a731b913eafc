"""Prompts that wait: taken up in order by the runner of the turn before, withdrawn, and never lost. Real turns."""

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
from breakglass.errors import CannotRecord, Conflict, NotFound, TurnRunning
from breakglass.events import Event
from breakglass.store import log, seek, sessions
from breakglass.store.sessions import Session
from breakglass.store.turnlock import read_signer
from breakglass.turn_limits import TurnLimits
from breakglass.turns import processes, runner
from breakglass.turns.begin import Accepted, submit_prompt, withdraw_prompt
from breakglass.turns.end import cancel_turn, end_if_lost, has_runner
from breakglass.turns.plan import Plan
from tests.help.turns import broken
from tests.help.waiting import wait_until


class Story:
    """One session with a shell, and what its log says."""

    def __init__(self, root: Path) -> None:
        self.config = Config(data=root, environ=dict(os.environ), limits=TurnLimits(interrupt=0.3))
        self.session: Session = sessions.create(root, "shell")
        self.gate = root / "gate"

    def start(self, prompt: str) -> int:
        return submit_prompt(self.config, self.session, prompt, by="ann").id

    def busy(self) -> int:
        """Begin a turn that goes on until `release`."""
        turn = self.start(f"echo begun; until [ -e {self.gate} ]; do read -t 0.02 <> <(:); done; echo done")
        wait_until(lambda: self.of("tool_result"), "the turn to be under way")
        return turn

    def release(self) -> None:
        self.gate.touch()

    def queue(self, prompt: str, key: str | None = None, model: str | None = None) -> Accepted:
        return submit_prompt(self.config, self.session, prompt, by="bob", key=key, model=model, queue=True)

    def events(self) -> list[Event]:
        fd = log.open_reader(self.session.directory)
        try:
            return [*log.read(fd, seek.START, seek.find_end(fd, log.size(fd)))]
        finally:
            os.close(fd)

    def of(self, kind: str) -> list[Event]:
        return [event for event in self.events() if event["kind"] == kind]

    def kinds(self) -> list[str]:
        return [event["kind"] for event in self.events() if event["kind"] != "tool_result"]

    def idle(self) -> list[Event]:
        """Wait until no turn runs, and return the ends of all."""
        wait_until(lambda: end_if_lost(self.session).turn is None, "the session to be idle")
        return self.of("turn_end")

    def runner(self) -> int:
        signed = read_signer(self.session)
        assert signed
        return signed[0]


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path)


def test_the_turn_of_a_queued_prompt_begins_right_behind_the_end_of_the_turn_before(story: Story) -> None:
    story.busy()
    runner = story.runner()
    queued = story.queue("echo second")
    assert queued.what == "queued"
    story.release()
    assert [end["status"] for end in story.idle()] == ["ok", "ok"]
    story_so_far = story.events()
    end = next(event for event in story_so_far if event["kind"] == "turn_end")
    following = story_so_far[end["id"]]
    assert (following["kind"], following["queued"], following["text"], following["by"]) == (
        "user",
        queued.id,
        "echo second",
        "bob",
    )
    assert following["turn"] == following["id"]
    assert story.runner() == runner
    assert "second\n" in "".join(event["output"] for event in story.of("tool_result"))


def test_queued_prompts_run_in_their_order_and_each_turn_ends_once(story: Story) -> None:
    story.busy()
    for number in range(3):
        story.queue(f"echo n{number}")
    story.release()
    assert len(story.idle()) == 4
    assert [event["text"] for event in story.of("user")][1:] == ["echo n0", "echo n1", "echo n2"]


def test_a_prompt_with_queue_begins_at_once_if_no_turn_is_running(story: Story) -> None:
    taken = story.queue("echo now")
    assert taken.what == "turn"
    assert [end["turn"] for end in story.idle()] == [taken.id]


def test_a_prompt_without_queue_is_refused_while_a_turn_is_running(story: Story) -> None:
    story.busy()
    with pytest.raises(TurnRunning):
        story.start("echo no")
    story.release()
    assert len(story.idle()) == 1


def test_a_repeated_key_returns_the_same_queued_prompt_and_queues_no_second_one(story: Story) -> None:
    story.busy()
    first = story.queue("echo once", key="k")
    assert story.queue("echo once", key="k") == first
    story.release()
    story.idle()
    assert story.queue("echo once", key="k") == first, "after its turn as well"
    assert len(story.of("queued")) == 1
    assert len(story.of("user")) == 2


def test_a_withdrawn_prompt_begins_no_turn(story: Story) -> None:
    story.busy()
    one, two = story.queue("echo one"), story.queue("echo two")
    withdraw_prompt(story.session, one.id, by="ann")
    with pytest.raises(Conflict, match="no longer"):
        withdraw_prompt(story.session, one.id, by="ann")
    story.release()
    story.idle()
    assert [event["text"] for event in story.of("user")][1:] == ["echo two"]
    with pytest.raises(Conflict, match="no longer"):
        withdraw_prompt(story.session, two.id, by="ann")


@pytest.mark.parametrize("number", [-1, 0, 1, 2, 999])
def test_a_line_that_is_no_queued_prompt_cannot_be_withdrawn(story: Story, number: int) -> None:
    story.start("true")
    story.idle()
    with pytest.raises(NotFound):
        withdraw_prompt(story.session, number, by="ann")


def test_a_stop_withdraws_all_queued_prompts(story: Story) -> None:
    story.busy()
    queued = [story.queue("echo one").id, story.queue("echo two").id]
    assert cancel_turn(story.session, by="ann")
    assert [end["status"] for end in story.idle()] == ["cancelled"]
    assert [(event["queued"], event["by"]) for event in story.of("withdrawn")] == [
        (number, "ann") for number in queued
    ]
    assert story.session.state().queued == ()


def test_a_prompt_that_is_queued_after_a_stop_runs(story: Story) -> None:
    """The turn that was stopped takes a moment to end: who sends a prompt then wants it done."""
    story.start("trap '' INT; echo begun; sleep 60 & wait; sleep 60")
    wait_until(lambda: story.of("tool_result"), "the turn to be under way")
    cancel_turn(story.session, by="ann")
    taken = story.queue("echo after")
    assert "ok" in [end["status"] for end in story.idle()]
    assert taken.id in [event.get("queued", event["id"]) for event in story.of("user")]


def test_the_queue_survives_a_lost_turn_and_runs_after_the_next_turn(story: Story) -> None:
    story.busy()
    queued = story.queue("echo kept")
    os.kill(story.runner(), signal.SIGKILL)
    wait_until(lambda: end_if_lost(story.session).turn is None, "the lost turn to be ended")
    assert [each.id for each in story.session.state().queued] == [queued.id]
    story.start("echo next")
    assert [end["status"] for end in story.idle()] == ["lost", "ok", "ok"]
    assert [event["text"] for event in story.of("user")][1:] == ["echo next", "echo kept"]


@pytest.fixture
def while_buried(story: Story, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Have the runner die in a turn, and do something in the midst of that turn's burial."""

    def die(act: Callable[[], object]) -> None:
        kill_all = processes.kill_all

        def kill_all_and_act(*arguments: Any) -> bool:
            monkeypatch.setattr(processes, "kill_all", kill_all)
            act()
            return kill_all(*arguments)

        os.kill(story.runner(), signal.SIGKILL)
        wait_until(lambda: not has_runner(story.session), "the runner's death")
        monkeypatch.setattr(processes, "kill_all", kill_all_and_act)

    return die


While = Callable[[Callable[[], object]], None]


def test_a_prompt_withdrawn_while_a_lost_turn_is_ended_begins_no_turn(
    story: Story, while_buried: While
) -> None:
    story.busy()
    queued = story.queue("echo withdrawn").id
    while_buried(lambda: withdraw_prompt(story.session, queued, by="bob"))
    story.start("echo next")
    assert [end["status"] for end in story.idle()] == ["lost", "ok"]
    assert [event["text"] for event in story.of("user")][1:] == ["echo next"]


def test_a_prompt_queued_while_a_lost_turn_is_ended_runs(story: Story, while_buried: While) -> None:
    story.busy()
    while_buried(lambda: story.queue("echo late"))
    story.start("echo next")
    assert [end["status"] for end in story.idle()] == ["lost", "ok", "ok"]
    assert [event["text"] for event in story.of("user")][1:] == ["echo next", "echo late"]


def test_a_key_used_while_a_lost_turn_is_ended_begins_one_turn(story: Story, while_buried: While) -> None:
    story.busy()
    first: list[Accepted] = []
    while_buried(lambda: first.append(story.queue("echo once", key="k-1")))
    again = story.queue("echo once", key="k-1")
    assert first == [again]
    story.start("echo next")
    assert [end["status"] for end in story.idle()] == ["lost", "ok", "ok"]
    assert [event["text"] for event in story.of("user")][1:] == ["echo next", "echo once"]


def test_a_stop_is_recorded_completely_or_not_at_all(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    story.busy()
    story.queue("echo waits")
    before, write = story.kinds(), os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda fd, data: write(fd, data[: len(data) - 9]))
        with pytest.raises(CannotRecord):
            cancel_turn(story.session, by="ann")
    assert story.kinds() == before
    assert cancel_turn(story.session, by="ann")
    assert story.kinds()[len(before) : len(before) + 2] == ["cancelled", "withdrawn"]
    assert [end["status"] for end in story.idle()] == ["cancelled"]


def test_a_disk_that_fails_while_a_queued_turn_begins_ends_that_turn(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    with story.session.open_log() as opened:
        turn = opened.append("user", text="one", by="ann")
        queued = opened.append("queued", text="two", by="bob")
        plan = Plan(
            directory=story.session.directory,
            workspace=story.session.workspace,
            turn=turn,
            end=opened.end,
            lock=(),
            protocol="shell",
            command=("bash",),
            environ={},
            secrets=(),
            ask=False,
            allow=(),
            deny=(),
            choice_tools=(),
            thinking=False,
            model=None,
            agent_session=None,
            agent_cost=0.0,
            allowed=(),
            queued=(queued,),
            timeout=10,
            permission_timeout=10,
            limits=TurnLimits(),
        )
        ending = runner.Turn(plan, opened, SimpleNamespace(received=set(), wakeup=-1))  # type: ignore[arg-type]
        with monkeypatch.context() as failing:
            failing.setattr(os, "fdatasync", fail)
            assert ending._end("") is None
    assert story.kinds()[3:] == ["turn_end", "user", "error", "turn_end"]
    assert [(end["turn"], end["status"]) for end in story.of("turn_end")] == [(turn, "ok"), (5, "error")]
    assert broken(story.session) == []


def fail(_: int) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_no_process_survives_a_runner_that_is_killed_in_a_queued_turn(story: Story) -> None:
    """Its own environment carries the mark of the turn it was started for."""
    story.busy()
    marker = story.config.data / "pid"
    story.queue(f"setsid sleep 300 & echo $! > {marker}; sleep 300")
    story.release()
    wait_until(lambda: marker.exists() and marker.read_text().strip(), "the second turn to be under way")
    os.kill(story.runner(), signal.SIGKILL)
    assert [end["status"] for end in story.idle()] == ["ok", "lost"]
    assert not processes.is_alive(int(marker.read_text()), processes.started(int(marker.read_text())))
    assert processes.marked(story.session.id) == set()


def test_a_runner_that_receives_sigterm_begins_no_queued_turn(story: Story) -> None:
    story.busy()
    story.queue("echo later")
    os.kill(story.runner(), signal.SIGTERM)
    assert [end["status"] for end in story.idle()] == ["error"]
    assert len(story.session.state().queued) == 1


def test_a_queued_prompt_runs_although_the_turn_before_failed(story: Story) -> None:
    """Whoever queued a prompt saw the turn before it run, and may withdraw it: nothing waits for ever unseen."""
    story.start(f"until [ -e {story.gate} ]; do read -t 0.02 <> <(:); done; exit 3")
    story.queue("echo all the same", model="m-2")
    story.release()
    assert [end["status"] for end in story.idle()] == ["error", "ok"]
    assert story.of("user")[1]["model"] == "m-2"


def test_a_stop_in_a_queued_turn_stops_that_turn(story: Story) -> None:
    story.busy()
    story.queue("echo begun; sleep 300")
    story.release()
    wait_until(lambda: len(story.of("user")) == 2 and "begun" in story.of("tool_result")[-1]["output"], "it")
    assert cancel_turn(story.session, by="ann")
    assert [end["status"] for end in story.idle()] == ["ok", "cancelled"]


def test_a_stop_before_the_runner_opens_the_log_stops_the_turn(story: Story) -> None:
    """Between the prompt and the opening of the runner's log there are 30 ms in which a person can say stop."""
    turn = story.start("sleep 300")
    cancel_turn(story.session, by="ann")
    assert [(end["turn"], end["status"]) for end in story.idle()] == [(turn, "cancelled")]


def test_simultaneous_prompts_all_run_one_after_the_other(story: Story) -> None:
    taken: list[Accepted] = []

    def ask(number: int) -> None:
        taken.append(story.queue(f"echo n{number}"))

    together(*[lambda number=number: ask(number) for number in range(12)])
    wait_until(lambda: len(story.of("turn_end")) == 12, "all to run")
    story.idle()
    open_turn: Any = None
    for event in story.events():
        if event["kind"] == "user":
            assert open_turn is None
            open_turn = event["turn"]
        elif event["kind"] == "turn_end":
            assert event["turn"] == open_turn
            open_turn = None
    assert len(story.of("user")) == 12
    begun = {event.get("queued", event["id"]) for event in story.of("user")}
    assert begun == {each.id for each in taken}


def together(*calls: Callable[[], None]) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
