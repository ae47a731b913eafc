"""The action that logs an agent in: it asks for a code, which is in no file afterwards."""

import json
import os
import resource
import sys
from pathlib import Path

import pytest

from breakglass.config import Config
from breakglass.errors import BadInput, CannotRecord, Conflict
from breakglass.load_config import load_config
from breakglass.store.sessions import Session
from breakglass.turns import actions
from breakglass.turns.answer import answer_question
from breakglass.turns.end import cancel_turn, end_if_lost, wait_for_stop
from tests.help.session_logs import events_of
from tests.help.turns import kill_runner, wait_for_end
from tests.help.waiting import wait_until

ROOT = Path(__file__).parents[2]
CODE = "right-code-of-many-letters#state-0123456789"
ADDRESS = "https://login.example/authorize?z-fI0fH"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Settings with one agent whose program can log in, as a user writes them."""
    program = [sys.executable, str(ROOT / "tests" / "help" / "fake_login.py")]
    text = f'[agents.claude]\ncommand = {json.dumps(program)}\nenv = {{ FAKE_LOGIN = "{tmp_path}" }}\n'
    (tmp_path / "settings.toml").write_text(text)
    return load_config(environ(tmp_path), str(tmp_path / "settings.toml"))


def environ(folder: Path) -> dict[str, str]:
    return {**os.environ, "BREAKGLASS_DATA": str(folder / "var"), "BREAKGLASS_VITALS": "false"}


def start(config: Config) -> tuple[Session, int, str]:
    """Start the action and wait for its question. Return the session, the turn and the question's request."""
    started = actions.start_action(config, actions.Request(action="log-in-claude", params={}, by="ann"))
    return started.session, started.turn, wait_for_question(started.session)


def wait_for_question(session: Session, number: int = 1) -> str:
    def asked() -> list[str]:
        return [event["request"] for event in events_of(session) if event["kind"] == "permission"]

    wait_until(lambda: len(asked()) >= number, "the question")
    return str(asked()[-1])


def everything_in(root: Path) -> bytes:
    return b"".join(path.read_bytes() for path in root.rglob("*") if path.is_file())


def test_a_code_logs_in_and_is_in_no_file_afterwards(config: Config) -> None:
    session, turn, request = start(config)
    (asked,) = [event for event in events_of(session) if event["kind"] == "permission"]
    assert (asked["name"], asked["input"]) == ("Log in", {"address": ADDRESS})
    (choice,) = asked["choices"]
    assert (choice["id"], choice["secret"], choice["link"]) == ("code", True, ADDRESS)
    with pytest.raises(BadInput, match="message: the answer is a secret"):
        answer_question(session, request, allow=True, by="ann", message=CODE, answers={"code": [CODE]})
    answer_question(session, request, allow=True, by="ann", answers={"code": [CODE]})
    events = wait_for_end(session, turn)
    assert events[-1]["status"] == "ok"
    (answer,) = [event for event in events if event["kind"] == "answer"]
    assert (answer["allow"], answer["answers"]) == (True, {"code": ["(secret)"]})
    assert '{"loggedIn": true}' in "".join(event["output"] for event in events if "output" in event)
    kept = everything_in(config.data)
    assert b"got [masked]" in kept
    assert b"right-code" not in kept
    assert b"state-0123456789" not in kept


def test_a_wrong_code_is_asked_again_and_the_status_decides(config: Config) -> None:
    session, turn, request = start(config)
    for number in (1, 2):
        answer_question(session, request, allow=True, by="ann", answers={"code": [f"wrong-{number}"]})
        request = wait_for_question(session, number + 1) if number == 1 else ""
    events = wait_for_end(session, turn)
    assert events[-1]["status"] == "error"
    assert '{"loggedIn": false}' in "".join(event["output"] for event in events if "output" in event)


def test_a_refusal_ends_the_program_and_a_stop_too(config: Config) -> None:
    session, turn, request = start(config)
    answer_question(session, request, allow=False, by="ann")
    assert wait_for_end(session, turn)[-1]["status"] == "error"
    session, turn, request = start(config)
    cancel_turn(session, by="ann")
    wait_for_stop(session)
    assert wait_for_end(session, turn)[-1]["status"] == "cancelled"


def test_one_login_of_an_agent_runs_at_a_time_and_a_lost_one_leaves_no_code(config: Config) -> None:
    session, _, request = start(config)
    with pytest.raises(Conflict, match="log-in-claude runs on this machine"):
        actions.start_action(config, actions.Request(action="log-in-claude", params={}, by="bob"))
    kill_runner(session)
    Path(session.directory, "answer-9").write_text(CODE)
    assert end_if_lost(session).status == "lost"
    assert b"right-code" not in everything_in(config.data)
    with pytest.raises(Conflict, match="withdrawn"):
        answer_question(session, request, allow=True, by="ann", answers={"code": [CODE]})


def test_a_stopped_turn_leaves_no_code_of_a_user_whose_process_died_before_its_answer(config: Config) -> None:
    session, turn, _ = start(config)
    (asked,) = [event["id"] for event in events_of(session) if event["kind"] == "permission"]
    kept = Path(session.directory, f"answer-{asked}")
    kept.write_text('{"code": ["right-code"]}')
    cancel_turn(session, by="ann")
    assert wait_for_end(session, turn)[-1]["status"] == "cancelled"
    assert not kept.exists()


def test_an_answer_that_cannot_be_recorded_leaves_no_code(config: Config) -> None:
    session, turn, request = start(config)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = os.path.getsize(f"{session.directory}/events.jsonl")
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (size, limits[1])
    )  # as if the disk were full after the file of the code
    try:
        with pytest.raises(CannotRecord):
            answer_question(session, request, allow=True, by="ann", answers={"code": [CODE]})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert b"right-code" not in everything_in(config.data)
    answer_question(session, request, allow=False, by="ann")
    wait_for_end(session, turn)


def test_what_the_log_has_in_place_of_a_code_is_never_given_to_the_program(config: Config) -> None:
    session, turn, request = start(config)
    with session.open_log() as opened:
        answer = {"request": request, "allow": True, "by": "ann", "answers": {"code": ["(secret)"]}}
        opened.append("answer", turn=turn, **answer)
    events = wait_for_end(session, turn)
    assert events[-1]["status"] == "error"
    assert "got (secret)" not in "".join(event["output"] for event in events if "output" in event)


def test_a_code_that_is_no_utf_8_is_a_wrong_code(config: Config) -> None:
    session, turn, request = start(config)
    answer_question(session, request, allow=True, by="ann", answers={"code": ["\ud800"]})
    request = wait_for_question(session, 2)
    answer_question(session, request, allow=True, by="ann", answers={"code": [CODE]})
    assert wait_for_end(session, turn)[-1]["status"] == "ok"


def test_it_takes_ten_minutes_at_most_and_needs_no_sandbox(config: Config, tmp_path: Path) -> None:
    action = config.action_named("log-in-claude")
    assert (action.effect, action.timeout_seconds) == ("changes", 600)
    steps = actions.steps_of(config, action, {})
    assert [step.argv[2:] for step in steps] == [("auth", "login"), ("auth", "status")]
    (tmp_path / "settings.toml").write_text('[agents.claude]\ncommand = ["claude"]\nsandbox = "bwrap"\n')
    assert "log-in-claude" not in load_config(environ(tmp_path), str(tmp_path / "settings.toml")).actions
