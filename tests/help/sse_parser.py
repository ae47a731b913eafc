"""A parser of event streams, as in a browser (HTML Living Standard, section 9.2.6).

It is strict where a browser would hide a mistake of the server: invalid UTF-8 and unknown fields are errors.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

_LINE_END = re.compile(r"\r\n|\n|\r")


class Message(NamedTuple):
    """One dispatched event."""

    type: str
    data: str
    last_event_id: str
    """The id the client would send on its next connection."""


class Parser:
    """Parses chunks that may end anywhere, and keeps the state that a browser keeps."""

    def __init__(self) -> None:
        self.comments: list[str] = []
        self.last_event_id = ""
        self.retry: int | None = None
        self._rest = b""
        self._begun = False
        self._type = ""
        self._data: list[str] = []
        self._id = ""

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """Yield the messages that `chunk` completes. Raises ValueError for a mistake in the stream."""
        self._rest += chunk
        # A CR at the end may be half of a CRLF. The standard lets a parser wait for the next byte.
        cut = max(self._rest.rfind(b"\n"), self._rest.rfind(b"\r", 0, -1)) + 1
        whole, self._rest = self._rest[:cut].decode("utf-8", "strict"), self._rest[cut:]
        if whole and not self._begun:
            self._begun = True
            whole = whole.removeprefix("\ufeff")
        for line in _LINE_END.split(whole)[:-1]:
            if message := self._take(line):
                yield message

    def _take(self, line: str) -> Message | None:
        if not line:
            return self._dispatch()
        name, colon, value = line.partition(":")
        value = value.removeprefix(" ")
        if not name and colon:
            self.comments.append(value)
        elif name == "event":
            self._type = value
        elif name == "data":
            self._data.append(value)
        elif name == "id":
            if "\0" not in value:
                self._id = value
        elif name == "retry":
            if re.fullmatch("[0-9]+", value):
                self.retry = int(value)
        else:
            raise ValueError(f"a field that a browser would ignore: {line[:80]!r}")
        return None

    def _dispatch(self) -> Message | None:
        self.last_event_id = self._id
        type_, data = self._type or "message", self._data
        self._type, self._data = "", []
        return Message(type_, "\n".join(data), self.last_event_id) if data else None


def parse(stream: bytes) -> list[Message]:
    """Return the messages of a complete stream. Raises ValueError for a mistake or if it ends within a message."""
    parser = Parser()
    messages = list(parser.feed(stream))
    if parser._rest or parser._data or parser._type:
        raise ValueError("the stream ends within a message")
    return messages
