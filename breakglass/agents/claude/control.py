"""The lines that we write to the Claude Code CLI: the prompt, and the responses of its control protocol."""

from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from breakglass.agents import Picture
from breakglass.agents.claude import CHOICE_TOOL
from breakglass.agents.claude.messages import Line
from breakglass.agents.commands import is_offered
from breakglass.agents.lines import (
    as_input,
    as_object,
    as_objects,
    as_short_text,
    as_text,
    closed_by_exit,
    cut_object,
    withdrawal,
)
from breakglass.choices import NO_ANSWERS, Answers, Choice, Option
from breakglass.events import Draft, dumps


class ToolRequests:
    """The open questions of one process: `can_use_tool` requests that wait for an answer."""

    def __init__(self) -> None:
        self._open: dict[str, Line] = {}
        self._subagent_calls: dict[str, str] = {}  # subagent to the tool call that started it

    @property
    def are_open(self) -> bool:
        return bool(self._open)

    def note_subagent(self, line: Line) -> None:
        """Remember which tool call started the subagent of a `task_started` line."""
        self._subagent_calls[as_text(line.get("task_id"))] = as_short_text(line.get("tool_use_id"))

    def ask(self, line: Line) -> Draft:
        """Open the question of a `control_request` line, and return its `permission` event."""
        request, asked = as_short_text(line.get("request_id")), as_object(line.get("request"))
        self._open[request] = line
        parent = self._subagent_calls.get(as_text(asked.get("agent_id")))
        fields: dict[str, object] = {
            "request": request,
            "name": as_short_text(asked.get("tool_name")),
            "input": cut_object(as_input(asked.get("input"))),
        }
        if fields["name"] == CHOICE_TOOL and (choices := _choices_of(as_object(fields["input"]))):
            fields["choices"] = choices
        marks = {"parent": parent, "tool_id": as_short_text(asked.get("tool_use_id"))}
        return "permission", fields | {key: value for key, value in marks.items() if value}

    def answer(self, request: str, *, allow: bool, message: str, answers: Answers = NO_ANSWERS) -> bytes:
        """Close a question, and return the line that answers it, b"" if no such question is open.

        The model reads the `message` of a refusal as the tool's result.
        """
        question = self._open.pop(request, None)
        if question is None:
            return b""
        if allow:
            verdict = {
                "behavior": "allow",
                "updatedInput": _with_answers(as_object(question.get("request")), message, answers),
            }
        else:
            verdict = {"behavior": "deny", "message": message or "The operator refused."}
        return _response(question, "success", response=verdict)

    def withdraw(self, line: Line) -> list[Draft]:
        """Close the question that a `control_cancel_request` line withdraws, and return its `answer` event."""
        request = as_short_text(line.get("request_id"))
        return [withdrawal(request)] if self._open.pop(request, None) else []

    def close(self, exit_description: str) -> list[Draft]:
        """Close all questions, because the process ended. Return their `answer` events."""
        drafts = [closed_by_exit(request, exit_description) for request in self._open]
        self._open.clear()
        return drafts


def escape_command(prompt: str) -> str:
    """Return `prompt` in a form that the model gets, unless it is one of the commands that we offer.

    The CLI takes a prompt whose first character is `/` for a command of its own, if it has one of that name. Then the
    model is not asked, and `/clear` also drops the conversation. After a space it is a prompt like any other.
    """
    return f" {prompt}" if prompt.startswith("/") and not is_offered(prompt) else prompt


def user_message(prompt: str, pictures: Sequence[Picture] = (), uuid: str = "") -> bytes:
    """Return the line with a prompt. Pictures are blocks as the Messages API takes them.

    For a `uuid` the CLI says when it reads the prompt.
    """
    blocks = [{"type": "image", "source": _source(each)} for each in pictures]
    message = {"role": "user", "content": [*blocks, {"type": "text", "text": prompt}] if blocks else prompt}
    line = {"type": "user", "message": message, "parent_tool_use_id": None, "session_id": "default"}
    return _line({**line, **({"uuid": uuid} if uuid else {})})


def _source(picture: Picture) -> Line:
    return {"type": "base64", "media_type": picture.type, "data": b64encode(picture.data).decode()}


def interrupt() -> bytes:
    """Return the line that stops the turn."""
    return _line({"type": "control_request", "request_id": "stop", "request": {"subtype": "interrupt"}})


def unsupported(request: Line) -> bytes:
    """Return the line that answers an unknown `control_request`. Without an answer the CLI would wait forever."""
    return _response(request, "error", error="not supported")


def _response(request: Line, subtype: str, **fields: object) -> bytes:
    response = {"subtype": subtype, "request_id": request.get("request_id"), **fields}
    return _line({"type": "control_response", "response": response})


def _line(value: Line) -> bytes:
    return dumps(value).encode() + b"\n"


def _choices_of(given: Line) -> list[dict[str, object]]:
    """Return what the input of `CHOICE_TOOL` asks, for the `permission` event. Each answer has its question as key."""
    return [
        Choice(
            as_text(item.get("question")),
            as_text(item.get("question")),
            as_text(item.get("header")),
            tuple(
                Option(as_text(option.get("label")), as_text(option.get("description")))
                for option in as_objects(item.get("options"))
                if option.get("label")
            ),
            multiple=item.get("multiSelect") is True,
        ).as_json()
        for item in as_objects(given.get("questions"))
        if item.get("question")
    ]


def _with_answers(asked: Line, message: str, answers: Answers) -> Any:
    """Return the tool's input, and for `CHOICE_TOOL` with what the user chose.

    A caller that knows no `answers` gives one line of `message` for each of the questions.
    """
    if asked.get("tool_name") != CHOICE_TOOL:
        return {} if asked.get("input") is None else asked["input"]
    given = as_object(asked.get("input"))
    if answers:
        return {**given, "answers": {question: _join(chosen) for question, chosen in answers.items()}}
    if not message:
        return given
    questions = [as_text(item.get("question")) for item in as_objects(given.get("questions"))]
    choices = message.split("\n", max(0, len(questions) - 1))
    return {**given, "answers": dict(zip(questions, choices, strict=False))}


def _join(chosen: Sequence[str]) -> str:
    """Return several answers as the one text that the tool takes: joined by commas.

    The tool splits the text again, so one of several that holds a separator is quoted as the CLI's own dialog does.
    """
    if len(chosen) == 1:
        return chosen[0]
    return ", ".join(dumps(text) if ", " in text or '"' in text else text for text in chosen)
