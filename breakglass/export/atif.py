"""A session in the Agent Trajectory Interchange Format (ATIF), version 1.4: a list of steps, for tools. Pure.

A step of the agent is what it thought, said and called until a tool returned. The output of its calls is in the same
step. Errors, notices, stops and answers to questions are steps of the system. The specification is RFC 0001 of the
project Harbor. What it has no field for is in `extra`: the line of the log, and the call that a sub-agent works for.
"""

import math
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from breakglass.events import Event, dumps
from breakglass.tally import tokens_of

VERSION = "ATIF-v1.4"
_METRICS = ("prompt_tokens", "completion_tokens", "cached_tokens", "cost_usd")

Step = dict[str, Any]


def render(events: Iterable[Event], session: str, created: Event) -> Iterator[str]:
    """Yield the parts of one JSON object. `created` is the first event of the log."""
    agent: dict[str, Any] = {"name": str(created.get("agent") or "unknown"), "version": "unknown"}
    if created.get("model"):
        agent["model_name"] = str(created["model"])
    if created.get("host"):
        agent["extra"] = {"host": str(created["host"])}
    about = {"schema_version": VERSION, "session_id": session, "agent": agent}
    yield dumps(about)[:-1] + ',"steps":['
    totals: dict[str, float] = {}
    number = 0
    for turn in _turns(events):
        for key, value in turn.metrics.items():
            totals[f"total_{key}"] = totals.get(f"total_{key}", 0) + value
        for step in turn.finished():
            number += 1
            yield (",\n" if number > 1 else "\n") + dumps({"step_id": number, **step})
    yield f'\n],"final_metrics":{dumps({**totals, "total_steps": number})}}}\n'


def _turns(events: Iterable[Event]) -> Iterator["_Turn"]:
    """Yield each turn when it is complete. Events outside turns belong to the turn before."""
    turn = _Turn()
    for event in events:
        if event["kind"] == "user":
            yield turn
            turn = _Turn()
        turn.add(event)
    yield turn


class _Turn:
    """The steps of one turn, and what it used."""

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}
        self._more_metrics: dict[str, int] = {}
        self._model = ""
        self._steps: list[Step] = []
        self._calls: dict[str, Step] = {}
        """The step of each call, by the id of the call."""

    def finished(self) -> list[Step]:
        """Return the steps. The last one of the agent has the metrics and the model of the whole turn."""
        last = next((step for step in reversed(self._steps) if step["source"] == "agent"), None)
        if last and self.metrics:
            more = {"extra": self._more_metrics} if self._more_metrics else {}
            last["metrics"] = {**self.metrics, **more}
        if last and self._model:
            last["model_name"] = self._model
        return self._steps

    def add(self, event: Event) -> None:
        """Add one event. Events that are no part of a dialogue, such as seals, add nothing."""
        match event["kind"]:
            case "user" | "steered":
                self._say("user", event, str(event.get("text", "")))
            case "text":
                self._add_text("message", event)
            case "thinking":
                self._add_text("reasoning_content", event)
            case "tool":
                self._add_call(event)
            case "tool_result":
                self._add_result(event)
            case "error" | "notice" | "retry":
                self._say("system", event, str(event.get("error") or event.get("text") or ""))
            case "answer":
                allowed = "allowed" if event.get("allow") is True else "refused"
                self._say("system", event, f"permission {allowed} by {event.get('by')}")
            case "cancelled":
                self._say("system", event, f"stopped by {event.get('by')}")
            case "result":
                self._add_metrics(event)

    def _say(self, source: str, event: Event, message: str) -> Step:
        extra = {"line": event["id"], **{key: event[key] for key in ("parent",) if key in event}}
        when = {"timestamp": event["ts"]} if _is_time(event.get("ts")) else {}
        step: Step = {**when, "source": source, "message": message, "extra": extra}
        self._steps.append(step)
        return step

    def _agents_step(self, event: Event) -> Step:
        """Return the step that an event of the agent belongs to: the last one, if nothing came back since."""
        last = self._steps[-1] if self._steps else None
        is_same = last and last["source"] == "agent" and last["extra"].get("parent") == event.get("parent")
        return last if last and is_same and "observation" not in last else self._say("agent", event, "")

    def _add_text(self, key: str, event: Event) -> None:
        step = self._agents_step(event)
        if "tool_calls" in step:  # a model that calls a tool says nothing more until it has the result
            step = self._say("agent", event, "")
        step[key] = "\n\n".join(filter(None, (step.get(key, ""), str(event.get("text", "")))))

    def _add_call(self, event: Event) -> None:
        step, value, call = self._agents_step(event), event.get("input"), str(event.get("tool_id"))
        arguments = value if isinstance(value, dict) else {"input": value}
        made = {"tool_call_id": call, "function_name": str(event.get("name", "")), "arguments": arguments}
        step.setdefault("tool_calls", []).append(made)
        self._calls[call] = step

    def _add_result(self, event: Event) -> None:
        call = str(event.get("tool_id"))
        step = self._calls.get(call) or self._say("system", event, "")
        results = step.setdefault("observation", {"results": []})["results"]
        known = next((each for each in results if each.get("source_call_id") == call), None)
        if known is None:
            known = {"source_call_id": call, "content": ""} if call in self._calls else {"content": ""}
            results.append(known)
        known["content"] += str(event.get("output", ""))
        if event.get("is_error") is True:
            step["extra"].setdefault("failed", []).append(call)

    def _add_metrics(self, event: Event) -> None:
        usage, cost = event.get("usage"), event.get("cost_usd")
        tokens = tokens_of(usage)
        written, cached = tokens.cache_creation_input_tokens, tokens.cache_read_input_tokens
        values = (
            (tokens.given, tokens.output_tokens, cached)
            if isinstance(usage, dict) and usage
            else (None, None, None)
        )
        known = (*values, cost if _is_number(cost) else None)
        self.metrics = {key: value for key, value in zip(_METRICS, known, strict=True) if value is not None}
        self._more_metrics = {"cache_creation_input_tokens": written} if written else {}
        self._model = str(event.get("model") or "")


def _is_time(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(datetime.fromisoformat(value))
    except ValueError:
        return False


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
