"""Every turn ends in bounded time. It does not matter what the agent does after its answer or instead of one."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from breakglass.config import Config
from breakglass.config.agents import AgentConfig
from breakglass.events import Event
from breakglass.turn_limits import TurnLimits
from breakglass.turns.end import cancel_turn, has_runner
from breakglass.turns.ending import Ending, Facts, Phase, Step
from tests.help import turns as real_turns
from tests.help.session_logs import events_of
from tests.help.turns import begin_turn, wait_for_end
from tests.help.waiting import wait_until

LIMITS = TurnLimits(
    output=1000, silent=60, quiet=2, settle=10, exit=5, linger=2, interrupt=5, terminate=2, kill=4
)
TIMEOUT = 100.0
NOTICE = "The agent did not exit after its answer, so it was ended."

# --- the state machine ------------------------------------------------------------------------------


def steps_of(facts: Any, until: float = 200.0, step_size: float = 0.5) -> list[tuple[float, Step]]:
    """Return the steps that are due while `facts(now)` tells what is known, each with its time."""
    ending, steps, now = Ending(LIMITS, 0.0, TIMEOUT), [], 0.0
    is_stopping = False
    while now < until and ending.phase is not Phase.ENDED:
        while step := ending.next_step(facts(now)._replace(now=now, is_stopping=is_stopping)):
            steps.append((now, step))
            is_stopping |= step.name.startswith("STOP")
        now += step_size
    return steps


def test_an_agent_that_stays_after_its_answer_is_ended_step_by_step() -> None:
    assert steps_of(lambda now: Facts(now, has_answered=now >= 1)) == [
        (3.0, Step.CLOSE_INPUT),
        (8.0, Step.TERMINATE),
        (10.0, Step.KILL),
        (14.0, Step.GIVE_UP),
    ]


def test_output_after_the_answer_delays_the_end_until_the_agent_is_quiet() -> None:
    printing = steps_of(lambda now: Facts(now, has_answered=True, printed_at=min(now, 4.0)))
    assert printing[0] == (6.0, Step.CLOSE_INPUT)


def test_an_agent_that_prints_on_and_on_after_its_answer_gets_no_more_time() -> None:
    assert steps_of(lambda now: Facts(now, has_answered=True, printed_at=now))[0] == (10.0, Step.CLOSE_INPUT)


def test_an_agent_that_begins_to_work_again_is_not_ended() -> None:
    def facts(now: float) -> Facts:
        return Facts(now, has_answered=now < 4, has_exited=now > 50)

    assert steps_of(facts, until=60) == [(2.0, Step.CLOSE_INPUT)]


def test_an_answer_makes_the_time_limit_of_the_turn_irrelevant() -> None:
    steps = steps_of(lambda now: Facts(now, has_answered=now >= 99.5))
    assert Step.STOP_LATE not in [step for _, step in steps]


@pytest.mark.parametrize(
    ("facts", "at", "stop"),
    [
        ({}, 100.0, Step.STOP_LATE),
        ({"printed": 1001}, 0.0, Step.STOP_LARGE),
        ({"printed": 1001, "has_answered": True}, 0.0, Step.STOP_LARGE),
        ({"closed_at": 0.5}, 60.5, Step.STOP_SILENT),
        ({"is_shutdown": True}, 0.0, Step.STOP_SHUTDOWN),
    ],
)
def test_a_limit_stops_the_agent_step_by_step(facts: dict[str, Any], at: float, stop: Step) -> None:
    assert steps_of(lambda now: Facts(now, **facts)) == [
        (at, stop),
        (at, Step.INTERRUPT),
        (at + 5, Step.TERMINATE),
        (at + 7, Step.KILL),
        (at + 11, Step.GIVE_UP),
    ]


def test_a_stop_after_sigterm_goes_on_with_sigkill() -> None:
    ending = Ending(LIMITS, 0.0, TIMEOUT)
    taken = [ending.next_step(Facts(now, has_answered=True)) for now in (0.0, 2.0, 7.0)]
    assert taken == [None, Step.CLOSE_INPUT, Step.TERMINATE]
    assert ending.next_step(Facts(7.5, has_answered=True, is_stopping=True)) is None
    assert ending.next_step(Facts(9.0, has_answered=True, is_stopping=True)) is Step.KILL


MOMENTS = st.lists(
    st.tuples(
        st.floats(0.1, 40), st.sampled_from(["answer", "work", "print", "close", "stop", "exit", "shutdown"])
    ),
    max_size=12,
)


@given(MOMENTS)
@settings(max_examples=300, deadline=None)
def test_the_machine_ends_any_agent_within_the_times_of_its_table(moments: list[tuple[float, str]]) -> None:
    """A runner sleeps until `due_at` or the next act of the agent. So `due_at` must never be too late."""
    ending, facts = Ending(LIMITS, 0.0, TIMEOUT), Facts(0.0)
    acts = iter(moments)
    act_at, act = next(acts, (float("inf"), ""))
    taken: list[Step] = []
    while ending.phase is not Phase.ENDED and not facts.has_exited:
        due = ending.due_at(facts)
        assert due > facts.now
        now = min(due, facts.now + act_at)
        if now < due:
            facts = after(act, facts._replace(now=now))
            act_at, act = next(acts, (float("inf"), ""))
        else:
            act_at -= now - facts.now
            facts = facts._replace(now=now)
        while step := ending.next_step(facts):
            taken.append(step)
            facts = facts._replace(is_stopping=facts.is_stopping or step.name.startswith("STOP"))
    longest = LIMITS.settle + LIMITS.exit + LIMITS.interrupt + LIMITS.terminate + LIMITS.kill
    assert facts.now <= TIMEOUT + longest
    signals = [step for step in taken if step in (Step.INTERRUPT, Step.TERMINATE, Step.KILL, Step.GIVE_UP)]
    assert len(signals) == len(set(signals))


def after(act: str, facts: Facts) -> Facts:
    """Return the facts after the agent, or a person, did something."""
    return {
        "answer": facts._replace(has_answered=True, printed_at=facts.now),
        "work": facts._replace(has_answered=False, printed_at=facts.now),
        "print": facts._replace(printed=facts.printed + 100, printed_at=facts.now),
        "close": facts._replace(closed_at=facts.closed_at or facts.now),
        "stop": facts._replace(is_stopping=True),
        "exit": facts._replace(has_exited=True),
        "shutdown": facts._replace(is_shutdown=True),
    }[act]


# --- real agents --------------------------------------------------------------------------------------

SHORT = {
    "silent": 0.5, "quiet": 0.2, "settle": 1.0, "exit": 0.3, "linger": 0.3, "interrupt": 0.3, "terminate": 0.3,
}  # fmt: skip
SAID = {"type": "assistant", "message": {"content": [{"type": "text", "text": "It is the disk."}]}}
RESULT = {"type": "result", "is_error": False, "result": "It is the disk.", "duration_ms": 1}
INIT = {"type": "system", "subtype": "init", "session_id": "s"}
TASKS = {"type": "system", "subtype": "background_tasks_changed", "tasks": [{"task_id": "b"}]}
NO_TASKS = {**TASKS, "tasks": []}


def claude(root: Path, *acts: Any, seconds: float = 20, **more: Any) -> tuple[Config, str]:
    """Return settings with an agent that does `acts`: it prints objects, and runs Python code that is text."""
    lines = ["import json, os, signal, subprocess, sys, time", "prompt = sys.stdin.buffer.readline()"]
    lines += [act if isinstance(act, str) else f"print({json.dumps(act)!r}, flush=True)" for act in acts]
    agent = AgentConfig("claude", "claude", (sys.executable, "-c", "\n".join(lines)), **more)
    return real_turns.make_config(root, agent, limits=SHORT, turn_timeout_seconds=seconds), "claude"


def run(root: Path, *acts: Any, **more: Any) -> list[Event]:
    config, name = claude(root, *acts, **more)
    session, turn = begin_turn(config, "why?\n", name)
    return wait_for_end(session, turn)


def of(own: list[Event], kind: str, key: str) -> list[Any]:
    return [event[key] for event in own if event["kind"] == kind]


IGNORE = "for number in (1, 2, 15): signal.signal(number, signal.SIG_IGN)"
STAY = "while True: signal.pause()"


@pytest.mark.parametrize(
    "stay",
    [
        (STAY,),
        (IGNORE, STAY),
        ("os.close(1); os.close(2)", STAY),
        ("while True: print('{}', flush=True); time.sleep(0.05)",),
        ("subprocess.Popen(['sleep', '1000'])", STAY),
        ("signal.raise_signal(signal.SIGSTOP)",),
    ],
    ids=["sleeps", "ignores", "closes", "prints", "child", "suspended"],
)
def test_a_turn_whose_agent_stays_after_its_answer_ends_as_ok(stay: tuple[str, ...], root: Path) -> None:
    own = run(root, INIT, SAID, RESULT, *stay, seconds=3600)  # it does not end by this limit
    assert own[-1]["status"] == "ok"
    assert NOTICE in of(own, "notice", "text")
    assert len(of(own, "notice", "text")) <= 2  # the second one: what it prints on is no message
    assert of(own, "text", "text") == ["It is the disk."]
    assert of(own, "error", "error") == []


def test_a_turn_whose_agent_fails_and_stays_ends_as_an_error(root: Path) -> None:
    own = run(root, INIT, {**RESULT, "is_error": True, "result": "no quota"}, STAY)
    assert own[-1]["status"] == "error"
    assert of(own, "error", "error") == ["no quota"]


def test_an_agent_that_exits_at_the_end_of_its_input_gets_no_notice(root: Path) -> None:
    own = run(root, INIT, SAID, NO_TASKS, RESULT, "sys.stdin.buffer.read()", permissions="ask")
    assert (own[-1]["status"], of(own, "notice", "text")) == ("ok", [])


def test_an_agent_that_waits_for_input_after_its_background_task_ended_gets_the_end_of_it(root: Path) -> None:
    own = run(root, INIT, TASKS, SAID, RESULT, NO_TASKS, "sys.stdin.buffer.read()", permissions="ask")
    assert (own[-1]["status"], of(own, "notice", "text")) == ("ok", [])


def test_output_after_the_answer_is_logged_until_the_exit(root: Path) -> None:
    late = {"type": "assistant", "message": {"content": [{"type": "text", "text": "And the log."}]}}
    own = run(root, INIT, SAID, RESULT, late, STAY)
    assert of(own, "text", "text") == ["It is the disk.", "And the log."]
    assert own[-1]["status"] == "ok"


def test_an_open_background_task_keeps_the_turn_alive(root: Path) -> None:
    longer = f"time.sleep({3 * (SHORT['settle'] + SHORT['exit'])})"
    own = run(root, INIT, TASKS, SAID, RESULT, longer, NO_TASKS, INIT, SAID, RESULT)
    assert (own[-1]["status"], len(of(own, "text", "text")), of(own, "notice", "text")) == ("ok", 2, [])


def test_a_person_can_stop_an_agent_that_stays_after_its_answer(root: Path) -> None:
    config, name = claude(root, INIT, SAID, RESULT, IGNORE, STAY)
    session, turn = begin_turn(config, "why?\n", name)
    wait_until(lambda: of(events_of(session), "result", "result"), "the result")
    cancel_turn(session, by="ann")
    assert wait_for_end(session, turn)[-1]["status"] == "cancelled"


def test_an_acp_agent_that_stays_after_its_answer_is_ended(root: Path) -> None:
    script = """
import json, signal, sys
for line in sys.stdin:
    asked = json.loads(line)
    results = {"session/new": {"sessionId": "s"}, "session/prompt": {"stopReason": "end_turn"}}
    answer = results.get(asked["method"], {"protocolVersion": 1})
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": answer}), flush=True)
while True: signal.pause()
"""
    agent = AgentConfig("acp", "acp", (sys.executable, "-c", script))
    config = real_turns.make_config(root, agent, limits=SHORT)
    session, turn = begin_turn(config, "why?", "acp")
    own = wait_for_end(session, turn)
    assert (own[-1]["status"], of(own, "notice", "text")) == ("ok", [NOTICE])


ASKS: dict[str, Any] = {
    "type": "control_request",
    "request_id": "q1",
    "request": {"subtype": "can_use_tool", "tool_name": "Bash", "input": {"command": "ls"}},
}
KILLS_ITSELF = "signal.raise_signal(signal.SIGKILL)"


@pytest.mark.parametrize(
    ("dies", "how"),
    [
        (KILLS_ITSELF, "ended by signal KILL"),
        ("os._exit(0)", "exit status 0"),
        ("os._exit(7)", "exit status 7"),
    ],
)
def test_a_question_of_an_agent_that_dies_ends_with_its_exit(dies: str, how: str, root: Path) -> None:
    own = run(root, INIT, ASKS, dies, permissions="ask")
    (answer,) = [event for event in own if event["kind"] == "answer"]
    assert (answer["by"], answer["allow"]) == ("exit", False)
    assert answer["message"] == f"The agent's process ended before an answer ({how})."
    assert own[-1]["status"] == "error"


def test_every_question_of_an_agent_that_dies_ends_and_an_answered_one_stays(root: Path) -> None:
    others = [
        {**ASKS, "request_id": number, "request": {**ASKS["request"], "tool_name": "Read"}} for number in "ab"
    ]
    own = run(root, INIT, ASKS, *others, KILLS_ITSELF, permissions="ask", allow=("Bash",))
    answers = {event["request"]: event["by"] for event in own if event["kind"] == "answer"}
    assert answers == {"q1": "settings", "a": "exit", "b": "exit"}


def test_a_question_that_a_stop_ends_is_not_withdrawn_by_the_agent(root: Path) -> None:
    config, name = claude(root, INIT, ASKS, STAY, permissions="ask")
    session, turn = begin_turn(config, "why?\n", name)
    wait_until(lambda: session.state().asking, "the question")
    cancel_turn(session, by="ann")
    own = wait_for_end(session, turn)
    assert (of(own, "answer", "by"), own[-1]["status"]) == (["exit"], "cancelled")


ACTS = st.lists(
    st.sampled_from(
        [
            INIT,
            SAID,
            RESULT,
            TASKS,
            NO_TASKS,
            IGNORE,
            "os.close(1)",
            "sys.stderr.close()",
            "time.sleep(0.1)",
            "subprocess.Popen(['sleep', '1000'])",
            "subprocess.Popen(['setsid', 'sh', '-c', 'trap \"\" TERM INT; sleep 1000'])",
            "sys.stdin.close()",
            "os._exit(3)",
            STAY,
        ]
    ),
    max_size=8,
)


@given(ACTS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_turn_ends_in_bounded_time_with_an_agent_that_does_anything(acts: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as name:
        config, agent = claude(Path(name) / "var", *acts, seconds=2)
        session, turn = begin_turn(config, "why?\n", agent)
        own = wait_for_end(session, turn)
        assert own[-1]["duration_ms"] < 12_000
        wait_until(lambda: not has_runner(session), "the exit of the runner")
