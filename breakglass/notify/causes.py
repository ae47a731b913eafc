"""What a user must be told about a session, found in its events. Pure.

A cause has the id of the event that it is about. So the same log always has the same causes, and a `notified` event
names the one that was told.
"""

import ipaddress
import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from breakglass.events import Event
from breakglass.notify import Notify

QUESTION_SECONDS = 1.0
"""How long a question waits before it is told: rules of the settings answer within milliseconds."""
AGAIN_SECONDS = 300.0
"""How long a question waits before it is told once more."""
KINDS = frozenset("user permission answer error cancelled turn_end notified".split())
"""The kinds of events that decide what is told."""


class Cause(NamedTuple):
    """Something that a user must be told."""

    kind: str
    """A key of `CAUSES`, or `question_again`."""
    about: int
    """The id of its event; 0 for a failed disk."""
    at: float
    """From when on it is told, in seconds since 1970."""
    seconds: float = 0.0
    """How long the turn took."""
    what: str = ""
    """The details: the tool, the error, the prompt, or the address of a login."""
    text: str = ""
    """More of them: the tool's input, or the browser of a login."""

    @property
    def key(self) -> str:
        """What identifies it within its session."""
        return f"{self.kind}:{self.about}"

    @property
    def setting(self) -> str:
        """The value of `on` that asks for it."""
        return "question" if self.kind == "question_again" else self.kind


def is_wanted(cause: Cause, notify: Notify) -> bool:
    """Return whether a `[[notify]]` asks for a cause. A long turn that failed has ended too."""
    is_long = cause.kind in ("ended", "failed", "lost") and cause.seconds >= notify.after_seconds
    return (cause.setting in notify.on and cause.kind != "ended") or (is_long and "ended" in notify.on)


class SessionCauses:
    """The causes in the events of a session, read from the beginning of a turn on."""

    def __init__(self, *, is_first: bool) -> None:
        """`is_first`: the first turn that is read is the first one of the session."""
        self._is_first = is_first
        self._turn: int | None = None
        self._error = ""
        self._prompt = ""
        self._open: dict[str, list[Cause]] = {}
        """The causes of the open questions, by request."""
        self._others: list[Cause] = []
        self.recorded: set[tuple[str, str]] = set()
        """The causes that the log says were told, each with its destination."""

    @property
    def is_open(self) -> bool:
        """Whether a turn runs, so that more causes may come."""
        return self._turn is not None

    def all(self) -> list[Cause]:
        """Return every cause that still exists: a question only while it waits."""
        return [*self._others, *(cause for causes in self._open.values() for cause in causes)]

    def add(self, event: Event) -> None:
        """Read one more event. A malformed one changes nothing."""
        try:
            self._read(event)
        except (KeyError, TypeError, ValueError):
            pass  # a user edited the log

    def _read(self, event: Event) -> None:
        kind, at = event["kind"], _seconds(event.get("ts"))
        if kind == "notified":
            self.recorded.add((f"{event['cause']}:{event['about']}", event["to"]))
        elif kind == "user":
            self._begin(event, at)
        elif event.get("turn") != self._turn:
            return
        elif kind == "permission":
            base = Cause(
                "question", event["id"], at + QUESTION_SECONDS, 0.0, str(event["name"]), _input(event)
            )
            again = base._replace(kind="question_again", at=at + AGAIN_SECONDS)
            self._open[event["request"]] = [base, again]
        elif kind == "answer":
            self._open.pop(event["request"], None)
        elif kind == "cancelled":
            self._open.clear()
        elif kind == "error":
            self._error = str(event["error"])
        elif kind == "turn_end":
            self._end(event, at)

    def _begin(self, event: Event, at: float) -> None:
        self._turn, self._error, self._prompt = event["id"], "", str(event["text"])
        self._open.clear()
        if self._is_first:
            self._others.append(Cause("first_action", event["id"], at, 0.0, self._prompt))
        self._is_first = False

    def _end(self, event: Event, at: float) -> None:
        seconds = event["duration_ms"] / 1000
        self._turn = None
        self._open.clear()
        status = event["status"]
        if status in ("error", "timeout", "lost"):
            kind = "lost" if status == "lost" else "failed"
            self._others.append(Cause(kind, event["id"], at, seconds, self._error))
        elif status != "cancelled":
            self._others.append(Cause("ended", event["id"], at, seconds, self._prompt))


def _input(event: Event) -> str:
    """Return what a tool would do: the command if there is one, else the first text of its input."""
    given: Any = event["input"]
    texts = [each for each in given.values() if isinstance(each, str)] if isinstance(given, dict) else []
    return str(given["command"]) if isinstance(given, dict) and "command" in given else "".join(texts[:1])


def _seconds(ts: object) -> float:
    return datetime.fromisoformat(str(ts)).timestamp()


def find_new_places(lines: Iterable[bytes]) -> list[Cause]:
    """Return the logins in the lines of logins.jsonl from an address that no earlier login had.

    An IPv6 network of 64 bits counts as one address. A cause is about the number of its line.
    """
    known: set[str] = set()
    found = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            address, at = str(row["address"]), float(row["since"])
        except (ValueError, TypeError, KeyError):
            continue  # the end of a login, or a line that is not ours
        place = _place(address)
        if place not in known:
            who = f"{row.get('by', '')} from {address or 'a Unix socket'}"
            found.append(Cause("login", number, at, 0.0, who, str(row.get("agent", ""))))
        known.add(place)
    return found


def _place(address: str) -> str:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else address
