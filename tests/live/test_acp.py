"""The ACP dialogue with the real agents: claude-agent-acp before Claude Code, and opencode."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from breakglass.agents import TurnInput
from breakglass.agents.acp.dialogue import Dialogue
from tests.help.fake_model import FakeModel
from tests.help.fake_script import ODD
from tests.live.agents import Agent, claude_agent_acp, opencode
from tests.live.drive import React, Talk, converse, passive

Run = Callable[..., Talk]


# A turn of opencode takes 5.8 s of a core and 614 MB, one of claude-agent-acp 0.8 s (2026-11-23): what the
# recorded runs of opencode show already is not done again.
ADAPTER_ALONE = pytest.mark.parametrize("agent", ["claude-agent-acp"], indirect=True)


@pytest.fixture(params=["claude-agent-acp", "opencode"])
def agent(request: pytest.FixtureRequest, model: FakeModel) -> Agent:
    """Each of the agents in turn."""
    return claude_agent_acp() if request.param == "claude-agent-acp" else opencode(model)


@pytest.fixture
def run(agent: Agent, environ: dict[str, str], home: Path) -> Run:
    """A function that runs one turn of the agent."""

    def turn(prompt: str, react: React = passive, **task: Any) -> Talk:
        needed = agent.environ | (agent.asking if task.get("ask") else {})
        talk = Dialogue(TurnInput(prompt, agent.command, cwd=str(home / "work"), turn=1, **task))
        return converse(talk, environ | needed, home / "work", react)

    return turn


def script(agent: Agent, command: str) -> str:
    return f'[[tool {agent.bash} {{"command":"{command}","description":"Do it"}}]]'


def test_a_turn_and_a_resumed_one_that_carries_its_context(run: Run, model: FakeModel) -> None:
    first = run("[[text Hello]]")
    assert first.only("text", "text") == "Hello"
    spent = first.only("result", "cost_usd")
    second = run("and before?", session=first.only("session", "session_id"), session_cost=spent)
    assert second.only("session", "session_id") == first.only("session", "session_id")
    assert second.only("text", "text") == "echo: 2 user texts: ['[[text Hello]]', 'and before?']"
    assert ["[[text Hello]]", "and before?"] in [turn.texts for turn in model.turns]
    assert not first.dialogue.failed
    assert not second.dialogue.failed


@ADAPTER_ALONE
def test_a_tool_runs_unasked_where_leave_is_given_beforehand(run: Run, agent: Agent, home: Path) -> None:
    done = run(script(agent, "echo made > made; cat made"))
    assert [kind for kind, _ in done.drafts if kind in ("tool", "permission", "tool_result")] == [
        "tool",
        "tool_result",
    ]
    assert str(done.only("tool_result", "output")).strip() == "made"
    assert (home / "work" / "made").exists()


@pytest.mark.parametrize("allow", [True, False])
def test_a_tool_runs_only_if_leave_is_given(run: Run, agent: Agent, home: Path, *, allow: bool) -> None:
    def answer(dialogue: Any, draft: Any) -> bool:
        return draft[0] == "permission" and not dialogue.answer(draft[1]["request"], allow=allow)

    done = run(script(agent, "echo made > made"), answer, ask=True)
    assert done.only("permission", "name") == agent.bash
    assert done.only("tool_result", "is_error") is not allow
    assert (home / "work" / "made").exists() is allow


@ADAPTER_ALONE
def test_a_cancelled_question_leaves_nothing_done(run: Run, agent: Agent, home: Path) -> None:
    done = run(script(agent, "echo made > made"), lambda _, draft: draft[0] == "permission", ask=True)
    assert done.only("answer", "by") == "agent"
    assert not (home / "work" / "made").exists()


def test_a_cancelled_stream_keeps_its_prose_and_the_model_is_let_go(run: Run, model: FakeModel) -> None:
    done = run("[[text Half]][[hold]][[text never]]", lambda _, draft: draft[0] == "delta")
    assert done.only("text", "text") == "Half"
    assert done.only("result", "result") == "Interrupted."
    model.wait_for(lambda fake: fake.aborted > 0)


@ADAPTER_ALONE
def test_a_cancelled_tool_is_ended(run: Run, agent: Agent) -> None:
    mark = f"mark-{uuid4()}"
    waits = f"python3 -c 'import time; time.sleep(600)' {mark}"
    done = run(script(agent, waits), lambda _, draft: draft[0] == "tool")
    assert done.only("tool_result", "is_error") is True
    assert alive(mark) == []


def alive(mark: str) -> list[str]:
    """Return the command lines of the processes that carry a mark in theirs."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = process.read_bytes().decode(errors="replace")
        except OSError:  # it ended meanwhile
            continue
        found += [words] if mark in words else []
    return found


def test_an_error_of_the_api_is_told_and_fails_the_turn(run: Run) -> None:
    done = run("[[err 400 invalid_request_error]]")
    assert "invalid_request_error" in str(done.only("error", "error"))
    assert (done.of("result"), done.dialogue.failed) == ([], True)


def test_a_session_that_is_gone_is_replaced_by_a_new_one_and_the_log_says_so(
    run: Run, model: FakeModel
) -> None:
    gone = "11111111-1111-4111-8111-111111111111"
    done = run("hello", session=gone)
    assert gone in str(done.only("error", "error"))
    assert done.only("session", "session_id") != gone
    assert model.turns[-1].texts == ["hello"]
    assert not done.dialogue.failed


@ADAPTER_ALONE
def test_a_model_that_is_not_known_is_refused_before_anything_is_sent(run: Run, model: FakeModel) -> None:
    done = run("hello", model="no-such-model")
    assert "no-such-model" in str(done.only("error", "error"))
    assert (model.turns, done.dialogue.failed) == ([], True)


@ADAPTER_ALONE
def test_a_chosen_model_is_the_one_that_is_asked(run: Run, agent: Agent, model: FakeModel) -> None:
    chosen = "haiku" if agent.name == "claude-agent-acp" else "anthropic/claude-haiku-4-5"
    assert run("hello", model=chosen).only("session", "model") == chosen
    assert "haiku" in model.turns[-1].body["model"]


@ADAPTER_ALONE
def test_a_prompt_of_200_kb_that_begins_with_a_dash_arrives_whole(run: Run, model: FakeModel) -> None:
    prompt = "--help " + "x" * 200_000
    assert not run(prompt).dialogue.failed
    assert model.turns[-1].texts[-1] == prompt


@ADAPTER_ALONE
def test_odd_characters_come_through_as_they_are(run: Run) -> None:
    assert run("[[uni]]").only("text", "text") == ODD
