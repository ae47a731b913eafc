"""What an ACP agent tells of its turn, gathered from its `session/update`s: prose by speaker, tools by call.

Holds what is not whole yet. Agents send prose in chunks, and announce a tool before its input is whole.
"""

from collections.abc import Callable
from io import StringIO

from breakglass.agents.acp import messages as read
from breakglass.agents.acp.messages import Message
from breakglass.agents.lines import fit, short, string, table, tables
from breakglass.events import MAX_OUTPUT, Draft


class Story:
    """The updates of one turn."""

    def __init__(self, *, thinking: bool = False) -> None:
        self._thinking = thinking
        self._thoughts: dict[str, StringIO] = {}  # of speakers that think
        self.last_text = ""
        """The main agent's last prose."""
        self.dollars: float | None = None
        """What the session has cost so far, where the agent says that."""
        self._streams: dict[str, Stream] = {}
        self._calls: dict[str, Call] = {}
        self._done: set[str] = set()

    def tell(self, update: Message) -> list[Draft]:
        """Return the events in one update. Kinds that are not known are passed over."""
        told = _UPDATES.get(string(update.get("sessionUpdate")))
        return told(self, update) if told else []

    def ask(self, asked: Message) -> tuple["Call", list[Draft]]:
        """Return the call that leave is asked for, and the events that come before the question."""
        call = self._call(asked)
        raw = asked.get("rawInput")
        # opencode asks with half of the input, or none, and tells the whole when it runs.
        is_whole = raw is None or (bool(raw) and call.input == raw)
        return call, [*self._end_prose(call.speaker), *(call.tell() if is_whole else [])]

    def flush(self) -> list[Draft]:
        """Return everything that was held back for more to come."""
        speakers = {**self._thoughts, **self._streams}
        prose = [draft for speaker in speakers for draft in self._end_prose(speaker)]
        return prose + [draft for call in self._calls.values() for draft in call.tell()]

    # --- prose --------------------------------------------------------------------------------

    def _chunk(self, update: Message) -> list[Draft]:
        marks, text = read.parent_of(update), read.prose(update.get("content"))
        message = short(update.get("messageId"))
        speaker = marks.get("parent", "")
        drafts = self._end_thought(speaker) + self._end_calls(speaker)
        if speaker in self._streams and self._streams[speaker].message != message:
            drafts += self._end_prose(speaker)
        if not text:
            return drafts
        self._streams.setdefault(speaker, Stream(message)).add(text)
        return [*drafts, ("delta", {"text": text, **marks})]

    def _thought(self, update: Message) -> list[Draft]:
        speaker = read.parent_of(update).get("parent", "")
        thoughts = self._thoughts.pop(speaker, None) or StringIO()
        drafts = self._end_calls(speaker) + self._end_prose(speaker)
        if self._thinking and thoughts.tell() < MAX_OUTPUT:
            thoughts.write(read.prose(update.get("content")))
            self._thoughts[speaker] = thoughts
        return drafts

    def _plan(self, update: Message) -> list[Draft]:
        return [("plan", {"items": read.plan(update), **read.parent_of(update)})]

    def _end_thought(self, speaker: str) -> list[Draft]:
        thoughts = self._thoughts.pop(speaker, None)
        text = fit(thoughts.getvalue())[0] if thoughts else ""
        return [("thinking", {"text": text, **_marks(speaker)})] if text.strip() else []

    def _end_prose(self, speaker: str) -> list[Draft]:
        """Return what a speaker has thought or said up to here."""
        if thought := self._end_thought(speaker):
            return thought
        stream = self._streams.pop(speaker, None)
        if not stream:
            return []
        text = fit(stream.held.getvalue())[0]
        if not speaker:
            self.last_text = text
        return [("text", {"text": text, **_marks(speaker)})]

    # --- tools --------------------------------------------------------------------------------

    def _tool_call(self, update: Message) -> list[Draft]:
        if short(update.get("toolCallId")) in self._done:
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

    def _call(self, update: Message) -> "Call":
        return self._calls.setdefault(short(update.get("toolCallId")), Call(update))

    def _end_calls(self, speaker: str) -> list[Draft]:
        """Return the calls of a speaker whose input must be whole, since it went on to something else."""
        mine = (call for call in self._calls.values() if call.speaker == speaker and call.has_grown)
        return [draft for call in mine for draft in call.tell()]

    def _usage(self, update: Message) -> list[Draft]:
        total = read.dollars(update)
        self.dollars = self.dollars if total is None else total
        return []


class Stream:
    """Prose of one speaker that has no `text` yet."""

    def __init__(self, message: str) -> None:
        self.message = message
        self.held = StringIO()

    def add(self, text: str) -> None:
        """Hold more of it, as far as an event holds."""
        if self.held.tell() < MAX_OUTPUT:
            self.held.write(text)


class Call:
    """One tool call, as far as it is known.

    The protocol does not say when its input is whole. It is told once it runs, or is shown with content
    (claude-agent-acp makes none of half an input), or its speaker has gone on, or it is done.
    """

    def __init__(self, first: Message) -> None:
        self.id = short(first.get("toolCallId"))
        self.name = next(filter(None, (short(first.get(key)) for key in ("name", "title", "kind"))), "tool")
        self.speaker = read.parent_of(first).get("parent", "")
        self.state: Message = dict(first)
        self.has_grown = False
        """Whether anything came after its announcement."""
        self._is_told = False

    @property
    def input(self) -> Message:
        """What is known of its raw input."""
        return table(self.state.get("rawInput"))

    @property
    def is_done(self) -> bool:
        """Whether it has answered."""
        return self.state.get("status") in ("completed", "failed")

    def merge(self, update: Message) -> list[Draft]:
        """Take over what an update says, and return what there is to tell now. What it leaves out stays."""
        self.has_grown = update.get("sessionUpdate") == "tool_call_update"
        self.state |= {key: value for key, value in update.items() if value is not None}
        is_shown = bool(self.input and tables(self.state.get("content")))
        if self.is_done:
            return [*self.tell(), self._result()]
        return self.tell() if is_shown or self.state.get("status") == "in_progress" else []

    def tell(self) -> list[Draft]:
        """Return the `tool` event, once."""
        if self._is_told:
            return []
        self._is_told = True
        call = {"tool_id": self.id, "name": self.name, "input": read.tool_input(self.state)}
        return [("tool", {**call, **_marks(self.speaker)})]

    def _result(self) -> Draft:
        output, left = fit(read.tool_output(self.state))
        result = {"tool_id": self.id, "output": output, "is_error": self.state["status"] == "failed"}
        return "tool_result", {**result, **({"truncated": left} if left else {}), **_marks(self.speaker)}


def _marks(speaker: str) -> dict[str, str]:
    return {"parent": speaker} if speaker else {}


_UPDATES: dict[str, Callable[[Story, Message], list[Draft]]] = {
    "agent_message_chunk": Story._chunk,
    "agent_thought_chunk": Story._thought,
    "tool_call": Story._tool_call,
    "tool_call_update": Story._tool_call,
    "plan": Story._plan,
    "usage_update": Story._usage,
}
"""A kind of update, to what is made of it."""
