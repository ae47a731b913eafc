"""What a user may answer to an agent's question, and which answers are refused before they are recorded."""

from collections.abc import Iterator
from typing import Any

import pytest

from breakglass.config import Config
from breakglass.errors import BadInput, NotFound
from breakglass.store import sessions
from breakglass.store.log import Log
from breakglass.store.sessions import Session
from breakglass.turns.answer import answer_question
from tests.help.questions import answers, open_turn

COLOURS = [
    {"id": "c", "question": "Which?", "other": False, "options": [{"label": "red"}, {"label": "blue"}]}
]


@pytest.fixture
def session(settings: Config) -> Session:
    return sessions.create(settings.data, "shell")


@pytest.fixture
def opened(settings: Config, session: Session) -> Iterator[Log]:
    """The log of an open turn with the question `r` about a command and the question `c` with choices."""
    choices = {"request": "c", "name": "AskUserQuestion", "choices": COLOURS}
    with open_turn(settings.data, session.id, {}, choices) as made:
        yield made


@pytest.mark.parametrize(
    ("request_id", "answer", "why"),
    [
        ("r", {"allow": False, "for_session": True}, "for_session: a refusal is for one question"),
        ("r", {"allow": False, "answers": {"c": ["red"]}}, "answers: a refusal is for one question"),
        ("r", {"allow": True, "answers": {"c": ["red"]}}, "answers: the question offers no choices"),
        ("c", {"allow": True, "for_session": True}, "for_session: a choice is for one question"),
        ("c", {"allow": True}, "answers: 'Which\\?' has no answer"),
        ("c", {"allow": True, "answers": {"c": ["green"]}}, "answers: 'green' is not one of the answers"),
        ("c", {"allow": True, "message": "red", "answers": {"c": ["green"]}}, "answers: 'green' is not one"),
    ],
)
def test_an_answer_that_does_not_fit_the_question_is_refused_and_not_recorded(
    request_id: str, answer: dict[str, Any], why: str, settings: Config, session: Session, opened: Log
) -> None:
    with pytest.raises(BadInput, match=f"^{why}"):
        answer_question(session, request_id, by="ann", **answer)
    assert answers(settings.data, session.id) == []


@pytest.mark.parametrize(
    ("request_id", "answer", "recorded"),
    [
        ("r", {"allow": True, "for_session": True}, {"allow": True, "for_session": True}),
        ("c", {"allow": False}, {"allow": False}),
        ("c", {"allow": True, "message": "red"}, {"allow": True, "message": "red"}),
        ("c", {"allow": True, "answers": {"c": ["red"]}}, {"allow": True, "answers": {"c": ["red"]}}),
    ],
)
def test_an_answer_that_fits_the_question_is_recorded(
    request_id: str,
    answer: dict[str, Any],
    recorded: dict[str, Any],
    settings: Config,
    session: Session,
    opened: Log,
) -> None:
    answer_question(session, request_id, by="ann", **answer)
    (found,) = answers(settings.data, session.id)
    assert {
        key: found[key] for key in found.keys() - {"id", "ts", "kind", "turn", "request", "by"}
    } == recorded


def test_an_unknown_question_is_not_found_also_in_a_turn_that_is_stopping(
    session: Session, opened: Log
) -> None:
    opened.append("cancelled", turn=2, by="ann")
    with pytest.raises(NotFound) as caught:
        answer_question(session, "x" * 70, allow=True, by="ann")
    assert str(caught.value) == f"there is no question '{'x' * 64}' in this session"
