"""Prompts that steer a running turn: the agent gets each one exactly once, within the turn or as the next turn."""

import functools
import json
import random
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from breakglass.agents import TurnInput
from breakglass.agents.claude.dialogue import Dialogue
from breakglass.config import Config
from breakglass.config.agents import AgentConfig
from breakglass.errors import Conflict
from breakglass.state import SessionState, fold
from breakglass.store import sessions
from breakglass.store.sessions import Session
from breakglass.turns.begin import submit_prompt, withdraw_prompt
from breakglass.turns.end import cancel_turn
from tests.help.session_logs import events_of
from tests.help.turns import make_config, wait_for_end
from tests.help.waiting import wait_until

AGENT = """
import json, os, queue, sys, threading, time

TOOL_SECONDS = 0.01
folder, lines = sys.argv[1], queue.Queue()

def read():
    for line in sys.stdin:
        lines.put(json.loads(line))
    lines.put(None)

def put(kind, **fields):
    print(json.dumps({"type": kind, "session_id": "s", **fields}), flush=True)

def note(message):
    open(folder + "/got", "a").write(json.dumps(message["message"]["content"]) + "\\n")
    if "uuid" in message:
        put("command_lifecycle", command_uuid=message["uuid"], state="started")

def round_of(first):
    put("system", subtype="init")
    number, ended = 0, False
    while first["message"]["content"].endswith("work") and not os.path.exists(folder + "/enough"):
        number += 1
        call = {"type": "tool_use", "id": f"t{number}", "name": "Bash", "input": {}}
        put("assistant", message={"content": [call]})
        time.sleep(TOOL_SECONDS)  # the work of the agent; no test waits by it
        while not lines.empty() and not ended:
            message = lines.get()
            ended = message is None
            if message:
                note(message)
        result = {"type": "tool_result", "tool_use_id": f"t{number}", "content": "done"}
        put("user", message={"content": [result]})
        time.sleep(TOOL_SECONDS)
        if os.path.exists(folder + "/die"):
            os._exit(3)
    put("result", is_error=False, result="done")

threading.Thread(target=read, daemon=True).start()
while message := lines.get():
    note(message)
    round_of(message)
"""
"""An agent like Claude Code: it reads prompts at the end of a tool, and otherwise as rounds of their own."""


@pytest.fixture
def config(root: Path, tmp_path: Path) -> Config:
    agent = AgentConfig("claude", "claude", (sys.executable, "-c", AGENT, str(tmp_path)))
    return make_config(root, agent, agent="claude")


def working(config: Config) -> tuple[Session, int]:
    """Begin a turn in which tools run one after the other. Return when the first one runs."""
    session = sessions.create(config.data, "claude")
    turn = submit_prompt(config, session, "work", by="ann").id
    wait_until(lambda: any(e["kind"] == "tool" for e in events_of(session)), "a tool")
    return session, turn


def got(folder: Path) -> list[str]:
    """Return the prompts that the agent has got, without what stands before them."""
    return [json.loads(line).rpartition("\n")[2] for line in (folder / "got").read_text().splitlines()]


def kinds(session: Session) -> Counter[str]:
    return Counter(event["kind"] for event in events_of(session))


def test_a_prompt_that_steers_is_read_within_the_turn(config: Config, tmp_path: Path) -> None:
    session, turn = working(config)
    accepted = submit_prompt(config, session, "not that disk", by="bob", steer=True)
    assert accepted.what == "queued"
    wait_until(lambda: got(tmp_path)[1:], "the prompt")
    (tmp_path / "enough").touch()
    events = wait_for_end(session, turn)
    (steered,) = [event for event in events if event["kind"] == "steered"]
    assert {key: steered[key] for key in ("turn", "text", "by", "queued")} == {
        "turn": turn,
        "text": "not that disk",
        "by": "bob",
        "queued": accepted.id,
    }
    assert got(tmp_path) == ["work", "not that disk"]
    assert kinds(session)["user"] == 1
    with pytest.raises(Conflict):
        withdraw_prompt(session, accepted.id, by="bob")


def has_come(session: Session, number: int) -> bool:
    """Return whether the log has a line of that number, or no turn runs that could write it."""
    state = session.state()
    return state.last_id >= number or state.turn is None


@pytest.mark.parametrize("number", [20, pytest.param(200, marks=pytest.mark.torture)])
def test_prompts_that_race_with_the_end_of_a_tool_arrive_exactly_once(
    config: Config, tmp_path: Path, number: int
) -> None:
    session, _ = working(config)
    for each in range(number):
        submit_prompt(config, session, f"m{each}", by="ann", steer=True)
        reached = session.state().last_id + random.randrange(4)
        wait_until(functools.partial(has_come, session, reached), "the log to grow, or the turn to end")
        if each == number * 3 // 4:
            (tmp_path / "enough").touch()
    wait_until(lambda: session.state().turn is None and not session.state().queued, "the last turn")
    assert sorted(got(tmp_path)) == sorted(["work", *(f"m{each}" for each in range(number))])
    counted = kinds(session)
    assert counted["steered"] + counted["user"] == number + 1
    assert counted["steered"] > 0


def test_a_prompt_that_the_agent_did_not_read_is_the_next_turn(config: Config, tmp_path: Path) -> None:
    session, turn = working(config)
    (tmp_path / "die").touch()
    submit_prompt(config, session, "still there?", by="ann", steer=True)
    assert wait_for_end(session, turn)[-1]["status"] == "error"
    wait_until(lambda: session.state().turn is None and not session.state().queued, "the next turn")
    assert Counter(got(tmp_path))["still there?"] == 1


def test_a_stop_takes_back_what_was_not_read(config: Config, tmp_path: Path) -> None:
    dialogue = Dialogue(TurnInput("go", ("claude",)))
    dialogue.translate(tool_line("assistant", {"type": "tool_use", "id": "t", "name": "Bash", "input": {}}))
    assert dialogue.can_steer
    dialogue.steer(7, "/clear")
    line = json.loads(dialogue.reply())
    assert line["message"]["content"] == " /clear"
    assert list(dialogue.unread) == [7]
    assert dialogue.interrupt() == b""
    dialogue.translate(lifecycle(line["uuid"], "queued"))
    assert list(dialogue.unread) == [7]
    dialogue.translate(lifecycle(line["uuid"], "started"))
    assert list(dialogue.unread) == []
    session, turn = working(config)
    submit_prompt(config, session, "later", by="ann", steer=True)
    cancel_turn(session, by="ann")
    assert wait_for_end(session, turn)[-1]["status"] == "cancelled"
    assert not session.state().queued


def lifecycle(uuid: str, state: str) -> bytes:
    return json.dumps({"type": "command_lifecycle", "command_uuid": uuid, "state": state}).encode() + b"\n"


def tool_line(kind: str, block: Mapping[str, object]) -> bytes:
    return json.dumps({"type": kind, "message": {"content": [block]}}).encode() + b"\n"


def test_the_tools_of_a_subagent_do_not_count() -> None:
    dialogue = Dialogue(TurnInput("go", ("claude",)))
    block = {"type": "tool_use", "id": "t", "name": "Bash", "input": {}}
    line = {"type": "assistant", "parent_tool_use_id": "p", "message": {"content": [block]}}
    dialogue.translate(json.dumps(line).encode() + b"\n")
    assert not dialogue.can_steer


def test_only_a_running_tool_lets_an_agent_read_a_prompt() -> None:
    found = []
    dialogue = Dialogue(TurnInput("go", ("claude",)))
    for kind, block in (
        ("assistant", {"type": "text", "text": "hm"}),
        ("assistant", {"type": "tool_use", "id": "t", "name": "Bash", "input": {}}),
        ("user", {"type": "tool_result", "tool_use_id": "t", "content": "x"}),
    ):
        dialogue.translate(tool_line(kind, block))
        found.append(dialogue.can_steer)
    assert found == [False, True, False]


def test_an_agent_that_cannot_be_steered_gets_the_prompt_as_its_next_turn(root: Path, tmp_path: Path) -> None:
    config = make_config(root)
    session = sessions.create(root, "shell")
    turn = submit_prompt(config, session, f"until [ -e {tmp_path}/go ]; do sleep 0.05; done", by="ann").id
    first = submit_prompt(config, session, "echo first", by="ann", queue=True).id
    now = submit_prompt(config, session, "echo now", by="ann", steer=True).id
    assert [each.id for each in session.state().queued] == [now, first]
    (tmp_path / "go").touch()
    wait_for_end(session, turn)
    wait_until(lambda: session.state().turn is None and not session.state().queued, "the queue")
    assert [e["text"] for e in events_of(session) if e["kind"] == "user"][1:] == ["echo now", "echo first"]
    assert kinds(session)["steered"] == 0


def test_without_a_running_turn_it_begins_one(config: Config, tmp_path: Path) -> None:
    session = sessions.create(config.data, "claude")
    accepted = submit_prompt(config, session, "hello", by="ann", steer=True)
    assert accepted.what == "turn"
    user = wait_for_end(session, accepted.id)[0]
    assert "steer" not in user


def test_the_queue_begins_with_what_may_steer() -> None:
    state = SessionState()
    for number, steer in enumerate((False, True, False, True), 1):
        state = fold(state, {"id": number, "kind": "queued", "text": "x", "by": "a", "steer": steer})
    assert [each.id for each in state.queued] == [2, 4, 1, 3]
    state = fold(state, {"id": 5, "kind": "steered", "turn": 9, "text": "x", "by": "a", "queued": 4})
    assert [each.id for each in state.queued] == [2, 1, 3]
