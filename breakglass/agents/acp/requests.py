"""The requests that we sent to an ACP agent, and which of its messages respond to them. Pure.

JSON-RPC (jsonrpc.org/specification): a request has an id that its sender chooses, and the response repeats it.
"""

import re
from typing import Any, NamedTuple

from breakglass.agents.acp.messages import Message

_NUMBER = re.compile(r"[1-9][0-9]{0,8}(\.0)?")


class Response(NamedTuple):
    """What a message without a `method` responds to."""

    method: str | None
    """The method of our request; None if the agent could not read which request it was."""
    is_error: bool


class SentRequests:
    """Our requests to one process of the agent, by their ids."""

    def __init__(self) -> None:
        self._methods: dict[int, str] = {}  # "" for a request that has its response

    def add(self, method: str, params: Message) -> Message:
        """Return a new request, with an id that no earlier one has."""
        number = len(self._methods) + 1
        self._methods[number] = method
        return {"id": number, "method": method, "params": params}

    def match(self, message: Message) -> Response | None:
        """Return what `message` responds to, None if no request waits for it. A request gets one response.

        An error without an id means that the agent could not parse a request of ours.
        """
        number = _number(message.get("id"))
        is_error = message.get("error") is not None  # some libraries write `null` beside a result
        method = None
        if number in self._methods:
            method, self._methods[number] = self._methods[number], ""
        if method:
            return Response(method, is_error=is_error)
        return Response(None, is_error=True) if is_error and message.get("id") is None else None


def _number(value: Any) -> int:
    """Return the id of a response as a number, 0 if it is none. A library may repeat 1 as `1.0` or as text."""
    text = "" if isinstance(value, bool) else str(value)
    return int(text.removesuffix(".0")) if _NUMBER.fullmatch(text) else 0
