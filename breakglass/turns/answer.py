"""Answers to an agent's questions, from any process."""

from typing import NamedTuple

from breakglass.errors import BadInput, Conflict, NotFound
from breakglass.state import SessionState
from breakglass.store import log, seek
from breakglass.store.sessions import Session
from breakglass.turns.end import end_if_lost, notify_runner


def answer_question(
    session: Session,
    request: str,
    *,
    allow: bool,
    by: str,
    message: str | None = None,
    for_session: bool = False,
) -> None:
    """Record a person's answer to an agent's question and tell the runner; the first answer wins.

    `for_session` allows the tool for the session's whole life: its next questions are answered by that. Raises
    BadInput for a refusal that is to last so long, NotFound for a question nobody asked and Conflict for one
    answered, expired or of a turn that ended.
    """
    if for_session and not allow:
        raise BadInput("for_session: only leave can be given for the session, a refusal is for one question")
    end_if_lost(session)
    with session.open_log() as log:
        with log.exclusive():
            question = find_question(log.fd, session.log_state(log.fd).state, request)
            if question is None:
                raise NotFound(f"there is no question {request[:64]!r} in this session")
            if question.closed:
                raise Conflict(f"the question was {question.closed} already")
            lasting = {"for_session": True} if for_session else {}
            words = {"message": message} if message else {}
            log.append("answer", turn=question.turn, request=request, allow=allow, by=by, **words, **lasting)
        notify_runner(session)


class QuestionStatus(NamedTuple):
    """A question of an agent's, and what became of it."""

    turn: int
    closed: str = ""
    """`answered`, `expired` or `withdrawn`; "" while it waits for an answer."""


def find_question(fd: int, state: SessionState, request: str) -> QuestionStatus | None:
    """Return the question of that name in the turn that runs or ran last, None where there is none.

    `state` is the log's.
    """
    turn = state.last_turn
    if turn is None:
        return None
    for asked in state.asking:
        if asked.request == request:
            return QuestionStatus(turn, "expired" if asked.expires <= log.now() else "")
    end = seek.find_end(fd, log.size(fd))
    found: QuestionStatus | None = None
    for event in log.read(fd, seek.find_after(fd, turn - 1, end), end):
        kind = event["kind"]
        if kind == "permission" and event.get("request") == request:
            found = QuestionStatus(turn, "expired" if str(event.get("expires", "~")) <= log.now() else "")
        elif found and kind == "answer" and event.get("request") == request:
            return QuestionStatus(turn, "answered")
        elif found and kind in ("cancelled", "turn_end"):
            found = QuestionStatus(turn, "withdrawn")
    return found
