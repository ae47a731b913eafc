"""Claude Code: recorded output to events, however it is cut; what is written to it; whatever it may print."""

import json
import random
import subprocess
import sys
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakglass.agents import Exit, TurnInput, new_dialogue
from breakglass.agents.claude.dialogue import Dialogue
from breakglass.events import MAX_OUTPUT, Draft, dumps
from tests.agents.recorded import ANSWERS, GOLDEN, Run, check, joined, load, play, told
from tests.help.logs import fold_all

RUNS = load()
SESSION = "75520ec5-fc8d-4c8a-adcd-d54f3810d47f"

all_runs = pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)


def line(**fields: Any) -> bytes:
    """Return one line as the CLI prints it."""
    return json.dumps(fields).encode() + b"\n"


def begun(**task: Any) -> Dialogue:
    """Return a dialogue with a task of which only `task` matters."""
    return Dialogue(TurnInput(**{"prompt": "hi", "command": ("claude",), **task}))


def golden(name: str) -> str:
    return (GOLDEN / f"{name}.jsonl").read_text()


def result(**fields: Any) -> bytes:
    return line(type="result", subtype="success", is_error=False, result="done", duration_ms=5, **fields)


INIT = line(type="system", subtype="init", session_id=SESSION, model="m")


# --- recorded runs --------------------------------------------------------------------------------


@all_runs
def test_a_recorded_run_gives_the_events_of_its_golden_file(run: Run) -> None:
    assert told(play(run, [run.stdout])) == golden(run.name)


@all_runs
def test_where_the_bytes_are_cut_changes_nothing(run: Run) -> None:
    data, rng = run.stdout, random.Random(run.name)
    for count in (1, 7, 100, 1000):
        cuts = sorted({0, len(data), *(rng.randrange(len(data) + 1) for _ in range(count))})
        assert told(play(run, [data[a:b] for a, b in pairwise(cuts)])) == golden(run.name)


@all_runs
def test_byte_by_byte_gives_the_same_events(run: Run) -> None:
    assert told(play(run, [bytes([byte]) for byte in run.stdout])) == golden(run.name)


@all_runs
def test_a_last_line_without_its_newline_counts(run: Run) -> None:
    assert told(play(run, [run.stdout.removesuffix(b"\n")])) == golden(run.name)


@all_runs
def test_a_torn_last_line_is_as_if_it_had_not_come(run: Run) -> None:
    *whole, last = run.stdout.splitlines(keepends=True) or [b""]
    before = b"".join(whole)
    expected = told(play(run, [before]))
    for at in {0, 1, len(last) // 2, max(0, len(last) - 2)}:
        assert told(play(run, [before + last[:at]])) == expected


@all_runs
def test_each_draft_is_an_event(run: Run) -> None:
    for draft in play(run, [run.stdout]).drafts:
        check(draft)


@all_runs
def test_prose_that_streamed_is_followed_by_the_same_prose_whole(run: Run) -> None:
    drafts = joined(play(run, [run.stdout]).drafts)
    for number, (kind, fields) in enumerate(drafts):
        if kind == "delta":
            following = [kind for kind, _ in drafts[number + 1 :]]
            if following[0] != "retry":  # what streamed before a retry is begun anew
                assert drafts[number + 1 + following.index("text")] == ("text", fields)


# --- the conversation -----------------------------------------------------------------------------


def test_one_way_the_prompt_is_all_that_is_said() -> None:
    talk = begun(prompt="-x [U+1F600]\n", model="opus", session=SESSION)
    assert talk.argv == [
        "claude", "-p", "--output-format", "stream-json", "--verbose", "--include-partial-messages",
        "--dangerously-skip-permissions", f"--resume={SESSION}", "--model=opus",
    ]  # fmt: skip
    assert talk.open() == b"-x [U+1F600]\n"
    assert talk.finished
    assert talk.interrupt() == b""


def test_a_first_turn_names_no_session_and_no_model() -> None:
    assert not [word for word in begun().argv if "session" in word or "resume" in word or "model" in word]


def test_a_prompt_that_no_encoding_has_does_not_raise() -> None:
    assert begun(prompt="a\ud83d").open() == b"a?"
    assert json.loads(begun(prompt="a\ud83d", ask=True).open())["message"]["content"] == "a\ufffd"


def test_an_agent_that_must_ask_is_not_told_to_skip_asking() -> None:
    argv = begun(ask=True).argv
    assert "--dangerously-skip-permissions" not in argv
    assert argv[argv.index("--permission-prompt-tool") + 1] == "stdio"
    assert "--permission-mode=default" in argv  # whatever the user's settings say


@pytest.mark.parametrize("name", [name for name in ANSWERS if name >= "2" and len(name.split("_")[0]) == 3])
def test_what_was_said_to_the_real_program_is_what_is_said_now(name: str) -> None:
    run = RUNS[name]
    prompt = json.loads((run.stdin or b"").split(b"\n")[0])["message"]["content"]
    again = run._replace(task=run.task._replace(prompt=prompt))
    assert play(again, again.stdout.splitlines(keepends=True)).written == run.stdin


@pytest.mark.parametrize("name", ["80_ctl_allow", "81_ctl_deny_no_initialize"])
def test_an_answer_is_the_one_that_worked_when_it_was_written_by_hand(name: str) -> None:
    run = RUNS[name]
    said = [json.loads(each) for each in play(run, [run.stdout]).written.splitlines()]
    assert said[-1] == json.loads((run.stdin or b"").splitlines()[-1])


@pytest.mark.parametrize("name", ["221_ask_interrupted", "226_ask_interrupt_streaming"])
def test_an_interrupt_is_the_request_that_stopped_the_real_program(name: str) -> None:
    assert begun(ask=True).interrupt() in (RUNS[name].stdin or b"").splitlines(keepends=True)


ASKED = {
    "subtype": "can_use_tool",
    "tool_name": "Bash",
    "input": {"command": "ls"},
    "permission_suggestions": [
        {"type": "addRules", "rules": [{"toolName": "Bash", "ruleContent": "ls *"}], "behavior": "allow",
         "destination": "localSettings"},
        {"type": "addRules", "rules": [{"toolName": "Bash"}], "behavior": "deny", "destination": "session"},
        {"type": "setMode", "mode": "acceptEdits", "destination": "session"},
    ],
}  # fmt: skip


def asking(**request: Any) -> Dialogue:
    """Return a dialogue whose agent has asked question `q1`."""
    talk = begun(ask=True)
    talk.translate(INIT + line(type="control_request", request_id="q1", request={**ASKED, **request}))
    return talk


def verdict(talk: Dialogue) -> dict[str, Any]:
    said = json.loads(talk.reply())
    assert said["response"]["request_id"] == "q1"
    answer: dict[str, Any] = said["response"]["response"]
    return answer


def test_the_first_answer_wins() -> None:
    talk = asking()
    assert talk.answer("q1", allow=True)
    assert not talk.answer("q1", allow=False)
    assert verdict(talk) == {"behavior": "allow", "updatedInput": {"command": "ls"}}
    assert talk.reply() == b""


def test_no_answer_goes_to_what_was_not_asked() -> None:
    talk = asking()
    assert not talk.answer("q2", allow=True)
    assert talk.reply() == b""


def test_a_refusal_always_has_a_message() -> None:
    talk = asking()
    talk.answer("q1", allow=False)
    assert verdict(talk) == {"behavior": "deny", "message": "The operator refused."}


@pytest.mark.parametrize(
    ("questions", "message", "answers"),
    [
        (["A?"], "yes\nindeed", {"A?": "yes\nindeed"}),
        (["A?", "B?"], "1\n2", {"A?": "1", "B?": "2"}),
        (["A?", "B?"], "1", {"A?": "1"}),
        ([], "1", {}),
    ],
)
def test_a_choice_is_answered_with_one_line_for_each_question(
    questions: list[str], message: str, answers: dict[str, str]
) -> None:
    talk = asking(
        tool_name="AskUserQuestion", input={"questions": [{"question": each} for each in questions]}
    )
    talk.answer("q1", allow=True, message=message)
    assert verdict(talk)["updatedInput"]["answers"] == answers


def test_a_question_withdrawn_is_answered_in_the_log_and_can_be_answered_no_more() -> None:
    talk = asking()
    [(kind, fields)] = talk.translate(line(type="control_cancel_request", request_id="q1"))
    assert (kind, fields["request"], fields["allow"], fields["by"]) == ("answer", "q1", False, "agent")
    assert not talk.answer("q1", allow=True)
    assert talk.translate(line(type="control_cancel_request", request_id="q1")) == []


def test_no_question_outlives_its_agent() -> None:
    kinds = [kind for kind, _ in asking().close(Exit(-9, cancelled=True))]
    assert kinds == ["answer"]


def test_a_request_that_is_not_understood_is_answered_and_not_left_waiting() -> None:
    talk = begun(ask=True)
    request = {"subtype": "hook_callback", "callback_id": "x"}
    assert talk.translate(line(type="control_request", request_id="r", request=request)) == []
    assert json.loads(talk.reply())["response"]["subtype"] == "error"


def test_standard_input_stays_open_until_the_result() -> None:
    talk = begun(ask=True)
    talk.translate(INIT)
    assert not talk.finished
    talk.translate(result())
    assert talk.finished


def test_standard_input_stays_open_while_a_background_agent_may_ask() -> None:
    talk = begun(ask=True)
    talk.translate(line(type="system", subtype="background_tasks_changed", tasks=[{"task_id": "a"}]))
    talk.translate(result())
    assert not talk.finished
    talk.translate(line(type="system", subtype="background_tasks_changed", tasks=[]))
    assert not talk.finished  # its report begins another round, which may ask as well
    talk.translate(INIT + result())
    assert talk.finished


@pytest.mark.parametrize("ask", [False, True])
def test_what_is_finished_stays_so(ask: bool) -> None:
    talk = begun(ask=ask)
    talk.translate(result() if ask else b"")
    assert talk.finished
    talk.translate(
        line(type="system", subtype="background_tasks_changed", tasks=[{"task_id": "a"}]) + result()
    )
    assert talk.finished


def test_an_interrupted_agent_is_not_waited_for() -> None:
    talk = begun(ask=True)
    talk.translate(line(type="system", subtype="background_tasks_changed", tasks=[{"task_id": "a"}]))
    assert talk.interrupt()
    talk.translate(result())
    assert talk.finished
    assert talk.interrupt() == b""


# --- what a turn cost -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spent", "results", "costs"),
    [
        (0.0, [(0.25, None)], [0.25]),
        (0.25, [(0.75, None)], [0.5]),  # a resumed session's total runs on
        (0.25, [(0.75, None), (1.0, None), (1.0, None)], [0.5, 0.25, 0.0]),  # as it does within a process
        (0.25, [(0.25, None)], [0.0]),  # an API error costs nothing
        (0.3, [(0.1 + 0.2 - 1e-9, None)], [0.0]),  # nor do rounded sums
        (0.25, [(0.5, 0.125)], [0.25]),  # a killed turn that reported nothing is paid with the next
        (1.0, [(0.25, None)], [0.25]),  # the CLI forgot its total
        (1.0, [(0.25, 0.125)], [0.125]),  # forgot it earlier
        (1.0, [(1.25, 1.25)], [1.25]),  # forgot it, and has spent more than that since
        (1.0, [(None, None)], [0.0]),
        (1.0, [(float("nan"), None)], [0.0]),
        (1.0, [(-5.0, -5.0)], [0.0]),
        (1.0, [(10**400, None)], [0.0]),
        (1.0, [("2", None)], [0.0]),
        (1.0, [(True, None)], [0.0]),
    ],
)
def test_each_result_says_what_it_cost_alone(
    spent: float, results: list[tuple[Any, float | None]], costs: list[float]
) -> None:
    talk = begun(session=SESSION, session_cost=spent)
    talk.translate(INIT)
    told = []
    for total, newly in results:
        usage = {} if newly is None else {"model_usage_since_last_result": {"m": {"costUSD": newly}}}
        [(_, fields)] = talk.translate(result(total_cost_usd=total, **usage))
        told.append(fields["cost_usd"])
    assert told == pytest.approx(costs, abs=1e-8)
    assert all(cost >= 0 for cost in told)


def test_the_costs_in_the_log_add_up_to_the_agents_total() -> None:
    log: list[dict[str, Any]] = []
    for total in (0.1, 0.3, 0.35, 0.7):
        state = fold_all(log)
        talk = begun(session=state.agent_session, session_cost=state.agent_cost)
        for kind, fields in talk.translate(INIT + result(total_cost_usd=total)):
            log.append({"id": len(log) + 1, "kind": kind, "turn": 1, **fields})
    assert fold_all(log).agent_cost == pytest.approx(0.7)


def test_a_session_that_is_not_the_resumed_one_starts_from_nothing() -> None:
    talk = begun(session="another", session_cost=0.5)
    drafts = talk.translate(INIT + result(total_cost_usd=0.75))
    assert drafts[1][1]["cost_usd"] == 0.75


# --- how a turn ends ------------------------------------------------------------------------------


def ended(data: bytes, end: Exit, **task: Any) -> tuple[list[Draft], Dialogue]:
    talk = begun(**task)
    return [*talk.translate(data), *talk.close(end)], talk


@pytest.mark.parametrize(
    ("data", "end", "error"),
    [
        (result(), Exit(0), None),
        (result(), Exit(0, "a warning"), None),
        (
            result(),
            Exit(1, "out of memory\n"),
            "The agent failed after its answer: exit status 1. out of memory",
        ),
        (b"", Exit(0), "The agent failed without an answer: exit status 0."),
        (b"", Exit(-9), "The agent failed without an answer: ended by signal KILL."),
        (b"", Exit(-77), "The agent failed without an answer: ended by signal 77."),
        (b"", Exit(143), "The agent failed without an answer: exit status 143, signal TERM."),
        (
            b"%d\n" * 1000 % tuple(range(1000)) + b"a complaint\n" * 20,
            Exit(2),
            "The agent failed without an answer: exit status 2. " + "\n".join(["a complaint"] * 20),
        ),
        (b'{"type":"assis', Exit(-6), "The agent failed without an answer: ended by signal ABRT."),
        (
            line(type="result", subtype="error_max_turns", is_error=True),
            Exit(1),
            "The agent gave up: error_max_turns.",
        ),
        (line(type="result", is_error=True, errors=["[ede_diagnostic] x", "no", "way"]), Exit(1), "no\nway"),
    ],
)
def test_a_failure_says_what_happened(data: bytes, end: Exit, error: str | None) -> None:
    drafts, talk = ended(data, end)
    errors = [fields["error"] for kind, fields in drafts if kind == "error"]
    assert errors == ([error] if error else [])
    assert talk.failed == bool(error)
    assert not talk.start_over


@pytest.mark.parametrize("end", [Exit(-9), Exit(-15), Exit(143), Exit(0), Exit(1, "whatever")])
def test_what_we_stopped_has_not_failed(end: Exit) -> None:
    aborted = line(
        type="result", is_error=True, subtype="error_during_execution", terminal_reason="aborted_tools"
    )
    for data in (b"", aborted):
        drafts, talk = ended(data, end._replace(cancelled=True))
        assert "error" not in [kind for kind, _ in drafts]
        assert not talk.failed
        assert not talk.start_over


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("200_root_refused", 'IS_SANDBOX = "1" in [agents.claude.env]'),
        ("201_not_logged_in", "set ANTHROPIC_API_KEY"),
        ("202_key_refused", "set ANTHROPIC_API_KEY"),
        ("203_model_not_found", "Choose another model"),
    ],
)
def test_an_error_says_once_what_to_do(name: str, advice: str) -> None:
    errors = [
        fields["error"] for kind, fields in play(RUNS[name], [RUNS[name].stdout]).drafts if kind == "error"
    ]
    assert len(errors) == 1
    assert advice in errors[0]


def test_a_refused_key_is_named_while_it_is_still_tried() -> None:
    drafts = play(RUNS["202_key_refused"], [RUNS["202_key_refused"].stdout]).drafts
    assert ["ANTHROPIC_API_KEY" in fields["error"] for kind, fields in drafts if kind == "retry"] == [True]


NOT_FOUND = f"No conversation found with session ID: {SESSION}"
MISSING = line(type="result", is_error=True, errors=[NOT_FOUND], session_id=SESSION, total_cost_usd=0)


@pytest.mark.parametrize(("data", "stderr"), [(MISSING, NOT_FOUND), (MISSING, ""), (b"", NOT_FOUND)])
def test_a_session_that_is_gone_is_begun_anew_and_the_log_says_so(data: bytes, stderr: str) -> None:
    drafts, talk = ended(data, Exit(1, stderr), session=SESSION, session_cost=0.5)
    assert talk.start_over
    [(kind, fields)] = drafts
    assert kind == "error"
    assert SESSION in fields["error"]


@pytest.mark.parametrize(
    ("data", "session"),
    [(INIT + MISSING, SESSION), (MISSING, None)],
    ids=["once it has begun", "when none was to be resumed"],
)
def test_a_turn_is_not_run_twice(data: bytes, session: str | None) -> None:
    _, talk = ended(data, Exit(1, NOT_FOUND), session=session)
    assert talk.failed
    assert not talk.start_over


def test_the_last_result_judges() -> None:
    failed = line(type="result", subtype="success", is_error=True, result="API Error")
    assert ended(failed + result(), Exit(0))[1].failed is False
    assert ended(result() + failed, Exit(0))[1].failed is True


# --- single lines ---------------------------------------------------------------------------------


def assistant(*blocks: Any, **fields: Any) -> bytes:
    return line(type="assistant", message={"content": list(blocks)}, **fields)


def tool_result(content: Any, **fields: Any) -> bytes:
    block = {"type": "tool_result", "tool_use_id": "t1", "content": content}
    return line(type="user", message={"content": [block]}, **fields)


def delta(text: str, **fields: Any) -> bytes:
    change = {"type": "text_delta", "text": text}
    return line(type="stream_event", event={"type": "content_block_delta", "delta": change}, **fields)


@pytest.mark.parametrize(
    "data",
    [
        b"\n",
        b"null\n",
        b"[1]\n",
        b'{"type":["assistant"]}\n',
        line(type="something_new", text="x"),
        line(type="system", subtype="something_new"),
        line(type="user", message={"content": "synthetic"}),
        line(type="user", message={"content": [{"type": "text", "text": "[Request interrupted by user]"}]}),
        assistant({"type": "thinking", "thinking": "hmm"}, {"type": "text", "text": ""}),
        line(type="control_request", request_id="r", request={"subtype": "can_use_tool"}),
    ],
)
def test_what_says_nothing_to_us_is_passed_over(data: bytes) -> None:
    talk = begun()
    assert talk.translate(data) == []
    assert talk.reply() == b""


@pytest.mark.parametrize("name", ["a\0b", "x" * 200_000])
def test_a_session_that_no_command_line_could_name_is_not_remembered(name: str) -> None:
    init = line(type="system", subtype="init", session_id=name)
    assert [kind for kind, _ in begun().translate(init + result())] == ["result"]
    assert begun(session=name).argv == begun().argv  # an older log may have one


def test_a_session_is_named_once_in_a_process() -> None:
    expected = ("session", {"session_id": SESSION, "model": "m"})
    assert begun().translate(INIT + INIT) == [expected]
    assert begun(session=SESSION).translate(INIT) == [expected]


def test_what_a_subagent_does_is_marked_and_its_prose_is_its_own() -> None:
    mark = {"parent_tool_use_id": "t9"}
    data = delta("mine") + delta("its", **mark) + assistant({"type": "text", "text": "its"}, **mark)
    drafts, _ = ended(data + tool_result("x", **mark), Exit(0, cancelled=True))
    assert drafts == [
        ("delta", {"text": "mine"}),
        ("delta", {"text": "its", "parent": "t9"}),
        ("text", {"text": "its", "parent": "t9"}),
        ("tool_result", {"tool_id": "t1", "output": "x", "is_error": False, "parent": "t9"}),
        ("text", {"text": "mine"}),  # what broke off
    ]


def test_a_subagents_question_names_the_call_that_began_it() -> None:
    talk = begun(ask=True)
    talk.translate(line(type="system", subtype="task_started", task_id="a1", tool_use_id="t9"))
    [(_, fields)] = talk.translate(
        line(type="control_request", request_id="q", request={**ASKED, "agent_id": "a1"})
    )
    assert fields["parent"] == "t9"


def test_deltas_of_one_call_come_as_one() -> None:
    assert begun().translate(delta("a") + delta("b") + delta("c")) == [("delta", {"text": "abc"})]


def test_a_stream_that_was_cut_and_begun_anew_is_not_told_twice() -> None:
    start = line(type="stream_event", event={"type": "message_start"})
    drafts, _ = ended(start + delta("half") + start + delta("whole"), Exit(0, cancelled=True))
    assert drafts[-1] == ("text", {"text": "whole"})


@pytest.mark.parametrize(
    ("content", "output"),
    [
        ("plain", "plain"),
        (None, ""),
        ([], ""),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "a\nb"),
        (
            [{"type": "image", "source": {"media_type": "image/png", "data": "A" * 8192}}],
            "[image, image/png, 6144 bytes]",
        ),
        ([{"type": "tool_reference", "tool_name": "X"}], "[tool_reference]"),
    ],
)
def test_a_tools_answer_is_text(content: Any, output: str) -> None:
    [(_, fields)] = begun().translate(tool_result(content))
    assert fields == {"tool_id": "t1", "output": output, "is_error": False}


def test_a_large_output_is_shown_as_far_as_the_cli_gives_it() -> None:
    [(_, fields)] = [
        (kind, fields)
        for kind, fields in play(RUNS["07_bash_200k"], [RUNS["07_bash_200k"].stdout]).drafts
        if kind == "tool_result"
    ]
    assert len(fields["output"]) == 30_000
    assert fields["truncated"] == 198_894 - 30_000


@pytest.mark.parametrize("unit", ["a", "é", "😀", "\n", "\x00", '"', "\ud83d"])
def test_a_line_of_10_mb_becomes_one_event_that_says_what_is_left_out(unit: str) -> None:
    size = 10_000_000
    [draft] = begun().translate(tool_result(unit * (size // len(unit.encode(errors="replace")))))
    assert draft[1]["truncated"] + len(draft[1]["output"].encode(errors="replace")) == size
    assert len(check(draft)) > MAX_OUTPUT * 0.9


@pytest.mark.parametrize(
    "value",
    [
        {"content": "x" * (3 << 20), "path": "/srv/a"},
        {"content": "\x00" * (1 << 20), "path": "/srv/a"},
        {str(number): "y" * 100 for number in range(20_000)},
        {"list": [[number] * 100 for number in range(4_000)]},
        {"k" * (2 << 20): 1},
    ],
    ids=["long", "escapes", "many", "numbers", "key"],
)
def test_a_large_input_is_cut_where_it_is_long(value: dict[str, Any]) -> None:
    [draft] = begun().translate(assistant({"type": "tool_use", "id": "t", "name": "Write", "input": value}))
    check(draft)
    assert draft[1]["input"].get("path") == value.get("path")
    assert "left out" in dumps(draft[1]["input"]) or "clipped" in draft[1]["input"]


def test_the_answer_to_a_large_question_has_its_whole_input() -> None:
    talk = asking(input={"content": "x" * (3 << 20)})
    talk.answer("q1", allow=True)
    assert len(verdict(talk)["updatedInput"]["content"]) == 3 << 20


def test_a_line_that_is_too_long_to_hold_is_left_out_and_the_log_says_so() -> None:
    talk = begun()
    for _ in range(65):
        assert talk.translate(b"x" * (1 << 20)) == []
    drafts = talk.translate(b"\n" + INIT)
    assert [kind for kind, _ in drafts] == ["error", "session"]


def test_nothing_slow_is_imported() -> None:
    code = (
        "from breakglass.agents import TurnInput, new_dialogue;"
        "[new_dialogue(name, TurnInput('x', ('x',))) for name in ('claude', 'shell')];"
        "print([name for name in ('asyncio', 'dataclasses', 'inspect', 'subprocess') if name in sys.modules])"
    )
    program = f"import sys; sys.path[:0] = {sys.path!r}; {code}"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


# --- whatever the bytes ---------------------------------------------------------------------------

LINES = sorted({each for run in RUNS.values() for each in run.stdout.splitlines() if len(each) < 20_000})

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=20)
    | st.sampled_from(["text", "tool_use", "tool_result", "text_delta", "init", "can_use_tool", "result"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Return a recorded line in which some values have become others, or are gone."""
    value = json.loads(draw(st.sampled_from(LINES)))
    for _ in range(draw(st.integers(1, 3))):
        holder: Any = value
        while True:
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(holder[key], dict | list) and draw(st.integers(0, 3)):
                holder = holder[key]
            elif draw(st.booleans()):
                holder[key] = draw(values)
                break
            else:
                del holder[key]
                break
    return json.dumps(value).encode()


ends = st.builds(Exit, st.integers(-80, 255), st.text(max_size=50), cancelled=st.booleans())
tasks = st.builds(
    TurnInput,
    prompt=st.just("hi"),
    command=st.just(("claude",)),
    session=st.sampled_from([None, SESSION]),
    session_cost=st.floats(0, 10),
    ask=st.booleans(),
)


def survives(task: TurnInput, data: list[bytes], end: Exit) -> None:
    talk = new_dialogue("claude", task)
    drafts = talk.begin()
    talk.open()
    for chunk in data:
        new = talk.translate(chunk)
        for kind, fields in new:
            if kind == "permission":
                assert talk.answer(fields["request"], allow=bool(len(data) % 2), message="m")
        json.loads(b"[" + b",".join(talk.reply().splitlines()) + b"]")
        drafts += new
    drafts += talk.close(end)
    for draft in drafts:
        check(draft)


@given(tasks, st.lists(st.binary(max_size=200) | st.sampled_from([b"\n", b"{", b'{"type":"result"}'])), ends)
def test_no_bytes_raise_or_make_what_is_no_event(task: TurnInput, data: list[bytes], end: Exit) -> None:
    survives(task, data, end)


@given(tasks, st.lists(mutated(), min_size=1, max_size=6), ends, st.binary(max_size=3))
def test_no_line_raises_or_makes_what_is_no_event(
    task: TurnInput, lines: list[bytes], end: Exit, junk: bytes
) -> None:
    survives(
        task, [each + junk + b"\n" if number == 1 else each + b"\n" for number, each in enumerate(lines)], end
    )


@pytest.mark.parametrize("opening", [b"[", b'{"type":"assistant","message":', b'{"a":'])
def test_nesting_without_end_is_passed_over(opening: bytes) -> None:
    survives(TurnInput("hi", ("claude",)), [opening * 100_000 + b"\n"], Exit(0))


@pytest.mark.parametrize("depth", [50, 150, 500, 900])
def test_deep_inputs_are_kept_as_far_as_readers_can_follow(depth: int) -> None:
    value: Any = {}
    for _ in range(depth):
        value = {"a": value}
    big = {"deep": value, "long": "x" * (2 << 20)}
    for given_input in (value, big):
        block = {"type": "tool_use", "id": "t", "name": "N", "input": given_input}
        survives(TurnInput("hi", ("claude",), ask=True), [assistant(block), line(
            type="control_request", request_id="r", request={**ASKED, "input": given_input})], Exit(0))  # fmt: skip
