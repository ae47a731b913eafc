"""The rounds of one process of the Claude Code CLI: whether it still works, and whether its answer stands. Pure.

A round ends with a `result` line. A background task that ends begins another round. Only the end of the last round is
the end of the agent's work. Format: as printed by 2.1.330 (tests/agents/claude/captures).
"""

from breakglass.agents.claude.messages import Line, parent_of
from breakglass.agents.lines import as_object, as_objects, as_text
from breakglass.events import Draft

_OVER = ("completed", "failed", "killed", "stopped")
"""The statuses of a background task that has ended."""

_FAILED_LATER = "The agent reported a failure after its answer; the answer stands. It said: {}"
_FAILED_BEFORE = "The agent reported a failure, and answered after it. It said: {}"


class Rounds:
    """The rounds so far, and the background tasks that may begin another."""

    def __init__(self) -> None:
        self.has_result = False
        self.failure = ""
        """Why the agent failed, "" while it did not."""
        self.is_contradicted = False
        """Whether the agent reported a failure that does not count, because its answer had come before."""
        self._is_over = False  # the last round has ended
        self._has_output = False  # the model said something since the last result
        self._tasks: set[str] = set()

    @property
    def has_background_tasks(self) -> bool:
        return bool(self._tasks)

    @property
    def are_over(self) -> bool:
        """Whether the last round has ended and nothing is open that may begin another."""
        return self._is_over and not self._tasks

    def begin(self) -> None:
        """Note that a round begins."""
        self._is_over = False

    def note_output(self, line: Line) -> None:
        """Note a line with output of the model. A subagent's output belongs to no round of the main agent."""
        self._has_output |= not parent_of(line)

    def note_tasks(self, line: Line) -> None:
        """Note what a `system` line says about background tasks. The list that some versions print counts most."""
        task, subtype = as_text(line.get("task_id")), line.get("subtype")
        is_over = as_text(as_object(line.get("patch")).get("status")) in _OVER
        if subtype == "background_tasks_changed":
            self._tasks = {as_text(each.get("task_id")) for each in as_objects(line.get("tasks"))}
        elif subtype == "task_started" and line.get("is_backgrounded") is not False:
            self._tasks.add(task)
        elif subtype == "task_notification" or (subtype == "task_updated" and is_over):
            self._tasks.discard(task)

    def end(self, failure: str) -> list[Draft] | None:
        """Note a `result`. Return the notices about it, None if the result does not count.

        A failure without a round of its own does not count, because all that the agent did has a result already.
        """
        is_own_round = self._has_output or not self.has_result
        self._has_output, self._is_over = False, True
        if failure and not is_own_round:
            return None
        before, self.failure = self.failure, failure
        self.has_result = True
        return [("notice", {"text": _FAILED_BEFORE.format(before)})] if before and not failure else []

    def contradict(self, failure: str) -> list[Draft]:
        """Return the notice about a failure that does not count."""
        if self.failure:
            return []
        self.is_contradicted = True
        return [("notice", {"text": _FAILED_LATER.format(failure)})]
