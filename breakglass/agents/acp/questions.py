"""The agent's questions for permission that wait for an answer. Makes the responses and writes nothing itself."""

from typing import Any

from breakglass.agents.acp import content, elicitation, messages
from breakglass.agents.acp.messages import Message
from breakglass.agents.acp.tool_calls import ToolCall
from breakglass.agents.lines import as_object, as_short_text, cut_object
from breakglass.choices import Answers
from breakglass.events import Draft, dumps


def response(question: Message, answers: Answers, *, allow: bool) -> Message:
    """Return the response to a question that a user or a rule answered."""
    if question.get("method") == elicitation.METHOD:
        return elicitation.response(question, answers, allow=allow)
    return messages.permission_answer(question, messages.ALLOWING if allow else messages.REFUSING)


def cancellation(question: Message) -> Message:
    """Return the response that says that no answer will come."""
    if question.get("method") == elicitation.METHOD:
        return {"id": question.get("id"), "result": {"action": "cancel"}}
    return messages.permission_answer(question, ())


class Questions:
    """The open questions of one process of the agent, by the ids that the log has for them."""

    def __init__(self, turn: int) -> None:
        self._turn = turn
        self._open: dict[str, Message] = {}
        self._cancelled: list[str] = []

    def ask(self, request: Message, call: ToolCall, asked: Message) -> Draft:
        """Keep a `session/request_permission` until it is answered, and return its `permission` event.

        `asked` is what the request says about the tool call.
        """
        question = self.id_of(request.get("id"))
        self._open[question] = request
        fields = {"request": question, "name": call.name, "input": content.question_input(call.state, asked)}
        return "permission", fields | {"tool_id": call.id} | call.marks

    def elicit(self, request: Message) -> Draft:
        """Keep an `elicitation/create` until it is answered, and return its `permission` event."""
        question, params = self.id_of(request.get("id")), as_object(request.get("params"))
        self._open[question] = request
        fields: dict[str, Any] = {"request": question, "name": elicitation.NAME, "input": cut_object(params)}
        if asked := elicitation.choices(request):
            fields["choices"] = [choice.as_json() for choice in asked]
        call = messages.call_id(params)
        return "permission", fields | ({"tool_id": call} if call else {})

    def id_of(self, number: Any) -> str:
        """Return a question's id that is unique in our session: the agent counts from 0 in each process.

        In JSON-RPC, 1 and "1" are two ids.
        """
        text = as_short_text(number)
        return f"{self._turn}-{dumps(text) if text.isdecimal() else text or number}"

    def take(self, question: str) -> Message | None:
        """Return the request of an open question, which is then no longer open. None if it is not open."""
        return self._open.pop(question, None)

    def cancel_all(self) -> list[Message]:
        """Return a response to every open question that says that the turn is cancelled."""
        responses = [cancellation(request) for request in self._open.values()]
        self._cancelled += self._open
        self._open.clear()
        return responses

    def unanswered(self) -> tuple[str, ...]:
        """Return the ids of the questions that got no answer from a user or a rule."""
        return (*self._cancelled, *self._open)
