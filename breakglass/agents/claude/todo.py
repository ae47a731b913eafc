"""The to-do list of the Claude Code CLI. Reads the calls of the tools that change it into `plan` events. Pure.

Two families of tools keep the list. TodoWrite gives the whole list in each call. TaskCreate and TaskUpdate, which
newer models have instead, change one task. A call counts only when its result says that it was carried out.
Format: as printed by 2.1.330.
"""

from breakglass.agents.claude.messages import Line, blocks, parent_of
from breakglass.agents.lines import MAX_PLAN, as_object, as_objects, as_short_text, as_text, plan_item
from breakglass.events import Draft

_TOOLS = ("TodoWrite", "TaskCreate", "TaskUpdate")


class TodoList:
    """The to-do list during one turn. Tasks of earlier turns are known by number only."""

    def __init__(self) -> None:
        self._calls: dict[str, Line] = {}
        self._tasks: dict[str, dict[str, str]] = {}

    def note_calls(self, line: Line) -> None:
        """Remember the calls in an `assistant` line until their results come."""
        for block in blocks(line):
            if block.get("type") == "tool_use" and block.get("name") in _TOOLS:
                self._calls[as_text(block.get("id"))] = block

    def apply_results(self, line: Line) -> list[Draft]:
        """Return the list after each result in a `user` line that changes it."""
        results = [block for block in blocks(line) if block.get("type") == "tool_result"]
        details = as_object(line.get("tool_use_result")) if len(results) == 1 else {}
        drafts: list[Draft] = []
        for result in results:
            call = self._calls.pop(as_text(result.get("tool_use_id")), None)
            if call is not None and result.get("is_error") is not True:
                items = self._apply(as_text(call.get("name")), as_object(call.get("input")), details)
                drafts.append(("plan", {"items": items[:MAX_PLAN], **parent_of(line)}))
        return drafts

    def _apply(self, name: str, given: Line, details: Line) -> list[dict[str, str]]:
        """Return the list after one call. `details` is what the CLI says about the result beside its text."""
        if name == "TodoWrite":
            todos = as_objects(given.get("todos"))
            return [plan_item(todo.get("content"), todo.get("status")) for todo in todos]
        if name == "TaskCreate":
            task = as_object(details.get("task"))
            number = as_short_text(task.get("id")) or str(len(self._tasks) + 1)
            self._tasks[number] = plan_item(task.get("subject") or given.get("subject"), "pending")
        elif given.get("status") == "deleted":
            self._tasks.pop(as_short_text(given.get("taskId")), None)
        else:
            number = as_short_text(given.get("taskId"))
            known = self._tasks.get(number, plan_item(f"Task {number}", "pending"))
            self._tasks[number] = plan_item(
                given.get("subject") or known["text"], given.get("status") or known["status"]
            )
        return [dict(item) for item in self._tasks.values()]
