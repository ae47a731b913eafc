"""A reopened session: an agent may replay the past after its response, and the prompt waits until it is quiet."""

import sys
from pathlib import Path
from typing import Any

import pytest

from breakglass.config.agents import AgentConfig
from breakglass.store import sessions
from breakglass.turns.begin import submit_prompt
from tests.help import turns as real_turns
from tests.help.turns import wait_for_end

AGENT = """
import json, os, select

def say(**message):
    os.write(1, json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\\n")

def text(words):
    block = {"type": "text", "text": words}
    update = {"sessionUpdate": "agent_message_chunk", "content": block}
    say(method="session/update", params={"sessionId": "s", "update": update})

def is_prompted(seconds):
    return bool(select.select([0], [], [], seconds)[0])

def replay(pieces):
    while pieces and not is_prompted(0.05):
        text("the past. ")
        pieces -= 1

for line in os.fdopen(0, "rb", 0):
    request = json.loads(line)
    method, result = request["method"], {"sessionId": "s"}
    if method == "initialize":
        result = {"protocolVersion": 1, "agentCapabilities": {"loadSession": True}}
    elif method == "session/prompt":
        text("now")
        result = {"stopReason": "end_turn"}
    say(id=request["id"], result=result)
    if method == "session/load":
        replay(PIECES)
"""


NEVER_QUIET = """
    if method == "session/load":
        while not is_prompted(0.05):
            say(method="_auth/status_update", params={})
"""


def texts_of_second_turn(root: Path, script: str, **limits: float) -> list[Any]:
    """Return the texts of a turn that reopened the session of an earlier turn."""
    agent = AgentConfig("it", "acp", (sys.executable, "-c", script))
    config = real_turns.make_config(root, agent, limits=limits)
    session = sessions.create(config.data, "it")
    wait_for_end(session, submit_prompt(config, session, "one", by="ann").id)
    events = wait_for_end(session, submit_prompt(config, session, "two", by="ann").id)
    assert events[-1]["status"] == "ok"
    return [event["text"] for event in events if event["kind"] == "text"]


@pytest.mark.parametrize("pieces", [0, 1, 10])
def test_a_past_that_is_replayed_after_the_session_opened_is_not_logged(pieces: int, root: Path) -> None:
    assert texts_of_second_turn(root, AGENT.replace("PIECES", str(pieces))) == ["now"]


def test_an_agent_that_is_never_quiet_gets_the_prompt_after_the_limit(root: Path) -> None:
    script = AGENT.replace("PIECES", "0") + NEVER_QUIET
    assert texts_of_second_turn(root, script, replay_quiet=1000, replay=0.2) == ["now"]


def test_a_quiet_agent_gets_the_prompt_before_the_limit(root: Path) -> None:
    assert texts_of_second_turn(root, AGENT.replace("PIECES", "1"), replay_quiet=0.2, replay=1000) == ["now"]
