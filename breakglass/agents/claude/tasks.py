"""The to-do list of the Claude Code CLI as it changes: its tools that keep one, read into `plan` events. Pure.

Two families of tools: TodoWrite gives the whole list at each call; TaskCreate and TaskUpdate, which newer
models have instead, change one task. A call counts once its result says that it was carried out.
Format: as printed by 2.1.330 with the models of 2025.
"""

from breakglass.agents.claude.messages import Line, blocks, parent_of
from breakglass.agents.lines import MAX_PLAN, plan_item, short, string, table, tables
from breakglass.events import Draft

_TOOLS = ("TodoWrite", "TaskCreate", "TaskUpdate")


class Tasks:
    """The tasks of one turn. Those of earlier turns are known by their number alone."""

    def __init__(self) -> None:
        self._calls: dict[str, Line] = {}
        self._tasks: dict[str, dict[str, str]] = {}

    def call(self, line: Line) -> None:
        """Take note of the calls in an `assistant` line."""
        for block in blocks(line):
            if block.get("type") == "tool_use" and block.get("name") in _TOOLS:
                self._calls[string(block.get("id"))] = block

    def carry_out(self, line: Line) -> list[Draft]:
        """Return the list as it is after the results in a `user` line, nothing where they do not change it."""
        results = [block for block in blocks(line) if block.get("type") == "tool_result"]
        told = table(line.get("tool_use_result")) if len(results) == 1 else {}
        drafts: list[Draft] = []
        for result in results:
            call = self._calls.pop(string(result.get("tool_use_id")), None)
            if call is not None and result.get("is_error") is not True:
                items = self._after(string(call.get("name")), table(call.get("input")), told)
                drafts.append(("plan", {"items": items[:MAX_PLAN], **parent_of(line)}))
        return drafts

    def _after(self, name: str, given: Line, told: Line) -> list[dict[str, str]]:
        if name == "TodoWrite":
            return [plan_item(todo.get("content"), todo.get("status")) for todo in tables(given.get("todos"))]
        if name == "TaskCreate":
            task = table(told.get("task"))
            number = short(task.get("id")) or str(len(self._tasks) + 1)
            self._tasks[number] = plan_item(task.get("subject") or given.get("subject"), "pending")
        elif given.get("status") == "deleted":
            self._tasks.pop(short(given.get("taskId")), None)
        else:
            number = short(given.get("taskId"))
            known = self._tasks.get(number, plan_item(f"Task {number}", "pending"))
            self._tasks[number] = plan_item(
                given.get("subject") or known["text"], given.get("status") or known["status"]
            )
        return [dict(item) for item in self._tasks.values()]
