"""A session as traces in OTLP JSON, for tools such as Jaeger, Grafana Tempo and the OpenTelemetry Collector. Pure.

Each turn is a trace: a span for the turn, below it one for each call of a tool and each question. Retries, notices and
errors are events of the turn's span. The names of spans and attributes are the GenAI conventions of OpenTelemetry where
these have one, else they begin with `breakglass.`. The output of tools is left out: backends limit an attribute's size.

Ids are hashes of the session and the line, so that a backend that gets a session twice stores it once. The format is
specified in opentelemetry.io/docs/specs/otlp: ids in hex, 64-bit numbers as text, enums as numbers.
"""

import hashlib
import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from breakglass import __version__
from breakglass.events import Event, dumps
from breakglass.tally import tokens_of

INTERNAL = 1
"""The kind of a span within one process (trace.proto, `SpanKind`)."""
FAILED = 2
"""`STATUS_CODE_ERROR`."""
MAX_TEXT = 16 << 10
"""Characters of an attribute."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_NS = (1 << 63) - 1

Span = dict[str, Any]


def render(events: Iterable[Event], session: str, created: Event) -> Iterator[str]:
    """Yield the parts of one JSON object on one line. `created` is the first event of the log."""
    host = {"host.name": created["host"]} if created.get("host") else {}
    resource = {
        "attributes": _attributes({"service.name": "breakglass", "service.version": __version__, **host})
    }
    scope = {"name": "breakglass", "version": __version__}
    yield f'{{"resourceSpans":[{{"resource":{dumps(resource)},"scopeSpans":[{{"scope":{dumps(scope)},'
    yield '"spans":['
    separator = ""
    for span in _spans(events, session, created):
        yield separator + dumps(span)
        separator = ","
    yield "]}]}]}\n"


def _spans(events: Iterable[Event], session: str, created: Event) -> Iterator[Span]:
    turn: _Turn | None = None
    agent, model = str(created.get("agent") or ""), str(created.get("model") or "")
    for event in events:
        now, number = _nanoseconds(event), event.get("turn")
        if now is None or type(number) is not int:
            continue
        if turn is None or (turn.number != number and event["kind"] == "user"):
            yield from turn.spans() if turn else ()
            agent, model = str(event.get("agent") or agent), str(event.get("model") or model)
            turn = _Turn(session, number, now, agent, model)
        if turn.number == number:
            turn.add(event, now)
    yield from turn.spans() if turn else ()


class _Turn:
    """The spans of one turn. If a document begins within a turn, so does its span."""

    def __init__(self, session: str, number: int, begin: int, agent: str, model: str) -> None:
        self.number = number
        self._session = session
        self._trace = hashlib.sha256(f"{session}:{number}".encode()).hexdigest()[:32]
        self._begin = self._end = begin
        self._status, self._error = "running", ""
        self._attributes: dict[str, Any] = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": agent,
            "gen_ai.conversation.id": session,
            "gen_ai.request.model": model,
        }
        self._events: list[dict[str, Any]] = []
        self._open: dict[tuple[str, str], Span] = {}
        """The calls and questions, by their kind and id."""

    def add(self, event: Event, now: int) -> None:
        """Add one event of this turn."""
        self._end = max(self._end, now)
        match event["kind"]:
            case "user":
                self._attributes |= {"breakglass.prompt": event.get("text"), "enduser.id": event.get("by")}
            case "tool":
                self._begin_call(event, now)
            case "permission":
                key, name = ("question", str(event.get("request"))), event.get("name")
                self._begin_span(key, event, now, f"permission {name}", {"gen_ai.tool.name": name})
            case "tool_result":
                self._end_span(("tool", str(event.get("tool_id"))), event, now)
            case "answer":
                self._end_span(("question", str(event.get("request"))), event, now)
            case "retry" | "error" | "notice":
                self._add_event(event, now)
            case "result":
                self._add_result(event)
            case "turn_end":
                self._status = str(event.get("status", ""))

    def spans(self) -> Iterator[Span]:
        """Yield the span of the turn, and those below it."""
        agent = str(self._attributes["gen_ai.agent.name"])
        named = {**self._attributes, "breakglass.status": self._status, "breakglass.line": self.number}
        is_failed = self._status in ("error", "timeout", "lost")
        status = {"code": FAILED, "message": self._error or self._status} if is_failed else {}
        turn = self._span(self.number, f"invoke_agent {agent}".strip(), self._begin, named)
        for span in ({**turn, "events": self._events, "status": status}, *self._open.values()):
            yield {"endTimeUnixNano": str(self._end), **span}

    def _begin_call(self, event: Event, now: int) -> None:
        name, call = str(event.get("name", "")), str(event.get("tool_id"))
        about = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": name,
            "gen_ai.tool.call.id": call,
            "gen_ai.tool.call.arguments": dumps(event.get("input")),
        }
        self._begin_span(("tool", call), event, now, f"execute_tool {name}", about)

    def _begin_span(
        self, key: tuple[str, str], event: Event, now: int, name: str, about: dict[str, Any]
    ) -> None:
        line = event["id"]
        about |= {"breakglass.line": line, "gen_ai.conversation.id": self._session}
        above = self._open.get(("tool", str(event.get("parent"))))
        parent = above["spanId"] if above else self._id(self.number)
        self._open[key] = self._span(line, name, now, about) | {"parentSpanId": parent}

    def _end_span(self, key: tuple[str, str], event: Event, now: int) -> None:
        if span := self._open.get(key):
            span["endTimeUnixNano"] = str(max(now, int(span["startTimeUnixNano"])))
            if event.get("is_error") is True:
                span["status"] = {"code": FAILED}
            if event["kind"] == "answer":
                about = {"breakglass.allow": event.get("allow") is True, "enduser.id": event.get("by")}
                span["attributes"] += _attributes(about)

    def _add_event(self, event: Event, now: int) -> None:
        said = str(event.get("error") or event.get("text") or "")
        if event["kind"] == "error":
            self._error = said[:MAX_TEXT]
        about = _attributes({"message": said, "breakglass.line": event["id"]})
        self._events.append({"timeUnixNano": str(now), "name": event["kind"], "attributes": about})

    def _add_result(self, event: Event) -> None:
        usage = event.get("usage")
        if isinstance(usage, dict):
            tokens = tokens_of(usage)
            self._attributes |= {
                "gen_ai.usage.input_tokens": tokens.given,  # the conventions count cached ones too
                "gen_ai.usage.cache_read.input_tokens": tokens.cache_read_input_tokens,
                "gen_ai.usage.output_tokens": tokens.output_tokens,
            }
        more = {"gen_ai.response.model": event.get("model"), "breakglass.cost_usd": event.get("cost_usd")}
        self._attributes |= more

    def _span(self, line: int, name: str, begin: int, about: dict[str, Any]) -> Span:
        return {
            "traceId": self._trace,
            "spanId": self._id(line),
            "name": name,
            "kind": INTERNAL,
            "startTimeUnixNano": str(begin),
            "attributes": _attributes(about),
        }

    def _id(self, line: int) -> str:
        return hashlib.sha256(f"{self._session}:{self.number}:{line}".encode()).hexdigest()[:16]


def _attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Return attributes as OTLP writes them. Empty values are left out."""
    return [{"key": key, "value": _value(each)} for key, each in values.items() if each not in (None, "")]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int) and -(1 << 63) <= value < 1 << 63:
        return {"intValue": str(value)}
    if isinstance(value, float) and math.isfinite(value):
        return {"doubleValue": value}
    return {"stringValue": str(value)[:MAX_TEXT]}


def _nanoseconds(event: Event) -> int | None:
    """Return when an event was written, in ns since 1970, None if it does not say so."""
    try:
        then = datetime.fromisoformat(str(event.get("ts")))
    except ValueError:
        return None
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    passed = (then - _EPOCH) // timedelta(microseconds=1) * 1000
    return passed if 0 <= passed <= MAX_NS else None
