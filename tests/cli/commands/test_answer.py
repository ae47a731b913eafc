"""`breakglass answer`: it shows the open questions and records answers. tests/turns has what an answer does."""

import io
import sys
import threading
from collections.abc import Iterator

import pytest

from breakglass.cli.commands.answer import answer_on_terminal
from breakglass.store import sessions
from breakglass.store.sessions import Session
from breakglass.store.turnlock import TurnLock
from tests.cli.program import Data
from tests.help.questions import open_turn
from tests.help.waiting import wait_until


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


CHOICES = [
    {
        "id": "a",
        "question": "Which \x1b[31mdatabase?",
        "options": [{"label": "Postgres"}, {"label": "SQLite"}],
    },
    {
        "id": "b",
        "question": "Which parts?",
        "options": [{"label": "Wall"}, {"label": "Roof"}],
        "multiple": True,
    },
]


@pytest.fixture
def choosing(data: Data, asking: Session) -> Session:
    """The session `asking` with one more question, `r3`, which offers choices."""
    turn = asking.state().turn
    with asking.open_log() as log:
        asked = {"name": "AskUserQuestion", "input": {}, "expires": "2126-01-01T00:00:00.000Z"}
        log.append("permission", turn=turn, request="r3", choices=CHOICES, **asked)
    return asking


def test_choices_are_shown_with_numbers_and_chosen_by_number_or_text(data: Data, choosing: Session) -> None:
    shown = data.ok("answer", "--request", "r3")
    assert "Which database? (one)" in shown.replace("\\x1b[31m", "")
    assert "   2  SQLite" in shown
    assert "\x1b" not in shown
    told = data.ok("answer", "--request", "r3", "--choose", "none of them", "--choose", "2,1")
    assert told == f"answered AskUserQuestion in session {choosing.id[:8]}\n"
    [answer] = [event for event in data.events(choosing.id) if event["kind"] == "answer"]
    assert (answer["allow"], answer["answers"]) == (True, {"a": ["none of them"], "b": ["Roof", "Wall"]})


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--choose", "3", "--choose", "1"], b"there is no answer 3; the answers are 1 to 2"),
        (["--choose", "1"], b"'Which parts?' has no answer"),
        (["--choose", "1,2", "--choose", "1"], b"takes one answer, got 2"),
        (["--choose", "1", "--choose", "1", "--choose", "1"], b"has 2 choices, got 3 answers"),
        (["deny", "--choose", "1", "--choose", "1"], b"a refusal is for one question and has no answers"),
        (["allow", "--for-session"], b"a choice is for one question"),
        (["allow"], b"'Which \\x1b[31mdatabase?' has no answer"),
    ],
)
def test_a_wrong_choice_is_refused_with_the_reason(
    data: Data, choosing: Session, words: list[str], reason: bytes
) -> None:
    done = data.run("answer", "--request", "r3", *words)
    assert (done.returncode, answers(data, choosing)) == (2, [])
    assert reason in done.stderr


def test_a_question_without_choices_takes_no_choice(data: Data, asking: Session) -> None:
    done = data.run("answer", "--request", "r1", "--choose", "1")
    assert (done.returncode, answers(data, asking)) == (2, [])
    assert b"has 0 choices, got 1 answers" in done.stderr


def test_a_secret_answer_is_piped_in_and_never_an_option(data: Data) -> None:
    session = sessions.create(data.root, "shell")
    choice = {"id": "code", "question": "Paste the code.", "options": [], "secret": True}
    with open_turn(data.root, session.id, {"choices": [choice]}):
        done = data.run("answer", "--choose", "abc#def")
        assert (done.returncode, answers(data, session)) == (2, [])
        assert b"ps shows options" in done.stderr
        done = data.run("answer", "allow", stdin=b"")
        assert (done.returncode, answers(data, session)) == (2, [])
        assert data.ok("answer", "allow", stdin=b"abc#def\n") == f"allowed Bash in session {session.id[:8]}\n"
    [answer] = [event for event in data.events(session.id) if event["kind"] == "answer"]
    assert answer["answers"] == {"code": ["(secret)"]}
    assert b"abc#def" not in data.log(session.id).read_bytes()
    assert (data.log(session.id).parent / "answer-3").read_text() == '{"code": ["abc#def"]}'


def test_a_question_for_a_secret_cannot_control_the_terminal(data: Data) -> None:
    session = sessions.create(data.root, "shell")
    choice = {"id": "code", "question": "Paste \x1b[31mthe code.", "options": [], "secret": True}
    with open_turn(data.root, session.id, {"choices": [choice]}):
        with data.terminal("answer", "allow") as shown:
            shown.until(b"the code.")
            shown.type(b"\x04")  # Ctrl-D
            assert shown.end() == 2
        assert (b"\x1b[31m" in shown.screen, b"a bug in breakglass" in shown.screen) == (False, False)
        assert answers(data, session) == []


def test_only_questions_for_secrets_are_answered_while_an_action_runs(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = sessions.create(data.root, "shell")
    choice = {"id": "code", "question": "Paste the code.", "options": [], "secret": True}
    monkeypatch.setattr(sys, "stdin", io.StringIO("abc#def\n"))
    with open_turn(data.root, session.id, {"request": "r1"}, {"request": "r2", "choices": [choice]}) as log:
        giving = threading.Thread(target=answer_on_terminal, args=(session, 2))
        giving.start()
        wait_until(lambda: answers(data, session), "an answer")
        log.append("turn_end", turn=2, status="ok", duration_ms=1)
        giving.join()
    assert answers(data, session) == [("r2", True, None, None)]
