"""The login of an ACP agent: which way it offers needs no user, and what a user is told. Pure."""

import re
from collections.abc import Collection
from typing import Any

from breakglass.agents.acp import messages
from breakglass.agents.acp.messages import Message
from breakglass.agents.lines import as_object, as_objects, as_text


class Login:
    """The ways to log in that one process of the agent offers. One of them is tried, once."""

    def __init__(self, variables: Collection[str]) -> None:
        """`variables` are the names in the agent's environment."""
        self._variables = variables
        self._ways: list[Message] = []
        self._is_tried = False

    def note_ways(self, message: Any) -> None:
        """Note the ways in the `authMethods` of a message. The first message that has any counts."""
        self._ways = self._ways or as_objects(as_object(message).get("authMethods"))

    def next_way(self) -> str:
        """Return the id of a way that needs no user, "" if there is none or it was tried already."""
        if self._is_tried:
            return ""
        self._is_tried = True
        return _way_without_user(self._ways, self._variables)

    def explain(self, refusal: Any) -> str:
        """Return the text of an error object. If it requires a login, the text says how to log in."""
        return messages.error_text(refusal, self._ways)

    def explain_failure(self, refusal: Any) -> str:
        """Return the text of the error object that answers `authenticate`, and once how to log in."""
        reason = messages.error_text({**refusal, "code": None} if isinstance(refusal, dict) else refusal, [])
        advice = self.explain({"code": messages.AUTH_REQUIRED, "message": "It requires a login"})
        return f"it refused its login ({reason}). {advice}"


def needed_variables(way: Message) -> list[str]:
    """Return the names of the variables that a way to log in needs."""
    return [as_text(each.get("name")) for each in as_objects(way.get("vars")) if not each.get("optional")]


def takes_key(way: Message) -> bool:
    """Return whether a way to log in takes an API key that the agent finds itself."""
    named = re.search("api.?key", as_text(way.get("id")), re.IGNORECASE)
    return "api-key" in as_object(way.get("_meta")) or bool(named)


def _way_without_user(ways: list[Message], variables: Collection[str]) -> str:
    """Return the id of a login that needs no user, "" if there is none.

    That is a key in variables that are all set, else an API key: an agent that finds none refuses it at once.
    """
    keys = ""
    for way in ways:
        way_id, needed = as_text(way.get("id")), needed_variables(way)
        if needed and all(name in variables for name in needed):
            return way_id
        keys = keys or (way_id if takes_key(way) and not needed else "")
    return keys
