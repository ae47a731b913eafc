"""The numbers of sessions: each is spelled out for one small history, and equals what the recipes with jq print."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from breakglass.events import Event
from breakglass.stats import KINDS, SessionReader, Stats
from breakglass.store import log, seek, sessions
from breakglass.store.counted import events_that_count
from breakglass.store.sessions import Session
from tests.help.sample_session import history
from tests.help.session_logs import events_of


def numbers(*histories: list[Event], since: str = "") -> dict[str, Any]:
    stats = Stats()
    for number, events in enumerate(histories):
        reader = SessionReader(stats, f"s{number}", since)
        for event in events:
            reader.add(event)
    return stats.as_json()


def timed(*events: tuple[str, dict[str, Any]]) -> list[Event]:
    return [
        {"id": number, "ts": f"2026-11-23T03:{second}.123Z", "turn": 2, **event}
        for number, (second, event) in enumerate(events, 1)
    ]


TURN = timed(
    ("00:00", {"kind": "created", "agent": "claude", "model": None}),
    ("00:01", {"kind": "user", "text": "go"}),
    ("00:02", {"kind": "tool", "tool_id": "a", "name": "Bash", "input": {"command": "df"}}),
    ("00:12", {"kind": "tool_result", "tool_id": "a", "output": "x", "is_error": False}),
    ("00:22", {"kind": "tool_result", "tool_id": "a", "output": "y", "is_error": True}),
    ("00:23", {"kind": "permission", "request": "r"}),
    ("01:03", {"kind": "answer", "request": "r", "allow": True, "by": "ann"}),
    ("01:03", {"kind": "permission", "request": "t"}),
    ("01:09", {"kind": "answer", "request": "t", "allow": False, "by": "timeout"}),
    ("01:10", {"kind": "error", "error": "it broke"}),
    (
        "01:11",
        {
            "kind": "result",
            "cost_usd": 0.5,
            "model": "opus",
            "usage": {"input_tokens": 7, "output_tokens": 9},
            "context": {"used": 30_000, "size": 200_000},
        },
    ),
    ("01:12", {"kind": "turn_end", "status": "error", "duration_ms": 71_000}),
)


def test_each_number_is_counted_once() -> None:
    assert numbers(TURN) == {
        "sessions": 1,
        "turns": {"error": 1},
        "cost_usd": 0.5,
        "days": [
            {
                "day": "2026-11-23",
                "turns": {"error": 1},
                "cost_usd": 0.5,
                "input_tokens": 7,
                "output_tokens": 9,
            }
        ],
        "models": [
            {
                "agent": "claude",
                "model": "opus",
                "turns": 1,
                "cost_usd": 0.5,
                "input_tokens": 7,
                "output_tokens": 9,
                "context": {"used": 30_000, "size": 200_000},
            }
        ],
        "tools": [{"name": "Bash", "calls": 1, "seconds": 20, "failed": 1}],
        "waiting": {"answers": 1, "seconds": 40, "longest": 40},
        "slowest": [{"seconds": 20, "session": "s0", "line": 3, "tool": "Bash", "call": "df"}],
        "failures": [{"ts": "2026-11-23T03:01:10.123Z", "session": "s0", "line": 10, "error": "it broke"}],
    }


def test_times_have_milliseconds_also_across_a_midnight() -> None:
    call = {"kind": "tool", "tool_id": "a", "name": "Bash", "input": {}}
    result = {"kind": "tool_result", "tool_id": "a", "output": ""}
    rows: list[tuple[str, dict[str, Any]]] = [
        ("2026-11-23T23:59:59.100Z", {"kind": "user", "text": "go"}),
        ("2026-11-23T23:59:59.900Z", call),
        ("2026-11-24T00:00:01.250Z", result),
        ("2026-11-24T00:00:01.300Z", {"kind": "turn_end", "status": "ok"}),
    ]
    events = [{"id": number, "ts": ts, **event} for number, (ts, event) in enumerate(rows, 1)]
    assert numbers(events)["tools"] == [{"name": "Bash", "calls": 1, "seconds": 1.35, "failed": 0}]
    events[2]["ts"] = "2026-11-23T23:59:59.000Z"  # the clock was set back
    assert numbers(events)["tools"][0]["seconds"] == 0
    events[2]["ts"] = "2026-11-24T00:00:01"  # without a time zone: a user edited the log
    assert numbers(events)["tools"][0]["seconds"] == 0


def test_the_fullest_context_of_a_model_counts() -> None:
    def turn(used: int, size: int) -> list[Event]:
        return [
            {**each, "context": {"used": used, "size": size}} if each["kind"] == "result" else each
            for each in TURN
        ]

    found = numbers(turn(10, 100), turn(150, 1000), turn(90, 1000))
    assert [row["context"] for row in found["models"]] == [{"used": 150, "size": 1000}]
    none = [{key: value for key, value in each.items() if key != "context"} for each in TURN]
    assert numbers(none)["models"][0]["context"] is None
    merged = Stats()
    for used in (40, 60, 20):
        part = Stats()
        part.add_context(("claude", "opus"), (used, 100))
        merged.add(part)
    assert merged.contexts == {("claude", "opus"): (60, 100)}


def test_numbers_of_several_sessions_add_up_and_old_turns_are_left_out() -> None:
    both = numbers(TURN, TURN)
    assert (both["sessions"], both["turns"], both["cost_usd"]) == (2, {"error": 2}, 1.0)
    assert numbers(TURN, since="2026-11-23T03:00:02.000Z")["turns"] == {}
    assert numbers()["days"] == []


@pytest.mark.parametrize("value", [None, True, "x", [], {}, float("nan"), float("inf")])
def test_malformed_values_count_nothing(value: Any) -> None:
    for event in TURN:
        for key in set(event) - {"id", "kind"}:
            numbers([{**each, key: value} if each is event else each for each in TURN])


@pytest.fixture
def sample(tmp_path: Path) -> Session:
    """A session whose log has every kind of event."""
    session = sessions.create(tmp_path, "claude")
    lines = [json.dumps(event, separators=(",", ":")) for event in history() if event["kind"] != "foreign"]
    renumbered = [
        json.dumps({**json.loads(line), "id": n}, separators=(",", ":")) for n, line in enumerate(lines, 1)
    ]
    Path(session.directory, log.NAME).write_text("".join(line + "\n" for line in renumbered))
    return session


def test_events_without_their_outputs_give_the_same_numbers(sample: Session) -> None:
    whole = [event for event in events_of(sample) if event["kind"] in KINDS]
    counted = [*events_that_count(sample)]
    assert [event["id"] for event in counted] == [event["id"] for event in whole]
    assert numbers(counted) == numbers(whole)


def test_a_failed_result_counts_as_failed_whatever_keys_follow(tmp_path: Path) -> None:
    session = sessions.create(tmp_path, "claude")
    picture = {"file": f"pictures/{'0' * 64}.png", "type": "image/png", "bytes": 12_345_678}
    with session.open_log() as opened:
        opened.append("user", text="go", by="ann")
        opened.append("tool", turn=2, tool_id="a", name="Bash", input={"command": "df"})
        for more in (
            {"pictures": [picture] * 20, "parent": "b"},
            {"truncated": 7, "pictures": [picture]},
            {"truncated": 7, "parent": "b"},
            {},
        ):
            opened.append("tool_result", turn=2, tool_id="a", output="y" * 5_000, is_error=True, **more)
    results = [event for event in events_that_count(session) if event["kind"] == "tool_result"]
    assert [event["is_error"] for event in results] == [True] * 4


def test_a_line_counts_by_its_own_kind_also_next_to_lines_of_other_programs(tmp_path: Path) -> None:
    session = sessions.create(tmp_path, "claude")
    nested = {"a": 1, "kind": "turn_end", "b": '","kind":"tool_result","turn":2'}
    foreign = b'{"ts":"x","kind":"tool"}\n\xff\r","kind":"error"\n{"id":3,"ts":"t","kind":"tool","turn":2\n'
    with session.open_log() as opened:
        opened.append("user", text='","kind":"tool"', by="ann")
        opened.append("tool", turn=2, tool_id='a"', name="Bäsh", input=nested)
        opened.append("delta", turn=2, text="x" * seek.COUNT_BLOCK)
        opened.append("tool_result", turn=2, tool_id='a"', output="", is_error=False)
        opened.append("tool_result", turn=2, tool_id='a"', output='","is_error":false}', is_error=True)
        opened.append("turn_end", turn=2, status="ok", duration_ms=1)
    path = Path(session.directory, log.NAME)
    for whole in (path.read_bytes(), foreign + path.read_bytes() + foreign):
        path.write_bytes(whole)
        found = [*events_that_count(session)]
        assert [event["kind"] for event in found] == [
            "created",
            "user",
            "tool",
            *["tool_result"] * 2,
            "turn_end",
        ]
        assert [event.get("is_error") for event in found[3:5]] == [False, True]
        (tool,) = numbers(found)["tools"]
        assert (tool["name"], tool["calls"], tool["failed"]) == ("Bäsh", 1, 1)


def test_the_numbers_equal_those_of_the_recipes(sample: Session) -> None:
    found = numbers([*events_that_count(sample)])
    text = Path("docs/recipes.md").read_text(encoding="utf-8")
    filters = text.partition("## Ten jq filters")[2].partition("```\n\n")[0]

    def recipe(title: str) -> list[list[str]]:
        """Return the words of each line that the recipe prints."""
        command = filters.partition(title)[2].partition("\n")[2].partition("\n\n")[0]
        safe = next(line for line in text.splitlines() if line.startswith("SAFE="))
        script = f"{safe}\n" + command.replace("$LOG", f"{sample.directory}/{log.NAME}")
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
        return [line.split() for line in done.stdout.splitlines()]

    ended = [tool for tool in found["tools"] if tool["calls"]]
    cost = recipe("# 5.")
    assert found["cost_usd"] == pytest.approx(float(cost[0][0]))
    seconds = {name: float(count) for count, name in recipe("# 8.")}
    assert {tool["name"]: tool["seconds"] for tool in ended} == {
        name: seconds[name] for name in (tool["name"] for tool in ended)
    }
