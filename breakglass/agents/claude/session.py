"""The session of one process of the Claude Code CLI: which one it is, and whether the one to resume is missing."""

from breakglass.agents.claude import outcome
from breakglass.agents.claude.messages import Line
from breakglass.agents.lines import as_session_id, as_short_text
from breakglass.events import Draft

_REPLACED = "The agent began another session of its own, which may not know the earlier turns."


class AgentSession:
    """The agent's own session, in which the turn runs."""

    def __init__(self, resumed: str | None) -> None:
        self.name = ""
        """Its id; "" before the agent said one."""
        self._resumed = resumed

    @property
    def is_resumed(self) -> bool:
        """Whether the agent is in the session of the earlier turns."""
        return self.name == self._resumed

    def read_init(self, line: Line) -> list[Draft]:
        """Return the events in an `init` line; none if it names no session, or the same one again."""
        name = as_session_id(line.get("session_id"))
        if not name or name == self.name:
            return []
        is_changed = name != (self.name or self._resumed or name)
        notices: list[Draft] = [("notice", {"text": _REPLACED})] if is_changed else []
        self.name = name
        model = as_short_text(line.get("model"))
        return [*notices, ("session", {"session_id": name, **({"model": model} if model else {})})]

    def is_missing(self, text: str) -> bool:
        """Return whether `text` says that the session to resume does not exist."""
        return self._resumed is not None and not self.name and outcome.says_session_is_missing(text)
