"""What the model says and does, as the Claude Code CLI prints it: prose, thoughts, tools, to-do list. Pure.

Prose comes twice: as deltas, then whole. An API failure looks like prose. A subagent's lines have a `parent`.
"""

from breakglass.agents.claude import messages, outcome
from breakglass.agents.claude.messages import Line
from breakglass.agents.claude.streamed_text import StreamedText
from breakglass.agents.claude.todo import TodoList
from breakglass.agents.line_dialogue import error
from breakglass.events import Draft


class ModelOutput:
    """The output of one process, and what it tells about the model."""

    def __init__(self, *, thinking: bool) -> None:
        self.model = ""
        """The model that answered last."""
        self.context = 0
        """The tokens in its context."""
        self.reported_failure = ""
        """The last API failure of the main agent that has an `error` event."""
        self.streamed = StreamedText()
        self._thinking = thinking
        self._todo = TodoList()

    def read_assistant(self, line: Line) -> list[Draft]:
        """Return the events in an `assistant` line."""
        self._todo.note_calls(line)
        drafts = messages.assistant_events(line, thinking=self._thinking)
        texts = [fields["text"] for kind, fields in drafts if kind == "text"]
        parent = messages.parent_of(line)
        if not parent:
            self.model = messages.model(line) or self.model
            self.context = messages.context_used(line) or self.context
        if line.get("is_api_error_message"):
            self.reported_failure = self.reported_failure if parent else "\n".join(texts)
            errors = [error(outcome.with_advice(text, line.get("error")), parent) for text in texts]
            return self.streamed.break_off(parent.get("parent", "")) + errors
        if texts:
            return self.streamed.settle(parent.get("parent", ""), texts[0]) + drafts
        return drafts

    def read_user(self, line: Line) -> list[Draft]:
        """Return the events in a `user` line, which has the results of tools."""
        return messages.tool_results(line) + self._todo.apply_results(line)
