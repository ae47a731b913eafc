"""The real Claude Code through the real runner: its turns, its failures, and how turns end.

Each start of Claude Code costs seconds of CPU. `make torture` runs what the recorded runs of the program show as well
(tests/agents/claude), and what the tests of turns hold with other agents.
"""

import base64
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from breakglass.actions import Action
from breakglass.config import AgentConfig, built_in
from breakglass.errors import Conflict
from breakglass.load_config import load_config
from breakglass.turns import actions, processes
from breakglass.turns.adopt import adopt, own_sessions
from breakglass.turns.begin import submit_prompt
from breakglass.turns.end import cancel_turn, end_if_lost
from breakglass.turns.files import add_file
from tests.help import turns as real_turns
from tests.help.fake_model import FakeModel
from tests.help.other_user import reachable_directory
from tests.help.waiting import wait_until
from tests.live.agents import base_environment
from tests.live.real import SLEEP, Real, bash, ending, python

FILES = {
    "dot.png": base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    ),
    "kernel.log": b"panic\n",
}


def pid_in(path: Path) -> int:
    """Wait until a process has written its pid to a file, and return it."""
    return int(wait_until(lambda: path.read_text().strip() if path.exists() else "", path))


def is_gone(pid: int) -> bool:
    return not processes.is_alive(pid, processes.start_time(pid))


# --- turns ----------------------------------------------------------------------------------------


def test_the_second_turn_has_the_context_of_the_first(real: Real, model: FakeModel) -> None:
    first = real.run("[[text Hello]]")
    assert (first.status, first.only("text", "text")) == ("ok", "Hello")
    second = real.run("and before?")
    assert second.only("session", "session_id") == first.only("session", "session_id")
    assert second.only("text", "text") == "echo: 2 user texts: ['[[text Hello]]', 'and before?']"
    assert model.turns[-1].texts == ["[[text Hello]]", "and before?"]
    assert first.only("result", "cost_usd") == pytest.approx(second.only("result", "cost_usd"))
    assert first.only("result", "usage")["output_tokens"] == 7


@pytest.mark.torture
def test_a_turn_stops_itself_at_its_budget_and_a_resumed_one_has_its_own(real: Real) -> None:
    cost = real.run("[[text Hello]]").only("result", "cost_usd")
    real.set(max_cost_usd=cost * 1.5)
    assert real.run("[[text Hello]]").status == "ok"
    real.set(max_cost_usd=cost * 0.5)
    third = real.run(bash("true"))
    assert third.status == "error"
    assert third.only("error", "error").startswith("Reached maximum budget")  # before its second request


@pytest.mark.torture
def test_the_instructions_are_in_the_system_prompt_of_every_turn(
    real: Real, model: FakeModel, home: Path
) -> None:
    (home / "instructions").write_text("Never reboot this machine.")
    (home / "books").mkdir()
    real.set_agent(instructions=str(home / "instructions"), runbooks=str(home / "books"))
    for prompt in ("one", "two"):
        assert real.run(prompt).status == "ok"
        assert "Never reboot this machine." in json.dumps(model.turns[-1].body["system"])
        assert f"{home}/books" in json.dumps(model.turns[-1].body)


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


def test_prose_comes_as_deltas_and_then_as_a_whole(real: Real) -> None:
    events = real.run("[[slow 12 0.05]]")
    assert len(events.of("delta")) > 2
    assert "".join(events.all("delta", "text")) == events.only("text", "text")
    assert events.only("text", "text") == "".join(f"w{number} " for number in range(12))


def test_a_tool_runs_without_a_question(real: Real) -> None:
    events = real.run(bash("echo made | tee made"))
    assert (events.only("tool", "name"), events.only("tool", "input")["command"]) == (
        "Bash",
        "echo made | tee made",
    )
    assert (events.only("tool_result", "output"), events.only("tool_result", "is_error")) == ("made", False)
    assert events.only("tool_result", "tool_id") == events.only("tool", "tool_id")
    assert (real.workspace / "made").read_text() == "made\n"
    assert "permission" not in events.kinds


@pytest.mark.torture
def test_a_tool_result_of_180_kb_in_one_line_is_kept_whole(real: Real, home: Path) -> None:
    words = [f"line {number} {'x' * 90}" for number in range(1800)]
    (home / "large").write_text("\n".join(words))
    events = real.run(f'[[tool Read {{"file_path":"{home}/large"}}]]')
    output = events.only("tool_result", "output")
    assert len(output) > 180_000
    assert [line.partition("\t")[2] for line in output.split("\n")] == words
    assert events.status == "ok"


@pytest.mark.torture
def test_an_output_too_large_for_the_model_counts_what_is_left_out(real: Real) -> None:
    events = real.run(bash(python('print("x" * 180_000)')))
    output, left = events.only("tool_result", "output"), events.only("tool_result", "truncated")
    assert len(output) + left == 180_001


def test_a_prompt_that_begins_with_a_dash_is_no_option(real: Real, model: FakeModel) -> None:
    assert real.run("--help [[text fine]]").only("text", "text") == "fine"
    assert model.turns[-1].texts == ["--help [[text fine]]"]


LIKE_COMMANDS = ["/login is broken", "\ufeff/clear", "/status returns 502", "/clear the cache", "/help", "\n/clear",
                 "/context of this", " /clear", "#1 [[text x]]", "!ls", "@/etc/hostname", "/no-such"]  # fmt: skip


@pytest.mark.parametrize(
    ("permissions", "prompts"),
    [
        ("ask", LIKE_COMMANDS[:2]),
        pytest.param("ask", LIKE_COMMANDS[2:], marks=pytest.mark.torture),
        pytest.param("bypass", LIKE_COMMANDS, marks=pytest.mark.torture),
    ],
)
def test_a_prompt_that_looks_like_a_command_reaches_the_model(
    permissions: str, prompts: list[str], real: Real, model: FakeModel
) -> None:
    real.set_agent(permissions=permissions)
    sessions = set()
    for prompt in prompts:
        events = real.run(prompt)
        sessions.add(events.only("session", "session_id"))
        assert (events.status, model.turns[-1].texts[-1].strip()) == ("ok", prompt.strip())
        assert "notice" not in events.kinds
    assert len(sessions) == 1
    assert len(model.turns[-1].texts) == len(prompts)


@pytest.mark.torture
def test_the_offered_commands_do_not_reach_the_model(real: Real, model: FakeModel) -> None:
    real.run("[[text Hello]]")
    asked = len(model.turns)
    events = real.run("/context")
    assert "Context Usage" in events.only("text", "text")
    assert (events.status, len(model.turns)) == ("ok", asked)


def test_a_prompt_of_200_kb_arrives_whole(real: Real, model: FakeModel) -> None:
    prompt = "[[text fine]]" + "é" * 100_000
    assert real.run(prompt).status == "ok"
    assert model.turns[-1].texts == [prompt]


@pytest.mark.torture
def test_the_events_of_a_subagent_are_marked(real: Real) -> None:
    task = {"description": "Look", "prompt": "[[text from below]]", "subagent_type": "general-purpose"}
    events = real.run(f"[[tool Agent {json.dumps(task)}]]")
    call = events.of("tool")[0]["tool_id"]
    assert [event["text"] for event in events.of("text") if event.get("parent") == call] == ["from below"]
    assert any(event["text"].startswith("done: 1 result(s)") for event in events.of("text"))


@pytest.mark.torture
def test_thinking_is_in_the_log_only_if_the_settings_say_so(real: Real) -> None:
    assert "thinking" not in real.run("[[think Hm.]][[text so]]").kinds
    real.set_agent(thinking=True)
    events = real.run("[[think Hm.]][[text so]]")
    assert events.only("thinking", "text") == "Hm."


@pytest.mark.torture
def test_the_to_do_list_is_a_plan(real: Real) -> None:
    create = '[[tool TaskCreate {"subject":"Look","description":"d"}]]'
    update = '[[tool TaskUpdate {"taskId":"1","status":"in_progress"}]]'
    events = real.run(f"{create}[[then]]{update}", model="claude-sonnet-4-5")
    assert [[tuple(item.values()) for item in items] for items in events.all("plan", "items")] == [
        [("Look", "pending")],
        [("Look", "in_progress")],
    ]


@pytest.mark.torture
def test_a_compacted_context_is_a_notice(real: Real) -> None:
    real.run("[[text Hello]]")
    events = real.run("/compact")
    assert "compacted" in events.only("notice", "text")
    assert events.status == "ok"


@pytest.mark.torture
def test_the_result_names_the_model_that_answered(real: Real) -> None:
    events = real.run("[[text so]]", model="claude-sonnet-4-5")
    assert events.only("user", "model") == events.only("result", "model") == "claude-sonnet-4-5"


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


# --- failures -------------------------------------------------------------------------------------


@pytest.mark.torture
def test_an_overloaded_backend_gives_retries_and_then_an_error(real: Real) -> None:
    events = real.run("[[err 529 overloaded_error]]")
    assert events.status == "error"
    assert events.all("retry", "attempt")[:1] == [1]
    assert "529" in events.of("retry")[0]["error"]
    assert "529" in events.only("error", "error") or "verloaded" in events.only("error", "error")
    assert events.only("result", "is_error") is True


def test_a_backend_that_recovers_is_no_error(real: Real) -> None:
    events = real.run("[[err 529 overloaded_error 1]]")
    assert (events.status, events.only("text", "text")) == ("ok", "recovered")
    assert len(events.of("retry")) == 1


@pytest.mark.torture
def test_a_connection_that_breaks_before_any_prose_gives_a_retry_and_then_an_error(real: Real) -> None:
    events = real.run("[[cut 5]]")
    assert (events.status, len(events.of("retry"))) == ("error", 1)
    assert "Connection dropped" in events.only("error", "error")
    again = real.run("[[cut 1]]")
    assert (again.status, again.only("text", "text")) == ("ok", "recovered")


def test_a_connection_that_breaks_after_some_prose_loses_none_of_it(real: Real, model: FakeModel) -> None:
    turn = real.start("[[text Half a]][[hold]][[cut 1]]")
    real.wait("delta")
    model.release()
    events = real.end(turn)
    assert (events.status, events.all("text", "text")[0]) == ("ok", "Half a")
    assert "cut off" in model.turns[-1].texts[-1], "the agent tells the model to continue from there"


@pytest.mark.torture
def test_a_refused_key_says_what_to_do(real: Real) -> None:
    events = real.run("[[err 401 authentication_error]]")
    assert events.status == "error"
    assert "ANTHROPIC_API_KEY" in events.only("error", "error")


def test_an_agent_that_is_not_logged_in_says_what_to_do(real: Real) -> None:
    real.set(environ={key: value for key, value in real.config.environ.items() if key != "ANTHROPIC_API_KEY"})
    events = real.run("[[text never]]")
    assert events.status == "error"
    assert "ANTHROPIC_API_KEY" in events.only("error", "error")


@pytest.mark.torture
def test_an_unknown_model_is_an_error_that_says_so(real: Real) -> None:
    events = real.run("[[text never]]", model="nobody-9")
    assert events.status == "error"
    assert "nobody-9" in events.only("error", "error")
    assert "Choose another model" in events.only("error", "error")


def test_a_missing_agent_session_is_replaced_and_the_log_says_so(real: Real, home: Path) -> None:
    first = real.run("[[text Hello]]")
    shutil.rmtree(home / ".claude")
    second = real.run("and before?")
    assert second.status == "ok"
    assert "was not found. A new one begins" in second.only("error", "error")
    assert second.only("session", "session_id") != first.only("session", "session_id")
    asked = real.model.turns[-1].texts[-1]
    assert "> 2 prompt by ann: [[text Hello]]\n" in asked
    assert asked.endswith("[End of the record. The user's prompt follows.]\n\nand before?")


# --- how turns end -----------------------------------------------------------------------------------------


def test_a_stop_while_prose_streams_keeps_the_prose(real: Real) -> None:
    turn = real.start("[[slow 500 0.02]]")
    real.wait("delta")
    assert cancel_turn(real.session, by="ann")
    events = real.end(turn)
    assert events.status == "cancelled"
    assert events.only("text", "text").startswith("w0 ")
    assert events.only("text", "text") == "".join(events.all("delta", "text"))
    assert real.run("and before?").status == "ok"


def test_a_stop_while_a_tool_runs_leaves_no_process_alive(real: Real) -> None:
    turn = real.start(bash(f"setsid {SLEEP} & echo $! > kept; {SLEEP}"))
    hidden = pid_in(real.workspace / "kept")
    assert cancel_turn(real.session, by="ann")
    assert real.end(turn).status == "cancelled"
    assert is_gone(hidden)


def test_after_a_killed_runner_no_process_lives_and_the_turn_is_lost(real: Real) -> None:
    turn = real.start(bash(f"setsid {SLEEP} & echo $! > kept; {SLEEP}"))
    hidden = pid_in(real.workspace / "kept")
    os.kill(real_turns.runner_pid(real.session), signal.SIGKILL)
    wait_until(lambda: end_if_lost(real.session).turn is None, "the turn to be ended")
    events = real.end(turn)
    assert events.status == "lost"
    assert is_gone(hidden)


@pytest.mark.torture
def test_a_killed_agent_is_an_error_that_names_the_signal(real: Real) -> None:
    turn = real.start("[[text Half]][[hold]]")
    real.wait("delta")
    agent = processes.descendants(real_turns.runner_pid(real.session))
    for pid in agent:
        os.kill(pid, signal.SIGKILL)
    events = real.end(turn)
    assert events.status == "error"
    assert "signal KILL" in events.only("error", "error")
    assert events.only("text", "text") == "Half"


@pytest.mark.torture
def test_a_turn_that_takes_too_long_is_stopped(real: Real) -> None:
    real.set(turn_timeout_seconds=2.0)
    events = real.run("[[hold]]")
    assert events.status == "timeout"
    assert "longer than 2 seconds" in events.only("error", "error")


def test_the_turn_ends_when_its_background_tasks_have_ended(real: Real) -> None:
    command = bash(python('import time; time.sleep(1); print("late")'), run_in_background=True)
    events = real.run(command)
    assert events.status == "ok"
    assert len(events.of("result")) == 2
    assert events[-1]["kind"] == "turn_end"
    assert len(events.of("session")) == 1


# --- users -------------------------------------------------------------------------------

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root is refused as root")


@needs_root
def test_root_gets_an_error_that_says_what_to_set(real: Real) -> None:
    real.set_agent(env={})
    events = real.run("[[text never]]")
    assert events.status == "error"
    assert 'IS_SANDBOX = "1"' in events.only("error", "error")


@pytest.mark.torture
@needs_root
def test_a_user_who_is_not_root_needs_nothing_special(model: FakeModel, claude: str) -> None:
    """Only the agent runs as another user: `setpriv` comes before it in `command`."""
    nobody = 65534
    with reachable_directory() as folder:
        home, program = folder / "home", folder / "claude"
        home.mkdir()
        shutil.copy(claude, program)
        drop = ("setpriv", f"--reuid={nobody}", f"--regid={nobody}", "--clear-groups")
        agent = AgentConfig("claude", "claude", (*drop, str(program)))
        real = Real(folder / "var", agent, base_environment(model, home), model)
        for path in (home, real.workspace):
            os.chown(path, nobody, nobody)
        for path in (real.config.data, real.config.data / "workspaces"):
            path.chmod(0o711)
        with ending(real):
            events = real.run(bash("id -u"))
        assert (events.status, events.only("tool_result", "output")) == ("ok", str(nobody))


def test_the_model_sees_a_picture_and_is_told_where_each_file_is(real: Real, model: FakeModel) -> None:
    """A real PNG of one pixel. The model's request shows what Claude Code made of it."""
    files = [add_file(real.session, name, data, by="ann")["path"] for name, data in FILES.items()]
    assert real.run("what is it?", files=files).status == "ok"
    blocks = [block for message in model.turns[-1].body["messages"] for block in message["content"]]
    images = [block["source"] for block in blocks if isinstance(block, dict) and block["type"] == "image"]
    assert [(image["media_type"], image["data"][:8]) for image in images] == [("image/png", "iVBORw0K")]
    assert f"* uploads/dot.png (image/png, {len(FILES['dot.png'])} bytes)" in model.turns[-1].texts[0]
    assert "* uploads/kernel.log (text/plain, 6 bytes)" in model.turns[-1].texts[0]


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
