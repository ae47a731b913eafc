"""The ACP dialogue with real agents that are not Claude: codex-acp with Codex, and gemini-cli."""

import json
from pathlib import Path
from typing import Any

import pytest

from breakglass.agents import TurnInput
from breakglass.agents.acp.dialogue import Dialogue
from breakglass.config.agents import AgentConfig
from tests.help.fake_model import FakeModel
from tests.live.agents import Agent, codex_acp, gemini
from tests.live.drive import passive, run_dialogue
from tests.live.real import Real
from tests.live.test_acp import Run

AGENTS = {"codex-acp": codex_acp, "gemini": gemini}


@pytest.fixture(params=AGENTS)
def agent(request: pytest.FixtureRequest, model: FakeModel) -> Agent:
    """Each of the agents."""
    return AGENTS[request.param](model)


@pytest.fixture
def run(agent: Agent, environ: dict[str, str], home: Path) -> Run:
    """A function that runs one turn of the agent."""
    whole = {name: value for name, value in environ.items() if "ANTHROPIC" not in name} | agent.environ

    def turn(prompt: str, react: Any = passive, **given: Any) -> Any:
        given = {"turn": 1, "variables": tuple(whole), **given}
        dialogue = Dialogue(TurnInput(prompt, agent.command, cwd=str(home / "work"), **given))
        return run_dialogue(dialogue, whole, home / "work", react)

    return turn


def script(agent: Agent, command: str, *, escalated: bool = False) -> str:
    """Return a prompt that makes the agent run a command. Codex asks only if the model wants to leave its sandbox."""
    if agent.name == "gemini":
        return f"[[tool run_shell_command {json.dumps({'command': command, 'description': 'Do it'})}]]"
    more = {"sandbox_permissions": "require_escalated", "justification": "It must write"} if escalated else {}
    return f"[[tool exec_command {json.dumps({'cmd': command, **more})}]]"


@pytest.mark.torture
def test_prose_comes_in_pieces_and_then_as_a_whole(run: Run) -> None:
    done = run("[[text Hello in several small chunks.]]")
    assert done.only("text", "text") == "Hello in several small chunks."
    assert len(done.of("delta")) > 1
    assert not done.dialogue.failed


# gemini-cli does not always find a session that just ended; see the next test.
@pytest.mark.torture
@pytest.mark.parametrize("agent", ["codex-acp"], indirect=True)
def test_the_second_turn_has_the_context_of_the_first(run: Run, agent: Agent) -> None:
    first = run(script(agent, "echo made"))
    second = run("and before?", session=first.only("session", "session_id"))
    assert second.only("session", "session_id") == first.only("session", "session_id")
    assert str(second.only("text", "text")).startswith("echo: 2 user texts: ['[[tool ")
    assert (second.of("tool"), second.of("tool_result")) == ([], [])
    assert second.only("result", "result") == second.only("text", "text")
    assert not first.dialogue.failed
    assert not second.dialogue.failed


# At its start, gemini-cli deletes each session that it reopened in another minute than the one in which it began.
@pytest.mark.torture
def test_each_turn_knows_the_earlier_ones_also_if_the_agent_lost_its_session(
    agent: Agent, model: FakeModel, home: Path, environ: dict[str, str]
) -> None:
    settings = AgentConfig("it", "acp", agent.command, env=agent.environ)
    real = Real(home.parent / "var", settings, environ, model)
    prompts = ["the first one", "the second one", "the third one", "the fourth one"]
    for number, prompt in enumerate(prompts):
        events = real.run(prompt)
        assert events.status == "ok"
        asked = "\n".join(model.turns[-1].texts)
        assert [each for each in prompts[: number + 1] if each not in asked] == []


@pytest.mark.torture
def test_a_tool_runs_without_a_question(run: Run, agent: Agent, home: Path) -> None:
    done = run(script(agent, "echo made > made; cat made"))
    assert [kind for kind, _ in done.drafts if kind in ("tool", "permission", "tool_result")] == [
        "tool",
        "tool_result",
    ]
    assert "made" in str(done.only("tool_result", "output"))
    assert (home / "work" / "made").exists()
    assert not done.dialogue.failed


@pytest.mark.parametrize("allow", [True, pytest.param(False, marks=pytest.mark.torture)])
def test_a_tool_runs_only_with_permission(run: Run, agent: Agent, home: Path, *, allow: bool) -> None:
    def answer(dialogue: Any, draft: Any) -> bool:
        return draft[0] == "permission" and not dialogue.answer(draft[1]["request"], allow=allow)

    done = run(script(agent, "echo made > made", escalated=True), answer, ask=True)
    assert done.only("permission", "name") == agent.bash
    assert "echo made > made" in json.dumps(done.only("permission", "input"))
    assert done.only("tool_result", "is_error") is not allow
    assert (home / "work" / "made").exists() is allow
    assert not done.dialogue.failed


@pytest.mark.torture
def test_an_error_of_the_api_fails_the_turn_and_is_reported(run: Run) -> None:
    done = run("[[err 400 invalid_request_error]]")
    assert "fake invalid_request_error" in str(done.only("error", "error"))
    assert done.dialogue.failed
