"""The `session/update` notifications of an ACP agent, read into events: prose by speaker, tools by call.

Holds what is incomplete: agents send prose in chunks, and announce a tool call before its input is complete.
A speaker is "" for the main agent, else the tool call that started a subagent (the `parent` of its events).
"""

from collections.abc import Callable

from breakglass.agents.acp import content, messages, modes
from breakglass.agents.acp.messages import Message
from breakglass.agents.acp.tool_calls import ToolCall
from breakglass.agents.lines import TextBuffer, as_object, as_short_text, as_text, beginning, unreadable
from breakglass.events import Draft, dumps

_CHANGED_MODE = 'The agent changed its mode to "{}".'
_OTHER_SESSION = "The agent works in another session too, which is not shown: {}"


class UpdateReader:
    """The updates of one turn."""

    def __init__(self, *, thinking: bool = False) -> None:
        self.titles_are_names = False
        """Whether this agent gives the name of a tool as the title of a call."""
        self.last_text = ""
        """The main agent's last prose."""
        self.dollars: float | None = None
        """The cost of the session so far, None if the agent does not report it."""
        self.context: dict[str, int] = {}
        """The tokens `used` of the `size` of the agent's context; empty if the agent does not report it."""
        self.has_failed = False
        """Whether the agent's backend has failed, by what the agent says beside its prose."""
        self.has_refusal = False
        """Whether permission for a call was refused."""
        self.mode: str | None = None
        """The mode that the agent works in, "" if it did not say. None until the prompt is sent."""
        self._wants_thinking = thinking
        self._thoughts: dict[str, TextBuffer] = {}  # by speaker
        self._prose: dict[str, ProsePart] = {}  # by speaker
        self._calls: dict[str, ToolCall] = {}  # by id
        self._done: dict[str, ToolCall | None] = {}  # calls with a result, by id; None for one of the past

    def read(self, update: Message) -> list[Draft]:
        """Return the events in one update. One of an unknown kind is a notice."""
        if status := messages.failure_sign(update):
            self.has_failed = status == "systemError" or (self.has_failed and status != "active")
        kind = as_text(update.get("sessionUpdate"))
        if kind in _WITHOUT_NEWS:
            return []
        reader = _UPDATES.get(kind)
        return reader(self, update) if reader else [unreadable([dumps(update)])]

    def note_past(self, update: Message) -> None:
        """Note a call that a reopened session replays: it is not logged, even if it is replayed again later."""
        if call_id := messages.call_id(update):
            self._done[call_id] = None

    def note_refusal(self, call_id: str) -> None:
        """Note that permission for a call was refused. Some agents report no result for it."""
        self.has_refusal = True
        if call := self._calls.get(call_id):
            call.is_refused = True

    def read_question(self, asked: Message) -> tuple[ToolCall, list[Draft]]:
        """Return the tool call that the agent asks permission for, and the events that come before the question."""
        self._done.pop(messages.call_id(asked), None)  # a new call may have an old id
        call = self._call(asked)
        before, raw = call.input, asked.get("rawInput")
        # opencode asks with half of the input, or none, and gives all of it when the tool runs.
        is_complete = raw is None or (bool(raw) and before == raw)
        drafts = [*self._end_prose(call.speaker), *call.take(asked)]
        return call, [*drafts, *(call.announce() if is_complete else [])]

    def flush(self) -> list[Draft]:
        """Return all events that were held back because more updates could change them."""
        prose = [draft for each in {**self._thoughts, **self._prose} for draft in self._end_prose(each)]
        return prose + [draft for call in self._calls.values() for draft in call.announce()]

    def end(self) -> list[Draft]:
        """Return what was held back, and a result for each call that the agent left open."""
        drafts = self.flush()
        calls, self._calls = self._calls, {}
        return [*drafts, *(draft for call in calls.values() for draft in call.end())]

    # --- prose --------------------------------------------------------------------------------

    def _message_chunk(self, update: Message) -> list[Draft]:
        parent, text = messages.parent_of(update), content.prose(update.get("content"))
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
            thoughts.add(content.prose(update.get("content")))
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
        call_id = messages.call_id(update)
        if call_id in self._done:
            ended = self._done[call_id]
            return ended.take_late(update) if ended else []
        call = self._call(update)
        drafts = self._end_prose(call.speaker)
        if update.get("sessionUpdate") == "tool_call":
            drafts += self._end_calls(call.speaker)
        drafts += call.merge(update)
        if call.is_done:
            self._done[call.id] = call
            del self._calls[call.id]
        return drafts

    def _call(self, update: Message) -> ToolCall:
        call_id = messages.call_id(update)
        if call_id not in self._calls:
            self._calls[call_id] = ToolCall(update, title_is_name=self.titles_are_names)
        return self._calls[call_id]

    def _end_calls(self, speaker: str) -> list[Draft]:
        """Return the calls of a speaker that has continued with something else: their input must be complete."""
        own = (call for call in self._calls.values() if call.speaker == speaker and call.is_updated)
        return [draft for call in own for draft in call.announce()]

    def _mode(self, update: Message) -> list[Draft]:
        """Return a notice if the agent changed its mode itself. It also reports the mode that it was told to set."""
        mode = as_short_text(update.get("currentModeId")) or modes.read_offer(update).current
        if self.mode is None or mode in ("", self.mode):
            return []
        self.mode = mode
        return [("notice", {"text": _CHANGED_MODE.format(mode)})]

    def _usage(self, update: Message) -> list[Draft]:
        total = messages.dollars(update)
        self.dollars = self.dollars if total is None else total
        self.context = messages.context(update) or self.context
        return []


class UpdateFilter:
    """Passes the updates of one turn to its reader: not those of the past, and not those of other sessions."""

    def __init__(self, reader: UpdateReader) -> None:
        self.has_begun = False
        """Whether the prompt was sent. An agent that loads a session replays its past before that."""
        self.is_new = False
        """Whether the session that opens is a new one, which has no past."""
        self._reader = reader
        self._session = ""
        self._noted: set[str] = set()  # other sessions that have a notice

    def begin(self, session: str) -> None:
        """Note that the prompt was sent, in the agent's session of that name."""
        self.has_begun, self._session = True, session

    def read(self, notification: Message) -> list[Draft]:
        """Return the events in a `session/update`. The first update of another session is a notice."""
        params = as_object(notification.get("params"))
        update, session = params.get("update"), params.get("sessionId")
        if not (self.has_begun or self.is_new):
            self._reader.note_past(as_object(update))
            return []
        if not isinstance(update, dict):
            return [unreadable([dumps(notification)])]
        if session in (None, self._session) or not self.has_begun:
            return self._reader.read(update)
        shown = beginning(dumps(session))
        if shown in self._noted:
            return []
        self._noted.add(shown)
        return [("notice", {"text": _OTHER_SESSION.format(shown)})]


class ProsePart(TextBuffer):
    """Prose of one message of one speaker that has no `text` event yet."""

    def __init__(self, message_id: str) -> None:
        super().__init__()
        self.message_id = message_id


def _parent_field(speaker: str) -> dict[str, str]:
    return {"parent": speaker} if speaker else {}


_UPDATES: dict[str, Callable[[UpdateReader, Message], list[Draft]]] = {
    "agent_message_chunk": UpdateReader._message_chunk,
    "agent_thought_chunk": UpdateReader._thought_chunk,
    "tool_call": UpdateReader._tool_call,
    "tool_call_update": UpdateReader._tool_call,
    "plan": UpdateReader._plan,
    "usage_update": UpdateReader._usage,
    "current_mode_update": UpdateReader._mode,
    "config_option_update": UpdateReader._mode,
}
"""A kind of update, to the method that reads it."""

_WITHOUT_NEWS = frozenset(
    {
        "user_message_chunk",  # the prompt, which the log has already
        "available_commands_update",
        "session_info_update",
    }
)
"""Kinds of updates that hold nothing for a reader of the log."""
