"""Numbers and states are said in the page's own words."""

from typing import Any

import pytest

from breakglass.web.page import words


@pytest.mark.parametrize(
    ("milliseconds", "said"),
    [
        (0, "0.0 s"),
        (240, "0.2 s"),
        (9_940, "9.9 s"),
        (14_000, "14 s"),
        (200_000, "3 min 20 s"),
        (7_500_000, "2 h 5 min"),
    ],
)
def test_a_length_of_time(milliseconds: float, said: str) -> None:
    assert words.duration(milliseconds) == said


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 B"), (1023, "1023 B"), (186_400, "182 KB"), (3_355_443, "3.2 MB")]
)
def test_a_size(count: int, said: str) -> None:
    assert words.size(count) == said


@pytest.mark.parametrize(("dollars", "said"), [(0, "$0.00"), (0.0042, "$0.0042"), (1.2, "$1.20")])
def test_a_cost(dollars: float, said: str) -> None:
    assert words.money(dollars) == said


@pytest.mark.parametrize(
    ("usage", "said"),
    [
        ({"input_tokens": 10, "cache_read_input_tokens": 12_290, "output_tokens": 999}, "12.3k in, 999 out"),
        ({"inputTokens": 10, "outputTokens": 7, "totalTokens": 17}, "10 in, 7 out"),
        ({"input_tokens": "many"}, ""),
        ({}, ""),
        (None, ""),
        ([1], ""),
    ],
)
def test_an_agents_account_of_its_tokens(usage: Any, said: str) -> None:
    assert words.tokens(usage) == said


@pytest.mark.parametrize(
    ("ts", "said"),
    [
        ("2026-11-23T03:14:30.000Z", "now"),
        ("2026-11-23T03:10:00.000Z", "5m"),
        ("2026-11-22T23:15:00.000Z", "4h"),
        ("2026-11-20T03:15:00.000Z", "3d"),
        ("2026-11-23T03:20:00.000Z", "now"),
        ("yesterday", ""),
    ],
)
def test_an_age(ts: str, said: str) -> None:
    assert words.ago(ts, "2026-11-23T03:15:00.000Z") == said


@pytest.mark.parametrize(
    ("asking", "active", "status", "lamp"),
    [
        (True, True, "running", "asking"),
        (False, True, "running", "running"),
        (False, False, "ok", "ok"),
        (False, False, "lost", "lost"),
        (False, False, "running", "running"),
        (False, False, "of another version", "new"),
    ],
)
def test_the_lamp_of_a_session(asking: bool, active: bool, status: str, lamp: str) -> None:
    assert words.lamp({"asking": asking, "turn_active": active, "status": status}) == lamp


def test_a_session_without_title_is_called_by_its_first_words() -> None:
    assert words.heading({"title": "disk", "first_prompt": "x"}) == "disk"
    assert words.heading({"title": None, "first_prompt": "what\nfills it"}) == "what fills it"
    assert words.heading({"title": "", "first_prompt": ""}) == "New session"
