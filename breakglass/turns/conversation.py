"""The exchange of a turn with one process of the agent: bytes and events in both directions, until the process ends.

Must not know how the turn began or how its end is recorded: `runner` does that. `ending` decides each step to the end
of the process. This module takes the steps.
"""

import os
import signal
import time

from breakglass.agents import Dialogue
from breakglass.turns import processes
from breakglass.turns.child import Child
from breakglass.turns.ending import Ending, Facts, Phase, Step
from breakglass.turns.job import Job
from breakglass.turns.record import TurnRecord
from breakglass.turns.signals import Signals

CHECK_SECONDS = 1.0
"""Seconds between two checks of the log: its name, and new lines of others. A signal that announces it may get lost."""
DID_NOT_EXIT = "The agent did not exit after its answer, so it was ended."
STOPS = {
    Step.STOP_LATE: ("it ran longer than {timeout:g} seconds", "timeout"),
    Step.STOP_LARGE: ("the agent printed more than {size:g} MiB", "error"),
    Step.STOP_SILENT: ("the agent closed its output but did not exit", "error"),
    Step.STOP_SHUTDOWN: ("its process received SIGTERM, as at a shutdown", "error"),
}
"""Why the runner stops a turn, and how the turn then ends."""


class Conversation:
    """The exchange with one process of the agent, from its first byte to its exit."""

    def __init__(
        self, job: Job, record: TurnRecord, child: Child, dialogue: Dialogue, signals: Signals
    ) -> None:
        self.job = job
        self.record = record
        self.child = child
        self.dialogue = dialogue
        self.signals = signals
        self._checked_at = time.monotonic()
        self._ending = Ending(job.limits, record.began, job.timeout)
        self._waits_since = 0.0  # for the agent to be quiet; 0 if nothing waits for that

    def run(self) -> Ending:
        """Pass bytes and events between the agent and the log until the agent has ended or cannot be killed.

        Returns how it ended.
        """
        record, child, dialogue = self.record, self.child, self.dialogue
        child.write(dialogue.open(), ends=dialogue.finished)
        while not child.has_ended() and self._ending.phase is not Phase.ENDED:
            if record.is_stopping and child.exited_at:  # processes that it left behind keep its output open
                processes.kill_children(self.job.limits.kill)
            if output := child.wait(self._seconds_to_wait()):
                record.add(dialogue.translate(output))
            self._go_on_if_quiet()
            self._read_log_if_due()
            for answer in record.take_undelivered_answers():
                text, answers = answer.message or "", answer.answers or {}
                dialogue.answer(answer.request, allow=answer.allow, message=text, answers=answers)
            child.write(dialogue.reply(), ends=dialogue.finished)
            record.sync_if_due()
            while step := self._ending.next_step(self._facts()):
                self._take(step)
        return self._ending

    def _facts(self) -> Facts:
        child = self.child
        return Facts(
            now=time.monotonic(),
            has_answered=self.dialogue.answered,
            is_stopping=self.record.is_stopping,
            has_exited=bool(child.exited_at),
            is_shutdown=signal.SIGTERM in self.signals.received,
            printed=child.printed,
            printed_at=child.printed_at,
            closed_at=child.closed_at,
        )

    def _seconds_to_wait(self) -> float:
        """Return the seconds until something is due although the agent prints nothing."""
        facts = self._facts()
        due = min(self._checked_at + CHECK_SECONDS, self._ending.due_at(facts), self.record.sync_due_at())
        if self._waits_since:
            due = min(due, self._quiet_at())
        return max(0.0, due - facts.now)

    def _go_on_if_quiet(self) -> None:
        """Tell a dialogue that waits for it that the agent has been quiet."""
        if not self.dialogue.waits_for_quiet:
            self._waits_since = 0.0
            return
        self._waits_since = self._waits_since or time.monotonic()
        if time.monotonic() >= self._quiet_at() and not self.record.is_stopping:
            self.record.add(self.dialogue.after_quiet())

    def _quiet_at(self) -> float:
        """Return when the turn goes on: the agent is quiet, or it has printed for too long."""
        limits = self.job.limits
        quiet_at = max(self.child.printed_at, self._waits_since) + limits.replay_quiet
        return min(quiet_at, self._waits_since + limits.replay)

    def _read_log_if_due(self) -> None:
        """Act on what other processes appended and on questions that have expired. Reap dead orphans."""
        now = time.monotonic()
        if signal.SIGUSR1 not in self.signals.received and now - self._checked_at <= CHECK_SECONDS:
            return
        self.signals.received.discard(signal.SIGUSR1)
        self._checked_at = now
        self.child.reap_orphans()
        self.record.refuse_replaced_log()
        self.record.flush()
        self.record.read_others()
        self.record.answer_due_questions()

    def _take(self, step: Step) -> None:
        """Take one step to the end of the agent."""
        if step in STOPS:
            why, status = STOPS[step]
            why = why.format(timeout=self.job.timeout, size=self.job.limits.output / (1 << 20))
            self.record.stop(f"The turn was stopped: {why}.", status)
        elif step is Step.CLOSE_INPUT:
            self.child.write(b"", ends=True)
        elif step is Step.INTERRUPT:
            self._interrupt()
        elif step is not Step.GIVE_UP:
            if step is Step.TERMINATE and self._ending.needed_signal:
                self.record.append("notice", text=DID_NOT_EXIT)
            me = os.getpid()
            number = signal.SIGTERM if step is Step.TERMINATE else signal.SIGKILL
            processes.send_all(lambda: processes.descendants(me), number)

    def _interrupt(self) -> None:
        """Ask the agent to stop. Only an agent that cannot be asked gets the signal."""
        if request := self.dialogue.interrupt():
            self.child.write(request, ends=False)
        else:
            self.child.interrupt()
