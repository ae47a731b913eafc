"""What a user may answer to an agent's question, and which answers are refused before they are recorded."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from breakglass.config import Config
from breakglass.errors import BadInput, CannotRecord, Conflict, NotFound
from breakglass.store import sessions
from breakglass.store.log import Log
from breakglass.store.sessions import Session
from breakglass.turns.answer import answer_question, revoke_tool
from tests.help.io_order import IoRecorder
from tests.help.questions import answers, open_turn

COLOURS = [
    {"id": "c", "question": "Which?", "other": False, "options": [{"label": "red"}, {"label": "blue"}]}
]

CODE = [{"id": "code", "question": "Paste the code.", "options": [], "secret": True}]


@pytest.fixture
def session(settings: Config) -> Session:
    return sessions.create(settings.data, "shell")


@pytest.fixture
def opened(settings: Config, session: Session) -> Iterator[Log]:
    """The log of an open turn with the question `r` about a command, `c` with choices, and `s` for a secret."""
    choices = {"request": "c", "name": "AskUserQuestion", "choices": COLOURS}
    secret = {"request": "s", "name": "log-in", "choices": CODE}
    with open_turn(settings.data, session.id, {}, choices, secret) as made:
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
        (
            "s",
            {"allow": True, "message": "x-1"},
            "message: the answer is a secret, and the log keeps a message",
        ),
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
        (
            "s",
            {"allow": True, "answers": {"code": ["x-1"]}},
            {"allow": True, "answers": {"code": ["(secret)"]}},
        ),
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


def test_a_secret_answer_that_cannot_be_recorded_is_kept_in_no_file(
    session: Session, opened: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(CannotRecord):
        answer_question(session, "s", allow=True, by="ann", answers={"code": ["x-1"]})
    assert [each.name for each in Path(session.directory).iterdir() if b"x-1" in each.read_bytes()] == []


def test_a_tool_is_revoked_and_a_repeated_request_is_refused_under_one_lock_after_a_sync(
    session: Session, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_turn(root, session.id, {}) as opened:
        answer_question(session, "r", allow=True, by="ann", for_session=True)
        opened.append("turn_end", turn=2, status="ok", duration_ms=1)
    io = IoRecorder(root, monkeypatch)
    io.start()
    revoke_tool(session, "Bash", by="ann")
    with pytest.raises(Conflict, match="the tool Bash is not allowed for the session"):
        revoke_tool(session, "Bash", by="ann")
    sync = "sync events.jsonl"
    written, refused = ("write revoked to events.jsonl", sync), (sync,)
    look = "read the state"
    assert io.calls == [
        *(look, look, "lock events.jsonl", look, *written, "unlock events.jsonl"),
        *(look, look, "lock events.jsonl", look, *refused, "unlock events.jsonl"),
    ]
