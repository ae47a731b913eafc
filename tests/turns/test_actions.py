"""Actions as turns without an agent: their logs, beside running turns, after others, and one at a time on a target."""

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from breakglass.actions import Action, Param
from breakglass.config import Config
from breakglass.errors import BadInput, Conflict, NotFound, TurnRunning
from breakglass.store import sessions
from breakglass.turns import actions
from breakglass.turns.actions import Started
from breakglass.turns.begin import submit_prompt
from breakglass.turns.end import cancel_turn
from tests.help.hostile_values import EXACT, OPTIONS
from tests.help.session_logs import events_of
from tests.help.turns import begin_turn, kill_runner, make_config, runner_pid, wait_for_end, wait_for_output

SLEEP = Action("sleep", ("sleep", "1000"), "reads")
LOOK = Action("look", ("echo", "seen"), "reads", "Look")
FAIL = Action("fail", ("ls", "/no/such"), "reads")
ABSENT = Action("absent", ("no-such-program",), "reads")
HANG = Action("hang", ("sleep", "1000"), "reads", timeout_seconds=0.3)
CYCLE = Action("cycle", ("sleep", "1000"), "disrupts", confirm="yes")


def config(root: Path, *more: Action, **settings: Any) -> Config:
    known = {each.name: each for each in (SLEEP, LOOK, FAIL, ABSENT, HANG, CYCLE, *more)}
    return make_config(root, actions=known, **settings)


def start(of: Config, name: str, session: Any = None, **fields: Any) -> Started:
    return actions.start_action(of, actions.Request(name, fields.pop("params", {}), "ann", **fields), session)


def ended(started: Started) -> list[dict[str, Any]]:
    return wait_for_end(started.session, started.turn)


def test_an_action_is_a_turn_without_an_agent(root: Path) -> None:
    started = start(config(root), "look", reason="it is slow")
    user, *middle, end = ended(started)
    assert user["text"] == "Look"
    assert user["action"] == {"name": "look", "params": {}, "argv": ["echo", "seen"], "reason": "it is slow"}
    assert [event["kind"] for event in middle] == ["tool", "tool_result", "tool_result", "result"]
    assert middle[0]["input"] == {"command": "echo seen", "argv": ["echo", "seen"]}
    assert "".join(event["output"] for event in middle[1:3]) == "seen\n"
    assert (middle[3]["result"], middle[3]["is_error"], end["status"]) == ("exit status 0", False, "ok")


def test_hostile_values_arrive_exactly_at_the_program(root: Path, tmp_path: Path) -> None:
    program = tmp_path / "show"
    program.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    program.chmod(0o755)
    values = {f"v{number}": value for number, value in enumerate((*EXACT, *OPTIONS))}
    params = {name: Param(name, "text", pattern="(?s).*") for name in values}
    command = (str(program), "--", *(f"{{{name}}}" for name in values))
    of = config(root, Action("show", command, "reads", params=params))
    events = ended(start(of, "show", params=values))
    printed = "".join(event["output"] for event in events if event["kind"] == "tool_result")
    assert json.loads(printed) == ["--", *values.values()]
    assert events[0]["action"]["argv"] == [str(program), "--", *values.values()]


@pytest.mark.parametrize(
    ("name", "status", "why"),
    [
        ("fail", "error", None),
        ("hang", "timeout", "it ran longer than 0.3 seconds"),
        ("absent", "error", "Install it"),
    ],
)
def test_an_action_that_fails_says_why(root: Path, name: str, status: str, why: str | None) -> None:
    events = ended(start(config(root), name))
    assert events[-1]["status"] == status
    errors = [event["error"] for event in events if event["kind"] == "error"]
    assert [why in error for error in errors if why] == ([True] if why else [])


def test_actions_that_run_before_another_stop_nothing(root: Path) -> None:
    after = Action("after", ("echo", "done"), "changes", before=("fail", "hang", "absent", "look"))
    events = ended(start(config(root, after), "after"))
    tools = [event["name"] for event in events if event["kind"] == "tool"]
    assert tools == ["fail", "hang", "absent", "look", "after"]
    assert [event["result"] for event in events if event["kind"] == "result"] == ["exit status 0"]
    notices = [event["text"] for event in events if event["kind"] == "notice"]
    assert [("hang" in notices[0], "absent could not start" in notices[1])] == [(True, True)]
    assert events[-1]["status"] == "ok"


def test_a_stop_ends_an_action_and_the_actions_before_it(root: Path) -> None:
    slow = Action("slow", ("echo", "done"), "reads", before=("sleep",))
    started = start(config(root, slow), "slow")
    runner_pid(started.session)
    cancel_turn(started.session, by="ann")
    events = ended(started)
    assert events[-1]["status"] == "cancelled"
    assert "after" not in [event.get("name") for event in events]


def test_beside_a_running_turn_an_action_gets_a_session_of_its_own(root: Path) -> None:
    of = config(root)
    session, turn = begin_turn(of, "echo up; sleep 1000")
    wait_for_output(session, turn, "up")
    with pytest.raises(TurnRunning, match="with beside, the action runs in a session of its own"):
        start(of, "look", session)
    started, again = (start(of, "look", session, beside=True, key="k1") for _ in range(2))
    assert (started.session != session, again) == (True, started)
    assert ended(started)[-1]["status"] == "ok"
    (here,) = [event for event in events_of(session) if event["kind"] == "beside"]
    (there,) = [event for event in events_of(started.session) if event["kind"] == "beside"]
    assert (here["session"], there["session"]) == (started.session.id, session.id)
    cancel_turn(session, by="ann")
    wait_for_end(session, turn)
    assert start(of, "look", session, beside=True, key="k1") == started, "also when the turn has ended"
    assert start(of, "look", session, beside=True, key="k2").session == session


def test_a_prompt_that_waits_for_an_action_goes_to_the_agent(root: Path) -> None:
    of = config(root)
    session = sessions.create(root, "shell")
    started = start(of, "sleep", session)
    runner_pid(session)
    queued = submit_prompt(of, session, "echo from the agent", by="ann", queue=True)
    os.kill(runner_pid(session), 0)
    for process in actions_processes(session):
        os.kill(process, signal.SIGTERM)
    wait_for_end(session, started.turn)
    events = events_of(session)
    (user,) = [event for event in events if event.get("queued") == queued.id and event["kind"] == "user"]
    assert "action" not in user
    output = [event["output"] for event in events if event.get("turn") == user["id"] and "output" in event]
    assert "".join(output) == "from the agent\n"


def actions_processes(session: Any) -> list[int]:
    from breakglass.turns.processes import descendants
    from tests.help.waiting import wait_until

    return list(wait_until(lambda: descendants(runner_pid(session)), "the action's program"))


def test_an_action_runs_in_a_session_whose_agent_is_gone(root: Path) -> None:
    session = sessions.create(root, "gone")
    assert ended(start(config(root), "look", session))[-1]["status"] == "ok"


def test_one_disruptive_action_runs_on_a_target_at_a_time(root: Path) -> None:
    of = config(root)
    first = start(of, "cycle", confirm="yes", key="k1")
    with pytest.raises(Conflict, match=f"cycle runs on this machine, in session {first.session.id}"):
        start(of, "cycle", confirm="yes", key="k2")
    assert start(of, "cycle", confirm="yes", key="k1") == first
    kill_runner(first.session)
    second = start(of, "cycle", confirm="yes", key="k2")
    assert second.session != first.session
    assert start(of, "cycle", confirm="yes", key="k1") == first, "it does not run again, also when it is lost"


def test_disruptive_actions_on_different_targets_run_at_the_same_time(root: Path) -> None:
    from breakglass.targets import Target

    params = {"host": Param("host", "target")}
    reset = Action("reset", ("sleep", "--", "1000", "{host}s"), "disrupts", params=params)
    stay = Action("stay", ("sh", "-c", "sleep 1000", "{host}x"), "disrupts", params=params)
    of = config(root, reset, stay, targets={name: Target(name, f"root@{name}") for name in ("a", "b")})
    started = [start(of, "stay", params={"host": name}, confirm=name, key=name) for name in ("a", "b")]
    assert started[0].session != started[1].session
    with pytest.raises(Conflict, match="stay runs on a, in session"):
        start(of, "reset", params={"host": "a"}, confirm="a", key="c")


def test_the_same_key_at_the_same_time_is_one_power_cycle(root: Path, tmp_path: Path) -> None:
    count = tmp_path / "count"
    cycle = Action("once", ("sh", "-c", f"echo x >> {count}"), "disrupts", confirm="yes")
    of = config(root, cycle)
    session, _ = begin_turn(of, "sleep 1000")
    results: list[Started] = []
    threads = [
        threading.Thread(
            target=lambda where: results.append(
                start(of, "once", where, confirm="yes", key="k", beside=True)
            ),
            args=(session,),
        )
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    assert len({*results}) == 1
    ended(results[0])
    assert count.read_text() == "x\n"


def test_a_bad_call_begins_nothing(root: Path) -> None:
    of = config(root)
    with pytest.raises(NotFound, match="there is no action 'nope'"):
        start(of, "nope")
    with pytest.raises(BadInput, match="confirm: type yes to run cycle"):
        start(of, "cycle", key="k")
    with pytest.raises(BadInput, match="Idempotency-Key: cycle disrupts, so it needs a key"):
        start(of, "cycle", confirm="yes")
    with pytest.raises(BadInput, match="x: no such parameter"):
        start(of, "look", params={"x": "1"})
    with pytest.raises(BadInput, match="reason: at most 1000 characters"):
        start(of, "look", reason="x" * 1001)
    assert not root.exists() or list(sessions.ids(root)) == []
