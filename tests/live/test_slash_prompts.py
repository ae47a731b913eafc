"""A prompt that begins like a command of the real agent reaches its model."""

from collections.abc import Callable
from pathlib import Path

import pytest

from breakglass.agents import TurnInput
from breakglass.agents.acp.dialogue import Dialogue
from tests.help.fake_model import FakeModel
from tests.live.agents import Agent, claude_agent_acp, codex_acp, gemini, opencode
from tests.live.drive import run_dialogue

AGENTS: dict[str, tuple[Callable[[FakeModel], Agent], str]] = {
    "claude-agent-acp": (lambda _: claude_agent_acp(), "/clear the cache"),
    "codex-acp": (codex_acp, "/logout fails"),
    "gemini": (gemini, "/memory is full"),
    "opencode": (opencode, "/init fails"),
}


@pytest.mark.parametrize(
    "name", ["claude-agent-acp", *(pytest.param(name, marks=pytest.mark.torture) for name in [*AGENTS][1:])]
)
def test_a_prompt_that_begins_like_a_command_reaches_the_model(
    name: str, model: FakeModel, environ: dict[str, str], home: Path
) -> None:
    make, prompt = AGENTS[name]
    agent = make(model)
    whole = {key: value for key, value in environ.items() if "claude" in name or "ANTHROPIC" not in key}
    whole |= agent.environ
    given = TurnInput(prompt, agent.command, cwd=str(home / "work"), turn=1, variables=tuple(whole))
    done = run_dialogue(Dialogue(given), whole, home / "work")
    assert done.only("text", "text") == f"echo: 1 user texts: {[chr(92) + prompt]}"
    assert not done.dialogue.failed
