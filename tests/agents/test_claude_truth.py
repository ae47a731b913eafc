"""What Claude Code tells beside prose and tools: its to-do list, its thoughts, its limits.

Lines as 2.1.330 prints them.
"""

import json
from typing import Any

import pytest

from breakglass.agents import TurnInput
from breakglass.agents.claude.dialogue import Dialogue
from breakglass.events import Draft
from tests.agents.recorded import check, load, play

Line = dict[str, Any]
LIMIT = "The rate limit of the agent's account"


def called(name: str, given: Line, parent: str | None = None) -> Line:
    block = {"type": "tool_use", "id": f"t-{name}", "name": name, "input": given}
    return {
        "type": "assistant",
        "message": {"role": "assistant", "model": "claude-sonnet-4-5", "content": [block]},
        "parent_tool_use_id": parent,
    }


def answered(name: str, told: Any, *, is_error: bool = False, parent: str | None = None) -> Line:
    block = {"type": "tool_result", "tool_use_id": f"t-{name}", "content": "done", "is_error": is_error}
    return {
        "type": "user",
        "message": {"role": "user", "content": [block]},
        "parent_tool_use_id": parent,
        "tool_use_result": told,
    }


def told(*lines: Line, **task: Any) -> list[Draft]:
    dialogue = Dialogue(TurnInput("p", ("claude",), **task))
    drafts = dialogue.translate(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    for draft in drafts:
        check(draft)
    return drafts


def plans(*lines: Line) -> list[list[tuple[str, str]]]:
    drafts = [fields for kind, fields in told(*lines) if kind == "plan"]
    return [[(item["text"], item["status"]) for item in fields["items"]] for fields in drafts]


CREATE = (
    called("TaskCreate", {"subject": "Look", "description": "d"}),
    answered("TaskCreate", {"task": {"id": "1", "subject": "Look", "description": "d"}}),
)


def test_a_to_do_list_is_a_plan_as_it_changes() -> None:
    todos = [{"content": "Look", "status": "completed"}, {"content": "Mend", "status": "in_progress"}]
    assert plans(called("TodoWrite", {"todos": todos}), answered("TodoWrite", {"newTodos": todos})) == [
        [("Look", "completed"), ("Mend", "in_progress")]
    ]


def test_tasks_that_are_made_and_changed_one_by_one_are_told_as_a_whole_list() -> None:
    update = called("TaskUpdate", {"taskId": "1", "status": "in_progress"})
    done = answered("TaskUpdate", {"success": True, "taskId": "1", "updatedFields": ["status"]})
    assert plans(*CREATE, update, done) == [[("Look", "pending")], [("Look", "in_progress")]]
    delete = called("TaskUpdate", {"taskId": "1", "status": "deleted"})
    assert plans(*CREATE, delete, done)[-1] == []


def test_a_task_of_an_earlier_turn_is_told_by_its_number() -> None:
    update = called("TaskUpdate", {"taskId": "7", "status": "completed"})
    assert plans(update, answered("TaskUpdate", {"success": True})) == [[("Task 7", "completed")]]


def test_what_the_agent_could_not_write_down_is_no_plan() -> None:
    todos = called("TodoWrite", {"todos": [{"content": "Look", "status": "pending"}]})
    assert plans(todos) == []
    assert plans(todos, answered("TodoWrite", "Error: No such tool available", is_error=True)) == []


@pytest.mark.parametrize("todos", [None, 7, ["a"], [{}], [{"content": [], "status": {}}]])
def test_no_shape_of_a_list_breaks_it(todos: Any) -> None:
    plans(called("TodoWrite", {"todos": todos}), answered("TodoWrite", None))
    plans(called("TaskUpdate", {"taskId": todos, "status": todos}), answered("TaskUpdate", todos))
    plans(called("TaskCreate", {"subject": todos}), answered("TaskCreate", {"task": todos}))


def test_a_subagents_list_is_marked_as_its_own() -> None:
    todos = {"todos": [{"content": "Look", "status": "pending"}]}
    drafts = told(called("TodoWrite", todos, "p-1"), answered("TodoWrite", {}, parent="p-1"))
    assert [fields["parent"] for kind, fields in drafts if kind == "plan"] == ["p-1"]


@pytest.mark.parametrize("name", ["16_thinking", "17_thinking_partial"])
def test_thinking_is_told_only_where_it_is_wanted(name: str) -> None:
    run = load()[name]
    kinds = [kind for kind, _ in play(run, [run.stdout]).drafts]
    assert "thinking" not in kinds
    wanted = run._replace(task=run.task._replace(thinking=True))
    drafts = play(wanted, [run.stdout]).drafts
    assert [kind for kind, _ in drafts if kind in ("thinking", "text")] == ["thinking", "text"]
    assert all(fields["text"] for kind, fields in drafts if kind == "thinking")


def test_a_compacted_context_is_told() -> None:
    metadata = {"trigger": "auto", "pre_tokens": 155_000, "post_tokens": 2550}
    line = {"type": "system", "subtype": "compact_boundary", "compact_metadata": metadata}
    ((kind, fields),) = told(line)
    assert kind == "notice"
    assert fields["text"].endswith("everything before (155,000 → 2,550 tokens).")


@pytest.mark.parametrize(
    ("info", "text"),
    [
        ({"status": "allowed", "rateLimitType": "five_hour"}, None),
        ({}, None),
        (
            {"status": "allowed_warning", "rateLimitType": "five_hour", "resetsAt": 1795500000},
            f"{LIMIT} (five hour) is nearly reached; it resets on 2026-11-24 at 06:00 UTC.",
        ),
        ({"status": "rejected"}, f"{LIMIT} is reached."),
        ({"status": "rejected", "resetsAt": 1 << 52}, f"{LIMIT} is reached."),
        ({"status": ["rejected"], "resetsAt": "soon"}, None),
    ],
)
def test_a_rate_limit_is_told_once_it_matters(info: Line, text: str | None) -> None:
    drafts = told({"type": "rate_limit_event", "rate_limit_info": info})
    assert drafts == ([("notice", {"text": text})] if text else [])


def test_the_model_that_answered_is_told_with_the_result() -> None:
    """It may be another than was asked for: the CLI maps old names to new models."""
    run = load()["01_first_turn"]
    results = [fields for kind, fields in play(run, [run.stdout]).drafts if kind == "result"]
    assert results[0]["model"] == "claude-opus-5-5"


def test_a_tool_that_is_to_be_refused_must_be_asked_about() -> None:
    """Reading a file is no question to the CLI: without this the refusal would never be sought."""
    argv = Dialogue(TurnInput("p", ("claude",), ask=True, deny=("Read",))).argv
    assert '--settings={"permissions":{"ask":["Read"]}}' in argv
    assert not [word for word in Dialogue(TurnInput("p", ("claude",), ask=True)).argv if "--settings" in word]
