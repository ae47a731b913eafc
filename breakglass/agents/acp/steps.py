"""A step of an opening: the next request to an ACP agent, or the reason why there is none. Pure."""

from typing import NamedTuple

from breakglass.agents.acp.messages import Message
from breakglass.events import Draft

PROMPT = "session/prompt"


class CannotContinue(Exception):
    """The agent cannot or must not run the turn. The text is the reason, for the user."""


class Step(NamedTuple):
    """The next request, and the events that are known so far."""

    method: str
    """Its method; "" to send nothing until the agent is quiet."""
    params: Message
    drafts: list[Draft] = []  # noqa: RUF012 — never changed
