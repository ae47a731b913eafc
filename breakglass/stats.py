"""Numbers about sessions, computed from their events: turns, cost, tokens, tools, waiting times, failures. Pure.

Times are between the `ts` of two events, in milliseconds here and in seconds for others (docs/recipes.md).
"""

import heapq
import math
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from breakglass.events import Event, decode
from breakglass.kinds import ANSWERERS
from breakglass.tally import tokens_of
from breakglass.text import context_in, one_line

KINDS = frozenset(
    {"created", "user", "tool", "tool_result", "permission", "answer", "retry", "result", "error", "turn_end"}
)
"""The kinds that numbers come from."""
KEPT = 10
"""The slowest calls and the latest failures that are kept."""
_MILLISECOND = timedelta(milliseconds=1)
_MAIN_FIELDS = ("command", "file_path", "path", "pattern", "url", "query", "description", "prompt")


class Call(NamedTuple):
    """One call of a tool. The slowest is the largest."""

    milliseconds: int
    session: str
    line: int
    tool: str
    input: Any
    """Its input, or the line of the event that has it."""

    def as_json(self) -> dict[str, Any]:
        """Return the call for a program, with the main part of its input as `call`."""
        place = {"session": self.session, "line": self.line, "tool": self.tool}
        return {"seconds": self.milliseconds / 1000, **place, "call": _what(self.input, self.line)}


class Failure(NamedTuple):
    """One error, or a turn that did not end well. The latest is the largest."""

    ts: str
    session: str
    line: int
    error: str


class Stats:
    """The numbers of all sessions that were added."""

    def __init__(self) -> None:
        self.sessions = 0
        self.turns: dict[str, int] = {}
        """The turns that have ended, by their status."""
        self.days: dict[str, dict[str, Any]] = {}
        self.models: dict[tuple[str, str], dict[str, Any]] = {}
        self.contexts: dict[tuple[str, str], tuple[int, int]] = {}
        """The fullest context of each model: the tokens used, and how many it holds."""
        self.tools: dict[str, dict[str, Any]] = {}
        self.waits: list[int] = []
        """The milliseconds from each question to the answer of a person."""
        self.slowest: list[Call] = []
        self.failures: list[Failure] = []

    def add(self, other: "Stats") -> None:
        """Add the numbers of other sessions."""
        self.sessions += other.sessions
        for own, more in (
            (self.turns, other.turns),
            (self.days, other.days),
            (self.models, other.models),
            (self.tools, other.tools),
        ):
            _add_numbers(own, more)
        for model, context in other.contexts.items():
            self.add_context(model, context)
        self.waits += other.waits
        self.slowest = heapq.nlargest(KEPT, self.slowest + other.slowest)
        self.failures = heapq.nlargest(KEPT, self.failures + other.failures)

    def add_context(self, model: tuple[str, str], context: tuple[int, int]) -> None:
        """Keep the fullest context of a model."""
        used, size = self.contexts.get(model, (0, 1))
        if context[0] * size >= used * context[1]:
            self.contexts[model] = context

    def as_json(self) -> dict[str, Any]:
        """Return the numbers for a program."""
        by_time = sorted(
            self.tools.items(), key=lambda row: (-row[1]["milliseconds"], -row[1]["calls"], row[0])
        )
        models = sorted(self.models.items(), key=lambda row: (-row[1]["turns"], row[0]))
        return {
            "sessions": self.sessions,
            "turns": dict(sorted(self.turns.items())),
            "cost_usd": round(sum(day["cost_usd"] for day in self.days.values()), 6),
            "days": [{"day": day, **_rounded(numbers)} for day, numbers in sorted(self.days.items())],
            "models": [
                {
                    "agent": agent,
                    "model": model or None,
                    **_rounded(row),
                    "context": self._context((agent, model)),
                }
                for (agent, model), row in models
            ],
            "tools": [
                {
                    "name": name,
                    "calls": row["calls"],
                    "seconds": row["milliseconds"] / 1000,
                    "failed": row["failed"],
                }
                for name, row in by_time
            ],
            "waiting": {
                "answers": len(self.waits),
                "seconds": sum(self.waits) / 1000,
                "longest": max(self.waits, default=0) / 1000,
            },
            "slowest": [call.as_json() for call in sorted(self.slowest, reverse=True)],
            "failures": [failure._asdict() for failure in sorted(self.failures, reverse=True)],
        }

    def _context(self, model: tuple[str, str]) -> dict[str, int] | None:
        found = self.contexts.get(model)
        return {"used": found[0], "size": found[1]} if found else None


class SessionReader:
    """Adds the events of one session, in their order, to `Stats`. `since` leaves out turns that began before it."""

    def __init__(self, stats: Stats, session: str, since: str = "") -> None:
        self._stats = stats
        self._session = session
        self._since = since
        self._is_counted = False
        self._begun = ""
        """The time of the turn's prompt, "" outside a turn and in a turn before `since`."""
        self._agent = ""
        self._model = ""
        self._calls: dict[str, tuple[Event, int]] = {}
        """The calls of the turn, by their id, with the milliseconds to the last result."""
        self._asked: dict[str, str] = {}

    def add(self, event: Event) -> None:
        """Count one event. Events with missing or malformed values count nothing."""
        kind = event["kind"]
        if kind == "created":
            self._agent, self._model = str(event.get("agent", "")), str(event.get("model") or "")
        elif kind == "user":
            ts = str(event.get("ts", ""))
            self._begun = ts if ts >= self._since else ""
            if self._begun and not self._is_counted:
                self._is_counted = True
                self._stats.sessions += 1
        elif self._begun:
            self._add_in_turn(kind, event)

    def _add_in_turn(self, kind: str, event: Event) -> None:
        match kind:
            case "tool":
                self._calls[str(event.get("tool_id"))] = event, 0
            case "tool_result":
                self._add_result(event)
            case "permission":
                self._asked[str(event.get("request"))] = str(event.get("ts", ""))
            case "answer" if str(event.get("by")) not in ANSWERERS:
                asked = self._asked.pop(str(event.get("request")), "")
                self._stats.waits.append(_milliseconds(asked, str(event.get("ts", ""))))
            case "result":
                self._add_cost(event)
            case "error":
                self._fail(event, str(event.get("error", "")))
            case "turn_end":
                self._end(event)

    def _add_result(self, event: Event) -> None:
        tool_id = str(event.get("tool_id"))
        if found := self._calls.get(tool_id):
            call, _ = found
            passed = _milliseconds(str(call.get("ts", "")), str(event.get("ts", "")))
            self._calls[tool_id] = call, passed
            if event.get("is_error") is True:
                self._tool(call)["failed"] += 1

    def _tool(self, call: Event) -> dict[str, Any]:
        return self._stats.tools.setdefault(
            str(call.get("name", "")), {"calls": 0, "milliseconds": 0, "failed": 0}
        )

    def _day(self) -> dict[str, Any]:
        return self._stats.days.setdefault(
            self._begun[:10], {"turns": {}, "cost_usd": 0.0, "input_tokens": 0, "output_tokens": 0}
        )

    def _model_row(self, model: str) -> dict[str, Any]:
        zero = {"turns": 0, "cost_usd": 0.0, "input_tokens": 0, "output_tokens": 0}
        return self._stats.models.setdefault((self._agent, model), zero)

    def _add_cost(self, event: Event) -> None:
        tokens = tokens_of(event.get("usage"))
        self._model = str(event.get("model") or self._model)
        if context := context_in(event.get("context")):
            self._stats.add_context((self._agent, self._model), context)
        row = self._model_row(self._model)
        for numbers in (self._day(), row):
            numbers["cost_usd"] += _number(event.get("cost_usd"))
            numbers["input_tokens"] += tokens.input_tokens
            numbers["output_tokens"] += tokens.output_tokens

    def _fail(self, event: Event, why: str) -> None:
        failure = Failure(str(event.get("ts", "")), self._session, event["id"], one_line(why, 200))
        _keep(self._stats.failures, failure)

    def _end(self, event: Event) -> None:
        status = str(event.get("status", ""))
        for counts in (self._stats.turns, self._day()["turns"]):
            counts[status] = counts.get(status, 0) + 1
        self._model_row(self._model)["turns"] += 1
        slowest = self._stats.slowest
        for call, passed in self._calls.values():
            row = self._tool(call)
            row["calls"] += 1
            row["milliseconds"] += passed
            if len(slowest) < KEPT or passed >= slowest[0].milliseconds:
                name = str(call.get("name", ""))
                _keep(slowest, Call(passed, self._session, call["id"], name, call.get("input")))
        self._begun, self._calls, self._asked = "", {}, {}


def _keep(kept: list[Any], new: tuple[Any, ...]) -> None:
    """Add a row to the largest ones."""
    if len(kept) < KEPT:
        heapq.heappush(kept, new)
    else:
        heapq.heappushpop(kept, new)


def _rounded(numbers: dict[str, Any]) -> dict[str, Any]:
    """Return numbers with their cost rounded: the last digits of a sum depend on the order of its terms."""
    return {**numbers, "cost_usd": round(numbers["cost_usd"], 6)}


def _add_numbers(own: dict[Any, Any], more: dict[Any, Any]) -> None:
    """Add numbers to those under the same keys, also in nested objects."""
    for key, value in more.items():
        if isinstance(value, dict):
            _add_numbers(own.setdefault(key, {}), value)
        else:
            own[key] = own.get(key, 0) + value


def _what(value: Any, line: int) -> str:
    """Return the main part of the input of the call on a line."""
    if isinstance(value, bytes):
        value = decode(value, line).get("input")
    if isinstance(value, dict):
        value = next((value[key] for key in _MAIN_FIELDS if isinstance(value.get(key), str)), "")
    return one_line(value, 200) if isinstance(value, str) else ""


def _milliseconds(begin: str, end: str) -> int:
    if begin == end:
        return 0
    try:
        passed = datetime.fromisoformat(end) - datetime.fromisoformat(begin)
    except (ValueError, TypeError):  # TypeError: one of them has no time zone
        return 0
    return max(0, passed // _MILLISECOND)


def _number(value: Any) -> float:
    return float(value) if type(value) in (int, float) and math.isfinite(value) else 0.0
