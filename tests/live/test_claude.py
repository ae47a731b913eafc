"""The real Claude Code through the real runner: one turn after another.

Each start of Claude Code costs seconds of CPU. `make torture` runs what the recorded runs of the program show as well
(tests/agents/claude), and what the tests of turns hold with other agents.
"""

import json
from pathlib import Path

import pytest

from breakglass.turns.files import add_file
from tests.help.fake_model import FakeModel
from tests.live.real import FILES, Real, bash, python


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


@pytest.mark.torture
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


@pytest.mark.torture
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


def test_the_model_sees_a_picture_and_is_told_where_each_file_is(real: Real, model: FakeModel) -> None:
    """A real PNG of one pixel. The model's request shows what Claude Code made of it."""
    files = [add_file(real.session, name, data, by="ann")["path"] for name, data in FILES.items()]
    assert real.run("what is it?", files=files).status == "ok"
    blocks = [block for message in model.turns[-1].body["messages"] for block in message["content"]]
    images = [block["source"] for block in blocks if isinstance(block, dict) and block["type"] == "image"]
    assert [(image["media_type"], image["data"][:8]) for image in images] == [("image/png", "iVBORw0K")]
    assert f"* uploads/dot.png (image/png, {len(FILES['dot.png'])} bytes)" in model.turns[-1].texts[0]
    assert "* uploads/kernel.log (text/plain, 6 bytes)" in model.turns[-1].texts[0]
