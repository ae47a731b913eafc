"""The part of an ACP dialogue that answers the agent: its questions, and its requests for services.

A request of the agent must get a response, or the agent waits forever. We offer no services, so we refuse every request
except questions, and tell the user.
"""

from collections import Counter

from breakglass.agents import TurnInput
from breakglass.agents.acp import elicitation, messages, questions
from breakglass.agents.acp.messages import Message
from breakglass.agents.acp.questions import Questions
from breakglass.agents.acp.updates import UpdateFilter, UpdateReader
from breakglass.agents.line_dialogue import LineDialogue
from breakglass.agents.lines import as_object, as_short_text, beginning, unreadable, withdrawal
from breakglass.choices import NO_ANSWERS, Answers
from breakglass.events import Draft, dumps

MAX_NOTIFICATIONS = 20
"""Notifications of one method that are shown in a turn."""
_QUIET_METHODS = frozenset({"_auth/status_update"})
"""Notifications that hold nothing for a reader of the log."""


class AnsweringDialogue(LineDialogue):
    """Answers the agent. A subclass sends our requests and reads the agent's responses."""

    def __init__(self, turn_input: TurnInput) -> None:
        super().__init__(turn_input, list(turn_input.command))
        self.finished = self.carries_remarks = False
        self._updates = UpdateReader(thinking=turn_input.thinking)
        self._update_filter = UpdateFilter(self._updates)
        self._questions = Questions(turn_input.turn)
        self._notifications: Counter[str] = Counter()  # by method

    def answer(self, request: str, *, allow: bool, message: str = "", answers: Answers = NO_ANSWERS) -> bool:
        """Answer an open question. Returns False if no such question is open. The protocol cannot carry `message`."""
        question = self._questions.take(request)
        if question is None:
            return False
        if not allow:
            self._updates.note_refusal(messages.asked_call_id(question))
        self._write(questions.response(question, answers, allow=allow))
        return True

    def _write(self, *written: Message) -> None:
        self._unwritten += b"".join(map(messages.encode_line, written))

    def _read_request(self, message: Message) -> list[Draft]:
        method, params = message["method"], as_object(message.get("params"))
        if method == "session/update":
            return self._update_filter.read(message)
        if method == "$/cancel_request":
            return self._withdraw(self._questions.id_of(params.get("requestId")))
        if "id" not in message:
            return self._read_notification(as_short_text(method), message)
        if method == "session/request_permission":
            return self._ask(message, as_object(params.get("toolCall")))
        if elicitation.is_form(message) and self._input.ask and not self.finished:
            return [self._questions.elicit(message)]
        if not self.finished:
            self._write(messages.not_offered(message))
        return [messages.not_offered_notice(message)]

    def _read_notification(self, method: str, message: Message) -> list[Draft]:
        """Return a notice of a notification that we do not know. An agent may send one of its own every second."""
        self._notifications[method] += 1
        if method in _QUIET_METHODS or self._notifications[method] > MAX_NOTIFICATIONS:
            return []
        notices = [unreadable([dumps(message)])]
        if self._notifications[method] == MAX_NOTIFICATIONS:
            notices.append(_notice(f"The agent's further notifications {method} are not shown in this turn."))
        return notices

    def _ask(self, message: Message, asked: Message) -> list[Draft]:
        if self.finished:  # nothing can be written any more
            return [_notice(f"The agent asked for permission after its answer: {beginning(dumps(asked))}")]
        call, drafts = self._updates.read_question(asked)
        if not self._input.ask:
            self._write(messages.permission_answer(message, messages.ALLOWING))
            return drafts
        return [*drafts, self._questions.ask(message, call, asked)]

    def _withdraw(self, request: str) -> list[Draft]:
        question = self._questions.take(request)
        if question is None:
            return []
        self._write(questions.cancellation(question))
        return [withdrawal(request)]


def _notice(text: str) -> Draft:
    return "notice", {"text": text}
