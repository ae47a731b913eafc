"""The process of one turn: starts the agent, appends what it says, and leaves nothing of it alive.

Started by turns.start with the plan on standard input and the turn lock in its descriptors. It talks to
nobody but the agent and the log, so nothing that happens to the web server or a client touches a turn.
What it cannot record it does not do: a log that takes no more ends the agent. Imports little, for it
starts once a turn.
"""

import json
import os
import signal
import sys
import time
from typing import NamedTuple

from breakglass import agents, processes
from breakglass.agents import Dialogue, Exit, Task
from breakglass.child import Child
from breakglass.errors import CannotRecord
from breakglass.events import Draft, Event
from breakglass.store import log
from breakglass.store.log import Log
from breakglass.store.seek import Position

SYNC = 0.2
"""Seconds after which prose is synced, together."""
LOOK = 1.0
"""Seconds between two looks at what others appended, should their signal be lost."""
LADDER = ((signal.SIGINT, "interrupt"), (signal.SIGTERM, "terminate"), (signal.SIGKILL, "kill"))
"""How an agent is stopped: each signal, and the name of the seconds it is given to end by it."""
REMEDY = "Install it, correct its command in the settings, or choose another agent. Your prompt is kept as line {}."


class Plan(NamedTuple):
    """What a runner is told. The prompt is not in it: that is in the log."""

    directory: str
    workspace: str
    turn: int
    end: list[int]
    """The position after the prompt: what stands behind it came from others."""
    protocol: str
    command: list[str]
    environ: dict[str, str]
    """The agent's. Ours is the same but for what Python adds to it (LC_CTYPE, by PEP 538)."""
    ask: bool
    model: str | None
    agent_session: str | None
    agent_cost: float
    timeout: float
    permission_timeout: float
    limits: dict[str, float]
    """`config.Limits`."""
    lock: list[int]


def main() -> None:
    """Run the turn described on standard input."""
    plan = Plan(**json.load(sys.stdin))
    for fd in plan.lock:
        os.set_inheritable(fd, False)  # the agent must not hold the turn's lock
    processes.become_subreaper()
    with log.open_log(plan.directory, Position(*plan.end)) as opened:
        turn = Turn(plan, opened)
        _sign(plan.lock[1])  # whoever reads it may signal us, and Turn is ready for that
        turn.run()


def _sign(lock: int) -> None:
    """Write down whose turn it is: the pid, and when it started, for a pid alone may be a stranger's by then."""
    signed = {"pid": os.getpid(), "started": processes.started(os.getpid())}
    os.ftruncate(lock, 0)
    os.pwrite(lock, json.dumps(signed).encode() + b"\n", 0)


class Turn:
    """One turn while it runs."""

    def __init__(self, plan: Plan, opened: Log) -> None:
        self.plan = plan
        self.log = opened
        self.began = time.monotonic()
        self.verdict = "ok"
        self._stopping = False
        self._rung = 0
        self._next_rung = 0.0
        self._synced_at = self._looked_at = self.began
        self._questions: dict[str, float] = {}
        self._signals: set[int] = set()
        self._woken, wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, lambda number, _: self._signals.add(number))

    def run(self) -> None:
        """Run the agent to its end, leave nothing of it alive, and record how the turn ended.

        Raises CannotRecord, with the agent dead and the turn not ended, where not even the end can be written.
        """
        failure = ""
        try:
            self.log.keep_room()
            self._read_others(None)  # it may have been stopped already
            task = self._task()
            if not self._stopping and self._converse(task):
                self._converse(task._replace(session=None, spent=0.0))
        except CannotRecord as error:
            failure = f"The turn was stopped, for {error}."
        except Exception as error:  # noqa: BLE001 — a mistake of ours must not look like a lost turn
            failure = f"The turn's process failed: {type(error).__name__}: {error}"
        self._clear()
        self._end(failure)

    def _end(self, failure: str) -> None:
        turn = self.plan.turn
        words: list[Draft] = []
        if failure:
            self.verdict = "error" if self.verdict == "ok" else self.verdict
            words.append(("error", {"turn": turn, "error": failure}))
        with self.log.exclusive():  # a `cancelled` comes before the end or is refused
            self._read_others(None)
            end = {"turn": turn, "status": self.verdict, "duration_ms": self._elapsed_ms()}
            self.log.last_words(*words, ("turn_end", end))

    def _clear(self) -> None:
        """Leave no process of this turn alive."""
        me = os.getpid()
        processes.kill_all(lambda: processes.descendants(me), self.plan.limits["kill"])

    def _task(self) -> Task:
        plan = self.plan
        return Task(
            prompt=log.read_one(self.log.fd, plan.turn)["text"],
            command=tuple(plan.command),
            model=plan.model,
            session=plan.agent_session,
            spent=plan.agent_cost,
            ask=plan.ask,
            cwd=plan.workspace,
            is_root=os.geteuid() == 0,
            turn=plan.turn,
        )

    def _converse(self, task: Task) -> bool:
        """Run one agent process to its end. Return whether the task is to be begun anew."""
        dialogue = agents.dialogue(self.plan.protocol, task)
        self._record(dialogue.begin())
        try:
            environ = {**self.plan.environ, **dialogue.environ}
            child = Child(
                dialogue.argv,
                environ,
                self._woken,
                linger=self.plan.limits["linger"],
                merge_stderr=dialogue.merge_stderr,
            )
        except OSError as error:
            reason = f"{dialogue.argv[0]}: {error.strerror}"
            self._stop(f"The agent could not start: {reason}. {REMEDY.format(self.plan.turn)}")
            return False
        try:
            self._listen(child, dialogue)
            end = Exit(child.code, child.stderr, self._stopping, self._elapsed_ms())
        finally:
            child.close()
        self._record(dialogue.close(end))
        if dialogue.start_over and not self._stopping:
            return True
        if dialogue.failed and self.verdict == "ok":
            self.verdict = "error"
        return False

    def _listen(self, child: Child, dialogue: Dialogue) -> None:
        """Carry words to and fro until the agent has ended, or has been given up."""
        child.say(dialogue.open(), ends=dialogue.finished)
        while not child.has_ended():
            if self._stopping and child.exited_at:
                self._clear()  # what it left behind would only hold its output open
            output = child.wait(self._patience())
            if output:
                self._record(dialogue.translate(output))
            now = time.monotonic()
            if signal.SIGUSR1 in self._signals or now - self._looked_at > LOOK:
                self._look(child, dialogue)
            child.say(dialogue.reply(), ends=dialogue.finished)
            if self.log.unsynced and now - self._synced_at > SYNC:
                self.log.sync()
                self._synced_at = now
            self._check(child)
            if self._stopping and now >= self._next_rung and not self._climb(child, dialogue):
                return

    def _patience(self) -> float:
        """Return the seconds until something must be done unasked."""
        now = time.monotonic()
        due = [
            self._looked_at + LOOK,
            self.began + self.plan.timeout if not self._stopping else self._next_rung,
        ]
        if self.log.unsynced:
            due.append(self._synced_at + SYNC)
        return max(0.0, min(due) - now)

    def _check(self, child: Child) -> None:
        """Stop a turn that has had its time, printed too much, or was told to end."""
        if self._stopping:
            return
        if time.monotonic() - self.began > self.plan.timeout:
            self._stop(f"The turn was stopped: it ran longer than {self.plan.timeout:g} seconds.", "timeout")
        elif child.printed > self.plan.limits["output"]:
            limit = self.plan.limits["output"] / (1 << 20)
            self._stop(f"The turn was stopped: the agent printed more than {limit:g} MiB.")
        elif child.is_silent(self.plan.limits["silent"]):
            self._stop("The turn was stopped: the agent closed its output and went on without a word.")
        elif signal.SIGTERM in self._signals:
            self._stop("The turn was stopped: its process was told to end (SIGTERM), as at a shutdown.")

    def _stop(self, error: str, verdict: str = "error") -> None:
        self._append("error", error=error)
        self.verdict, self._stopping = verdict, True

    def _climb(self, child: Child, dialogue: Dialogue) -> bool:
        """Take the next rung of the ladder. Return whether there was one."""
        if self._rung == len(LADDER):
            return False
        number, patience = LADDER[self._rung]
        if number != signal.SIGINT:
            me = os.getpid()
            processes.send_all(lambda: processes.descendants(me), number)
        elif words := dialogue.interrupt():
            child.say(words, ends=False)
        else:
            child.interrupt()
        self._rung += 1
        self._next_rung = time.monotonic() + self.plan.limits[patience]
        return True

    def _record(self, drafts: list[Draft]) -> None:
        for kind, fields in drafts:
            if kind == "permission":
                patience = self.plan.permission_timeout
                fields["expires"] = log.timestamp(time.time() + patience)
                self._questions[fields["request"]] = time.monotonic() + patience
            elif kind == "answer":  # the agent took its question back
                self._questions.pop(fields["request"], None)
            self._append(kind, **fields)

    def _append(self, kind: str, **fields: object) -> None:
        self.log.append(kind, turn=self.plan.turn, **fields)

    def _look(self, child: Child, dialogue: Dialogue) -> None:
        """Act on what others appended to our log, on questions that nobody answered in time, and on orphans' ends."""
        self._signals.discard(signal.SIGUSR1)
        self._looked_at = time.monotonic()
        child.reap_orphans()
        self._read_others(dialogue)
        for request, deadline in list(self._questions.items()):
            if self._looked_at >= deadline:
                message = f"nobody answered within {self.plan.permission_timeout:g} seconds"
                answer = {"request": request, "allow": False, "by": "timeout", "message": message}
                self._append("answer", **answer)
                self._heed({"kind": "answer", **answer}, dialogue)

    def _read_others(self, dialogue: Dialogue | None) -> None:
        for event in self.log.others():
            if event.get("turn") == self.plan.turn:
                self._heed(event, dialogue)

    def _heed(self, event: Event, dialogue: Dialogue | None) -> None:
        if event["kind"] == "cancelled":
            self.verdict, self._stopping = "cancelled", True
        elif event["kind"] == "answer" and self._questions.pop(event.get("request", ""), None) and dialogue:
            dialogue.answer(
                event["request"], allow=event.get("allow") is True, message=event.get("message") or ""
            )

    def _elapsed_ms(self) -> int:
        return int((time.monotonic() - self.began) * 1000)


if __name__ == "__main__":
    try:
        main()
    except CannotRecord as error:
        sys.exit(str(error))
