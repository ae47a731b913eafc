"""A session as OTLP JSON and as ATIF keeps the rules of both specifications, also if its log is hostile."""

import json
import re
from datetime import datetime
from typing import Any

from breakglass.events import Event
from breakglass.export import atif, otlp
from tests.export.test_markdown import session
from tests.help.sample_session import history

SESSION = "5c1b0a63-1111-4111-8111-111111111111"
HOSTILE: list[dict[str, Any]] = [
    {"kind": "tool", "turn": 2, "tool_id": ["x"], "name": None, "input": float("inf"), "parent": "none"},
    {"kind": "tool_result", "turn": 2, "tool_id": ["x"], "output": 7, "is_error": "yes"},
    {"kind": "tool_result", "turn": 2, "tool_id": "unknown", "output": "\ud800\x00", "is_error": True},
    {"kind": "text", "turn": "2", "text": None, "ts": "yesterday"},
    {"kind": "text", "turn": 2, "text": "late", "ts": "9999-01-01T00:00:00.000Z"},
    {"kind": "answer", "turn": 2, "request": "never asked", "allow": 1, "by": None},
    {
        "kind": "result",
        "turn": 2,
        "usage": {"input_tokens": "many", "output_tokens": 1e400},
        "cost_usd": float("nan"),
    },
    {"kind": "result", "turn": 2, "usage": [], "cost_usd": 1 << 70},
    {"kind": "foreign", "text": "no event"},
]


def spans_of(events: list[Event]) -> list[dict[str, Any]]:
    document = json.loads("".join(otlp.render(events, SESSION, events[0])), parse_constant=refuse)
    ((resource,),) = document.values()
    assert resource["resource"]["attributes"][0] == {
        "key": "service.name",
        "value": {"stringValue": "breakglass"},
    }
    return list(resource["scopeSpans"][0]["spans"])


def trajectory_of(events: list[Event]) -> dict[str, Any]:
    trajectory = json.loads("".join(atif.render(events, SESSION, events[0])), parse_constant=refuse)
    return dict(trajectory)


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def attributes(span: dict[str, Any]) -> dict[str, Any]:
    return {each["key"]: next(iter(each["value"].values())) for each in span["attributes"]}


def check_spans(spans: list[dict[str, Any]]) -> None:
    ids = {span["spanId"] for span in spans}
    assert len(ids) == len(spans)
    for span in spans:
        assert re.fullmatch("[0-9a-f]{32}", span["traceId"])
        assert re.fullmatch("[0-9a-f]{16}", span["spanId"])
        assert span.get("parentSpanId") in {None, *ids}
        begin, end = span["startTimeUnixNano"], span["endTimeUnixNano"]
        assert type(begin) is type(end) is str
        assert 0 < int(begin) <= int(end) < 1 << 63
        for each in span["attributes"]:
            ((kind, value),) = each["value"].items()
            expected = {"stringValue": str, "intValue": str, "boolValue": bool, "doubleValue": float}
            assert type(value) is expected[kind]


def check_trajectory(trajectory: dict[str, Any]) -> None:
    steps = trajectory["steps"]
    assert {*trajectory} == {"schema_version", "session_id", "agent", "steps", "final_metrics"}
    assert [step["step_id"] for step in steps] == [*range(1, len(steps) + 1)]
    for step in steps:
        assert type(step["message"]) is str
        assert step["source"] in ("system", "user", "agent")
        assert step["source"] == "agent" or not {
            "tool_calls",
            "metrics",
            "model_name",
            "reasoning_content",
        } & {*step}
        datetime.fromisoformat(step.get("timestamp", "2026-01-01"))
        calls = [call["tool_call_id"] for call in step.get("tool_calls", [])]
        assert all(type(call["arguments"]) is dict for call in step.get("tool_calls", []))
        for result in step.get("observation", {"results": []})["results"]:
            assert result.get("source_call_id") in {None, *calls}
            assert type(result["content"]) is str


def test_each_turn_is_a_trace_and_each_call_a_span_with_its_time() -> None:
    usage = {"input_tokens": 10, "cache_read_input_tokens": 30, "output_tokens": 5}
    spans = spans_of(
        session(
            "Free the disk",
            {"kind": "tool", "turn": 2, "tool_id": "t", "name": "Task", "input": {"prompt": "look"}},
            {
                "kind": "tool",
                "turn": 2,
                "tool_id": "u",
                "name": "Bash",
                "input": {"command": "df"},
                "parent": "t",
            },
            {"kind": "tool_result", "turn": 2, "tool_id": "u", "output": "100%", "is_error": True},
            {"kind": "permission", "turn": 2, "request": "r", "name": "Bash", "input": {}, "expires": ""},
            {"kind": "answer", "turn": 2, "request": "r", "allow": True, "by": "ada"},
            {
                "kind": "result",
                "turn": 2,
                "is_error": False,
                "usage": usage,
                "cost_usd": 0.5,
                "model": "opus",
            },
        )
    )
    check_spans(spans)
    names = ["invoke_agent claude", "execute_tool Task", "execute_tool Bash", "permission Bash"]
    assert [span["name"] for span in spans] == names
    turn, task, bash, asked = spans
    seconds = [
        (int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"])) / 1e9 for span in (turn, bash, asked)
    ]
    assert seconds == [21, 3, 3]
    assert (task["parentSpanId"], bash["parentSpanId"]) == (turn["spanId"], task["spanId"])
    assert bash["status"] == {"code": 2}
    assert attributes(bash)["gen_ai.tool.call.arguments"] == '{"command":"df"}'
    about = attributes(turn)
    assert about["gen_ai.usage.input_tokens"] == "40"
    assert (about["breakglass.cost_usd"], about["breakglass.status"]) == (0.5, "ok")
    assert (about["gen_ai.response.model"], about["gen_ai.conversation.id"]) == ("opus", SESSION)
    assert "100%" not in json.dumps(spans)


def test_a_step_of_an_agent_has_its_words_its_calls_and_their_output() -> None:
    trajectory = trajectory_of(
        session(
            "Free the disk",
            {"kind": "thinking", "turn": 2, "text": "Look first."},
            {"kind": "text", "turn": 2, "text": "I look."},
            {"kind": "tool", "turn": 2, "tool_id": "t", "name": "Bash", "input": {"command": "df"}},
            {"kind": "tool", "turn": 2, "tool_id": "u", "name": "Bash", "input": "du"},
            {"kind": "tool_result", "turn": 2, "tool_id": "t", "output": "100", "is_error": False},
            {"kind": "tool_result", "turn": 2, "tool_id": "t", "output": " %", "is_error": False},
            {"kind": "text", "turn": 2, "text": "It is full."},
            {"kind": "tool_result", "turn": 2, "tool_id": "u", "output": "late", "is_error": True},
            {
                "kind": "result",
                "turn": 2,
                "usage": {"input_tokens": 1, "cache_read_input_tokens": 2},
                "cost_usd": 0.5,
            },
        )
    )
    check_trajectory(trajectory)
    user, acting, ending = trajectory["steps"]
    assert (trajectory["schema_version"], trajectory["agent"]["name"]) == ("ATIF-v1.4", "claude")
    assert (user["source"], user["message"], user["extra"]) == ("user", "Free the disk", {"line": 2})
    assert (acting["message"], acting["reasoning_content"]) == ("I look.", "Look first.")
    assert [call["arguments"] for call in acting["tool_calls"]] == [{"command": "df"}, {"input": "du"}]
    assert acting["observation"]["results"] == [
        {"source_call_id": "t", "content": "100 %"},
        {"source_call_id": "u", "content": "late"},
    ]
    assert acting["extra"] == {"line": 3, "failed": ["u"]}
    assert ending["message"] == "It is full."
    assert ending["metrics"] == {
        "prompt_tokens": 3,
        "completion_tokens": 0,
        "cached_tokens": 2,
        "cost_usd": 0.5,
    }
    assert trajectory["final_metrics"]["total_cost_usd"] == 0.5
    assert trajectory["final_metrics"]["total_steps"] == 3


def test_every_kind_of_event_and_a_hostile_log_keep_the_rules() -> None:
    hostile = session("a", *HOSTILE)
    for events in (history(), hostile, hostile[3:], [hostile[0]]):
        check_spans(spans_of(events))
        check_trajectory(trajectory_of(events))
    assert len({span["traceId"] for span in spans_of(history())}) == 4
    assert spans_of(history()) == spans_of(history())
