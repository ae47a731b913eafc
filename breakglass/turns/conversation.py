"""The exchange with one program of a turn: an agent, or a program of an action.

How this works. `Conversation.run` waits for output, for signals and for the time at which something is due. It passes
output to the dialogue and events to the record, and it takes the steps of `Ending` until the program has ended.

For editors: a limit stops the turn, because the turn has only this program. The exception is a program that runs before
an action (`ProgramRun.may_fail`): a limit ends it alone, and the action follows.
"""

import os
import signal
import time
from typing import NamedTuple

from breakglass import sandbox
from breakglass.agents import Dialogue, Exit
from breakglass.kinds import ANSWERERS
from breakglass.sandbox import Sandbox
from breakglass.store.turnlock import place
from breakglass.turns import processes, steer
from breakglass.turns.child import Child
from breakglass.turns.ending import Ending, Facts, Phase, Step
from breakglass.turns.job import Job
from breakglass.turns.record import TurnRecord
from breakglass.turns.signals import Signals

HOLD_SECONDS = 1.0
"""Seconds for which the beginning of a secret waits for its other pieces."""
CHECK_SECONDS = 1.0
"""Seconds between two checks of the log: its name, and new lines of others. A signal that announces it may get lost."""
GOES_ON = "The action goes on without it."
"""What is said about a program before an action that failed."""
TOLD_LATER = "The agent's protocol has no place for this remark. The agent gets it before its next prompt."
DID_NOT_EXIT = "The agent did not exit after its answer, so it was ended."
STOPS = {
    Step.STOP_LATE: ("it ran longer than {timeout:g} seconds", "timeout"),
    Step.STOP_LARGE: ("the agent printed more than {size:g} MiB", "error"),
    Step.STOP_SILENT: ("the agent closed its output but did not exit", "error"),
    Step.STOP_SHUTDOWN: ("its process received SIGTERM, as at a shutdown", "error"),
}
"""Why the runner stops a turn, and how the turn then ends."""


class ProgramRun(NamedTuple):
    """What one program of a turn is for."""

    name: str
    """What messages call it."""
    environ: dict[str, str]
    began: float
    """The monotonic time from which its limit counts."""
    timeout: float
    """Seconds that it may take."""
    start_help: str
    """What to do if it cannot start."""
    cwd: str | None = None
    """Its working directory, None for the workspace."""
    sandbox: Sandbox | None = None
    """What confines it, None for nothing."""
    may_fail: bool = False
    """Whether the turn goes on if it fails or reaches a limit: it only runs before an action."""


def run_program(job: Job, record: TurnRecord, dialogue: Dialogue, signals: Signals, task: ProgramRun) -> None:
    """Run one program to its end, and record its events. `dialogue.failed` then says whether it failed.

    A program that cannot start stops the turn, unless it may fail. Raises CannotRecord.
    """
    record.add(dialogue.begin())
    try:
        child = _start(job, dialogue, signals, task)
    except OSError as error:
        program = os.fsdecode(error.filename or dialogue.argv[0])
        text = f"{task.name} could not start: {program}: {error.strerror}."
        if task.may_fail:
            record.append("notice", text=f"{text} {GOES_ON}")
        else:
            record.stop(f"{text} {task.start_help}")
        return
    try:
        conversation = Conversation(job, record, child, dialogue, signals, task)
        ending = conversation.run()
        # An exit status that a signal of ours caused says nothing about the answer that came before.
        code = 0 if ending.needed_signal else child.code
        was_stopped = record.is_stopping or conversation.is_cut_short
        end = Exit(code, child.stderr, was_stopped, int((time.monotonic() - task.began) * 1000))
    finally:
        child.close()
    # The result is that of the turn, so a program that runs before an action has none.
    record.add(draft for draft in dialogue.close(end) if draft[0] != "result" or not task.may_fail)
    record.flush()


def _start(job: Job, dialogue: Dialogue, signals: Signals, task: ProgramRun) -> Child:
    """Start a program, with the mark of this turn in its environment. Raises OSError."""
    mark = processes.mark(os.path.basename(job.directory), job.turn, place(job.lock[0]))
    return Child(
        sandbox.prepare(task.sandbox, job.workspace, dialogue.argv),
        {**task.environ, **dialogue.environ, processes.MARK: mark},
        signals.wakeup,
        linger=job.limits.linger,
        merge_stderr=dialogue.merge_stderr,
        cwd=task.cwd,
        is_sandbox=task.sandbox is not None,
    )


class Conversation:
    """The exchange with one process of the agent, from its first byte to its exit."""

    def __init__(
        self,
        job: Job,
        record: TurnRecord,
        child: Child,
        dialogue: Dialogue,
        signals: Signals,
        task: ProgramRun,
    ) -> None:
        self.job = job
        self.task = task
        self.record = record
        self.child = child
        self.dialogue = dialogue
        self.signals = signals
        self._checked_at = time.monotonic()
        self._ending = Ending(job.limits, task.began, task.timeout)
        self.is_cut_short = False
        """Whether a limit stopped this program and not the turn."""
        self._waits_since = 0.0  # for the agent to be quiet; 0 if nothing waits for that

    def run(self) -> Ending:
        """Pass bytes and events between the agent and the log until the agent has ended or cannot be killed.

        Returns how it ended.
        """
        record, child, dialogue = self.record, self.child, self.dialogue
        child.write(dialogue.open(), ends=dialogue.finished)
        while not child.has_ended() and self._ending.phase is not Phase.ENDED:
            if self._is_stopping() and child.exited_at:  # processes that it left behind keep its output open
                processes.kill_children(self.job.limits.kill)
            if output := child.wait(self._seconds_to_wait()):
                record.add(dialogue.translate(output))
            self._go_on_if_quiet()
            self._read_log_if_due()
            self._steer_if_possible()
            for answer in record.take_undelivered_answers():
                text, answers = answer.message or "", answer.answers or {}
                dialogue.answer(answer.request, allow=answer.allow, message=text, answers=answers)
                if text and not dialogue.carries_remarks and answer.by not in ANSWERERS:
                    record.append("notice", text=TOLD_LATER)
            child.write(dialogue.reply(), ends=dialogue.finished)
            record.sync_if_due()
            while step := self._ending.next_step(self._facts()):
                self._take(step)
        return self._ending

    def _is_stopping(self) -> bool:
        """Return whether the program must end: the turn stops, or a limit ends this program only."""
        return self.record.is_stopping or self.is_cut_short

    def _facts(self) -> Facts:
        child = self.child
        return Facts(
            now=time.monotonic(),
            has_answered=self.dialogue.answered,
            is_stopping=self._is_stopping(),
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
        if now - self.child.printed_at >= HOLD_SECONDS:
            self.record.flush()
        self.record.read_others()
        self.record.answer_due_questions()

    def _steer_if_possible(self) -> None:
        """Give the agent a waiting prompt that may steer it, if the agent reads it within this turn."""
        while self.dialogue.can_steer and (event := steer.record_next(self.record)):
            self.dialogue.steer(event["id"], event["text"])

    def _take(self, step: Step) -> None:
        """Take one step to the end of the agent."""
        if step in STOPS:
            why, status = STOPS[step]
            why = why.format(timeout=self.task.timeout, size=self.job.limits.output / (1 << 20))
            if self.task.may_fail and step is not Step.STOP_SHUTDOWN:
                self.is_cut_short = True
                self.record.append("notice", text=f"{self.task.name} was stopped: {why}. {GOES_ON}")
            else:
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
