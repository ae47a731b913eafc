"""The runner: the process of a turn. It starts the agent, appends its events, and kills all processes that it left.

How this works, from a prompt to a line on a phone:

1. `begin` takes the turn lock, appends the prompt as a `user` event and starts this process. The runner inherits the
   lock and reads its `Plan` from standard input. The turn runs exactly as long as the runner holds the lock.
2. `Turn.run` starts the agent (`child`), which gets the prompt on its standard input from a `Dialogue` (`agents`).
3. `Conversation.run` waits for the agent's output. The dialogue translates each piece into drafts of events.
4. `TurnRecord.add` masks the secrets in the drafts and appends them to the log.
5. The web server watches the log file and sends each new line to every connected phone (`store.follow`).

A question of the agent is handled in the same way. Its answer comes from a rule, from the timeout, or through the log
from another process. The other process sends SIGUSR1 after its append, so that the runner reads the log at once.

The invariant: every turn has exactly one `turn_end`, and no process of the turn lives after it.

For editors:

- The runner communicates with the agent and the log only. A server or client that ends does not affect a turn.
- The runner does nothing that it cannot record. If the log refuses an append, the agent is stopped.
- A runner starts for every turn, so this module imports nothing slow (`STARTUP` in tests/test_layers.py).
"""

import contextlib
import os
import signal
import sys
import time

from breakglass import agents
from breakglass.agents import Dialogue, Exit, TurnInput
from breakglass.errors import CannotRecord
from breakglass.events import Draft
from breakglass.store import log
from breakglass.store.log import Log
from breakglass.store.turnlock import Signer, place, sign
from breakglass.turns import plan as plans
from breakglass.turns import processes, sandbox
from breakglass.turns.child import Child
from breakglass.turns.ending import Ending, Facts, Phase, Step
from breakglass.turns.plan import Plan
from breakglass.turns.record import TurnRecord

CHECK_SECONDS = 1.0
"""Seconds between two checks of the log: its name, and new lines of others. A signal that announces it may get lost."""
START_HELP = "Install it, correct its command in the settings, or choose another agent. Your prompt is kept as line {}."
LEFT_RUNNING = (
    "Killed the processes that this command left running: {}. Nothing survives the end of a turn. Start a process that "
    "must keep running as a service, for example: systemd-run COMMAND."
)

DID_NOT_EXIT = "The agent did not exit after its answer, so it was ended."
STOPS = {
    Step.STOP_LATE: ("it ran longer than {timeout:g} seconds", "timeout"),
    Step.STOP_LARGE: ("the agent printed more than {size:g} MiB", "error"),
    Step.STOP_SILENT: ("the agent closed its output but did not exit", "error"),
    Step.STOP_SHUTDOWN: ("its process received SIGTERM, as at a shutdown", "error"),
}
"""Why the runner stops a turn, and how the turn then ends."""


def main() -> None:
    """Run the turn that the plan on standard input describes, and then the turns of the prompts that wait."""
    processes.reset_signals()
    processes.reset_oom_protection()  # before the next line, which closes the file to this process
    processes.hide()
    plan = plans.decode(sys.stdin.buffer.read())
    for fd in plan.lock:
        os.set_inheritable(fd, False)  # the agent must not hold the turn lock
    processes.become_subreaper()
    with log.open_log(plan.directory, lambda _: plan.end) as opened:
        signals = Signals()
        # On a full disk the pid cannot be written. Then no process can signal this one, but it reads the log every
        # second.
        with contextlib.suppress(OSError):
            sign(plan.lock, Signer(os.getpid(), processes.start_time(os.getpid())))
        following: Plan | None = plan
        while following:
            following = Turn(following, opened, signals).run()


class Signals:
    """The signals that this process received, and a descriptor that becomes readable when one arrives."""

    def __init__(self) -> None:
        self.received: set[int] = set()
        self.wakeup, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, lambda number, _: self.received.add(number))


class Turn:
    """One turn, from the prompt in the log to the `turn_end`."""

    def __init__(self, plan: Plan, opened: Log, signals: Signals) -> None:
        self.plan = plan
        self.record = TurnRecord(plan, opened)
        self.signals = signals

    def run(self) -> Plan | None:
        """Run the agent, kill every process that it started, and record how the turn ended.

        Returns the plan of the next turn, whose prompt waited in the queue, or None. Raises CannotRecord if not even
        the end can be written. Then the agent is dead and the turn has no end.
        """
        failure = ""
        try:
            self.record.log.reserve_space()
            self.record.read_others()  # a user may have stopped the turn already
            turn_input = self._turn_input()
            if self._run_agent(turn_input):
                self._run_agent(turn_input._replace(session=None, session_cost=0.0))
        except CannotRecord as error:
            failure = f"The turn was stopped: {error}."
        except Exception as error:  # noqa: BLE001 — an error of the runner must not look like a lost turn
            failure = f"The turn's process failed: {type(error).__name__}: {error}"
        if not self._kill_leftovers(report=not failure):
            failure = failure or "Some processes that this turn started could not be killed."
        return self._end(failure)

    def _turn_input(self) -> TurnInput:
        """Return the input of the agent's dialogue: the prompt from the log, and a part of the plan."""
        plan = self.plan
        user = log.read_one(self.record.log.fd, plan.turn)
        return TurnInput(
            prompt=user["text"],
            command=plan.command,
            model=user.get("model") or plan.model,
            session=plan.agent_session,
            session_cost=plan.agent_cost,
            ask=plan.ask,
            deny=plan.deny,
            thinking=plan.thinking,
            cwd=plan.workspace,
            turn=plan.turn,
            variables=tuple(plan.environ),
        )

    def _run_agent(self, turn_input: TurnInput) -> bool:
        """Run one process of the agent to its end. Return whether the agent must start over with a new session."""
        record = self.record
        if record.is_stopping:  # a user stopped the turn before the agent started
            return False
        dialogue = agents.new_dialogue(self.plan.protocol, turn_input)
        record.add(dialogue.begin())
        try:
            child = self._start(dialogue)
        except OSError as error:
            reason = f"{error.filename or dialogue.argv[0]}: {error.strerror}"
            record.stop(f"The agent could not start: {reason}. {START_HELP.format(self.plan.turn)}")
            return False
        try:
            ending = Conversation(self.plan, record, child, dialogue, self.signals).run()
            # An exit status that a signal of ours caused says nothing about the answer that came before.
            code = 0 if ending.needed_signal else child.code
            end = Exit(code, child.stderr, record.is_stopping, record.elapsed_ms())
        finally:
            child.close()
        record.add(dialogue.close(end))
        record.flush()
        if dialogue.start_over and not record.is_stopping:
            return True
        if dialogue.failed and record.status == "ok":
            record.status = "error"
        return False

    def _start(self, dialogue: Dialogue) -> Child:
        """Start the agent, with the mark of this turn in its environment. Raises OSError."""
        session_id = os.path.basename(self.plan.directory)
        mark = processes.mark(session_id, self.plan.turn, place(self.plan.lock[0]))
        return Child(
            sandbox.prepare(self.plan.sandbox, self.plan.workspace, dialogue.argv),
            {**self.plan.environ, **dialogue.environ, processes.MARK: mark},
            self.signals.wakeup,
            linger=self.plan.limits.linger,
            merge_stderr=dialogue.merge_stderr,
            is_sandbox=self.plan.sandbox is not None,
        )

    def _kill_leftovers(self, *, report: bool) -> bool:
        """Kill every process of this turn, and with `report` name those that a shell command left running.

        Returns whether all are dead. A sandbox ends with the command, and kills the others by itself.
        """
        left = sorted({processes.program_name(pid) for pid in processes.descendants(os.getpid())} - {""})
        all_dead = processes.kill_children(self.plan.limits.kill)
        is_command = agents.about(self.plan.protocol).is_command_line and not self.plan.sandbox
        if left and report and self.record.status == "ok" and is_command:
            with contextlib.suppress(CannotRecord):
                self.record.append("notice", text=LEFT_RUNNING.format(", ".join(left)[:200]))
        return all_dead

    def _end(self, failure: str) -> Plan | None:
        """Record the end of the turn. Return the plan of the next turn if a prompt waits, else None."""
        record = self.record
        last: list[Draft] = []
        if failure:
            record.status = "error" if record.status == "ok" else record.status
            last.append(("error", {"turn": self.plan.turn, "error": failure}))
        with record.log.exclusive():  # a `cancelled` event is recorded before the end or not at all
            record.read_others()
            status = record.state.end_status(record.status)
            end = {"turn": self.plan.turn, "status": status, "duration_ms": record.elapsed_ms()}
            if record.state.queued and not failure and signal.SIGTERM not in self.signals.received:
                before = record.log.end.number
                try:
                    return self._begin_next(end)
                except CannotRecord as error:
                    # Either nothing was written and the prompt stays in the queue, or the disk failed after both lines.
                    if record.log.end.number > before:
                        turn = record.log.end.number
                        last = [("error", {"turn": turn, "error": f"The turn was stopped: {error}."})]
                        end = {"turn": turn, "status": "error", "duration_ms": 0}
            record.log.append_end(*last, ("turn_end", end))
            return None

    def _begin_next(self, end: dict[str, object]) -> Plan:
        """End this turn and begin the turn of the prompt that has waited longest, in one write.

        This process holds the turn lock and the log's lock. So no other turn can begin in between, and no reader sees
        the session idle. Raises CannotRecord.
        """
        self.record.refuse_replaced_log()
        state = self.record.state
        waiting = state.queued[0].id
        prompt = log.read_one(self.record.log.fd, waiting)
        user = {"text": prompt["text"], "by": prompt["by"], "model": prompt.get("model"), "queued": waiting}
        _, turn = self.record.log.append_together(("turn_end", end), ("user", user))
        return self.plan._replace(
            turn=turn,
            agent_session=state.agent_session,
            agent_cost=state.agent_cost,
            allowed=state.allowed,
            queued=tuple(each.id for each in state.queued[1:]),
        )


class Conversation:
    """The exchange with one process of the agent, from its first byte to its exit."""

    def __init__(
        self, plan: Plan, record: TurnRecord, child: Child, dialogue: Dialogue, signals: Signals
    ) -> None:
        self.plan = plan
        self.record = record
        self.child = child
        self.dialogue = dialogue
        self.signals = signals
        self._checked_at = time.monotonic()
        self._ending = Ending(plan.limits, record.began, plan.timeout)
        self._waits_since = 0.0  # for the agent to be quiet; 0 if nothing waits for that

    def run(self) -> Ending:
        """Pass bytes and events between the agent and the log until the agent has ended or cannot be killed.

        Returns how it ended.
        """
        record, child, dialogue = self.record, self.child, self.dialogue
        child.write(dialogue.open(), ends=dialogue.finished)
        while not child.has_ended() and self._ending.phase is not Phase.ENDED:
            if record.is_stopping and child.exited_at:  # processes that it left behind keep its output open
                processes.kill_children(self.plan.limits.kill)
            if output := child.wait(self._seconds_to_wait()):
                record.add(dialogue.translate(output))
            self._go_on_if_quiet()
            self._read_log_if_due()
            for answer in record.take_undelivered_answers():
                dialogue.answer(answer.request, allow=answer.allow, message=answer.message or "")
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
        limits = self.plan.limits
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
            why = why.format(timeout=self.plan.timeout, size=self.plan.limits.output / (1 << 20))
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
