"""The runner decodes the same job that was encoded, or refuses it."""

import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from breakglass.actions import Action
from breakglass.masking import fingerprints
from breakglass.sandbox import Sandbox
from breakglass.seals import Seal
from breakglass.state import AgentState, QueuedPrompt
from breakglass.store import sessions
from breakglass.store.seek import Position
from breakglass.turn_limits import TurnLimits
from breakglass.turns import job as jobs
from breakglass.turns.actions import Request, start_action
from breakglass.turns.begin import submit_prompt
from breakglass.turns.job import ActionStep, AgentJob, Job
from breakglass.turns.notifying import Sender
from tests.help.turns import make_config, wait_for_end, wait_for_output

JOB = Job(
    directory="/var/lib/breakglass/sessions/a",
    workspace="/var/lib/breakglass/workspaces/a",
    cwd="/srv",
    turn=2,
    end=Position(2, 345),
    seal=Seal(1, 2, "", "0" * 64),
    lock=(5, 6),
    held=(7,),
    steps=(ActionStep("look", ("ls", "--", "a b"), 60.0),),
    agents=(
        AgentJob(
            name="claude",
            protocol="claude",
            command=("claude", "--verbose"),
            environ={"PATH": "/bin", "ODD": "\udcff é"},
            sandbox=Sandbox(
                (65534, 65534), "/home/a", "/var/lib/breakglass", "", ("/opt",), (), network=True
            ),
            ask=True,
            allow=("Read",),
            deny=(),
            choice_tools=("AskUserQuestion",),
            instructions="Look first.\n",
            runbooks="/srv/runbooks",
            thinking=False,
        ),
    ),
    agent="claude",
    environ={"PATH": "/bin", "ODD": "\udcff é"},
    secrets=fingerprints(["a-token-of-some-length", "another-token" * 9]),
    models={"claude": "m-1"},
    known=(AgentState("claude", "s-1", 0.25, 9), AgentState("shell")),
    allowed=("Bash",),
    queued=(QueuedPrompt(7, ""), QueuedPrompt(9, "", steer=True)),
    timeout=1800,
    permission_timeout=0.5,
    limits=TurnLimits(kill=1),
    max_cost=2.5,
    sender=Sender("/var/lib/breakglass", ("python3", "-I"), {"PATH": "/bin"}),
)


def test_a_decoded_plan_equals_the_encoded_one() -> None:
    decoded = jobs.decode(jobs.encode(JOB))
    assert decoded == JOB
    assert [type(each) for each in decoded] == [type(each) for each in JOB]
    assert isinstance(decoded.secrets[0], type(JOB.secrets[0]))


WRONG: dict[str, dict[str, Any]] = {
    "a text for a number": {"turn": "2"},
    "a boolean for a number": {"turn": True},
    "a number for a boolean": {"agents": [[*JOB.agents[0][:5], 1, *JOB.agents[0][6:]]]},
    "null for a text": {"directory": None},
    "a number for an optional text": {"known": [["claude", 4, 0.25, 9]]},
    "a text for a list": {"allowed": "claude"},
    "a step that is too short": {"steps": [["look", ["ls"]]]},
    "a list with a wrong item": {"queued": [7, "9"]},
    "a position that is too short": {"end": [2]},
    "limits with a wrong value": {"limits": [None] * 6},
    "an environment with a wrong value": {"environ": {"PATH": None}},
    "an unknown field": {"colour": "red"},
}


@pytest.mark.parametrize("name", WRONG)
def test_a_plan_with_a_wrong_field_is_refused(name: str) -> None:
    fields = {**json.loads(jobs.encode(JOB)), **WRONG[name]}
    with pytest.raises(ValueError, match="job"):
        jobs.decode(json.dumps(fields).encode())


@pytest.mark.parametrize("field", Job._fields)
def test_a_plan_without_one_of_its_fields_is_refused(field: str) -> None:
    fields = json.loads(jobs.encode(JOB))
    del fields[field]
    with pytest.raises(ValueError, match="job"):
        jobs.decode(json.dumps(fields).encode())


def test_an_agent_works_where_its_adopted_session_was_begun_as_long_as_that_is_there(
    root: Path, tmp_path: Path
) -> None:
    place = tmp_path / "begun"
    place.mkdir()
    adopted = {"session_id": "abc", "directory": str(place), "cost_usd": 0.0}
    session = sessions.create(root, "shell", adopted=adopted)
    config = make_config(root)
    for expected in (str(place), os.path.realpath(session.workspace)):
        turn = submit_prompt(config, session, "pwd", by="ann").id
        assert wait_for_output(session, turn, "/").strip() == expected
        wait_for_end(session, turn)
        if place.exists():
            place.rmdir()


def test_an_action_runs_in_a_session_whose_agent_is_no_longer_configured(root: Path) -> None:
    config = make_config(root, actions={"look": Action("look", ("true",), "reads")})
    session = sessions.create(root, "gone")
    started = start_action(config, Request("look", {}, "ann"), session)
    assert wait_for_end(session, started.turn)[-1]["status"] == "ok"


def test_a_workspace_that_is_gone_is_made_again_for_its_owner_alone(root: Path) -> None:
    session = sessions.create(root, "shell")
    os.rmdir(session.workspace)
    wait_for_end(session, submit_prompt(make_config(root), session, "true", by="ann").id)
    assert stat.S_IMODE(os.stat(session.workspace).st_mode) == 0o700


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_a_turn_runs_although_no_thread_can_start(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    session = sessions.create(root, "shell")
    monkeypatch.setattr(threading.Thread, "start", fail)
    turn = submit_prompt(make_config(root), session, "true", by="ann").id
    assert wait_for_end(session, turn)[-1]["status"] == "ok"
