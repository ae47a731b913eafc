"""`elicitation/create`: a form becomes choices, and the answers become the response."""

import json
from typing import Any

import pytest

from breakglass.agents.acp import elicitation
from breakglass.choices import Choice, Option
from tests.agents.acp.made_messages import begun, say, written

PROPERTIES: dict[str, Any] = {
    "db": {
        "type": "string",
        "title": "Database",
        "description": "Which database?",
        "oneOf": [{"const": "pg", "title": "Postgres", "description": "as now"}, {"const": "lite"}],
    },
    "db_custom": {"type": "string", "title": "Other"},
    "parts": {"type": "array", "description": "Which parts?", "items": {"enum": ["door", "roof"]}},
    "count": {"type": "integer", "description": "How many?"},
    "sure": {"type": "boolean", "description": "Sure?"},
    "note": {"type": "string"},
}
CHOICES = (
    Choice(
        "db", "Which database?", "Database", (Option("Postgres", "as now"), Option("lite")), optional=True
    ),
    Choice(
        "parts",
        "Which parts?",
        "",
        (Option("door"), Option("roof")),
        multiple=True,
        other=False,
        optional=True,
    ),
    Choice("count", "How many?"),
    Choice("sure", "Sure?", "", (Option("Yes"), Option("No")), other=False, optional=True),
    Choice("note", "Say more", optional=True),
)


def request(properties: object = PROPERTIES, **params: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": ["count"]}
    given = {"mode": "form", "sessionId": "s", "message": "Say more", "requestedSchema": schema, **params}
    return {"id": 0, "method": "elicitation/create", "params": given}


def test_each_field_of_a_form_is_a_choice() -> None:
    assert elicitation.choices(request()) == CHOICES


@pytest.mark.parametrize("properties", [{}, None, [], "x", {"a": None}, {"a": {"oneOf": 1, "enum": 2}}])
def test_a_malformed_form_still_is_a_question(properties: object) -> None:
    assert len(elicitation.choices(request(properties))) == (
        1 if isinstance(properties, dict) and properties else 0
    )


@pytest.mark.parametrize(
    ("answers", "content"),
    [
        ({"db": ["Postgres"]}, {"db": "pg"}),
        ({"db": ["my own,\nreally"]}, {"db_custom": "my own,\nreally"}),
        ({"parts": ["roof", "door"]}, {"parts": ["roof", "door"]}),
        ({"count": ["3"], "sure": ["No"], "note": ["so"]}, {"count": 3, "sure": False, "note": "so"}),
        ({"count": ["three"]}, {"count": "three"}),
        ({}, {}),
    ],
)
def test_answers_have_the_values_of_the_form(answers: dict[str, list[str]], content: dict[str, Any]) -> None:
    assert elicitation.response(request(), answers, allow=True) == {
        "id": 0,
        "result": {"action": "accept", "content": content},
    }


def test_a_form_is_asked_answered_and_sent_back() -> None:
    dialogue = begun(ask=True)
    [(kind, fields)] = say(dialogue, **request(toolCallId="t1"))
    assert (kind, fields["request"], fields["name"], fields["tool_id"]) == (
        "permission",
        "7-0",
        "Question",
        "t1",
    )
    assert [choice["id"] for choice in fields["choices"]] == ["db", "parts", "count", "sure", "note"]
    assert dialogue.answer("7-0", allow=True, answers={"count": ["3"]})
    assert written(dialogue)[-1]["result"] == {"action": "accept", "content": {"count": 3}}


def test_a_refused_form_is_declined_and_a_stopped_one_cancelled() -> None:
    dialogue = begun(ask=True)
    say(dialogue, **request())
    dialogue.answer("7-0", allow=False)
    assert written(dialogue)[-1]["result"] == {"action": "decline"}
    say(dialogue, **{**request(), "id": 1})
    stopped = [json.loads(message) for message in dialogue.interrupt().splitlines()]
    assert stopped[-1] == {"jsonrpc": "2.0", "id": 1, "result": {"action": "cancel"}}


@pytest.mark.parametrize(
    ("ask", "params"), [(False, {}), (True, {"mode": "url", "url": "https://example.com"})]
)
def test_what_is_not_offered_gets_an_error(*, ask: bool, params: dict[str, Any]) -> None:
    dialogue = begun(ask=ask)
    [(kind, fields)] = say(dialogue, **request(**params))
    assert (kind, "does not offer" in fields["text"]) == ("notice", True)
    assert written(dialogue)[-1]["error"]["code"] == -32601
