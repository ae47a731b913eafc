"""Results and their costs, compaction, and rate limits."""

from typing import Any

import pytest

from tests.agents.claude.made_lines import INIT, SESSION, begun, line, result
from tests.agents.drafts import check
from tests.help.logs import fold_all

LIMIT = "The rate limit of the agent's account"


@pytest.mark.parametrize(
    ("spent", "results", "costs"),
    [
        (0.0, [(0.25, None)], [0.25]),
        (0.25, [(0.75, None)], [0.5]),  # the total includes the earlier turns
        (
            0.25,
            [(0.75, None), (1.0, None), (1.0, None)],
            [0.5, 0.25, 0.0],
        ),  # the total includes earlier results of the process too
        (0.25, [(0.25, None)], [0.0]),  # an API error costs nothing
        (0.3, [(0.1 + 0.2 - 1e-9, None)], [0.0]),  # rounding costs nothing either
        (0.25, [(0.5, 0.125)], [0.25]),  # a killed turn reported nothing: the next result includes its cost
        (1.0, [(0.25, None)], [0.25]),  # the CLI forgot its total
        (1.0, [(0.25, 0.125)], [0.125]),  # the CLI forgot its total before this process
        (1.0, [(1.25, 1.25)], [1.25]),  # the CLI forgot its total, and has spent more since
        (1.0, [(None, None)], [0.0]),
        (1.0, [(float("nan"), None)], [0.0]),
        (1.0, [(-5.0, -5.0)], [0.0]),
        (1.0, [(10**400, None)], [0.0]),
        (1.0, [("2", None)], [0.0]),
        (1.0, [(True, None)], [0.0]),
    ],
)
def test_each_result_has_its_own_cost(
    spent: float, results: list[tuple[Any, float | None]], costs: list[float]
) -> None:
    dialogue = begun(session=SESSION, session_cost=spent)
    dialogue.translate(INIT)
    reported = []
    for total, newly in results:
        usage = {} if newly is None else {"model_usage_since_last_result": {"m": {"costUSD": newly}}}
        [(_, fields)] = dialogue.translate(result(total_cost_usd=total, **usage))
        reported.append(fields["cost_usd"])
    assert reported == pytest.approx(costs, abs=1e-8)
    assert all(cost >= 0 for cost in reported)


def test_the_costs_in_the_log_add_up_to_the_agents_total() -> None:
    log: list[dict[str, Any]] = []
    for total in (0.1, 0.3, 0.35, 0.7):
        state = fold_all(log)
        dialogue = begun(session=state.agent_session, session_cost=state.agent_cost)
        for kind, fields in dialogue.translate(INIT + result(total_cost_usd=total)):
            log.append({"id": len(log) + 1, "kind": kind, "turn": 1, **fields})
    assert fold_all(log).agent_cost == pytest.approx(0.7)


def test_the_cost_of_a_new_session_starts_at_zero() -> None:
    dialogue = begun(session="another", session_cost=0.5)
    drafts = dialogue.translate(INIT + result(total_cost_usd=0.75))
    assert drafts[-1][1]["cost_usd"] == 0.75


def test_a_compacted_context_is_a_notice() -> None:
    metadata = {"trigger": "auto", "pre_tokens": 155_000, "post_tokens": 2550}
    [draft] = begun().translate(line(type="system", subtype="compact_boundary", compact_metadata=metadata))
    check(draft)
    kind, fields = draft
    assert kind == "notice"
    assert fields["text"].endswith("everything before (155,000 → 2,550 tokens).")


@pytest.mark.parametrize(
    ("info", "text"),
    [
        ({"status": "allowed", "rateLimitType": "five_hour"}, None),
        ({}, None),
        (
            {"status": "allowed_warning", "rateLimitType": "five_hour", "resetsAt": 1795500000},
            f"{LIMIT} (five hour) is nearly reached; it resets on 2026-11-24 at 06:00 UTC.",
        ),
        ({"status": "rejected"}, f"{LIMIT} is reached."),
        ({"status": "rejected", "resetsAt": 1 << 52}, f"{LIMIT} is reached."),
        ({"status": ["rejected"], "resetsAt": "soon"}, None),
    ],
)
def test_a_rate_limit_is_a_notice_when_it_is_near(info: dict[str, Any], text: str | None) -> None:
    drafts = begun().translate(line(type="rate_limit_event", rate_limit_info=info))
    for draft in drafts:
        check(draft)
    assert drafts == ([("notice", {"text": text})] if text else [])
