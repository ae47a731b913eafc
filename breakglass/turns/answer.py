"""Answer an agent's questions, from any process."""

import hashlib
import json
import os
from typing import NamedTuple

from breakglass.choices import NO_ANSWERS, Answers, Choice, check_answers, read_choices
from breakglass.errors import BadInput, Conflict, NotFound
from breakglass.events import Event
from breakglass.state import SessionState
from breakglass.store import log, seek
from breakglass.store.sessions import Session
from breakglass.text import visible
from breakglass.turns import secret_answers
from breakglass.turns.end import end_if_lost, notify_runner


def answer_question(
    session: Session,
    request: str,
    *,
    allow: bool,
    by: str,
    message: str | None = None,
    for_session: bool = False,
    answers: Answers = NO_ANSWERS,
) -> None:
    """Record a user's answer to an agent's question and notify the runner. The first answer counts.

    With `for_session`, the tool is allowed until the end of the session. `answers` are what the user chose, if the
    question has choices. Raises BadInput for a refusal with `for_session` or `answers`, and for answers that do not fit
    the choices, NotFound if there is no such question, and Conflict if the question is closed.
    """
    if not allow and (for_session or answers):
        field = "for_session" if for_session else "answers"
        raise BadInput(f"{field}: a refusal is for one question and has no answers")
    end_if_lost(session)
    with session.open_log() as opened:
        with opened.exclusive():
            question = _open_question(session, opened, request)
            choices = read_choices(log.read_one(opened.fd, question.id).get("choices"))
            if allow:
                answers = _check_answers(choices, answers, message, for_session=for_session)
            if answers and secret_answers.has_secret(choices):
                answers = secret_answers.put(session.directory, question.id, choices, answers)
            with secret_answers.deleted_on_failure(session.directory, question.id):
                opened.append(
                    "answer",
                    turn=question.turn,
                    request=request,
                    allow=allow,
                    by=by,
                    message=message or None,
                    for_session=for_session or None,
                    answers=answers or None,
                )
        notify_runner(session)


def revoke_tool(session: Session, name: str, *, by: str) -> None:
    """Record that a tool allowed for the session needs permission again. Raises Conflict if it does already."""
    end_if_lost(session)
    with session.open_log() as opened:
        with opened.exclusive():
            if name not in session.log_state(opened.fd).state.allowed:
                opened.confirm()
                raise Conflict(
                    f"the tool {visible(name)[:64]} is not allowed for the session: it needs permission"
                )
            opened.append("revoked", name=name, by=by)
        notify_runner(session)


def read_question(session: Session, number: int) -> Event:
    """Return the event of the question on line `number`. Raises NotFound."""
    fd = log.open_reader(session.directory)
    try:
        return log.read_one(fd, number)
    finally:
        os.close(fd)


def question_digest(question: Event) -> str:
    """Return a digest of a question's event. A signed answer contains it, so it counts only for that question."""
    return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()


def _open_question(session: Session, opened: log.Log, request: str) -> "QuestionStatus":
    question = find_question(opened.fd, session.log_state(opened.fd).state, request)
    if question is None:
        raise NotFound(f"there is no question {request[:64]!r} in this session")
    if question.closed:
        opened.confirm()
        raise Conflict(f"the question was already {question.closed}")
    return question


class QuestionStatus(NamedTuple):
    """The turn of a question, and whether the question is still open."""

    turn: int
    id: int
    """The id of its `permission` event."""
    closed: str = ""
    """`answered`, `expired`, `withdrawn` or `closed by the agent's exit`; "" for an open question."""


CLOSED_BY = {"timeout": "expired", "agent": "withdrawn", "exit": "closed by the agent's exit"}
"""How a question was closed, if its answer is not from a user or a rule, by the `by` of the answer."""


def _check_answers(
    choices: tuple[Choice, ...], answers: Answers, message: str | None, *, for_session: bool
) -> dict[str, list[str]]:
    """Return the answers to an open question. Raises BadInput if they do not fit what it asks.

    A `message` without `answers` is accepted: clients older than `answers` give one line for each choice.
    """
    if message and secret_answers.has_secret(choices):
        raise BadInput("message: the answer is a secret, and the log keeps a message; use answers")
    if answers and not choices:
        raise BadInput("answers: the question offers no choices")
    if for_session and choices:
        raise BadInput("for_session: a choice is for one question")
    return check_answers(choices, answers) if choices and (answers or not message) else {}


def find_question(fd: int, state: SessionState, request: str) -> QuestionStatus | None:
    """Return the status of a question of the last turn, None if that turn has no such question.

    `fd` is the log, and `state` is the state after its last line. An open question is found in the state. A closed
    one is not in the state, so the turn's events are read. The clock is not asked: only the runner lets a question
    expire, by its own clock, and records that as an answer.
    """
    turn = state.last_turn
    if turn is None:
        return None
    for asked in state.asking:
        if asked.request == request:
            return QuestionStatus(turn, asked.id)
    end = seek.find_end(fd, log.size(fd))
    found: QuestionStatus | None = None
    for event in log.read(fd, seek.find_after(fd, turn - 1, end), end):
        kind = event["kind"]
        if kind == "permission" and event.get("request") == request:
            found = QuestionStatus(turn, event["id"])
        elif found and kind == "answer" and event.get("request") == request:
            return found._replace(closed=CLOSED_BY.get(str(event.get("by")), "answered"))
        elif found and kind in ("cancelled", "turn_end"):
            found = found._replace(closed="withdrawn")
    return found
