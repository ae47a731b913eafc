"""The process of a turn: starts the agent, appends what it says, and leaves nothing of it alive.

A prompt that waits in the queue is taken up by the same process, under the same lock, in the moment in which
the turn before it ends. Started by turns.take with the plan on standard input and the turn lock in its
descriptors. It talks to nobody but the agent and the log, so nothing that happens to the web server or a
client touches a turn. What it cannot record it does not do: a log that takes no more ends the agent. Imports
little, for it starts once a turn.
"""

import contextlib
import json
import os
import signal
import sys
import time
from typing import Any, NamedTuple

from breakglass import agents
from breakglass.agents import Dialogue, Exit, Task
from breakglass.errors import CannotRecord
from breakglass.events import Draft, Event
from breakglass.masking import Masker, Print
from breakglass.state import FOLDED, QueuedPrompt, SessionState, fold
from breakglass.store import log
from breakglass.store.log import Log
from breakglass.store.seek import Position
from breakglass.store.turnlock import Signer, sign
from breakglass.turns import processes
from breakglass.turns.child import Child

SYNC = 0.2
"""Seconds after which prose is synced, together."""
LOOK = 1.0
"""Seconds between two looks at what others appended, should their signal be lost."""
LADDER = ((signal.SIGINT, "interrupt"), (signal.SIGTERM, "terminate"), (signal.SIGKILL, "kill"))
"""How an agent is stopped: each signal, and the name of the seconds it is given to end by it."""
CHOICES = frozenset({"AskUserQuestion"})
"""Tools that put a question to a person: leave alone does not answer it, so no rule gives any."""
REMEDY = "Install it, correct its command in the settings, or choose another agent. Your prompt is kept as line {}."
LEFT = (
    "Ended what this command had left running: {}. A turn leaves nothing behind; what is to stay needs a keeper of "
    "its own, as in: systemd-run COMMAND."
)


class Plan(NamedTuple):
    """What a runner is told. The prompt is not in it: that is in the log."""

    directory: str
    workspace: str
    turn: int
    end: list[int]
    """The position after the prompt: what stands behind it came from others."""
    protocol: str
    command: list[str]
    masks: list[tuple[int, str, str, str]]
    """`masking.Print` of every secret that must not get into the log."""
    environ: dict[str, str]
    """The agent's. Ours is the same but for what Python adds to it (LC_CTYPE, by PEP 538)."""
    ask: bool
    allow: list[str]
    deny: list[str]
    """Tools whose questions the settings answer."""
    thinking: bool
    model: str | None
    """The session's; a prompt may name its own."""
    agent_session: str | None
    agent_cost: float
    allowed: list[str]
    """Tools that a person has allowed for the session."""
    queued: list[int]
    """The `queued` events that wait for this turn's end."""
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
    with log.open_log(plan.directory, lambda _: Position(*plan.end)) as opened:
        nudges = Nudges()
        with contextlib.suppress(OSError):  # on a full disk nobody can nudge us, and we look without
            sign(plan.lock[1], Signer(os.getpid(), processes.started(os.getpid())))
        following: Plan | None = plan
        while following:
            following = Turn(following, opened, nudges).run()


class Nudges:
    """The signals that came, and a descriptor that becomes readable when one does."""

    def __init__(self) -> None:
        self.came: set[int] = set()
        self.woken, wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, lambda number, _: self.came.add(number))


class Turn:
    """One turn while it runs."""

    def __init__(self, plan: Plan, opened: Log, nudges: Nudges) -> None:
        self.plan = plan
        self.log = opened
        self.state = SessionState(
            turn=plan.turn,
            agent_session=plan.agent_session,
            agent_cost=plan.agent_cost,
            allowed=tuple(plan.allowed),
            queued=tuple(QueuedPrompt(number, "") for number in plan.queued),
        )
        """What we need of the session's state, folded on with every event of ours and of others."""
        self.began = time.monotonic()
        self.verdict = "ok"
        self._stopping = False
        self._rung = 0
        self._next_rung = 0.0
        self._synced_at = self._looked_at = self.began
        self._masker = Masker(Print(*each) for each in plan.masks)
        self._questions: dict[str, float] = {}
        self._signals = nudges.came
        self._woken = nudges.woken

    def run(self) -> Plan | None:
        """Run the agent to its end, leave nothing of it alive, and record how the turn ended.

        Returns the next turn, its prompt taken out of the queue, None where there is none. Raises CannotRecord,
        with the agent dead and the turn not ended, where not even the end can be written.
        """
        failure = ""
        try:
            self.log.reserve_space()
            self._read_others(None)  # it may have been stopped already
            task = self._task()
            if self._converse(task):
                self._converse(task._replace(session=None, spent=0.0))
        except CannotRecord as error:
            failure = f"The turn was stopped, for {error}."
        except Exception as error:  # noqa: BLE001 — a mistake of ours must not look like a lost turn
            failure = f"The turn's process failed: {type(error).__name__}: {error}"
        if not self._clear(failed=bool(failure)):
            failure = failure or "Not all that this turn had started could be killed."
        return self._end(failure)

    def _end(self, failure: str) -> Plan | None:
        turn = self.plan.turn
        words: list[Draft] = []
        if failure:
            self.verdict = "error" if self.verdict == "ok" else self.verdict
            words.append(("error", {"turn": turn, "error": failure}))
        with self.log.exclusive():  # a `cancelled` comes before the end or is refused
            self._read_others(None)
            end = {"turn": turn, "status": self.verdict, "duration_ms": self._elapsed_ms()}
            if self.state.queued and not failure and signal.SIGTERM not in self._signals:
                last = self.log.end.number
                try:
                    return self._go_on(end)
                except CannotRecord as error:
                    # Nothing was written, and it stays in the queue; or the disk failed under both lines.
                    if self.log.end.number > last:
                        turn = self.log.end.number
                        words = [("error", {"turn": turn, "error": f"The turn was stopped, for {error}."})]
                        end = {"turn": turn, "status": "error", "duration_ms": 0}
            self.log.append_end(*words, ("turn_end", end))
            return None

    def _go_on(self, end: dict[str, object]) -> Plan:
        """End this turn and begin that of the prompt that has waited longest, in one moment of the log.

        Nobody can slip in between, for both locks are held, and nobody sees the session idle.
        """
        waiting = self.state.queued[0].id
        prompt = log.read_one(self.log.fd, waiting)
        user = {
            "text": prompt["text"],
            "by": prompt["by"],
            "model": prompt.get("model"),
            "queued": waiting,
        }
        _, turn = self.log.append_together(("turn_end", end), ("user", user))
        return self.plan._replace(
            turn=turn,
            agent_session=self.state.agent_session,
            agent_cost=self.state.agent_cost,
            allowed=list(self.state.allowed),
            queued=[each.id for each in self.state.queued[1:]],
        )

    def _clear(self, *, failed: bool = False) -> bool:
        """Leave no process of this turn alive, and say what a person's command that has ended had left running.

        Returns whether nothing is left.
        """
        left = sorted({processes.name(pid) for pid in processes.descendants(os.getpid())} - {""})
        is_clear = processes.kill_children(self.plan.limits["kill"])
        if left and not failed and self.verdict == "ok" and self.plan.protocol == "shell":
            text = LEFT.format(", ".join(left)[:200])
            with contextlib.suppress(CannotRecord):
                self.log.append("notice", turn=self.plan.turn, text=text)
        return is_clear

    def _task(self) -> Task:
        plan = self.plan
        user = log.read_one(self.log.fd, plan.turn)
        return Task(
            prompt=user["text"],
            command=tuple(plan.command),
            model=user.get("model") or plan.model,
            session=plan.agent_session,
            spent=plan.agent_cost,
            ask=plan.ask,
            deny=tuple(plan.deny),
            thinking=plan.thinking,
            cwd=plan.workspace,
            is_root=os.geteuid() == 0,
            turn=plan.turn,
        )

    def _converse(self, task: Task) -> bool:
        """Run one agent process to its end. Return whether the task is to be begun anew."""
        if self._stopping:  # before it began
            return False
        dialogue = agents.dialogue(self.plan.protocol, task)
        self._record(dialogue.begin(), dialogue)
        try:
            mark = f"{os.path.basename(self.plan.directory)}/{self.plan.turn}"
            environ = {**self.plan.environ, **dialogue.environ, processes.MARK: mark}
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
        self._record(dialogue.close(end), dialogue)
        self._keep(self._masker.flush(), dialogue)
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
                self._record(dialogue.translate(output), dialogue)
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

    def _record(self, drafts: list[Draft], dialogue: Dialogue) -> None:
        self._keep(self._masker.take(drafts), dialogue)

    def _keep(self, drafts: list[Draft], dialogue: Dialogue) -> None:
        for kind, fields in drafts:
            if kind == "permission":
                patience = self.plan.permission_timeout
                fields["expires"] = log.timestamp(time.time() + patience)
                self._questions[fields["request"]] = time.monotonic() + patience
            elif kind == "answer":  # the agent took its question back
                self._answer(fields, dialogue)
                continue
            self._append(kind, **fields)
            if kind == "permission" and (ruling := self._ruling(fields["name"])):
                self._answer({"request": fields["request"], **ruling}, dialogue)

    def _ruling(self, name: str) -> dict[str, object] | None:
        """Return the answer to a question about that tool that no person need give, None if one must."""
        if name in self.plan.deny:
            return {"allow": False, "by": "settings", "message": f"The settings refuse {name}."}
        if name in CHOICES:
            return None
        if name in self.state.allowed:
            return {"allow": True, "by": "session"}
        return {"allow": True, "by": "settings"} if name in self.plan.allow else None

    def _answer(self, answer: dict[str, Any], dialogue: Dialogue) -> None:
        """Record and heed an answer that no person gave, unless somebody was quicker."""
        with self.log.exclusive():
            self._read_others(dialogue)
            if answer["request"] in self._questions:
                self._append("answer", **answer)
                self._heed({"kind": "answer", **answer}, dialogue)

    def _append(self, kind: str, **fields: object) -> None:
        fields["turn"] = self.plan.turn
        number = self.log.append(kind, **fields)
        if kind in FOLDED:
            self.state = fold(self.state, {"id": number, "kind": kind, **fields})

    def _look(self, child: Child, dialogue: Dialogue) -> None:
        """Act on what others appended to our log, on questions that nobody answered in time, and on orphans' ends."""
        self._signals.discard(signal.SIGUSR1)
        self._looked_at = time.monotonic()
        child.reap_orphans()
        self._keep(self._masker.flush(), dialogue)
        self._read_others(dialogue)
        for question in self.state.asking:  # one of several about a tool that is now allowed for the session
            if question.request in self._questions and (ruling := self._ruling(question.name)):
                self._answer({"request": question.request, **ruling}, dialogue)
        for request, deadline in list(self._questions.items()):
            if self._looked_at >= deadline:
                message = f"nobody answered within {self.plan.permission_timeout:g} seconds"
                late = {"request": request, "allow": False, "by": "timeout", "message": message}
                self._answer(late, dialogue)

    def _read_others(self, dialogue: Dialogue | None) -> None:
        for event in self.log.read_others():
            self._see(event, dialogue)

    def _see(self, event: Event, dialogue: Dialogue | None) -> None:
        self.state = fold(self.state, event)
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
