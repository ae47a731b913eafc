"""The runner: the process of a turn. It starts the agent, appends its events, and kills all processes that it left.

How this works, from a prompt to a line on a phone:

1. `begin` takes the turn lock, appends the prompt as a `user` event and starts this process. The runner inherits the
   lock and reads its `Job` from standard input. The turn runs exactly as long as the runner holds the lock.
2. `Turn.run` starts the agent (`child`), which gets the prompt on its standard input from a `Dialogue` (`agents`).
   The turn of an action has no agent: its programs run one after the other, in the same way.
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

from breakglass import agents, uploads
from breakglass.agents import Dialogue, Picture, TurnInput
from breakglass.errors import CannotRecord
from breakglass.events import Draft
from breakglass.state import fold
from breakglass.store import log
from breakglass.store.log import Log
from breakglass.store.turnlock import RunnerProcess, write_runner
from breakglass.turns import brief, processes, remarks, secret_answers, steer
from breakglass.turns import job as jobs
from breakglass.turns.boot import boot_id
from breakglass.turns.conversation import ProgramRun, run_program
from breakglass.turns.files import read_files
from breakglass.turns.job import ActionStep, AgentJob, Job
from breakglass.turns.record import TurnRecord
from breakglass.turns.signals import Signals

START_HELP = "Install it, correct its command in the settings, or choose another agent. Your prompt is kept as line {}."
QUEUED_KEYS = ("text", "by", "model", "agent", "files")
"""The keys of a `queued` event that the `user` event of its turn has too."""
LEFT_RUNNING = (
    "Killed the processes that this command left running: {}. Nothing survives the end of a turn. Start a process that "
    "must keep running as a service, for example: systemd-run COMMAND."
)


def main() -> None:
    """Run the turn that the job on standard input describes, and then the turns of the prompts that wait."""
    processes.reset_signals()
    processes.reset_oom_protection()  # before the next line, which closes the file to this process
    processes.hide()
    job = jobs.decode(sys.stdin.buffer.read())
    for fd in (*job.lock, *job.held):
        os.set_inheritable(fd, False)  # the agent must not hold the turn lock
    processes.become_subreaper()
    with log.open_log(job.directory, lambda _: (job.end, job.seal)) as opened:
        signals = Signals()
        # On a full disk the pid cannot be written. Then no process can signal this one, but it reads the log every
        # second.
        with contextlib.suppress(OSError):
            write_runner(job.lock, RunnerProcess(os.getpid(), processes.start_time(os.getpid())))
        turn = Turn(job, opened, signals)
        while following := turn.run():
            turn = Turn(following, opened, signals)
        turn.record.sender.start()  # it outlives this process


class Turn:
    """One turn, from the prompt in the log to the `turn_end`."""

    def __init__(self, job: Job, opened: Log, signals: Signals) -> None:
        self.job = job
        self.record = TurnRecord(job, opened)
        self.signals = signals

    def run(self) -> Job | None:
        """Run the agent, kill every process that it started, and record how the turn ended.

        Returns the job of the next turn, whose prompt waited in the queue, or None. Raises CannotRecord if not even
        the end can be written. Then the agent is dead and the turn has no end.
        """
        failure = ""
        try:
            self.record.log.reserve_space()
            self.record.read_others()  # a user may have stopped the turn already
            if self.job.steps:
                self._run_action()
            else:
                self._run_agent()
        except CannotRecord as error:
            failure = f"The turn was stopped: {error}."
        except Exception as error:  # noqa: BLE001 — an error of the runner must not look like a lost turn
            failure = f"The turn's process failed: {type(error).__name__}: {error}"
        if not self._kill_leftovers(report=not failure):
            failure = failure or "Some processes that this turn started could not be killed."
        return self._end(failure)

    def _run_agent(self) -> None:
        """Run the agent to its end, once more with a new session of its own if it asks for that."""
        agent = self.job.agent_job()
        if agent is None:
            self.record.stop(f"The agent {self.job.agent} is no longer configured.")
            return
        task = ProgramRun(
            name="The agent",
            environ=agent.environ,
            began=self.record.began,
            timeout=self.job.timeout,
            start_help=START_HELP.format(self.job.turn),
            cwd=_cwd(self.job, agent),
            sandbox=agent.sandbox,
        )
        turn_input = _turn_input(self.job, agent, self.record)
        if self._run(agent.protocol, turn_input, task).start_over and not self.record.is_stopping:
            self._run(agent.protocol, turn_input.without_session(), task)

    def _run(self, protocol: str, turn_input: TurnInput, task: ProgramRun) -> Dialogue:
        """Run one program, unless the turn is stopping. Return its dialogue. A failure is that of the turn."""
        dialogue = agents.new_dialogue(protocol, turn_input)
        if self.record.is_stopping:  # a user stopped the turn before the program started
            return dialogue
        run_program(self.job, self.record, dialogue, self.signals, task)
        is_final = not task.may_fail and not dialogue.start_over
        if dialogue.failed and is_final and self.record.status == "ok":
            self.record.status = "error"
        steer.queue_again(self.record, dialogue.unread)
        return dialogue

    def _run_action(self) -> None:
        """Run the programs of an action one after the other. Only the last one decides how the turn ends."""
        for step in self.job.steps:
            is_last = step is self.job.steps[-1]
            task = ProgramRun(
                name=f"The action {step.name}",
                environ=self.job.environ if step.environ is None else step.environ,
                began=time.monotonic(),
                timeout=step.timeout,
                start_help=f"Install it, or correct [actions.{step.name}] command.",
                may_fail=not is_last,
            )
            self._run(step.protocol, _action_input(self.job, step, task), task)
            if not is_last:
                processes.kill_children(self.job.limits.kill)

    def _kill_leftovers(self, *, report: bool) -> bool:
        """Kill every process of this turn, and with `report` name those that a shell command left running.

        Returns whether all are dead. A sandbox ends with the command, and kills the others by itself.
        """
        self.record.sender.kill()
        left = sorted({processes.program_name(pid) for pid in processes.descendants(os.getpid())} - {""})
        all_dead = processes.kill_children(self.job.limits.kill)
        if left and report and self.record.status == "ok" and _is_command_line(self.job):
            with contextlib.suppress(CannotRecord):
                self.record.append("notice", text=LEFT_RUNNING.format(", ".join(left)[:200]))
        return all_dead

    def _end(self, failure: str) -> Job | None:
        """Record the end of the turn. Return the job of the next turn if a prompt waits, else None."""
        record = self.record
        last: list[Draft] = []
        if failure:
            record.status = "error" if record.status == "ok" else record.status
            last.append(("error", {"turn": self.job.turn, "error": failure}))
        with record.log.exclusive():  # a `cancelled` event is recorded before the end or not at all
            record.read_others()
            secret_answers.delete_all(self.job.directory)  # of a user's process that died before its answer
            status = record.state.end_status(record.status)
            end = record.end_fields(status)
            is_shutdown = signal.SIGTERM in self.signals.received
            if record.state.queued and not failure and not is_shutdown and self._can_begin_next():
                before = record.log.end.number
                try:
                    return self._begin_next(end)
                except CannotRecord as error:
                    # Either nothing was written and the prompt stays in the queue, or the disk failed after both lines.
                    if record.log.end.number > before:
                        end = {"turn": record.log.end.number, "status": "error", "duration_ms": 0}
                        last = [("error", {"turn": end["turn"], "error": f"The turn was stopped: {error}."})]
            record.log.append_end(*last, ("turn_end", end))
            return None

    def _can_begin_next(self) -> bool:
        """Return whether the agent of the prompt that has waited longest is configured. Otherwise the prompt stays."""
        prompt = log.read_one(self.record.log.fd, self.record.state.queued[0].id)
        return self.job.agent_job(prompt.get("agent")) is not None

    def _begin_next(self, end: dict[str, object]) -> Job:
        """End this turn and begin the turn of the prompt that has waited longest, in one write.

        This process holds the turn lock and the log's lock. So no other turn can begin in between, and no reader sees
        the session idle. Raises CannotRecord.
        """
        self.record.refuse_replaced_log()
        opened, state = self.record.log, self.record.state
        waiting = state.queued[0].id
        prompt = log.read_one(opened.fd, waiting)
        name = prompt.get("agent") or self.job.agent
        after = fold(state, {"id": opened.end.number + 1, "kind": "turn_end", **end})
        user = {key: prompt.get(key) for key in QUEUED_KEYS} | {"queued": waiting, "boot_id": boot_id()}
        if (agent := self.job.agent_job(name)) and not agent.is_command_line:
            found = brief.find(opened.fd, after.of_agent(name).seen, opened.end.number + 1)
            user["brief"] = found.as_event() if found else None
        _, turn = opened.append_together(("turn_end", end), ("user", user))
        for fd in self.job.held:
            os.close(fd)
        return self.job._replace(
            turn=turn,
            held=(),
            steps=(),
            agent=name,
            known=after.agents,
            allowed=state.allowed,
            queued=tuple(each._replace(text="") for each in state.queued[1:]),
        )


def _is_command_line(job: Job) -> bool:
    """Return whether the turn runs commands of the user, and not an agent."""
    agent = job.agent_job()
    return bool(job.steps) or (agent is not None and agent.is_command_line and not agent.sandbox)


def _cwd(job: Job, agent: AgentJob) -> str:
    """Return where the agent works. A sandbox hides every place but the workspace."""
    return job.workspace if agent.sandbox else job.cwd


def _action_input(job: Job, step: ActionStep, task: ProgramRun) -> TurnInput:
    return TurnInput(
        prompt=step.name,
        command=step.argv,
        cwd=job.workspace,
        turn=job.turn,
        variables=tuple(task.environ),
    )


def _turn_input(job: Job, agent: AgentJob, record: TurnRecord) -> TurnInput:
    """Return the input of the agent's dialogue: the prompt from the log, and a part of the job."""
    user = log.read_one(record.log.fd, job.turn)
    known = record.state.of_agent(agent.name)
    files = () if agent.is_command_line else read_files(job.workspace, user)
    cwd, fd = _cwd(job, agent), record.log.fd
    text = user["text"] + uploads.listing(files, "" if cwd == job.workspace else job.workspace)
    return TurnInput(
        prompt=brief.again(fd, user) + text,
        pictures=tuple(Picture(each.type, each.picture) for each in files if each.picture),
        command=agent.command,
        model=user.get("model") or job.models.get(agent.name),
        session=known.session,
        session_cost=known.cost,
        max_cost=job.max_cost,
        ask=agent.ask,
        deny=agent.deny,
        instructions=agent.instructions,
        runbooks=agent.runbooks,
        remarks=lambda: remarks.find(fd, known.seen),
        thinking=agent.thinking,
        cwd=cwd,
        turn=job.turn,
        variables=tuple(agent.environ),
        prompt_with_record=lambda: brief.of_earlier_turns(fd, job.turn) + text,
    )
