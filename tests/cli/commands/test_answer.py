"""`breakglass answer`: it shows the open questions and records answers. tests/turns has what an answer does."""

from collections.abc import Iterator

import pytest

from breakglass.store import sessions
from breakglass.store.sessions import Session
from breakglass.store.turnlock import TurnLock
from tests.cli.program import Data


@pytest.fixture
def asking(data: Data) -> Iterator[Session]:
    """A session with a running turn and two open questions. The test holds the turn lock in place of a runner."""
    session = sessions.get(data.root, data.new())
    lock = TurnLock(session)
    lock.take()
    with session.open_log() as log:
        turn = log.append("user", text="go on", by="b")
        for request, command in (("r1", "rm -r \x1b[31m/tmp/x"), ("r2", "ls")):
            asked = {"name": "Bash", "input": {"command": command}, "expires": "2126-01-01T00:00:00.000Z"}
            log.append("permission", turn=turn, request=request, **asked)
    yield session
    lock.release()


def answers(data: Data, session: Session) -> list[tuple[object, ...]]:
    keys = ("request", "allow", "message", "for_session")
    return [
        tuple(event.get(key) for key in keys)
        for event in data.events(session.id)
        if event["kind"] == "answer"
    ]


def test_without_an_answer_the_questions_are_shown_and_stay_open(data: Data, asking: Session) -> None:
    shown = data.ok("answer")
    assert shown == data.ok("answer", asking.id[:8])
    assert "r1  Bash  until 2126-01-01" in shown
    assert "rm -r" in shown
    assert "\x1b" not in shown
    assert answers(data, asking) == []


def test_with_several_open_questions_one_must_be_chosen(data: Data, asking: Session) -> None:
    done = data.run("answer", "allow")
    assert (done.returncode, answers(data, asking)) == (2, [])
    assert b"2 questions are open: choose one with --request" in done.stderr
    data.ok("answer", "allow", "--request", "r2", "--for-session")
    data.ok("answer", asking.id[:8], "deny", "--message", "use the replica")
    assert answers(data, asking) == [("r2", True, None, True), ("r1", False, "use the replica", None)]
    assert data.run("answer", "allow").returncode == 1


@pytest.mark.parametrize("words", [("maybe", "allow", "x"), ("3f2a", "maybe"), ("deny", "--for-session")])
def test_an_invalid_answer_changes_nothing(data: Data, asking: Session, words: tuple[str, ...]) -> None:
    done = data.run("answer", *words, *(["--request", "r1"] if words[0] == "deny" else []))
    assert (done.returncode, done.stderr.count(b"\n"), answers(data, asking)) == (2, 1, [])


def test_answer_without_an_open_question_fails(data: Data) -> None:
    session = data.new()
    done = data.run("answer", "allow")
    assert (done.returncode, done.stderr) == (
        1,
        f"breakglass: no question is open in session {session[:8]}\n".encode(),
    )
