"""The lists on the pages: sessions in the order of urgency, and the agents that a new session can choose from."""

from collections.abc import Iterable
from typing import NamedTuple, TypeVar

from breakglass.config import Config
from breakglass.state import SessionState
from breakglass.text import heading

T = TypeVar("T")


class SessionRow(NamedTuple):
    """A session as the page shows it: one row of the list, or the head of the session's own page."""

    id: str
    state: SessionState
    last_line: str = ""
    """The last finished prose of the agent, as Markdown; "" if the end of the log has none."""
    asks: str = ""
    """What its oldest open question asks for, on one line; "" without one."""
    used: int | None = None
    """The bytes that it uses on disk, None if they were not counted."""

    @property
    def heading(self) -> str:
        """The session's title, else the first words of its first prompt."""
        return heading(self.state.title, self.state.first_prompt) or "New session"

    def place(self, host: str) -> str:
        """Return the machine that the session is about. `host` is this one."""
        return f"{self.state.target} from {host}" if self.state.target else host

    @property
    def status(self) -> str:
        """The status to show. `STATUS_SIGNS` has its sign, unless another version wrote it."""
        if self.state.asking:
            return "asking"
        if self.state.turn is not None:
            return "running"
        return self.state.status


class SessionList(NamedTuple):
    """The sessions that one page lists."""

    rows: list[SessionRow]
    total: int
    """How many sessions there are to list; more than `rows` if the list is limited."""
    today: float = 0.0
    """The US dollars that all sessions have cost today (UTC)."""


class AgentChoice(NamedTuple):
    """An agent in the form for a new session."""

    name: str
    is_default: bool
    is_shell: bool
    """Whether it takes shell commands, and so has no model."""
    missing: str = ""
    """The program that the agent needs and that was not found; "" if the agent can start."""


def by_urgency(found: Iterable[tuple[T, SessionState]]) -> list[tuple[T, SessionState]]:
    """Return sessions, each with its state: those with open questions first, then running ones, then the latest."""
    latest = sorted(found, key=lambda pair: pair[1].updated, reverse=True)
    return sorted(latest, key=lambda pair: (not pair[1].asking, pair[1].turn is None))


def matches(state: SessionState, query: str) -> bool:
    """Return whether the session's title, or without one its first prompt, has every word of `query`."""
    searched = (state.title or state.first_prompt).lower()
    return all(word in searched for word in query.lower().split())


def agent_choices(config: Config) -> list[AgentChoice]:
    """Return the configured agents. Looks for their programs in `PATH`."""
    return [
        AgentChoice(
            agent.name,
            agent.name == config.agent,
            config.is_command_line(agent.name),
            missing="" if agent.program(config.environ) is not None else agent.command[0],
        )
        for agent in config.agents.values()
    ]
