"""One tool call of an ACP agent, from its first update to its result. Pure."""

import re

from breakglass.agents.acp import content, messages
from breakglass.agents.acp.messages import Message
from breakglass.agents.blocks import pictures
from breakglass.agents.lines import TextBuffer, as_object, as_objects, as_short_text, as_text, cut_text
from breakglass.events import Draft

_REFUSED = "The tool did not run: permission was refused."
_LATE_OUTPUT = "A tool gave more output after its result"
_NO_RESULT = "The agent reported no result of this tool."
_LIKE_A_NAME = re.compile(r"[\w.:/-]{1,64}")


class ToolCall:
    """One tool call, as far as it is known.

    The protocol does not say when the input of a call is complete. We take it as complete when the tool runs, when
    the call shows content (claude-agent-acp shows none for half an input), when the speaker goes on to something
    else, or when the call is done.
    """

    def __init__(self, first: Message, *, title_is_name: bool = False) -> None:
        self.id = messages.call_id(first)
        self.name = _name(first, title_is_name=title_is_name)
        self.speaker = messages.parent_of(first).get("parent", "")
        self.state: Message = {}
        """All keys of the updates so far, the newest value of each."""
        self.is_updated = False
        """Whether anything came after the announcement of the agent."""
        self.is_refused = False
        """Whether permission for it was refused."""
        self._announced: Message | None = None  # the input in the `tool` event
        self._is_without_input = False  # whether the `tool` event shows only a title
        self._printed = TextBuffer()  # the output of its terminal
        self._exit = ""

    @property
    def input(self) -> Message:
        """What is known of its raw input."""
        return as_object(self.state.get("rawInput"))

    @property
    def is_done(self) -> bool:
        """Whether it has a result."""
        return self.state.get("status") in ("completed", "failed")

    def merge(self, update: Message) -> list[Draft]:
        """Take over the keys of an update, and return the events that are due now."""
        self.is_updated = update.get("sessionUpdate") == "tool_call_update"
        drafts = self.take(update)
        if self.is_done:
            return [*drafts, *self.announce(), self._result()]
        has_content = bool(self.input and as_objects(self.state.get("content")))
        runs = self.state.get("status") == "in_progress" and self.state.get("rawInput") != {}
        return [*drafts, *(self.announce() if has_content or runs else [])]

    def take(self, update: Message) -> list[Draft]:
        """Take over the keys of an update, also of a question. A missing or empty value replaces nothing.

        Returns the `tool` event once more if the input comes only after the first one, or grew until the result.
        """
        self.state |= {key: value for key, value in update.items() if value or key not in self.state}
        self._take_terminal(as_object(update.get("_meta")))
        if self._announced is None or not (self.is_done or self._is_without_input):
            return []
        return self._announce() if self.input and self._announced != content.tool_input(self.state) else []

    def _take_terminal(self, extension: Message) -> None:
        """Take over what a terminal printed and how its command ended. codex-acp says so only in `_meta`."""
        for key in ("terminal_output", "terminal_output_delta"):
            self._printed.add(as_text(as_object(extension.get(key)).get("data")))
        ended = as_object(extension.get("terminal_exit"))
        code, signal = ended.get("exit_code"), ended.get("signal")
        if type(code) is int and code:
            self._exit = f"exit status {code}"
        elif signal is not None:
            self._exit = f"ended by signal {as_short_text(signal) or signal}"

    def announce(self) -> list[Draft]:
        """Return the `tool` event, once."""
        return self._announce() if self._announced is None else []

    def _announce(self) -> list[Draft]:
        self._is_without_input = not self.input
        self._announced = content.tool_input(self.state)
        return [("tool", {"tool_id": self.id, "name": self.name, "input": self._announced, **self.marks})]

    def take_late(self, update: Message) -> list[Draft]:
        """Take over the keys of an update after the result. Returns a notice if the output is another one now."""
        before = content.tool_output(self.state, self._printed.text)
        self.take(update)
        output = content.tool_output(self.state, self._printed.text)
        if output in before:
            return []
        return [("notice", {"text": f"{_LATE_OUTPUT} ({self.name}): {cut_text(output)[0]}"})]

    def end(self) -> list[Draft]:
        """Return a result for a call that the agent left open."""
        self.state["status"] = "failed"
        return [*self.announce(), self._result(left_open=_NO_RESULT)]

    def _result(self, left_open: str = "") -> Draft:
        has_output = bool(self._printed.text or self.state.get("rawOutput"))
        if self.is_refused and self.state["status"] == "failed" and not has_output:
            text = _REFUSED
        else:
            text = "\n".join(filter(None, [content.tool_output(self.state, self._printed.text), left_open]))
        if self._exit:
            text = "\n".join(filter(None, [text.removesuffix("\n"), f"[{self._exit}]"]))
        output, left_out = cut_text(text)
        is_error = self.state["status"] == "failed" or bool(self._exit)
        found = pictures(self.state.get("content")) or pictures(self.state.get("rawOutput"))
        return "tool_result", {
            "tool_id": self.id,
            "output": output,
            "is_error": is_error,
            **({"truncated": left_out} if left_out else {}),
            **({"pictures": found} if found else {}),
            **self.marks,
        }

    @property
    def marks(self) -> dict[str, str]:
        """The field `parent` of its events, if a subagent made the call."""
        return {"parent": self.speaker} if self.speaker else {}


def _name(first: Message, *, title_is_name: bool) -> str:
    """Return the name of the tool. A title can be a whole command line, so a kind comes before it."""
    claude = as_object(as_object(first.get("_meta")).get("claudeCode"))
    title, kind = as_short_text(first.get("title")), as_short_text(first.get("kind"))
    named = title if title_is_name or (kind in ("", "other") and _LIKE_A_NAME.fullmatch(title)) else ""
    names = (as_short_text(first.get("name")), as_short_text(claude.get("toolName")), named, kind)
    return next(filter(None, names), "tool")
