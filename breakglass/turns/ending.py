"""The end of a turn: what the runner does next so that every agent process ends in bounded time. Pure.

How this works: the runner reports what it sees (`Facts`), and `Ending.next_step` returns what to do now. An agent goes
through four phases. They are the same for every protocol.

- running: the agent works. The turn's limits apply: its time, its output, and the time without an output.
- answered: the agent gave its final answer. What it still prints is read until it is quiet for a moment.
- exiting: the agent must exit. The steps of `_AFTER_ANSWER` or `_STOP` follow each other, each after its own time.
  Its exit ends this phase: `Child` then waits at most `linger` seconds for the last output.
- ended: the agent cannot be killed. The runner waits no longer.

For editors:

- All times are in `TurnLimits`. A phase without a time would be a turn without an end.
- A stop wins over everything, but no step is taken twice: after SIGTERM comes SIGKILL, also for a stop.
- An answer can turn out not to be the last one, if a background task begins another round. Then the agent works again.
"""

from enum import Enum
from typing import NamedTuple

from breakglass.turn_limits import TurnLimits


class Phase(Enum):
    """How far the agent is on its way to its exit."""

    RUNNING = "running"
    ANSWERED = "answered"
    EXITING = "exiting"
    ENDED = "ended"


class Step(Enum):
    """What the runner must do now."""

    CLOSE_INPUT = "close its standard input"
    INTERRUPT = "ask it to stop, or send SIGINT"
    TERMINATE = "send SIGTERM"
    KILL = "send SIGKILL"
    GIVE_UP = "wait no longer for its exit"
    STOP_LATE = "stop it because the turn took too long"
    STOP_LARGE = "stop it because it printed too much"
    STOP_SILENT = "stop it because it closed its output and does not exit"
    STOP_SHUTDOWN = "stop it because this process received SIGTERM"


class Facts(NamedTuple):
    """What the runner knows about the agent now. Times are of one monotonic clock."""

    now: float
    has_answered: bool = False
    """Whether the agent gave its final answer and has no open background task."""
    is_stopping: bool = False
    """Whether a user stopped the turn, or a limit did."""
    has_exited: bool = False
    is_shutdown: bool = False
    """Whether this process received SIGTERM."""
    printed: int = 0
    """Bytes of output so far."""
    printed_at: float = 0.0
    """When the agent printed last, 0 if it printed nothing."""
    closed_at: float = 0.0
    """When the agent closed its output, 0 if it is open."""


_AFTER_ANSWER = ((Step.CLOSE_INPUT, "exit"), (Step.TERMINATE, "terminate"), (Step.KILL, "kill"))
_STOP = ((Step.INTERRUPT, "interrupt"), (Step.TERMINATE, "terminate"), (Step.KILL, "kill"))
"""The steps to the exit, each with the limit that holds the seconds until the next step."""


class Ending:
    """The way of one agent process to its end. `began` is the time at which the turn began."""

    def __init__(self, limits: TurnLimits, began: float, timeout: float) -> None:
        self.phase = Phase.RUNNING
        self.needed_signal = False
        """Whether the agent did not exit after its answer, so that a signal had to end it."""
        self._limits = limits
        self._timeout_at = began + timeout
        self._steps: tuple[tuple[Step, str], ...] = ()
        self._is_forced = False  # the agent was told to stop, or got a signal: it cannot go on with its work
        self._answered_at = 0.0
        self._due_at = 0.0

    def next_step(self, facts: Facts) -> Step | None:
        """Return what to do now, None if nothing is due.

        A step of an exit is returned once, a stop until the facts say that the turn is stopping.
        """
        self._update_phase(facts)
        if not self._is_forced and (stop := self._exceeded_limit(facts)):
            return stop
        is_due = self.phase is Phase.EXITING and facts.now >= self._due_at and not facts.has_exited
        return self._take_step(facts) if is_due else None

    def due_at(self, facts: Facts) -> float:
        """Return the time at which `next_step` must be called again although nothing happens."""
        if facts.has_exited:
            return float("inf")  # `Child` knows when the last output is expected
        if self.phase is Phase.RUNNING:
            return min(self._timeout_at, self._silent_at(facts))
        return self._quiet_at(facts) if self.phase is Phase.ANSWERED else self._due_at

    def _update_phase(self, facts: Facts) -> None:
        if self._is_forced:
            return
        if facts.is_stopping:
            self._is_forced = True
            self._begin_exit(_STOP, facts)
        elif not facts.has_answered:
            self.phase = Phase.RUNNING
        elif self.phase is Phase.RUNNING:
            self.phase, self._answered_at = Phase.ANSWERED, facts.now
        if self.phase is Phase.ANSWERED and facts.now >= self._quiet_at(facts):
            self._begin_exit(_AFTER_ANSWER, facts)

    def _begin_exit(self, steps: tuple[tuple[Step, str], ...], facts: Facts) -> None:
        self.phase, self._steps, self._due_at = Phase.EXITING, steps, facts.now

    def _take_step(self, facts: Facts) -> Step:
        """Return the next step. After the last one the agent cannot be killed, and the waiting ends."""
        if not self._steps:
            self.phase = Phase.ENDED
            return Step.GIVE_UP
        (step, limit), *rest = self._steps
        self._steps = tuple(rest)
        self.needed_signal |= step is Step.TERMINATE and not self._is_forced
        self._is_forced |= step is Step.TERMINATE
        self._due_at = facts.now + getattr(self._limits, limit)
        return step

    def _quiet_at(self, facts: Facts) -> float:
        """Return when the agent has been quiet for long enough. An agent that prints on and on gets no more time."""
        quiet_at = max(facts.printed_at, self._answered_at) + self._limits.quiet
        return min(quiet_at, self._answered_at + self._limits.settle)

    def _silent_at(self, facts: Facts) -> float:
        """Return until when an agent that closed its output may run, infinity if it did not close it."""
        is_silent = facts.closed_at and not facts.has_exited
        return facts.closed_at + self._limits.silent if is_silent else float("inf")

    def _exceeded_limit(self, facts: Facts) -> Step | None:
        if facts.printed > self._limits.output:
            return Step.STOP_LARGE
        if self.phase is not Phase.RUNNING:
            return None
        if facts.now >= self._timeout_at:
            return Step.STOP_LATE
        if facts.now >= self._silent_at(facts):
            return Step.STOP_SILENT
        return Step.STOP_SHUTDOWN if facts.is_shutdown else None
