"""Permission with the real Claude Code: the question and the answer in the log, and whether the tool runs."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from breakglass.errors import Conflict
from breakglass.turns.end import cancel_turn
from tests.live.real import Real, bash

MAKE = bash("echo made | tee made")
CHOICES = {
    "questions": [
        {
            "question": "Which colour?",
            "header": "Colour",
            "multiSelect": False,
            "options": [
                {"label": "Red", "description": "as blood"},
                {"label": "Blue", "description": "as the sky"},
            ],
        },
        {
            "question": "Which parts?",
            "header": "Parts",
            "multiSelect": True,
            "options": [
                {"label": "Wall", "description": "in front"},
                {"label": "Roof", "description": "on top"},
            ],
        },
    ]
}


def test_a_tool_runs_after_permission_is_given(asking: Real) -> None:
    turn = asking.start(MAKE)
    question = asking.wait("permission")
    assert (question["name"], question["input"]["command"]) == ("Bash", "echo made | tee made")
    assert question["expires"] > question["ts"]
    assert [each.request for each in asking.session.state().asking] == [question["request"]]
    assert not (asking.workspace / "made").exists()
    asking.answer(question, allow=True)
    events = asking.end(turn)
    assert (events.status, events.only("tool_result", "output")) == ("ok", "made")
    assert events.only("answer", "by") == "ann"


def test_a_refused_tool_does_not_run_and_the_agent_gets_the_reason(asking: Real) -> None:
    turn = asking.start(MAKE)
    asking.answer(asking.wait("permission"), allow=False, message="use the replica")
    events = asking.end(turn)
    assert events.only("tool_result", "is_error") is True
    assert "use the replica" in events.only("tool_result", "output")
    assert not (asking.workspace / "made").exists()


@pytest.mark.torture
def test_an_unanswered_question_is_refused_and_the_log_says_so(asking: Real) -> None:
    asking.set(permission_timeout_seconds=0.5)
    events = asking.run(MAKE)
    assert (events.only("answer", "by"), events.only("answer", "allow")) == ("timeout", False)
    assert "No answer came" in events.only("tool_result", "output")
    assert events.status == "ok"


@pytest.mark.torture
def test_permission_for_the_session_answers_later_questions(asking: Real) -> None:
    turn = asking.start(MAKE + "[[then]]" + bash("echo more | tee more"))
    asking.answer(asking.wait("permission"), allow=True, for_session=True)
    events = asking.end(turn)
    assert events.all("answer", "by") == ["ann", "session"]
    assert events.all("answer", "for_session") == [True, None]
    again = asking.run(bash("echo again | tee again"))
    assert again.all("answer", "by") == ["session"]
    assert again.only("tool_result", "output") == "again"


@pytest.mark.torture
def test_the_first_of_two_answers_wins(asking: Real) -> None:
    turn = asking.start(MAKE)
    question = asking.wait("permission")

    def give(by: str) -> str:
        try:
            asking.answer(question, allow=by == "phone", by=by)
        except Conflict:
            return ""
        return by

    with ThreadPoolExecutor(2) as pool:
        (winner,) = filter(None, pool.map(give, ("phone", "desk")))
    events = asking.end(turn)
    assert events.only("answer", "by") == winner
    assert (asking.workspace / "made").exists() is (winner == "phone")


@pytest.mark.torture
def test_a_stop_withdraws_the_question(asking: Real) -> None:
    turn = asking.start(MAKE)
    question = asking.wait("permission")
    assert cancel_turn(asking.session, by="ann")
    assert asking.session.state().asking == ()
    events = asking.end(turn)
    assert events.status == "cancelled"
    assert not [answer for answer in events.of("answer") if answer["allow"]]
    with pytest.raises(Conflict):
        asking.answer(question, allow=True)
    assert not (asking.workspace / "made").exists()


def test_a_choice_is_shown_and_the_selection_is_sent(asking: Real) -> None:
    turn = asking.start(f"[[tool AskUserQuestion {json.dumps(CHOICES)}]]")
    question = asking.wait("permission")
    assert question["name"] == "AskUserQuestion"
    assert [each["label"] for each in question["choices"][0]["options"]] == ["Red", "Blue"]
    assert question["choices"][1]["multiple"] is True
    answers = {"Which colour?": ["none,\nreally"], "Which parts?": ["Wall", 'the "cellar", too']}
    asking.answer(question, allow=True, answers=answers)
    events = asking.end(turn)
    output = events.only("tool_result", "output")
    assert all(text in output for text in ("none,\nreally", "Wall", "cellar"))
    assert events.only("answer", "answers") == answers
    assert events.status == "ok"


@pytest.mark.torture
def test_the_settings_answer_for_allowed_and_denied_tools(asking: Real) -> None:
    """Claude Code never asks before it reads a file, but the settings can deny that too."""
    asking.set_agent(allow=("Bash",), deny=("Read",))
    read = f'[[tool Read {{"file_path":"{asking.workspace}/made"}}]]'
    events = asking.run(f"{MAKE}[[then]]{read}")
    assert [(event["allow"], event["by"]) for event in events.of("answer")] == [
        (True, "settings"),
        (False, "settings"),
    ]
    assert events.all("tool_result", "is_error") == [False, True]
    assert "The settings refuse Read" in events.of("tool_result")[1]["output"]
