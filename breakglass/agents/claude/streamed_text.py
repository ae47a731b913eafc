"""The text that the Claude Code CLI streams. Each delta becomes an event and is held until the whole text arrives."""

from breakglass.agents.claude.messages import Line, begins_message, ends_message, parent_of, text_delta
from breakglass.agents.lines import TextBuffer
from breakglass.events import Draft


class StreamedText:
    """Prose that has no whole text yet. A speaker is "" for the main agent, else the `parent` of a subagent."""

    def __init__(self) -> None:
        self._held: dict[str, TextBuffer] = {}
        self._ended: set[str] = set()  # speakers whose last message was streamed to its end

    def read(self, line: Line) -> list[Draft]:
        """Return the `delta` in a `stream_event` line, if there is one."""
        parent = parent_of(line)
        speaker = parent.get("parent", "")
        if begins_message(line):
            # After a broken stream the model begins again. A message that ended should have had its whole text.
            drafts = self.break_off(speaker) if speaker in self._ended else []
            self.drop(speaker)
            return drafts
        if ends_message(line):
            self._ended.add(speaker)
        text = text_delta(line)
        if not text:
            return []
        self._held.setdefault(speaker, TextBuffer()).add(text)
        return [("delta", {"text": text, **parent})]

    def expect_again(self) -> None:
        """Note that a request is repeated: the next message begins again what streamed, even if that seemed to end."""
        self._ended.clear()

    def settle(self, speaker: str, whole: str) -> list[Draft]:
        """Forget a speaker's prose, because its whole text has come. Return prose before it that had no whole text."""
        held = self._held.pop(speaker, None)
        earlier = held.text.removesuffix(whole) if held and held.text.endswith(whole) else ""
        return _text(speaker, earlier) if earlier.strip() else []

    def drop(self, speaker: str) -> None:
        """Forget a speaker's prose, because the model begins it again."""
        self._held.pop(speaker, None)
        self._ended.discard(speaker)

    def break_off(self, speaker: str) -> list[Draft]:
        """Return a speaker's prose as a `text`. The stream broke off, so the whole text will not arrive."""
        held = self._held.pop(speaker, None)
        return [] if held is None else _text(speaker, held.text)

    def break_off_all(self) -> list[Draft]:
        """Return the prose of all speakers as `text` events."""
        return [draft for speaker in list(self._held) for draft in self.break_off(speaker)]


def _text(speaker: str, text: str) -> list[Draft]:
    return [("text", {"text": text, **({"parent": speaker} if speaker else {})})]
