"""Questions with choices: what is read from an event, and which answers are accepted."""

import pytest

from breakglass.choices import Choice, Option, answers_text, check_answers, read_choices
from breakglass.errors import BadInput

COLOUR = Choice("c", "Which colour?", options=(Option("Red", "as now"), Option("Blue")))
PARTS = Choice("p", "Which parts?", options=(Option("Wall"), Option("Roof")), multiple=True)
CLOSED = COLOUR._replace(id="x", other=False)
REMARK = Choice("r", "Anything else?", optional=True)


def test_a_choice_is_the_same_after_it_was_written_and_read() -> None:
    choices = (COLOUR, PARTS, CLOSED, REMARK)
    assert read_choices([choice.as_json() for choice in choices]) == choices


def test_only_what_differs_from_the_default_is_written() -> None:
    assert REMARK.as_json() == {"id": "r", "question": "Anything else?", "options": [], "optional": True}
    assert COLOUR.as_json() == {
        "id": "c",
        "question": "Which colour?",
        "options": [{"label": "Red", "description": "as now"}, {"label": "Blue"}],
    }


@pytest.mark.parametrize(
    "value",
    [None, 1, "c", {}, [None], [{"id": 1, "question": "?"}], [{"id": "a"}], [["id", "question"]]],
)
def test_what_is_no_choice_is_left_out(value: object) -> None:
    assert read_choices(value) == ()


def test_malformed_options_are_left_out() -> None:
    choices = read_choices([{"id": "a", "question": "?", "options": [1, {"label": 2}, {"label": "ok"}]}])
    assert choices == (Choice("a", "?", options=(Option("ok"),)),)


@pytest.mark.parametrize(
    ("choices", "answers", "accepted"),
    [
        ([COLOUR], {"c": ["Blue"]}, {"c": ["Blue"]}),
        ([COLOUR], {"c": ["green,\nwith dots"]}, {"c": ["green,\nwith dots"]}),
        ([PARTS], {"p": ["Roof", "Wall", "Roof", "floor"]}, {"p": ["Roof", "Wall", "floor"]}),
        ([COLOUR, REMARK], {"c": ["Red"]}, {"c": ["Red"]}),
        ([COLOUR, REMARK], {"r": ["no"], "c": ["Red"]}, {"c": ["Red"], "r": ["no"]}),
        ([COLOUR, REMARK], {"r": ["  "], "c": [" Red "]}, {"c": ["Red"]}),
    ],
)
def test_answers_that_fit_are_accepted(
    choices: list[Choice], answers: dict[str, list[str]], accepted: dict[str, list[str]]
) -> None:
    assert check_answers(choices, answers) == accepted


@pytest.mark.parametrize(
    ("choices", "answers", "reason"),
    [
        ([COLOUR], {}, "'Which colour.' has no answer"),
        ([COLOUR], {"c": [" "]}, "'Which colour.' has no answer"),
        ([COLOUR], {"c": ["Red", "Blue"]}, "takes one answer, got 2"),
        ([COLOUR], {"c": ["Red"], "d": ["x"]}, "the agent did not ask 'd'"),
        ([CLOSED], {"x": ["Green"]}, "'Green' is not one of the answers"),
        ([REMARK], {}, "choose an answer, or refuse"),
        ([REMARK], {"r": ["x" * 4097]}, "at most 4096 characters"),
    ],
)
def test_answers_that_do_not_fit_are_refused(
    choices: list[Choice], answers: dict[str, list[str]], reason: str
) -> None:
    with pytest.raises(BadInput, match=reason):
        check_answers(choices, answers)


@pytest.mark.parametrize(
    ("answers", "text"),
    [({"a": ["Red"], "b": ["x", "y"]}, "Red; x, y"), ({}, ""), (None, ""), ({"a": 1}, ""), ([1], "")],
)
def test_answers_are_shown_as_text(answers: object, text: str) -> None:
    assert answers_text(answers) == text
