"""The exchange of a runner with one program: when it reads the log, what it passes on, and how it ends the program.

The program is a fake on a clock of its own, so no test waits. Real programs are in test_runner.py.
"""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from breakglass.agents import Exit
from breakglass.config import Config
from breakglass.events import Draft
from breakglass.store import sessions
from breakglass.store.log import Log
from breakglass.store.sessions import Session
from breakglass.store.turnlock import TurnLock, place
from breakglass.turn_limits import TurnLimits
from breakglass.turns import conversation, processes
from breakglass.turns.conversation import DID_NOT_EXIT, GOES_ON, TOLD_LATER, ProgramRun, run_program
from breakglass.turns.job import Job
from breakglass.turns.record import TurnRecord
from tests.help.session_logs import events_of
from tests.help.turns import make_job

LIMITS = TurnLimits(output=3 << 20)
TIMEOUT = 100.0


class Signals(NamedTuple):
    """The signals that the runner has received."""

    received: set[int]
    wakeup: int = -1


class Clock:
    now = 1_000.0


class FakeDialogue:
    """A dialogue whose lines are one word each: the word is an event, a question, or a fact about the agent."""

    argv, environ, merge_stderr = ["agent"], {"FROM": "dialogue"}, True
    failed = start_over = waits_for_quiet = carries_remarks = can_steer = finished = answered = False
    unread: tuple[int, ...] = ()
    request = b"stop please"

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self._reply = b""

    def begin(self) -> list[Draft]:
        return [("tool", {"tool_id": "t", "name": "agent", "input": {}})]

    def open(self) -> bytes:
        return b"the prompt"

    def translate(self, data: bytes) -> list[Draft]:
        self.calls.append(("translate", data.decode()))
        if data == b"ask":
            return [("permission", {"request": "r", "name": "Bash", "input": {}})]
        return [("delta", {"text": data.decode()})]

    def after_quiet(self) -> list[Draft]:
        self.waits_for_quiet = False
        return [("notice", {"text": "it was quiet"})]

    def answer(self, request: str, *, allow: bool, message: str = "", answers: Any = None) -> bool:
        self._reply = f"{request} {allow} {message}".encode()
        return True

    def reply(self) -> bytes:
        reply, self._reply = self._reply, b""
        return reply

    def interrupt(self) -> bytes:
        return self.request

    def close(self, end: Exit) -> list[Draft]:
        self.end = end
        result = {"is_error": False, "result": end.description, "duration_ms": end.duration_ms}
        return [("result", result), ("notice", {"text": "closed"})]


Act = Callable[["World"], bytes]


class World:
    """A turn, a clock, and a program that does each act at its time, counted from the start."""

    def __init__(self, clock: Clock, session: Session, opened: Log, other: Log, lock: TurnLock) -> None:
        self.clock, self.session, self.other, self.lock = clock, session, other, lock
        self.turn = opened.append("user", text="go on", by="ann")
        self.job: Job = make_job(session, self.turn, opened.end, lock=lock.fds, limits=LIMITS)
        self.record = TurnRecord(self.job, opened)
        self.dialogue = FakeDialogue()
        self.signals = Signals(set())
        self.acts: list[tuple[float, Act]] = []
        self.done: list[str] = []
        """What the runner did to the program, in order."""
        self.ends_by: set[str] = {"killed"}
        self.exited_at = self.printed_at = self.closed_at = 0.0
        self.printed, self.code, self.stderr = 0, 0, ""
        self.reads: list[float] = []
        """When the log was read."""
        self.waits = 0
        self.has_rest = False
        """Whether a process that the program left behind holds its output open."""

    @property
    def now(self) -> float:
        return self.clock.now

    # --- the program, as `Child` --------------------------------------------------------------------

    def has_ended(self) -> bool:
        return bool(self.exited_at) and not self.has_rest

    def wait(self, seconds: float) -> bytes:
        assert seconds >= 0
        self.waits += 1
        assert self.waits < 1_000, f"it never ends: {self.done}"
        due = self.now + seconds
        if self.acts and 1_000 + self.acts[0][0] <= due:
            at, act = self.acts.pop(0)
            self.clock.now = max(self.now, 1_000 + at)
            output = act(self)
            if output:
                self.printed, self.printed_at = self.printed + len(output), self.now
            return output
        self.clock.now = due + 0.001  # as on a real clock, some time passes
        return b""

    def write(self, data: bytes, *, ends: bool) -> None:
        if data or ends:
            self._do(data.decode() + (" and end" if ends else ""))

    def interrupt(self) -> None:
        self._do("interrupted")

    def reap_orphans(self) -> None:
        self.reads.append(self.now)

    def close(self) -> None:
        self.done.append("closed")

    def _do(self, what: str) -> None:
        self.done.append(what)
        if what in self.ends_by:
            self.exited_at = self.now

    # --- the test -----------------------------------------------------------------------------------

    def sent(self, number: int) -> None:
        self._do({signal.SIGTERM: "terminated", signal.SIGKILL: "killed"}[signal.Signals(number)])

    def exit(self, code: int = 0) -> bytes:
        self.exited_at, self.code = self.now, code
        return b""

    def run(self, *acts: tuple[float, Act], **task: Any) -> list[str]:
        """Run the program. Return what the runner did to it."""
        self.acts = list(acts)
        given = {"name": "The agent", "environ": {"FROM": "task"}, "began": self.now, "timeout": TIMEOUT}
        made = ProgramRun(**{**given, "start_help": "Install it.", **task})
        run_program(self.job, self.record, self.dialogue, self.signals, made)  # type: ignore[arg-type]
        return self.done

    def texts(self, kind: str, key: str = "text") -> list[Any]:
        return [event[key] for event in events_of(self.session) if event["kind"] == kind]


@pytest.fixture
def world(settings: Config, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    session, clock = sessions.create(settings.data, "shell"), Clock()
    lock = TurnLock(session)
    lock.take()
    with session.open_log() as opened, session.open_log() as other:
        monkeypatch.setattr(time, "monotonic", lambda: clock.now)
        made = World(clock, session, opened, other, lock)
        monkeypatch.setattr(conversation, "_start", lambda *_: made)
        monkeypatch.setattr(processes, "send_all", lambda _, number: made.sent(number))

        def kill_children(seconds: float) -> None:
            made.done.append("the rest killed")
            made.has_rest = False

        monkeypatch.setattr(processes, "kill_children", kill_children)
        yield made
    lock.release()


def says(text: bytes) -> Act:
    return lambda world: text


def exits(code: int = 0) -> Act:
    return lambda world: world.exit(code)


def test_the_prompt_is_written_and_the_output_recorded(world: World) -> None:
    assert world.run((1, says(b"hello")), (2, exits(3))) == ["the prompt", "closed"]
    kinds = [event["kind"] for event in events_of(world.session)]
    assert kinds == ["created", "user", "tool", "delta", "result", "notice"]
    assert world.dialogue.calls == [("translate", "hello")]
    assert world.dialogue.end == Exit(3, "", cancelled=False, duration_ms=2_000)
    assert world.record.status == "ok"


def test_streamed_text_is_synced_while_the_agent_is_quiet(world: World) -> None:
    synced: list[float] = []
    sync = world.record.log.sync
    world.record.log.sync = lambda: (synced.append(world.now), sync())[1]  # type: ignore[method-assign, func-returns-value]
    world.run((1, says(b"a")), (1.05, says(b"b")), (9, exits()))
    assert synced == [1_000, 1_001, pytest.approx(1_001.2, abs=0.01)]  # the first one is that of `tool`


def test_the_log_is_read_about_once_a_second_and_at_a_signal(world: World) -> None:
    def signalled(world: World) -> bytes:
        world.signals.received.add(signal.SIGUSR1)
        return b""

    world.run((5.2, signalled), (8, exits()))
    assert len(world.reads) <= 10
    assert max(later - sooner for sooner, later in zip(world.reads, world.reads[1:], strict=False)) <= 2
    assert 1_005.2 in world.reads
    assert signal.SIGUSR1 not in world.signals.received


def test_a_stop_of_a_user_asks_the_agent_then_signals_it(world: World) -> None:
    def stopped(world: World) -> bytes:
        world.other.append("cancelled", turn=world.turn, by="ann")
        return b""

    assert world.run((1, stopped)) == ["the prompt", "stop please", "terminated", "killed", "closed"]
    assert world.record.status == "cancelled"
    assert world.dialogue.end.cancelled
    assert world.texts("notice") == ["closed"]
    assert world.now < 1_000 + 1 + 2 + LIMITS.interrupt + LIMITS.terminate + LIMITS.kill


def test_an_agent_that_cannot_be_asked_to_stop_gets_the_signal(world: World) -> None:
    def stopped(world: World) -> bytes:
        world.other.append("cancelled", turn=world.turn, by="ann")
        return b""

    world.dialogue.request = b""
    world.ends_by = {"interrupted"}
    assert world.run((1, stopped)) == ["the prompt", "interrupted", "closed"]


def test_what_a_stopped_agent_left_behind_is_killed(world: World) -> None:
    def stopped_and_exited(world: World) -> bytes:
        world.other.append("cancelled", turn=world.turn, by="ann")
        world.has_rest = True
        return world.exit()

    assert world.run((1, stopped_and_exited)) == ["the prompt", "the rest killed", "closed"]


def test_what_an_agent_left_behind_is_not_killed_while_its_output_is_awaited(world: World) -> None:
    def exited(world: World) -> bytes:
        world.has_rest = True
        return world.exit()

    def rest_ends(world: World) -> bytes:
        world.has_rest = False
        return b"late"

    assert world.run((1, exited), (2, rest_ends)) == ["the prompt", "closed"]
    assert world.texts("delta") == ["late"]


def test_an_agent_that_cannot_be_killed_is_given_up(world: World) -> None:
    world.ends_by = set()
    assert world.run() == ["the prompt", "stop please", "terminated", "killed", "closed"]
    assert world.record.status == "timeout"


@pytest.mark.parametrize(
    ("act", "status", "why"),
    [
        (says(b"x" * (3 << 20)), "error", None),
        (says(b"x" * ((3 << 20) + 1)), "error", "the agent printed more than 3 MiB"),
        (exits(), "ok", None),
        (lambda world: world.signals.received.add(signal.SIGTERM) or b"", "error", "its process received SIGTERM, as"),
    ],
    ids=["much", "too much", "exit", "shutdown"],
)  # fmt: skip
def test_a_limit_stops_the_turn_and_says_why(world: World, act: Act, status: str, why: str | None) -> None:
    world.ends_by = {"stop please"}
    world.run((1, act), (2, exits()))
    stopped = [text for text in world.texts("error", "error") if "The turn was stopped: " in text]
    assert [why in text for text in stopped if why] == [True] * bool(why)
    assert len(stopped) == bool(why)
    assert (world.record.status == "ok") is (why is None)


def test_the_time_limit_is_told_in_seconds(world: World) -> None:
    world.ends_by = {"stop please"}
    world.run()
    assert world.texts("error", "error") == ["The turn was stopped: it ran longer than 100 seconds."]
    assert world.now == pytest.approx(1_000 + TIMEOUT, abs=0.1)


def test_a_program_before_an_action_that_reaches_a_limit_ends_alone(world: World) -> None:
    world.ends_by = {"stop please"}
    world.run(name="The check", may_fail=True)
    assert world.texts("notice") == [
        f"The check was stopped: it ran longer than 100 seconds. {GOES_ON}",
        "closed",
    ]
    assert (world.record.is_stopping, world.dialogue.end.cancelled) == (False, True)
    assert world.texts("result", "result") == []


def test_an_agent_that_stays_after_its_answer_is_ended_with_a_notice(world: World) -> None:
    def answered(world: World) -> bytes:
        world.dialogue.answered = True
        return b"done"

    world.ends_by = {"terminated"}
    assert world.run((1, answered)) == ["the prompt", " and end", "terminated", "closed"]
    assert world.texts("notice") == [DID_NOT_EXIT, "closed"]
    assert world.dialogue.end.code == 0
    assert world.record.status == "ok"


def test_the_end_of_its_input_is_enough_for_most_agents(world: World) -> None:
    def answered(world: World) -> bytes:
        world.dialogue.answered = True
        return b"done"

    world.ends_by = {" and end"}
    assert world.run((1, answered)) == ["the prompt", " and end", "closed"]
    assert world.texts("notice") == ["closed"]


@pytest.mark.parametrize(
    ("by", "carries", "is_told"),
    [("ann", False, True), ("ann", True, False), ("timeout", False, False)],
)
def test_a_remark_that_the_agent_does_not_get_is_told_to_its_author(
    world: World, by: str, carries: bool, is_told: bool
) -> None:
    def answered(world: World) -> bytes:
        world.other.append("answer", turn=world.turn, request="r", allow=False, by=by, message="no")
        return b""

    world.dialogue.carries_remarks = carries
    assert world.run((1, says(b"ask")), (2, answered), (5, exits())) == [
        "the prompt",
        "r False no",
        "closed",
    ]
    assert (TOLD_LATER in world.texts("notice")) is is_told


def test_a_question_without_a_remark_has_no_notice(world: World) -> None:
    def answered(world: World) -> bytes:
        world.other.append("answer", turn=world.turn, request="r", allow=True, by="ann")
        return b""

    world.run((1, says(b"ask")), (2, answered), (5, exits()))
    assert world.texts("notice") == ["closed"]


def note_quiet(world: World) -> list[float]:
    """Let the agent replay its past. Return the times at which it counts as quiet."""
    quiet_at: list[float] = []
    after_quiet = world.dialogue.after_quiet

    def note() -> list[Draft]:
        quiet_at.append(world.now)
        return after_quiet()

    world.dialogue.after_quiet = note  # type: ignore[method-assign]
    world.dialogue.waits_for_quiet = True
    return quiet_at


def test_the_quiet_after_a_replay_ends_the_wait_soon_after_the_last_output(world: World) -> None:
    quiet_at = note_quiet(world)
    world.run((0.1, says(b"a")), (0.3, says(b"b")), (0.55, says(b"c")), (4, exits()))
    assert quiet_at == [pytest.approx(1_000.55 + LIMITS.replay_quiet)]
    assert "it was quiet" in world.texts("notice")


def test_an_agent_that_replays_without_end_gets_the_prompt_after_the_limit(world: World) -> None:
    quiet_at = note_quiet(world)
    pieces = [(number / 5, says(b"x")) for number in range(1, 75)]
    world.run(*pieces, (15, exits()))
    assert len(quiet_at) == 1
    assert 1_000 + LIMITS.replay <= quiet_at[0] <= 1_000 + LIMITS.replay + 0.5


def test_a_program_gets_the_mark_of_its_turn_in_its_environment(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []
    monkeypatch.undo()
    monkeypatch.setattr(conversation, "Child", lambda *args, **more: given.append((args, more)))
    task = ProgramRun("The agent", {"FROM": "task", "OWN": "1"}, 0.0, TIMEOUT, "")
    conversation._start(world.job, world.dialogue, world.signals, task)  # type: ignore[arg-type]
    ((argv, environ, wakeup), more) = given[0]
    session_id = Path(world.job.directory).name
    mark = processes.mark(session_id, world.turn, place(world.lock.fds[0]))
    assert (argv, wakeup) == (["agent"], -1)
    assert environ == {"FROM": "dialogue", "OWN": "1", processes.MARK: mark}
    assert more["linger"] == LIMITS.linger
