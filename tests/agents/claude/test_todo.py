"""The to-do list of Claude Code becomes `plan` events."""

import json
from typing import Any

import pytest

from breakglass.agents import TurnInput
from breakglass.agents.claude.dialogue import Dialogue
from breakglass.events import Draft
from tests.agents.drafts import check

Line = dict[str, Any]


def tool_call(name: str, given: Line, parent: str | None = None) -> Line:
    block = {"type": "tool_use", "id": f"t-{name}", "name": name, "input": given}
    return {
        "type": "assistant",
        "message": {"role": "assistant", "model": "claude-sonnet-4-5", "content": [block]},
        "parent_tool_use_id": parent,
    }


def tool_result(name: str, details: Any, *, is_error: bool = False, parent: str | None = None) -> Line:
    block = {"type": "tool_result", "tool_use_id": f"t-{name}", "content": "done", "is_error": is_error}
    return {
        "type": "user",
        "message": {"role": "user", "content": [block]},
        "parent_tool_use_id": parent,
        "tool_use_result": details,
    }


def read(*lines: Line) -> list[Draft]:
    dialogue = Dialogue(TurnInput("p", ("claude",)))
    drafts = dialogue.translate(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    for draft in drafts:
        check(draft)
    return drafts


def plans(*lines: Line) -> list[list[tuple[str, str]]]:
    drafts = [fields for kind, fields in read(*lines) if kind == "plan"]
    return [[(item["text"], item["status"]) for item in fields["items"]] for fields in drafts]


CREATE = (
    tool_call("TaskCreate", {"subject": "Look", "description": "d"}),
    tool_result("TaskCreate", {"task": {"id": "1", "subject": "Look", "description": "d"}}),
)


def test_each_change_of_the_list_is_a_plan() -> None:
    todos = [{"content": "Look", "status": "completed"}, {"content": "Repair", "status": "in_progress"}]
    assert plans(tool_call("TodoWrite", {"todos": todos}), tool_result("TodoWrite", {"newTodos": todos})) == [
        [("Look", "completed"), ("Repair", "in_progress")]
    ]


def test_a_change_of_one_task_gives_the_whole_list() -> None:
    update = tool_call("TaskUpdate", {"taskId": "1", "status": "in_progress"})
    done = tool_result("TaskUpdate", {"success": True, "taskId": "1", "updatedFields": ["status"]})
    assert plans(*CREATE, update, done) == [[("Look", "pending")], [("Look", "in_progress")]]
    delete = tool_call("TaskUpdate", {"taskId": "1", "status": "deleted"})
    assert plans(*CREATE, delete, done)[-1] == []


def test_a_task_of_an_earlier_turn_is_named_by_its_number() -> None:
    update = tool_call("TaskUpdate", {"taskId": "7", "status": "completed"})
    assert plans(update, tool_result("TaskUpdate", {"success": True})) == [[("Task 7", "completed")]]


def test_a_call_counts_only_with_a_successful_result() -> None:
    todos = tool_call("TodoWrite", {"todos": [{"content": "Look", "status": "pending"}]})
    assert plans(todos) == []
    assert plans(todos, tool_result("TodoWrite", "Error: No such tool available", is_error=True)) == []


@pytest.mark.parametrize("todos", [None, 7, ["a"], [{}], [{"content": [], "status": {}}]])
def test_a_list_of_any_shape_does_not_raise(todos: Any) -> None:
    plans(tool_call("TodoWrite", {"todos": todos}), tool_result("TodoWrite", None))
    plans(tool_call("TaskUpdate", {"taskId": todos, "status": todos}), tool_result("TaskUpdate", todos))
    plans(tool_call("TaskCreate", {"subject": todos}), tool_result("TaskCreate", {"task": todos}))


def test_a_subagents_list_is_marked() -> None:
    todos = {"todos": [{"content": "Look", "status": "pending"}]}
    drafts = read(tool_call("TodoWrite", todos, "p-1"), tool_result("TodoWrite", {}, parent="p-1"))
    assert [fields["parent"] for kind, fields in drafts if kind == "plan"] == ["p-1"]
