"""ACP agents through the real runner: their log, their lock and their processes."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from breakglass.config.agents import AgentConfig
from breakglass.turns.begin import submit_prompt
from breakglass.turns.end import cancel_turn, end_if_lost, find_processes, wait_for_stop
from breakglass.turns.files import add_file
from tests.help import turns as real_turns
from tests.help.fake_model import FakeModel
from tests.help.waiting import wait_until
from tests.live.agents import Agent, claude_agent_acp, opencode
from tests.live.real import FILES, SLEEP, Real, is_gone, pid_in
from tests.live.test_acp import script


@pytest.fixture(params=["claude-agent-acp", pytest.param("opencode", marks=pytest.mark.torture)])
def agent(request: pytest.FixtureRequest, model: FakeModel) -> Agent:
    """Each of the agents."""
    return claude_agent_acp() if request.param == "claude-agent-acp" else opencode(model)


@pytest.fixture
def acp(agent: Agent, model: FakeModel, home: Path, environ: dict[str, str]) -> Iterator[Real]:
    """A session with the agent, which asks for permission. No process of it outlives the test."""
    settings = AgentConfig("it", "acp", agent.command, "ask", env=agent.environ | agent.asking)
    made = Real(home.parent / "var", settings, environ, model)
    yield made
    cancel_turn(made.session, by="the test's end")
    wait_for_stop(made.session)


# A turn of opencode is slow. It runs only where it differs from claude-agent-acp.
ADAPTER_ONLY = pytest.mark.parametrize("agent", ["claude-agent-acp"], indirect=True)


@pytest.mark.torture
def test_permission_for_the_session_holds_in_the_next_turn(acp: Real, agent: Agent, model: FakeModel) -> None:
    turn = acp.start(script(agent, "echo made > made"))
    acp.answer(acp.wait("permission"), allow=True, for_session=True)
    first = acp.end(turn)
    second = acp.run(script(agent, "echo more > more"))
    assert (first.only("answer", "by"), second.only("answer", "by")) == ("ann", "session")
    assert second.only("session", "session_id") == first.only("session", "session_id")
    assert (acp.workspace / "made").exists()
    assert (acp.workspace / "more").exists()
    assert len(model.turns[-1].texts) == 2


@pytest.mark.torture
@ADAPTER_ONLY
def test_tools_that_the_settings_deny_are_refused(acp: Real, agent: Agent) -> None:
    acp.set_agent(deny=(agent.bash,))
    events = acp.run(script(agent, "echo made > made"))
    assert (events.only("answer", "by"), events.only("answer", "allow")) == ("settings", False)
    assert not (acp.workspace / "made").exists()


@pytest.mark.torture
@ADAPTER_ONLY
def test_thinking_is_in_the_log_only_if_the_settings_say_so(acp: Real) -> None:
    assert "thinking" not in acp.run("[[think Hm.]][[text so]]").kinds
    acp.set_agent(thinking=True)
    events = acp.run("[[think Hm.]][[text so]]")
    assert (events.only("thinking", "text"), events.only("text", "text")) == ("Hm.", "so")


@ADAPTER_ONLY
def test_a_stop_while_a_tool_runs_leaves_no_process_alive(acp: Real, agent: Agent) -> None:
    acp.set_agent(permissions="bypass")
    turn = acp.start(script(agent, f"setsid {SLEEP} & echo $! > kept; {SLEEP}"))
    hidden = pid_in(acp.workspace / "kept")
    assert cancel_turn(acp.session, by="ann")
    assert acp.end(turn).status == "cancelled"
    assert is_gone(hidden)


@pytest.mark.torture
@ADAPTER_ONLY
def test_after_a_killed_runner_no_process_lives_and_the_turn_is_lost(acp: Real, agent: Agent) -> None:
    acp.set_agent(permissions="bypass")
    turn = acp.start(script(agent, f"setsid {SLEEP} & echo $! > kept; {SLEEP}"))
    hidden = pid_in(acp.workspace / "kept")
    os.kill(real_turns.runner_pid(acp.session), signal.SIGKILL)
    wait_until(lambda: end_if_lost(acp.session).turn is None, "the turn to be ended")
    assert acp.end(turn).status == "lost"
    assert is_gone(hidden)
    assert not find_processes(acp.session)


@pytest.mark.torture
@ADAPTER_ONLY
def test_a_queued_prompt_continues_the_conversation(acp: Real, model: FakeModel) -> None:
    turn = acp.start("[[text one]][[hold]]")
    model.wait_for(lambda model: bool(model.turns))
    queued = submit_prompt(acp.config, acp.session, "and before?", by="bob", queue=True)
    model.release()
    acp.end(turn)
    events = acp.so_far()
    assert [event.get("queued") for event in events.of("user")] == [None, queued.id]
    assert len(set(events.all("session", "session_id"))) == 1
    assert model.turns[-1].texts == ["[[text one]][[hold]]", "and before?"]


@pytest.mark.torture
@ADAPTER_ONLY
def test_the_model_sees_a_picture(acp: Real, model: FakeModel) -> None:
    path = add_file(acp.session, "dot.png", FILES["dot.png"], by="ann")["path"]
    assert acp.run("what is it?", files=[path]).status == "ok"
    blocks = [block for message in model.turns[-1].body["messages"] for block in message["content"]]
    assert [block["source"]["media_type"] for block in blocks if block["type"] == "image"] == ["image/png"]
