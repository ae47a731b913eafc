"""The PyPI client library as a check: its models for the messages that we write, and an agent made with it.

The program itself does not use the library: its import is slow, and it requires asyncio streams.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from breakglass.agents import TurnInput
from breakglass.agents.acp.dialogue import Dialogue
from tests.agents.acp import EARLIER
from tests.agents.acp.recorded import lines, load
from tests.live.drive import AgentRun, React, passive, run_dialogue

REQUESTS = {
    "initialize": "InitializeRequest",
    "session/new": "NewSessionRequest",
    "session/load": "LoadSessionRequest",
    "session/resume": "ResumeSessionRequest",
    "session/set_mode": "SetSessionModeRequest",
    "session/set_config_option": "SetSessionConfigOptionSelectRequest",
    "session/prompt": "PromptRequest",
    "session/cancel": "CancelNotification",
}
WRITTEN = {name: run.stdin for name, run in load().items() if run.stdin}
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", sorted(WRITTEN))
def test_every_message_that_we_write_is_valid_and_has_no_unknown_key(name: str) -> None:
    from acp import schema  # not above: its import takes a second in each process that collects the tests

    for message in map(json.loads, lines(WRITTEN[name])):
        assert message.pop("jsonrpc") == "2.0"
        if "method" in message:
            model, held = getattr(schema, REQUESTS[message["method"]]), message["params"]
        elif "error" in message:
            model, held = schema.Error, message["error"]
        else:
            model, held = schema.RequestPermissionResponse, message["result"]
        kept = model.model_validate(held).model_dump(mode="json", by_alias=True, exclude_unset=True)
        assert kept == held


def run_turn(prompt: str, folder: Path, react: React = passive, **given: Any) -> AgentRun:
    """Run one turn of the agent that was made with the library."""
    command = (sys.executable, "-m", "tests.agents.acp.library_agent")
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    return run_dialogue(
        Dialogue(TurnInput(prompt, command, cwd=str(folder), turn=3, **given)), environ, folder, react
    )


@pytest.mark.parametrize("prompt", ["read", pytest.param("terminal", marks=pytest.mark.torture)])
def test_files_and_terminals_are_refused_with_an_error_the_library_reads(prompt: str, tmp_path: Path) -> None:
    assert run_turn(prompt, tmp_path).only("text", "text") == "refused: -32601"


def test_the_replayed_past_of_a_loaded_session_is_ignored(tmp_path: Path) -> None:
    done = run_turn("plan", tmp_path, session=EARLIER)
    assert [kind for kind, _ in done.drafts] == ["session", "plan", "delta", "text", "result"]
    assert (done.only("session", "session_id"), done.only("text", "text")) == (EARLIER, "planned")
    items = [("first", "in_progress"), ("second", "pending")]
    assert [(item["text"], item["status"]) for item in done.only("plan", "items")] == items  # type: ignore[attr-defined]


def test_a_missing_session_is_replaced_in_the_same_process(tmp_path: Path) -> None:
    done = run_turn("plan", tmp_path, session="gone")
    assert [kind for kind, _ in done.drafts] == ["error", "session", "plan", "delta", "text", "result"]
    assert done.only("session", "session_id") == "fresh"
    assert not done.dialogue.failed


@pytest.mark.parametrize(
    ("answer", "chosen"),
    [({"allow": True}, "1"), pytest.param({"allow": False}, "3", marks=pytest.mark.torture)],
)
def test_an_answer_selects_the_matching_option(answer: dict[str, bool], chosen: str, tmp_path: Path) -> None:
    done = run_turn("ask", tmp_path, _answering(**answer), ask=True)
    assert done.only("permission", "input") == {"path": "/x"}
    assert done.only("text", "text") == f"answered: {chosen}"


def _answering(**answer: bool) -> React:
    def react(dialogue: Any, draft: Any) -> bool:
        return draft[0] == "permission" and not dialogue.answer(draft[1]["request"], **answer)

    return react


@pytest.mark.torture
def test_an_agent_that_need_not_ask_gets_permission(tmp_path: Path) -> None:
    done = run_turn("ask", tmp_path)
    assert (done.of("permission"), done.only("text", "text")) == ([], "answered: 1")


@pytest.mark.torture
def test_an_edit_without_raw_input_shows_its_diff(tmp_path: Path) -> None:
    done = run_turn("edit", tmp_path)
    changed = {"type": "diff", "path": "/x", "oldText": "old", "newText": "new"}
    assert done.only("tool", "input") == {"title": "Edit x", "kind": "edit", "diff": [changed]}
    assert done.only("tool_result", "output") == "/x\n-old\n+new"


def test_a_cancelled_turn_keeps_its_prose_and_ends(tmp_path: Path) -> None:
    done = run_turn("wait", tmp_path, lambda _, draft: draft[0] == "delta")
    assert done.only("text", "text") == "waiting"
    assert (done.only("result", "result"), done.dialogue.failed) == ("Interrupted.", False)
