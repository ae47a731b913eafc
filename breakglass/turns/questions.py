"""The open questions of one turn: may the agent use this tool? Pure, except for the clock.

Four parties can answer a question, and the first answer counts. The settings and the session answer at once by rule. A
user answers from any process, through the log. The timeout answers last, with a refusal. This module decides which
answers are due. It neither records an answer nor passes it to the agent: `record` and `runner` do that.
"""

import time
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from breakglass.choices import Answers
from breakglass.state import OpenQuestion


class Answer(NamedTuple):
    """An answer to a question, as an `answer` event contains it."""

    request: str
    allow: bool
    by: str
    """A user, `settings`, `session`, `timeout`, `agent` if the agent withdrew its question, `exit` if it ended."""
    message: str | None = None
    """Text for the agent: the reason of a refusal."""
    answers: Answers | None = None
    """What was chosen, if the agent asked for a choice."""


class Questions:
    """The questions that are open, each with its deadline, and the rules that answer questions without a user."""

    def __init__(
        self,
        allow: Collection[str],
        deny: Collection[str],
        choice_tools: Collection[str],
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.seconds = seconds
        """Seconds that a question may be open."""
        self._allow = allow
        self._deny = deny
        self._choice_tools = choice_tools
        self._clock = clock
        self._deadlines: dict[str, float] = {}

    def open(self, request: str) -> None:
        """Begin to wait for the answer to a question."""
        self._deadlines[request] = self._clock() + self.seconds

    def is_open(self, request: str) -> bool:
        return request in self._deadlines

    def close(self, request: str) -> bool:
        """Stop waiting for an answer. Return whether the question was open."""
        return self._deadlines.pop(request, None) is not None

    def answer_by_rule(self, request: str, tool: str, allowed: Collection[str]) -> Answer | None:
        """Return the answer that the rules give, None if a user must answer.

        `allowed` are the tools that a user allowed for the session.
        """
        if tool in self._deny:
            return Answer(request, allow=False, by="settings", message=f"The settings refuse {tool}.")
        if tool in self._choice_tools:
            return None
        if tool in allowed:
            return Answer(request, allow=True, by="session")
        return Answer(request, allow=True, by="settings") if tool in self._allow else None

    def due_answers(self, asking: Iterable[OpenQuestion], allowed: Collection[str]) -> list[Answer]:
        """Return the answers that are due now: by a rule, after a tool was allowed for the session, or by timeout.

        `asking` are the questions that are open in the log. The caller records an answer only if its question is still
        open, because two answers to one question can be due.
        """
        waiting = [each for each in asking if self.is_open(each.request)]
        ruled = [self.answer_by_rule(each.request, each.name, allowed) for each in waiting]
        late = [request for request, deadline in self._deadlines.items() if self._clock() >= deadline]
        return [answer for answer in ruled if answer] + [self._timeout(request) for request in late]

    def _timeout(self, request: str) -> Answer:
        message = f"No answer came within {self.seconds:g} seconds."
        return Answer(request, allow=False, by="timeout", message=message)
