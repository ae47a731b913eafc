"""Budgets: a turn that costs too much is stopped, and over the budget of a day a prompt needs a confirmation."""

import os
import sys
import time
from pathlib import Path

import pytest

from breakglass.agents import TurnInput, new_dialogue
from breakglass.config import Config
from breakglass.config.agents import AgentConfig
from breakglass.errors import OverBudget
from breakglass.store import sessions
from breakglass.store.sessions import Session
from breakglass.store.spent import spent_today
from breakglass.turns.begin import submit_prompt
from tests.help import scripted_agent
from tests.help.session_logs import events_of
from tests.help.turns import begin_turn, make_config, wait_for_end

ACTOR = AgentConfig("actor", "claude", (sys.executable, scripted_agent.__file__), permissions="ask")
SHELL = AgentConfig("shell", "shell", ("bash",))
"""Each turn of ACTOR costs $0.25."""


def spend(root: Path, dollars: float) -> Session:
    """Append a result that cost so much now."""
    session = sessions.create(root, "actor")
    with session.open_log() as opened:
        turn = opened.append("user", text="look", by="ann")
        fields = {"is_error": False, "result": "", "duration_ms": 1, "cost_usd": dollars}
        opened.append("result", turn=turn, **fields)
        opened.append("turn_end", turn=turn, status="ok", duration_ms=1)
    return session


def test_a_turn_that_cost_more_than_its_budget_ends_with_an_error(root: Path) -> None:
    session, turn = begin_turn(make_config(root, ACTOR, max_cost_usd=0.2), "say hello", "actor")
    events = wait_for_end(session, turn)
    (error,) = [each["error"] for each in events if each["kind"] == "error"]
    assert error == "The turn was stopped: it cost $0.25, and max_cost_usd is $0.20."
    assert events[-1]["status"] == "error"


def test_a_turn_within_its_budget_ends_as_before(root: Path) -> None:
    session, turn = begin_turn(make_config(root, ACTOR, max_cost_usd=0.25), "say hello", "actor")
    assert wait_for_end(session, turn)[-1]["status"] == "ok"


def test_claude_code_gets_its_own_flag_which_counts_no_resumed_turn() -> None:
    session = "11111111-2222-4333-8444-555555555555"
    given = TurnInput("x", ("claude",), session=session, session_cost=0.25, max_cost=0.5)
    budgets = [each for each in new_dialogue("claude", given).argv if each.startswith("--max-budget")]
    assert budgets == ["--max-budget-usd=0.500000"]


def test_over_the_budget_of_a_day_a_prompt_needs_a_confirmation_and_a_command_line_does_not(
    root: Path,
) -> None:
    config = make_config(root, ACTOR, SHELL, max_cost_usd_per_day=1.0)
    spend(root, 0.6)
    session = spend(root, 0.5)
    with pytest.raises(OverBudget, match=r"today's budget is spent: \$1\.10 of \$1\.00"):
        submit_prompt(config, session, "say hello", by="ann", key="k")
    assert [each["kind"] for each in events_of(session)].count("user") == 1
    accepted = submit_prompt(config, session, "say hello", by="ann", key="k", over_budget=True)
    assert submit_prompt(config, session, "say hello", by="ann", key="k") == accepted
    wait_for_end(session, accepted.id)
    in_shell = sessions.create(root, "shell")
    wait_for_end(in_shell, submit_prompt(config, in_shell, "true", by="ann").id)


def test_only_what_was_spent_today_counts(root: Path) -> None:
    earlier = spend(root, 5.0)
    spend(root, 0.5)
    log = Path(earlier.directory, "events.jsonl")
    day = time.strftime("%Y-%m-%d", time.gmtime())
    log.write_text(log.read_text().replace(day, "2020-01-01"))
    assert spent_today(root) == 0.5
    os.utime(log, (0, 0))
    assert spent_today(root) == 0.5


def test_without_a_budget_nothing_is_refused(root: Path) -> None:
    session = spend(root, 1e6)
    config = Config(data=root)
    assert config.max_cost_usd_per_day is None
    assert session.state().spent[1] == 1e6
