"""The real Claude Code beside other turns: prompts that wait or steer, another agent in between, adoption, login."""

import json
import subprocess
from pathlib import Path

import pytest

from breakglass.actions import Action
from breakglass.config.agents import built_in
from breakglass.errors import Conflict
from breakglass.load_config import load_config
from breakglass.turns import actions
from breakglass.turns.adopt import adopt, own_sessions
from breakglass.turns.begin import submit_prompt
from tests.help.fake_model import FakeModel
from tests.help.waiting import wait_until
from tests.live.real import Real, bash


def test_a_prompt_that_steers_reaches_the_model_at_the_end_of_the_tool(real: Real, model: FakeModel) -> None:
    turn = real.start("[[bash until [ -e go ]; do sleep 0.1; done]][[then]][[text done]]")
    real.wait("tool")
    real.start("not that disk", steer=True)
    real.wait("steered")
    (real.workspace / "go").touch()
    events = real.end(turn)
    assert (events.status, events.only("steered", "text")) == ("ok", "not that disk")
    assert "not that disk" in json.dumps(model.turns[-1].body["messages"][-1])
    assert json.dumps([request.body["messages"] for request in model.turns]).count("not that disk") == 1
    assert len(real.so_far().of("user")) == 1


@pytest.mark.torture
def test_a_prompt_that_steers_waits_while_no_tool_runs(real: Real, model: FakeModel) -> None:
    turn = real.start("[[hold]][[text done]]")
    model.wait_for(lambda fake: bool(fake.turns))
    waiting = real.start("and this", steer=True)
    model.release()
    assert real.end(turn).status == "ok"
    following = real.wait("user", lambda event: event.get("queued") == waiting)["id"]
    assert real.end(following).status == "ok"
    assert not real.so_far().of("steered")
    assert model.turns[-1].texts[-1] == "and this"


@pytest.mark.torture
def test_after_an_action_without_the_model_the_next_turn_knows_what_happened_once(
    real: Real, model: FakeModel
) -> None:
    look = Action("look", ("echo", "the disk is full"), "reads", "Look")
    real.set(agents={**real.config.agents, "shell": built_in()["shell"]}, actions={"look": look})
    assert real.run("[[text before]]").status == "ok"
    failed = real.run("[[err 400 invalid_request_error]]")
    assert failed.status == "error"
    shell = real.run("echo freed the disk", agent="shell")
    started = actions.start_action(real.config, actions.Request("look", {}, "ann"), real.session)
    assert real.end(started.turn).status == "ok"
    back = real.run("and now? [[text fine]]", agent=real.config.agent)
    brief = back.only("user", "brief")
    assert brief["first"] > failed[-1]["id"]
    assert brief["last"] >= shell[-1]["id"]
    sent = json.dumps(model.turns[-1].body["messages"])
    assert sent.count("Record of this session") == 1
    assert sent.count("freed the disk") == 3  # the prompt, the call and its output
    assert "the disk is full" in sent
    assert "lines {first} to {last} ".format(**brief) in sent
    again = real.run("and again? [[text fine]]")
    assert "brief" not in again[0]
    assert json.dumps(model.turns[-1].body["messages"]).count("Record of this session") == 1


@pytest.mark.torture
def test_a_queued_prompt_continues_the_conversation(real: Real, model: FakeModel) -> None:
    turn = real.start("[[text one]][[hold]]")
    model.wait_for(lambda model: bool(model.turns))
    queued = submit_prompt(real.config, real.session, "and before?", by="bob", queue=True)
    assert queued.what == "queued"
    model.release()
    assert real.end(turn).status == "ok"
    events = real.so_far()
    assert [event.get("queued") for event in events.of("user")] == [None, queued.id]
    assert events.all("turn_end", "status") == ["ok", "ok"]
    assert len(set(events.all("session", "session_id"))) == 1
    assert model.turns[-1].texts == ["[[text one]][[hold]]", "and before?"]
    assert len({event["cost_usd"] for event in events.of("result")}) == 1, "each result has its own cost"


def test_a_session_of_a_terminal_is_adopted_and_knows_what_was_said(
    real: Real, model: FakeModel, home: Path, claude: str, environ: dict[str, str]
) -> None:
    (home / "work" / "evidence").touch()
    command = (claude, "-p", "[[text Look at nginx]]")
    began = subprocess.run(
        command, env=environ, cwd=home / "work", stdin=subprocess.DEVNULL, capture_output=True, check=True
    )
    assert began.stdout == b"Look at nginx\n"
    agent = real.config.agents["claude"]
    (own,) = own_sessions(real.config, agent)
    assert (own.title, own.directory, own.pid) == ("[[text Look at nginx]]", str(home / "work"), 0)
    real.session = adopt(real.config, agent, own.id, by="ann")
    assert own_sessions(real.config, agent)[0].session == real.session.id
    turn = real.run(bash("ls"))
    assert turn.only("session", "session_id") == own.id
    assert "evidence" in turn.only("tool_result", "output")
    assert model.turns[-1].texts[0] == "[[text Look at nginx]]"
    assert turn.only("result", "cost_usd") < own.cost * 3  # not the cost of the terminal again


@pytest.mark.torture
def test_a_session_that_a_terminal_has_open_is_not_adopted(
    real: Real, home: Path, claude: str, environ: dict[str, str]
) -> None:
    command = (
        claude,
        "-p",
        bash("touch up; until [ -e go ]; do sleep 0.1; done"),
        "--dangerously-skip-permissions",
    )
    agent = real.config.agents["claude"]
    with subprocess.Popen(
        command,
        env={**environ, "IS_SANDBOX": "1"},
        cwd=home / "work",
        stdin=subprocess.DEVNULL,
        process_group=0,
    ) as program:
        try:
            wait_until((home / "work" / "up").exists, "the tool")
            (own,) = own_sessions(real.config, agent)
            assert own.pid == program.pid
            with pytest.raises(Conflict, match=f"session {own.id} is in use by process {program.pid}"):
                adopt(real.config, agent, own.id, by="ann")
        finally:
            (home / "work" / "go").touch()
    assert own_sessions(real.config, agent)[0].pid == 0


def test_its_login_asks_for_the_code_and_ends_when_that_is_refused(
    real: Real, environ: dict[str, str]
) -> None:
    without_key = {name: value for name, value in environ.items() if not name.startswith("ANTHROPIC")}
    settings = real.config.data.parent / "settings.toml"
    settings.write_text(
        f"[agents.claude]\ncommand = [{json.dumps(real.config.agents['claude'].command[0])}]\n"
    )
    config = load_config(
        {**without_key, "BREAKGLASS_DATA": str(real.config.data), "BREAKGLASS_VITALS": "false"}, str(settings)
    )
    request = actions.Request(action="log-in-claude", params={}, by="ann")
    real.session = actions.start_action(config, request).session
    question = real.wait("permission")
    assert question["choices"][0]["link"].startswith("https://claude.ai/oauth/authorize")
    real.answer(question, allow=False)
    events = real.end(2)
    assert events.status == "error"
    assert '"loggedIn": false' in "".join(events.all("tool_result", "output"))
