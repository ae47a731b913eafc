"""Leave asked and given, with the real Claude Code: the question in the log, the answer in the log, the tool's fate."""

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
        }
    ]
}


def test_a_tool_runs_once_leave_is_given(asking: Real) -> None:
    turn = asking.start(MAKE)
    question = asking.wait("permission")
    assert (question["name"], question["input"]["command"]) == ("Bash", "echo made | tee made")
    assert question["expires"] > question["ts"]
    assert [each.request for each in asking.session.state().asking] == [question["request"]]
    assert not (asking.workspace / "made").exists()
    asking.answer(question, allow=True)
    told = asking.end(turn)
    assert (told.status, told.only("tool_result", "output")) == ("ok", "made")
    assert told.only("answer", "by") == "ann"


def test_a_tool_that_is_refused_does_not_run_and_the_agent_is_told_why(asking: Real) -> None:
    turn = asking.start(MAKE)
    asking.answer(asking.wait("permission"), allow=False, message="use the replica")
    told = asking.end(turn)
    assert told.only("tool_result", "is_error") is True
    assert "use the replica" in told.only("tool_result", "output")
    assert not (asking.workspace / "made").exists()


def test_a_question_that_nobody_answers_is_refused_and_the_log_says_so(asking: Real) -> None:
    asking.set(permission_timeout_seconds=0.5)
    told = asking.run(MAKE)
    assert (told.only("answer", "by"), told.only("answer", "allow")) == ("timeout", False)
    assert "No answer came" in told.only("tool_result", "output")
    assert told.status == "ok"


def test_leave_for_the_session_answers_what_comes_after(asking: Real) -> None:
    turn = asking.start(MAKE + "[[then]]" + bash("echo more | tee more"))
    asking.answer(asking.wait("permission"), allow=True, for_session=True)
    told = asking.end(turn)
    assert told.all("answer", "by") == ["ann", "session"]
    assert told.all("answer", "for_session") == [True, None]
    again = asking.run(bash("echo again | tee again"))
    assert again.all("answer", "by") == ["session"]
    assert again.only("tool_result", "output") == "again"


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
    told = asking.end(turn)
    assert told.only("answer", "by") == winner
    assert (asking.workspace / "made").exists() is (winner == "phone")


def test_a_stop_withdraws_the_question(asking: Real) -> None:
    turn = asking.start(MAKE)
    question = asking.wait("permission")
    assert cancel_turn(asking.session, by="ann")
    assert asking.session.state().asking == ()
    told = asking.end(turn)
    assert told.status == "cancelled"
    assert not [answer for answer in told.of("answer") if answer["allow"]]
    with pytest.raises(Conflict):
        asking.answer(question, allow=True)
    assert not (asking.workspace / "made").exists()


def test_a_choice_is_shown_and_what_is_chosen_is_sent(asking: Real) -> None:
    turn = asking.start(f"[[tool AskUserQuestion {json.dumps(CHOICES)}]]")
    question = asking.wait("permission")
    assert question["name"] == "AskUserQuestion"
    assert [each["label"] for each in question["input"]["questions"][0]["options"]] == ["Red", "Blue"]
    asking.answer(question, allow=True, message="Blue")
    told = asking.end(turn)
    assert "Blue" in told.only("tool_result", "output")
    assert told.status == "ok"


def test_tools_that_the_settings_allow_or_deny_trouble_nobody(asking: Real) -> None:
    """Reading a file is no question to Claude Code by itself, and yet it can be denied."""
    asking.set_agent(allow=("Bash",), deny=("Read",))
    read = f'[[tool Read {{"file_path":"{asking.workspace}/made"}}]]'
    told = asking.run(f"{MAKE}[[then]]{read}")
    assert [(event["allow"], event["by"]) for event in told.of("answer")] == [
        (True, "settings"),
        (False, "settings"),
    ]
    assert told.all("tool_result", "is_error") == [False, True]
    assert "The settings refuse Read" in told.of("tool_result")[1]["output"]
