"""The text that the Claude Code CLI streams. Each delta becomes an event and is held until the whole text arrives."""

from breakglass.agents.claude.messages import Line, begins_message, parent_of, text_delta
from breakglass.agents.lines import TextBuffer
from breakglass.events import Draft


class StreamedText:
    """Prose that has no whole text yet. A speaker is "" for the main agent, else the `parent` of a subagent."""

    def __init__(self) -> None:
        self._held: dict[str, TextBuffer] = {}

    def read(self, line: Line) -> list[Draft]:
        """Return the `delta` in a `stream_event` line, if there is one."""
        parent = parent_of(line)
        speaker = parent.get("parent", "")
        if begins_message(line):
            self.drop(speaker)
        text = text_delta(line)
        if not text:
            return []
        self._held.setdefault(speaker, TextBuffer()).add(text)
        return [("delta", {"text": text, **parent})]

    def drop(self, speaker: str) -> None:
        """Forget a speaker's prose, because its whole text has come or the model begins it again."""
        self._held.pop(speaker, None)

    def break_off(self, speaker: str) -> list[Draft]:
        """Return a speaker's prose as a `text`. The stream broke off, so the whole text will not arrive."""
        held = self._held.pop(speaker, None)
        if held is None:
            return []
        return [("text", {"text": held.text, **({"parent": speaker} if speaker else {})})]

    def break_off_all(self) -> list[Draft]:
        """Return the prose of all speakers as `text` events."""
        return [draft for speaker in list(self._held) for draft in self.break_off(speaker)]
