"""The ACP dialogue with the real agents: claude-agent-acp, which runs Claude Code, and opencode."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest

from breakglass.agents import TurnInput
from breakglass.agents.acp.dialogue import Dialogue
from tests.help.fake_model import FakeModel
from tests.help.fake_script import ODD
from tests.live.agents import Agent, claude_agent_acp, opencode
from tests.live.drive import AgentRun, React, passive, run_dialogue
from tests.live.test_permission import CHOICES

Run = Callable[..., AgentRun]


# What the recorded runs of opencode already show is not repeated with the real program. The turns of the real one are
# slow, so only `make torture` runs them.
ADAPTER_ONLY = pytest.mark.parametrize("agent", ["claude-agent-acp"], indirect=True)


@pytest.fixture(params=["claude-agent-acp", pytest.param("opencode", marks=pytest.mark.torture)])
def agent(request: pytest.FixtureRequest, model: FakeModel) -> Agent:
    """Each of the agents."""
    return claude_agent_acp() if request.param == "claude-agent-acp" else opencode(model)


@pytest.fixture
def run(agent: Agent, environ: dict[str, str], home: Path) -> Run:
    """A function that runs one turn of the agent."""

    def turn(prompt: str, react: React = passive, **given: Any) -> AgentRun:
        needed = agent.environ | (agent.asking if given.get("ask") else {})
        dialogue = Dialogue(TurnInput(prompt, agent.command, cwd=str(home / "work"), turn=1, **given))
        return run_dialogue(dialogue, environ | needed, home / "work", react)

    return turn


def script(agent: Agent, command: str) -> str:
    return f'[[tool {agent.bash} {{"command":"{command}","description":"Do it"}}]]'


@pytest.mark.torture
def test_the_second_turn_has_the_context_of_the_first(run: Run, model: FakeModel) -> None:
    first = run("[[text Hello]]")
    assert first.only("text", "text") == "Hello"
    spent = first.only("result", "cost_usd")
    second = run("and before?", session=first.only("session", "session_id"), session_cost=spent)
    assert second.only("session", "session_id") == first.only("session", "session_id")
    assert second.only("text", "text") == "echo: 2 user texts: ['[[text Hello]]', 'and before?']"
    assert ["[[text Hello]]", "and before?"] in [turn.texts for turn in model.turns]
    assert not first.dialogue.failed
    assert not second.dialogue.failed


@pytest.mark.torture
@ADAPTER_ONLY
def test_a_tool_runs_without_a_question(run: Run, agent: Agent, home: Path) -> None:
    done = run(script(agent, "echo made > made; cat made"))
    assert [kind for kind, _ in done.drafts if kind in ("tool", "permission", "tool_result")] == [
        "tool",
        "tool_result",
    ]
    assert str(done.only("tool_result", "output")).strip() == "made"
    assert (home / "work" / "made").exists()


@pytest.mark.torture
@pytest.mark.parametrize("allow", [True, False])
def test_a_tool_runs_only_with_permission(run: Run, agent: Agent, home: Path, *, allow: bool) -> None:
    def answer(dialogue: Any, draft: Any) -> bool:
        return draft[0] == "permission" and not dialogue.answer(draft[1]["request"], allow=allow)

    done = run(script(agent, "echo made > made"), answer, ask=True)
    assert done.only("permission", "name") == agent.bash
    assert done.only("tool_result", "is_error") is not allow
    assert (home / "work" / "made").exists() is allow


@pytest.mark.torture
@ADAPTER_ONLY
def test_a_choice_is_asked_as_a_form_and_the_selection_is_sent(run: Run) -> None:
    answers = {"question_0": ["none,\nreally"], "question_1": ["Wall", "the cellar"]}

    def answer(dialogue: Any, draft: Any) -> bool:
        return draft[0] == "permission" and not dialogue.answer(
            draft[1]["request"], allow=True, answers=answers
        )

    done = run(f"[[tool AskUserQuestion {json.dumps(CHOICES)}]]", answer, ask=True)
    choices = cast(list[dict[str, Any]], done.only("permission", "choices"))
    assert [choice["question"] for choice in choices] == ["Which colour?", "Which parts?"]
    assert all(text in str(done.of("tool_result")) for text in ("none,", "really", "Wall", "the cellar"))
    assert not done.dialogue.failed


@pytest.mark.torture
@ADAPTER_ONLY
def test_a_tool_with_a_cancelled_question_does_not_run(run: Run, agent: Agent, home: Path) -> None:
    done = run(script(agent, "echo made > made"), lambda _, draft: draft[0] == "permission", ask=True)
    assert done.only("answer", "by") == "exit"
    assert not (home / "work" / "made").exists()


@pytest.mark.torture
def test_a_cancelled_stream_keeps_its_prose_and_closes_the_connection(run: Run, model: FakeModel) -> None:
    done = run("[[text Half]][[hold]][[text never]]", lambda _, draft: draft[0] == "delta")
    assert done.only("text", "text") == "Half"
    assert done.only("result", "result") == "Interrupted."
    model.wait_for(lambda fake: fake.aborted > 0)


@pytest.mark.torture
@ADAPTER_ONLY
def test_a_cancelled_tool_is_ended(run: Run, agent: Agent) -> None:
    mark = f"mark-{uuid4()}"
    waits = f"python3 -c 'import time; time.sleep(600)' {mark}"
    done = run(script(agent, waits), lambda _, draft: draft[0] == "tool")
    assert done.only("tool_result", "is_error") is True
    assert alive(mark) == []


def alive(mark: str) -> list[str]:
    """Return the command lines that contain `mark`, of all processes."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = process.read_bytes().decode(errors="replace")
        except OSError:  # it ended meanwhile
            continue
        found += [words] if mark in words else []
    return found


@pytest.mark.torture
def test_an_error_of_the_api_fails_the_turn_and_is_reported(run: Run) -> None:
    done = run("[[err 400 invalid_request_error]]")
    assert "invalid_request_error" in str(done.only("error", "error"))
    assert (done.of("result"), done.dialogue.failed) == ([], True)


@pytest.mark.torture
def test_a_missing_session_is_replaced_and_the_log_says_so(run: Run, model: FakeModel) -> None:
    gone = "11111111-1111-4111-8111-111111111111"
    done = run("hello", session=gone)
    assert gone in str(done.only("error", "error"))
    assert done.only("session", "session_id") != gone
    assert model.turns[-1].texts == ["hello"]
    assert not done.dialogue.failed


@pytest.mark.torture
@ADAPTER_ONLY
def test_an_unknown_model_is_refused_before_the_prompt_is_sent(run: Run, model: FakeModel) -> None:
    done = run("hello", model="no-such-model")
    assert "no-such-model" in str(done.only("error", "error"))
    assert (model.turns, done.dialogue.failed) == ([], True)


@pytest.mark.torture
@ADAPTER_ONLY
def test_the_chosen_model_gets_the_prompt(run: Run, agent: Agent, model: FakeModel) -> None:
    chosen = "haiku" if agent.name == "claude-agent-acp" else "anthropic/claude-haiku-4-5"
    assert run("hello", model=chosen).only("session", "model") == chosen
    assert "haiku" in model.turns[-1].body["model"]


@pytest.mark.torture
@ADAPTER_ONLY
def test_a_prompt_of_200_kb_that_begins_with_a_dash_arrives_whole(run: Run, model: FakeModel) -> None:
    prompt = "--help " + "x" * 200_000
    assert not run(prompt).dialogue.failed
    assert model.turns[-1].texts[-1] == prompt


@pytest.mark.torture
@ADAPTER_ONLY
def test_unusual_characters_are_unchanged(run: Run) -> None:
    assert run("[[uni]]").only("text", "text") == ODD
