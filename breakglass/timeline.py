"""The timeline of a session: its turns, and in each the calls of tools, the waits and the retries. Pure."""

from collections import deque
from datetime import datetime
from typing import Any

from breakglass.events import Event

MAX_TURNS = 50
"""The latest turns that a timeline has."""
MAX_SPANS = 200
"""Spans of one turn. The first ones are kept."""


class Timeline:
    """The latest turns of one session, from its events in their order."""

    def __init__(self) -> None:
        self.turns: deque[dict[str, Any]] = deque(maxlen=MAX_TURNS)
        """`{line, ts, status, seconds, spans}`. A span is `{kind, line, label, begin, end}`; times are in seconds since
        the prompt, and `kind` is `tool`, `wait` or `retry`."""
        self._begun: datetime | None = None
        self._open: dict[tuple[str, str], dict[str, Any]] = {}

    def add(self, event: Event) -> None:
        """Add one event. Events with missing or malformed values add nothing."""
        now, kind = _time(event), event["kind"]
        if kind == "user" and now:
            self._begun, self._open = now, {}
            ts = str(event["ts"])
            self.turns.append(
                {"line": event["id"], "ts": ts, "status": "running", "seconds": 0.0, "spans": []}
            )
        if now is None or self._begun is None:
            return
        at = max(0.0, round((now - self._begun).total_seconds(), 3))
        match kind:
            case "tool":
                self._begin(("tool", str(event.get("tool_id"))), event, at, str(event.get("name", "")))
            case "permission":
                self._begin(("wait", str(event.get("request"))), event, at, str(event.get("name", "")))
            case "retry":
                self._begin(("retry", str(event["id"])), event, at, str(event.get("error", ""))[:100])
            case "tool_result":
                self._end(("tool", str(event.get("tool_id"))), at)
            case "answer":
                self._end(("wait", str(event.get("request"))), at)
        self.turns[-1]["seconds"] = at
        if kind == "turn_end":
            self.turns[-1]["status"] = str(event.get("status", ""))
            self._begun = None

    def _begin(self, key: tuple[str, str], event: Event, at: float, label: str) -> None:
        spans = self.turns[-1]["spans"]
        if len(spans) < MAX_SPANS:
            span = {"kind": key[0], "line": event["id"], "label": label, "begin": at, "end": at}
            self._open[key] = span
            spans.append(span)

    def _end(self, key: tuple[str, str], at: float) -> None:
        if key in self._open:
            self._open[key]["end"] = at


def _time(event: Event) -> datetime | None:
    try:
        return datetime.fromisoformat(str(event.get("ts"))[:23])
    except ValueError:
        return None
