"""The action that logs an ACP agent in: it lists the ways that the agent offers, and says what each needs."""

import json
import os
import shlex
import sys
from pathlib import Path

import pytest

from breakglass.config import Config
from breakglass.errors import BadInput
from breakglass.events import Event
from breakglass.load_config import load_config
from breakglass.store.sessions import Session
from breakglass.turns import actions
from breakglass.turns.answer import answer_question
from tests.help.session_logs import events_of
from tests.help.turns import wait_for_end
from tests.help.waiting import wait_until

PROGRAM = Path(__file__).parents[1] / "help" / "fake_acp_login.py"
ADDRESS = "https://login.example/device?code=ABCD"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    command = [sys.executable, str(PROGRAM), str(tmp_path)]
    settings = tmp_path / "settings.toml"
    boxed = f'[agents.boxed]\nprotocol = "acp"\ncommand = {json.dumps(command)}\nsandbox = "bwrap"\n'
    settings.write_text(f'[agents.fake]\nprotocol = "acp"\ncommand = {json.dumps(command)}\n{boxed}')
    environ = {**os.environ, "BREAKGLASS_DATA": str(tmp_path / "var"), "BREAKGLASS_VITALS": "false"}
    return load_config(environ, str(settings))


def start(config: Config) -> tuple[Session, int]:
    started = actions.start_action(config, actions.Request(action="log-in-fake", params={}, by="ann"))
    return started.session, started.turn


def question(session: Session, number: int = 1) -> Event:
    def asked() -> list[Event]:
        return [event for event in events_of(session) if event["kind"] == "permission"]

    wait_until(lambda: len(asked()) >= number, "the question")
    return asked()[number - 1]


def log_in(config: Config, way: str) -> tuple[str, str, str]:
    """Choose a way. Return the status of the turn, the agent's output and the result."""
    session, turn = start(config)
    answer_question(session, question(session)["request"], allow=True, by="ann", answers={"way": [way]})
    if way == "Link":
        asked = question(session, 2)
        assert asked["choices"][0]["link"] == ADDRESS
        answer_question(session, asked["request"], allow=True, by="ann", answers={"done": ["Done"]})
    events = wait_for_end(session, turn)
    output = "".join(event["output"] for event in events if event["kind"] == "tool_result")
    (result,) = [event["result"] for event in events if event["kind"] == "result"]
    return events[-1]["status"], output, result


def test_the_ways_are_listed_with_what_each_needs_and_one_of_them_must_be_chosen(config: Config) -> None:
    session, turn = start(config)
    asked = question(session)
    assert (asked["name"], asked["input"]["ways"][0]) == ("Log in", "Browser")
    (choice,) = asked["choices"]
    about = {option["label"]: option.get("description", "") for option in choice["options"]}
    assert about == {
        "Browser": "Log in with a browser",
        "Link": "",
        "Broken": "",
        "Key": "needs FAKE_KEY in the agent's environment",
        "Terminal": "needs a terminal on the machine",
    }
    with pytest.raises(BadInput, match="is not one of the answers"):
        answer_question(session, asked["request"], allow=True, by="ann", answers={"way": ["Other"]})
    answer_question(session, asked["request"], allow=False, by="ann")
    events = wait_for_end(session, turn)
    assert [event["result"] for event in events if event["kind"] == "result"] == ["No way was chosen."]
    assert events[-1]["status"] == "error"


def test_the_agent_logs_itself_in_and_a_new_session_decides(config: Config) -> None:
    status, output, result = log_in(config, "Browser")
    assert (status, result) == ("ok", "The agent is logged in: it opened a session.")
    assert f"Open {ADDRESS}\n" in output
    assert "The agent is not logged in: Authentication required\n" in output
    assert "The agent opened a session, so it is logged in" in log_in(config, "Terminal")[1]


def test_an_address_that_the_agent_wants_opened_is_a_question_with_a_link(config: Config) -> None:
    assert log_in(config, "Link")[0] == "ok"


@pytest.mark.parametrize(
    ("way", "told"),
    [
        ("Broken", "The agent refused the login: no such account"),
        ("Key", "The agent's environment has no FAKE_KEY. Set it for the server or in the agent's `env`"),
        (
            "Terminal",
            "Run there, as the user that the server runs as:\n  env TUI=1 {program} login 'it'\"'\"'s'\n",
        ),
    ],
)
def test_what_cannot_be_done_from_here_is_an_error_that_says_what_to_do(
    config: Config, way: str, told: str
) -> None:
    status, output, _ = log_in(config, way)
    program = shlex.join(config.agents["fake"].command)
    assert (status, told.replace("{program}", program) in output) == ("error", True), output


def test_an_agent_in_a_sandbox_has_no_such_action(config: Config) -> None:
    assert {"log-in-fake", "log-in-boxed"} & {*config.actions} == {"log-in-fake"}
    assert config.action_named("log-in-fake").timeout_seconds == 600
