"""The record of one turn: everything that the runner appends to the log, and everything that it reads from it.

Other processes append to the same log: a user stops the turn, answers a question, queues a prompt. So the log has
to be read before a decision. `exclusive` keeps other writers out between the reading and the append.
"""

import os
import time
from collections import Counter
from collections.abc import Iterable

from breakglass.errors import CannotRecord
from breakglass.events import Draft, Event
from breakglass.masking import Masker
from breakglass.state import FOLDED, SessionState, fold
from breakglass.store import log, pictures
from breakglass.store.log import Log
from breakglass.text import money
from breakglass.turns.job import Job
from breakglass.turns.notifying import RunnerSender
from breakglass.turns.questions import Answer, Questions
from breakglass.turns.secret_answers import SecretQuestions

SYNC_SECONDS = 0.2
"""Seconds after which streamed text is synced, all of it together."""


class TurnRecord:
    """One turn as the log shows it: its status, its questions, and the state of its session."""

    def __init__(self, job: Job, opened: Log) -> None:
        self.turn = job.turn
        self.log = opened
        self._lock = job.lock
        self.state = SessionState(
            agent=job.agent,
            agents=job.known,
            is_action=bool(job.steps),
            turn=job.turn,
            allowed=job.allowed,
            queued=job.queued,
        )
        """The part of the session's state that a runner needs, after every event known so far."""
        self.status = "ok"
        """How the turn will end, as far as is known."""
        self.is_stopping = False
        """Whether the agent must end: a user stopped the turn, or the turn reached a limit."""
        agent = job.agent_job()
        rules = (agent.allow, agent.deny, agent.choice_tools) if agent else ((), (), ())
        self.questions = Questions(*rules, job.permission_timeout)
        self._masker = Masker(job.secrets)
        self._max_cost = job.max_cost
        self.sender = RunnerSender(job.sender)
        self._undelivered: list[Answer] = []
        self._secrets = SecretQuestions()
        self._refusals: Counter[str] = Counter()
        self.began = self._synced_at = time.monotonic()
        """The monotonic time at which the turn began."""

    def elapsed_ms(self) -> int:
        """Return the milliseconds since the beginning of the turn."""
        return int((time.monotonic() - self.began) * 1000)

    def add(self, drafts: Iterable[Draft]) -> None:
        """Append an agent's events, with the secrets masked, and answer its questions for which there is a rule."""
        self._add_masked(self._masker.take(drafts))

    def flush(self) -> None:
        """Append the event that the masker held back, if any."""
        self._add_masked(self._masker.flush())

    def _add_masked(self, drafts: list[Draft]) -> None:
        for kind, fields in drafts:
            if kind == "permission":
                self._ask(fields["request"], fields["name"], fields)
            elif kind == "answer":  # the agent withdrew its question, or ended
                self._answer(Answer(**fields))
            else:
                self.append(kind, **pictures.store_given(self._lock[0], fields))

    def _ask(self, request: str, tool: str, fields: dict[str, object]) -> None:
        self.questions.open(request)
        expires = log.timestamp(time.time() + self.questions.seconds)
        number = self.append("permission", **fields, expires=expires)
        self._secrets.note(request, number, fields.get("choices"))
        self.read_others()  # a user may have revoked what was allowed for the session
        if answer := self.questions.answer_by_rule(request, tool, self.state.allowed):
            self._answer(answer)
        else:
            self.sender.start()

    def append(self, kind: str, **fields: object) -> int:
        """Append one event of this turn and return its id. Raises CannotRecord."""
        return self.append_outside(kind, {**fields, "turn": self.turn})

    def append_outside(self, kind: str, fields: dict[str, object]) -> int:
        """Append one event, not necessarily of this turn, and return its id. Raises CannotRecord."""
        number = self.log.append(kind, **fields)
        if kind in FOLDED:
            self.state = fold(self.state, {"id": number, "kind": kind, **fields})
        if kind == "result" and not fields.get("is_error"):
            self._stop_over_budget()
        return number

    def _stop_over_budget(self) -> None:
        spent, limit = self.state.cost, self._max_cost
        if limit is not None and spent > limit and not self.is_stopping:
            self.stop(f"The turn was stopped: it cost {money(spent)}, and max_cost_usd is {money(limit)}.")

    def read_others(self) -> None:
        """Read the events that other processes appended, and act on a stop or an answer among them."""
        for event in self.log.read_others():
            self.state = fold(self.state, event)
            if event.get("turn") == self.turn:
                self._act_on(event)

    def refuse_replaced_log(self) -> None:
        """Raise CannotRecord unless the log's name still leads to the open log.

        The name is looked up in the locked directory. A path would stop the turn of a data root that was moved.
        """
        try:
            named = os.stat(log.NAME, dir_fd=self._lock[0], follow_symlinks=False)
        except FileNotFoundError:
            raise CannotRecord("the log was deleted or renamed") from None
        if not os.path.samestat(named, os.fstat(self.log.fd)):
            raise CannotRecord("the log was replaced by another file")

    def _act_on(self, event: Event) -> None:
        if event["kind"] == "cancelled":
            self.status, self.is_stopping = "cancelled", True
        elif event["kind"] == "answer" and self.questions.close(event.get("request", "")):
            allow, message = event.get("allow") is True, event.get("message") or ""
            answers = self._secrets.take(event["request"], self._lock[0], self._masker)
            if answers is None:
                answers = event.get("answers")
            if not allow and event.get("by") not in ("settings", "agent", "exit"):
                self._refusals["unanswered" if event.get("by") == "timeout" else "refused"] += 1
            self._undelivered.append(Answer(event["request"], allow, event.get("by", ""), message, answers))

    def answer_due_questions(self) -> None:
        """Record the answers that need no user: by rule and by timeout."""
        for answer in self.questions.due_answers(self.state.asking, self.state.allowed):
            self._answer(answer)

    def _answer(self, answer: Answer) -> None:
        """Record an answer that no user gave, unless an earlier answer is in the log."""
        with self.log.exclusive():
            self.read_others()
            if self.questions.is_open(answer.request):
                fields = answer._asdict()
                self.append("answer", **fields)
                self._act_on({"kind": "answer", **fields})

    def take_undelivered_answers(self) -> list[Answer]:
        """Return the recorded answers that the agent has not received yet. Each answer is returned once."""
        answers, self._undelivered = self._undelivered, []
        return answers

    def stop(self, error: str, status: str = "error") -> None:
        """Record why the turn must end before its agent has finished, and with which status it ends."""
        self.append("error", error=error)
        self.status, self.is_stopping = status, True

    def end_fields(self, status: str) -> dict[str, object]:
        """Return the keys of the `turn_end` event of this turn."""
        return {"turn": self.turn, "status": status, "duration_ms": self.elapsed_ms(), **self._refusals}

    def sync_due_at(self) -> float:
        """Return the monotonic time at which a sync is due, infinity if nothing is unsynced."""
        return self._synced_at + SYNC_SECONDS if self.log.unsynced else float("inf")

    def sync_if_due(self) -> None:
        if time.monotonic() > self.sync_due_at():
            self.log.sync()
            self._synced_at = time.monotonic()
