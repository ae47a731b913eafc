"""The sessions that an ACP agent keeps itself: `initialize`, then `session/list` until the last page. Pure.

Only an agent that can reopen a session is asked. Format: the protocol's page "session-list".
"""

from typing import NamedTuple

from breakglass import __version__
from breakglass.agents.acp import messages
from breakglass.agents.acp.messages import Message
from breakglass.agents.acp.requests import SentRequests
from breakglass.agents.lines import LineSplitter, as_object, as_objects, as_text, parse_object

MAX_PAGES = 100
_NOT_OFFERED = "it does not offer the list of its sessions (session/list)"
_NOT_REOPENED = "it cannot reopen a session"


class Listed(NamedTuple):
    """A session as the agent lists it. Nothing of it is checked but the id."""

    id: str
    directory: str
    title: str
    updated: str
    """RFC 3339, "" if the agent does not say."""


class Listing:
    """One process of the agent, from `initialize` to the end of its list."""

    def __init__(self) -> None:
        self.sessions: list[Listed] = []
        self.problem = ""
        """Why there is no list, "" if there is one."""
        self.finished = False
        self._splitter = LineSplitter()
        self._sent = SentRequests()
        self._pages = 0

    def open(self) -> bytes:
        """Return the first request."""
        return messages.encode_line(self._sent.add("initialize", messages.initialize(__version__, {})))

    def read(self, data: bytes) -> bytes:
        """Read the agent's output, cut anywhere. Return what to write to it."""
        written = b""
        for line in self._splitter.feed(data):
            message = parse_object(line) if line else None
            if message and not self.finished:
                written += self._read(message)
        return written

    def _read(self, message: Message) -> bytes:
        if "method" in message:
            return messages.encode_line(messages.not_offered(message)) if "id" in message else b""
        response = self._sent.match(message)
        if response is None:
            return b""
        if response.is_error:
            return self._end(messages.error_text(message["error"], []))
        result = as_object(message.get("result"))
        if response.method == "initialize":
            return self._begin(as_object(result.get("agentCapabilities")))
        self.sessions += [_listed(each) for each in as_objects(result.get("sessions"))]
        cursor, self._pages = as_text(result.get("nextCursor")), self._pages + 1
        return self._ask({"cursor": cursor}) if cursor and self._pages < MAX_PAGES else self._end()

    def _begin(self, offered: Message) -> bytes:
        of_sessions = as_object(offered.get("sessionCapabilities"))
        if not isinstance(of_sessions.get("list"), dict):
            return self._end(_NOT_OFFERED)
        if offered.get("loadSession") is not True and not isinstance(of_sessions.get("resume"), dict):
            return self._end(_NOT_REOPENED)
        return self._ask({})

    def _ask(self, params: Message) -> bytes:
        return messages.encode_line(self._sent.add("session/list", params))

    def _end(self, problem: str = "") -> bytes:
        self.finished, self.problem = True, problem
        return b""


def _listed(session: Message) -> Listed:
    texts = (as_text(session.get(key)) for key in ("cwd", "title", "updatedAt"))
    return Listed(messages.session_id(session), *texts)
