"""Which answers are due to an agent's questions, without a turn and without an agent."""

import pytest

from breakglass.state import OpenQuestion
from breakglass.turns.questions import Answer, Questions
from tests.help.clock import Clock

SECONDS = 10.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def questions(clock: Clock) -> Questions:
    return Questions(
        allow={"Read", "AskUserQuestion"},
        deny={"Write"},
        choice_tools={"AskUserQuestion"},
        seconds=SECONDS,
        clock=clock,
    )


def asked(request: str, tool: str) -> OpenQuestion:
    return OpenQuestion(4, request, tool, "2026-11-23T01:02:03.004Z")


@pytest.mark.parametrize(
    ("tool", "allowed", "answer"),
    [
        ("Read", (), Answer("r", True, "settings")),
        ("Write", (), Answer("r", False, "settings", "The settings refuse Write.")),
        ("Write", ("Write",), Answer("r", False, "settings", "The settings refuse Write.")),
        ("Bash", (), None),
        ("Bash", ("Bash",), Answer("r", True, "session")),
        ("AskUserQuestion", ("AskUserQuestion",), None),
    ],
)
def test_a_rule_answers_or_leaves_the_question_to_a_person(
    tool: str, allowed: tuple[str, ...], answer: Answer | None, questions: Questions
) -> None:
    assert questions.answer_by_rule("r", tool, allowed) == answer


def test_an_open_question_is_closed_once(questions: Questions) -> None:
    questions.open("r")
    assert questions.is_open("r")
    assert questions.close("r")
    assert not questions.is_open("r")
    assert not questions.close("r")


def test_a_question_is_refused_when_its_time_is_over(questions: Questions, clock: Clock) -> None:
    questions.open("r")
    clock.now += SECONDS - 1
    assert questions.due_answers([asked("r", "Bash")], ()) == []
    clock.now += 1
    assert questions.due_answers([asked("r", "Bash")], ()) == [
        Answer("r", False, "timeout", "No answer came within 10 seconds.")
    ]
    questions.close("r")
    assert questions.due_answers([asked("r", "Bash")], ()) == []


def test_other_questions_about_a_tool_that_is_now_allowed_for_the_session_are_answered(
    questions: Questions,
) -> None:
    for request in ("one", "two"):
        questions.open(request)
    waiting = [asked("one", "Bash"), asked("two", "Fetch")]
    assert questions.due_answers(waiting, ()) == []
    assert questions.due_answers(waiting, ("Bash",)) == [Answer("one", True, "session")]


def test_a_question_that_is_not_open_gets_no_answer(questions: Questions) -> None:
    assert questions.due_answers([asked("closed before", "Bash")], ("Bash",)) == []
