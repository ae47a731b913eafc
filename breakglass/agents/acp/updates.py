"""The `session/update` notifications of an ACP agent, read into events: prose by speaker, tools by call.

Holds what is incomplete: agents send prose in chunks, and announce a tool call before its input is complete.
A speaker is "" for the main agent, else the tool call that started a subagent (the `parent` of its events).
"""

from collections.abc import Callable

from breakglass.agents.acp import messages
from breakglass.agents.acp.messages import Message
from breakglass.agents.lines import TextBuffer, as_object, as_objects, as_short_text, as_text, cut_text
from breakglass.events import Draft


class UpdateReader:
    """The updates of one turn."""

    def __init__(self, *, thinking: bool = False) -> None:
        self.last_text = ""
        """The main agent's last prose."""
        self.dollars: float | None = None
        """The cost of the session so far, None if the agent does not report it."""
        self._wants_thinking = thinking
        self._thoughts: dict[str, TextBuffer] = {}  # by speaker
        self._prose: dict[str, ProsePart] = {}  # by speaker
        self._calls: dict[str, ToolCall] = {}  # by id
        self._done: set[str] = set()  # ids of calls that have their result

    def read(self, update: Message) -> list[Draft]:
        """Return the events in one update. Unknown kinds are ignored."""
        reader = _UPDATES.get(as_text(update.get("sessionUpdate")))
        return reader(self, update) if reader else []

    def read_question(self, asked: Message) -> tuple["ToolCall", list[Draft]]:
        """Return the tool call that the agent asks permission for, and the events that come before the question."""
        call = self._call(asked)
        raw = asked.get("rawInput")
        # opencode asks with a part of the input or none, and sends all of it when the tool runs.
        is_complete = raw is None or (bool(raw) and call.input == raw)
        return call, [*self._end_prose(call.speaker), *(call.announce() if is_complete else [])]

    def flush(self) -> list[Draft]:
        """Return all events that were held back because more updates could change them."""
        speakers = {**self._thoughts, **self._prose}
        prose = [draft for speaker in speakers for draft in self._end_prose(speaker)]
        return prose + [draft for call in self._calls.values() for draft in call.announce()]

    # --- prose --------------------------------------------------------------------------------

    def _message_chunk(self, update: Message) -> list[Draft]:
        parent, text = messages.parent_of(update), messages.prose(update.get("content"))
        message_id = as_short_text(update.get("messageId"))
        speaker = parent.get("parent", "")
        drafts = self._end_thought(speaker) + self._end_calls(speaker)
        if speaker in self._prose and self._prose[speaker].message_id != message_id:
            drafts += self._end_prose(speaker)
        if not text:
            return drafts
        self._prose.setdefault(speaker, ProsePart(message_id)).add(text)
        return [*drafts, ("delta", {"text": text, **parent})]

    def _thought_chunk(self, update: Message) -> list[Draft]:
        speaker = messages.parent_of(update).get("parent", "")
        thoughts = self._thoughts.pop(speaker, None) or TextBuffer()
        drafts = self._end_calls(speaker) + self._end_prose(speaker)
        if self._wants_thinking:
            thoughts.add(messages.prose(update.get("content")))
            self._thoughts[speaker] = thoughts
        return drafts

    def _plan(self, update: Message) -> list[Draft]:
        return [("plan", {"items": messages.plan(update), **messages.parent_of(update)})]

    def _end_thought(self, speaker: str) -> list[Draft]:
        thoughts = self._thoughts.pop(speaker, None)
        text = thoughts.text if thoughts else ""
        return [("thinking", {"text": text, **_parent_field(speaker)})] if text.strip() else []

    def _end_prose(self, speaker: str) -> list[Draft]:
        """Return a speaker's thoughts or prose so far, as one event."""
        if thought := self._end_thought(speaker):
            return thought
        part = self._prose.pop(speaker, None)
        if not part:
            return []
        text = part.text
        if not speaker:
            self.last_text = text
        return [("text", {"text": text, **_parent_field(speaker)})]

    # --- tools --------------------------------------------------------------------------------

    def _tool_call(self, update: Message) -> list[Draft]:
        if as_short_text(update.get("toolCallId")) in self._done:
            return []
        call = self._call(update)
        drafts = self._end_prose(call.speaker)
        if update.get("sessionUpdate") == "tool_call":
            drafts += self._end_calls(call.speaker)
        drafts += call.merge(update)
        if call.is_done:
            self._done.add(call.id)
            del self._calls[call.id]
        return drafts

    def _call(self, update: Message) -> "ToolCall":
        return self._calls.setdefault(as_short_text(update.get("toolCallId")), ToolCall(update))

    def _end_calls(self, speaker: str) -> list[Draft]:
        """Return the calls of a speaker that has continued with something else: their input must be complete."""
        own = (call for call in self._calls.values() if call.speaker == speaker and call.is_updated)
        return [draft for call in own for draft in call.announce()]

    def _usage(self, update: Message) -> list[Draft]:
        total = messages.dollars(update)
        self.dollars = self.dollars if total is None else total
        return []


class ProsePart(TextBuffer):
    """Prose of one message of one speaker that has no `text` event yet."""

    def __init__(self, message_id: str) -> None:
        super().__init__()
        self.message_id = message_id


class ToolCall:
    """One tool call, built from the updates so far.

    The protocol does not say when the input of a call is complete. We take it as complete when one of these is true:
    the tool runs, the call shows content, the speaker continues with something else, or the call is done.
    claude-agent-acp shows no content for an incomplete input.
    """

    def __init__(self, first: Message) -> None:
        names = (as_short_text(first.get(key)) for key in ("name", "title", "kind"))
        self.id = as_short_text(first.get("toolCallId"))
        self.name = next(filter(None, names), "tool")
        self.speaker = messages.parent_of(first).get("parent", "")
        self.state: Message = dict(first)
        """All keys of the updates so far, the newest value of each."""
        self.is_updated = False
        """Whether an update came after the first announcement."""
        self._is_announced = False

    @property
    def input(self) -> Message:
        """Its raw input so far."""
        return as_object(self.state.get("rawInput"))

    @property
    def is_done(self) -> bool:
        """Whether it has a result."""
        return self.state.get("status") in ("completed", "failed")

    def merge(self, update: Message) -> list[Draft]:
        """Merge an update, and return the events that are complete now. Missing keys keep their value."""
        self.is_updated = update.get("sessionUpdate") == "tool_call_update"
        self.state |= {key: value for key, value in update.items() if value is not None}
        has_content = bool(self.input and as_objects(self.state.get("content")))
        if self.is_done:
            return [*self.announce(), self._result()]
        return self.announce() if has_content or self.state.get("status") == "in_progress" else []

    def announce(self) -> list[Draft]:
        """Return the `tool` event, once."""
        if self._is_announced:
            return []
        self._is_announced = True
        call = {"tool_id": self.id, "name": self.name, "input": messages.tool_input(self.state)}
        return [("tool", {**call, **_parent_field(self.speaker)})]

    def _result(self) -> Draft:
        output, left_out = cut_text(messages.tool_output(self.state))
        result = {"tool_id": self.id, "output": output, "is_error": self.state["status"] == "failed"}
        return "tool_result", {
            **result,
            **({"truncated": left_out} if left_out else {}),
            **_parent_field(self.speaker),
        }


def _parent_field(speaker: str) -> dict[str, str]:
    return {"parent": speaker} if speaker else {}


_UPDATES: dict[str, Callable[[UpdateReader, Message], list[Draft]]] = {
    "agent_message_chunk": UpdateReader._message_chunk,
    "agent_thought_chunk": UpdateReader._thought_chunk,
    "tool_call": UpdateReader._tool_call,
    "tool_call_update": UpdateReader._tool_call,
    "plan": UpdateReader._plan,
    "usage_update": UpdateReader._usage,
}
"""A kind of update, to the method that reads it."""
