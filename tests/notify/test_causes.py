"""What a user must be told follows from the log alone."""

import json
from typing import Any

import pytest

from breakglass.events import Event
from breakglass.notify import Hours, Notify, parse_hours
from breakglass.notify.causes import Cause, SessionCauses, find_new_places, is_wanted

TS = "2026-11-29T12:00:00.000Z"
AT = 1795953600.0


def event(number: int, kind: str, **fields: Any) -> Event:
    return {"id": number, "ts": TS, "kind": kind, "turn": 2, **fields}


PROMPT = event(2, "user", text="look")
ASKED = event(3, "permission", request="r", name="Bash", input={"command": "rm x"}, expires=TS)


def ended(status: str, milliseconds: int = 90_000) -> Event:
    return event(9, "turn_end", status=status, duration_ms=milliseconds)


def causes(*events: Event, is_first: bool = False) -> list[Cause]:
    found = SessionCauses(is_first=is_first)
    for each in events:
        found.add(each)
    return found.all()


def test_a_question_is_told_while_it_waits_and_again_after_five_minutes() -> None:
    first, again = causes(PROMPT, ASKED)
    assert (first.kind, first.about, first.at, first.what, first.text) == (
        "question",
        3,
        AT + 1,
        "Bash",
        "rm x",
    )
    assert (again.kind, again.about, again.at) == ("question_again", 3, AT + 300)


@pytest.mark.parametrize(
    "closing",
    [
        event(4, "answer", request="r", allow=True, by="ann"),
        event(4, "answer", request="r", allow=False, by="timeout"),
        event(4, "cancelled", by="ann"),
    ],
)
def test_a_question_that_waits_no_more_is_not_told(closing: Event) -> None:
    assert causes(PROMPT, ASKED, closing) == []


@pytest.mark.parametrize(
    ("status", "kinds"),
    [
        ("ok", ["ended"]),
        ("error", ["failed"]),
        ("timeout", ["failed"]),
        ("lost", ["lost"]),
        ("cancelled", []),
    ],
)
def test_the_end_of_a_turn_is_told_by_its_status(status: str, kinds: list[str]) -> None:
    assert [each.key for each in causes(PROMPT, ended(status))] == [f"{kind}:9" for kind in kinds]


def test_a_failed_turn_is_told_with_its_last_error() -> None:
    (cause,) = causes(PROMPT, event(4, "error", error="no such model"), ended("error"))
    assert (cause.what, cause.seconds) == ("no such model", 90.0)


def test_only_the_first_turn_of_a_session_is_its_first_action() -> None:
    second = event(12, "user", text="more") | {"turn": 12}
    found = causes(PROMPT, ended("cancelled"), second, is_first=True)
    assert [each.key for each in found] == ["first_action:2"]


def test_malformed_and_unknown_events_change_nothing() -> None:
    odd = [event(3, "permission"), event(4, "turn_end", status=7), {"id": 5, "kind": "foreign", "text": "x"}]
    assert causes(PROMPT, *odd) == []


def test_a_told_cause_is_known_from_the_log() -> None:
    found = SessionCauses(is_first=False)
    found.add(event(9, "notified", cause="failed", about=8, to="notify[0]", sent=True))
    assert found.recorded == {("failed:8", "notify[0]")}


@pytest.mark.parametrize(
    ("kind", "seconds", "on", "is_told"),
    [
        ("ended", 61.0, ("ended",), True),
        ("ended", 59.0, ("ended",), False),
        ("failed", 1.0, ("failed",), True),
        ("failed", 61.0, ("ended",), True),
        ("failed", 1.0, ("ended",), False),
        ("question_again", 0.0, ("question",), True),
        ("login", 0.0, ("question",), False),
    ],
)
def test_a_destination_is_told_what_it_asks_for(
    kind: str, seconds: float, on: tuple[str, ...], is_told: bool
) -> None:
    assert is_wanted(Cause(kind, 1, AT, seconds), Notify(0, url="json://x", on=on)) is is_told


def login(address: str, **more: Any) -> bytes:
    return json.dumps(
        {"kind": "login", "by": "owner", "address": address, "since": 5, "agent": "Firefox"} | more
    ).encode()


def test_a_login_is_told_if_no_earlier_one_came_from_its_address() -> None:
    lines = [
        login("10.0.0.1"),
        login("10.0.0.1"),
        b'{"kind":"revoked","id":"x","at":3}',
        b"\xff",
        login("2001:db8::1"),
        login("2001:db8::2"),  # the same network of 64 bits
        login("2001:db8:0:1::2"),
    ]
    assert [(each.about, each.what) for each in find_new_places(lines)] == [
        (1, "owner from 10.0.0.1"),
        (5, "owner from 2001:db8::1"),
        (7, "owner from 2001:db8:0:1::2"),
    ]


@pytest.mark.parametrize(
    ("hours", "minute", "left"),
    [
        ("22:00-07:00", 22 * 60, 9 * 3600),
        ("22:00-07:00", 6 * 60 + 59, 60),
        ("22:00-07:00", 7 * 60, 0),
        ("22:00-07:00", 12 * 60, 0),
        ("12:30-13:00", 12 * 60 + 45, 900),
    ],
)
def test_quiet_hours_may_go_over_midnight(hours: str, minute: int, left: int) -> None:
    assert parse_hours("x", hours).seconds_left(minute) == left


def test_quiet_hours_end_within_the_minute() -> None:
    assert Hours(60, 120).seconds_left(119, 30) == 30
