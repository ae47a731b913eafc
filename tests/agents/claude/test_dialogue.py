"""The conversation with Claude Code: what we write, its questions, its sessions, and how a turn ends."""

import json
from typing import Any

import pytest

from breakglass.agents import Exit, Picture, TurnInput
from breakglass.agents.claude.dialogue import Dialogue
from tests.agents.claude.made_lines import ASKED, INIT, SESSION, asking, begun, ended, line, result


def test_the_prompt_is_a_message_and_never_an_argument() -> None:
    dialogue = begun(prompt="-x [U+1F600]\n", model="opus", session=SESSION)
    assert dialogue.argv == [
        "claude", "-p", "--output-format", "stream-json", "--verbose", "--include-partial-messages",
        "--input-format", "stream-json", "--dangerously-skip-permissions", f"--resume={SESSION}", "--model=opus",
    ]  # fmt: skip
    assert json.loads(dialogue.open())["message"]["content"] == "-x [U+1F600]\n"
    assert not dialogue.finished
    assert json.loads(dialogue.interrupt())["request"] == {"subtype": "interrupt"}


@pytest.mark.parametrize(
    "prompt",
    ["/login is broken", "/clear", "/clear the cache", "/context of this", "/compacted", "/", "//", "/etc/passwd",
     "/contexts", "/help\n", "/a/compact"],
)  # fmt: skip
def test_a_prompt_that_looks_like_a_command_is_written_after_a_space(prompt: str) -> None:
    for ask in (False, True):
        assert json.loads(begun(prompt=prompt, ask=ask).open())["message"]["content"] == " " + prompt


@pytest.mark.parametrize(
    "prompt",
    ["/compact", "/compact the disk only", "/compact\nthe\ndisk", "/context", "/context\n",
     " /clear", "\n/clear", "\ufeff/clear", "#1", "!ls", "@file", "-x", "hi /clear"],
)  # fmt: skip
def test_other_prompts_and_the_offered_commands_are_written_unchanged(prompt: str) -> None:
    for ask in (False, True):
        assert json.loads(begun(prompt=prompt, ask=ask).open())["message"]["content"] == prompt


def test_a_change_of_the_agents_own_session_is_a_notice() -> None:
    other = line(type="system", subtype="init", session_id="other")
    kinds = [kind for kind, _ in begun().translate(INIT + INIT + other)]
    assert kinds == ["session", "notice", "session"]
    assert [kind for kind, _ in begun(session=SESSION).translate(INIT)] == ["session"]
    assert [kind for kind, _ in begun(session=SESSION).translate(other)] == ["notice", "session"]


def test_a_first_turn_names_no_session_and_no_model() -> None:
    assert not [word for word in begun().argv if "session" in word or "resume" in word or "model" in word]


def test_half_a_surrogate_pair_in_a_prompt_is_replaced() -> None:
    assert json.loads(begun(prompt="a\ud83d", ask=True).open())["message"]["content"] == "a\ufffd"


def test_an_agent_that_must_ask_is_started_in_a_mode_that_asks() -> None:
    argv = begun(ask=True).argv
    assert "--dangerously-skip-permissions" not in argv
    assert argv[argv.index("--permission-prompt-tool") + 1] == "stdio"
    assert "--permission-mode=default" in argv  # the settings of the user must not change it


def test_the_agent_must_ask_about_a_denied_tool() -> None:
    """The CLI does not ask before it reads a file. Without this setting it would read a denied one."""
    argv = Dialogue(TurnInput("p", ("claude",), ask=True, deny=("Read",))).argv
    assert '--settings={"permissions":{"ask":["Read"]}}' in argv
    assert not [word for word in Dialogue(TurnInput("p", ("claude",), ask=True)).argv if "--settings" in word]


def test_a_session_is_announced_once() -> None:
    expected = ("session", {"session_id": SESSION, "model": "m"})
    assert begun().translate(INIT + INIT) == [expected]
    assert begun(session=SESSION).translate(INIT) == [expected]


@pytest.mark.parametrize("name", ["a\0b", "x" * 200_000])
def test_a_session_id_that_no_command_line_can_carry_is_ignored(name: str) -> None:
    init = line(type="system", subtype="init", session_id=name)
    assert [kind for kind, _ in begun().translate(init + result())] == ["result"]
    assert begun(session=name).argv == begun().argv  # an older log may have one


def verdict(dialogue: Dialogue) -> dict[str, Any]:
    """Return the answer to question `q1` that is to be written."""
    written = json.loads(dialogue.reply())
    assert written["response"]["request_id"] == "q1"
    answer: dict[str, Any] = written["response"]["response"]
    return answer


def test_the_first_answer_wins() -> None:
    dialogue = asking()
    assert dialogue.answer("q1", allow=True)
    assert not dialogue.answer("q1", allow=False)
    assert verdict(dialogue) == {"behavior": "allow", "updatedInput": {"command": "ls"}}
    assert dialogue.reply() == b""


def test_an_unknown_question_gets_no_answer() -> None:
    dialogue = asking()
    assert not dialogue.answer("q2", allow=True)
    assert dialogue.reply() == b""


def test_a_refusal_always_has_a_message() -> None:
    dialogue = asking()
    dialogue.answer("q1", allow=False)
    assert verdict(dialogue) == {"behavior": "deny", "message": "The operator refused."}


@pytest.mark.parametrize(
    ("questions", "message", "answers"),
    [
        (["A?"], "yes\nindeed", {"A?": "yes\nindeed"}),
        (["A?", "B?"], "1\n2", {"A?": "1", "B?": "2"}),
        (["A?", "B?"], "1", {"A?": "1"}),
        ([], "1", {}),
    ],
)
def test_a_choice_takes_one_line_of_the_message_for_each_question(
    questions: list[str], message: str, answers: dict[str, str]
) -> None:
    dialogue = asking(
        tool_name="AskUserQuestion", input={"questions": [{"question": each} for each in questions]}
    )
    dialogue.answer("q1", allow=True, message=message)
    assert verdict(dialogue)["updatedInput"]["answers"] == answers


def test_the_answer_to_a_large_question_has_the_whole_input() -> None:
    dialogue = asking(input={"content": "x" * (3 << 20)})
    dialogue.answer("q1", allow=True)
    assert len(verdict(dialogue)["updatedInput"]["content"]) == 3 << 20


def test_a_subagents_question_names_the_call_that_started_the_subagent() -> None:
    dialogue = begun(ask=True)
    dialogue.translate(line(type="system", subtype="task_started", task_id="a1", tool_use_id="t9"))
    [(_, fields)] = dialogue.translate(
        line(type="control_request", request_id="q", request={**ASKED, "agent_id": "a1"})
    )
    assert fields["parent"] == "t9"


def test_a_withdrawn_question_is_answered_in_the_log_and_closed() -> None:
    dialogue = asking()
    [(kind, fields)] = dialogue.translate(line(type="control_cancel_request", request_id="q1"))
    assert (kind, fields["request"], fields["allow"], fields["by"]) == ("answer", "q1", False, "agent")
    assert not dialogue.answer("q1", allow=True)
    assert dialogue.translate(line(type="control_cancel_request", request_id="q1")) == []


def test_open_questions_end_with_the_exit_of_the_agent() -> None:
    ((kind, fields),) = asking().close(Exit(-9, cancelled=True))
    assert (kind, fields["by"], fields["allow"]) == ("answer", "exit", False)
    assert fields["message"] == "The agent's process ended before an answer (ended by signal KILL)."


def test_an_unknown_control_request_is_answered_with_an_error() -> None:
    dialogue = begun(ask=True)
    request = {"subtype": "hook_callback", "callback_id": "x"}
    assert dialogue.translate(line(type="control_request", request_id="r", request=request)) == []
    assert json.loads(dialogue.reply())["response"]["subtype"] == "error"


def test_standard_input_stays_open_until_the_result() -> None:
    dialogue = begun(ask=True)
    dialogue.translate(INIT)
    assert not dialogue.finished
    dialogue.translate(result())
    assert dialogue.finished


def test_standard_input_stays_open_while_a_background_task_may_ask() -> None:
    dialogue = begun(ask=True)
    dialogue.translate(line(type="system", subtype="background_tasks_changed", tasks=[{"task_id": "a"}]))
    dialogue.translate(result())
    assert not dialogue.finished
    dialogue.translate(line(type="system", subtype="background_tasks_changed", tasks=[]))
    assert not dialogue.finished  # the result of the task begins another round, which may ask too
    dialogue.translate(INIT + result())
    assert dialogue.finished


@pytest.mark.parametrize("ask", [False, True])
def test_a_finished_dialogue_stays_finished(ask: bool) -> None:
    dialogue = begun(ask=ask)
    dialogue.translate(result())
    assert dialogue.finished
    dialogue.translate(
        line(type="system", subtype="background_tasks_changed", tasks=[{"task_id": "a"}]) + result()
    )
    assert dialogue.finished


def test_an_interrupted_dialogue_does_not_wait_for_background_tasks() -> None:
    dialogue = begun(ask=True)
    dialogue.translate(line(type="system", subtype="background_tasks_changed", tasks=[{"task_id": "a"}]))
    assert dialogue.interrupt()
    dialogue.translate(result())
    assert dialogue.finished
    assert dialogue.interrupt() == b""


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
    drafts, dialogue = ended(data, end)
    errors = [fields["error"] for kind, fields in drafts if kind == "error"]
    assert errors == ([error] if error else [])
    assert dialogue.failed == bool(error)
    assert not dialogue.start_over


@pytest.mark.parametrize("end", [Exit(-9), Exit(-15), Exit(143), Exit(0), Exit(1, "some text")])
def test_a_cancelled_turn_has_not_failed(end: Exit) -> None:
    aborted = line(
        type="result", is_error=True, subtype="error_during_execution", terminal_reason="aborted_tools"
    )
    for data in (b"", aborted):
        drafts, dialogue = ended(data, end._replace(cancelled=True))
        assert "error" not in [kind for kind, _ in drafts]
        assert not dialogue.failed
        assert not dialogue.start_over


NOT_FOUND = f"No conversation found with session ID: {SESSION}"
MISSING = line(type="result", is_error=True, errors=[NOT_FOUND], session_id=SESSION, total_cost_usd=0)


@pytest.mark.parametrize(("data", "stderr"), [(MISSING, NOT_FOUND), (MISSING, ""), (b"", NOT_FOUND)])
def test_a_missing_session_is_replaced_and_the_log_says_so(data: bytes, stderr: str) -> None:
    drafts, dialogue = ended(data, Exit(1, stderr), session=SESSION, session_cost=0.5)
    assert dialogue.start_over
    [(kind, fields)] = drafts
    assert kind == "error"
    assert SESSION in fields["error"]


@pytest.mark.parametrize(
    ("data", "session"),
    [(INIT + MISSING, SESSION), (MISSING, None)],
    ids=["the session is open", "no session was to be resumed"],
)
def test_a_turn_that_began_is_not_run_twice(data: bytes, session: str | None) -> None:
    _, dialogue = ended(data, Exit(1, NOT_FOUND), session=session)
    assert dialogue.failed
    assert not dialogue.start_over


def test_the_last_result_decides_whether_the_turn_failed() -> None:
    failed = line(type="result", subtype="success", is_error=True, result="API Error")
    assert ended(failed + result(), Exit(0))[1].failed is False
    spoken = line(type="assistant", message={"content": [{"type": "text", "text": "more"}]})
    assert ended(result() + spoken + failed, Exit(0))[1].failed is True


def test_an_overlong_line_is_dropped_and_the_log_says_so() -> None:
    dialogue = begun()
    for _ in range(65):
        assert dialogue.translate(b"x" * (1 << 20)) == []
    drafts = dialogue.translate(b"\n" + INIT)
    assert [kind for kind, _ in drafts] == ["error", "session"]


@pytest.mark.parametrize("ask", [False, True])
def test_pictures_are_blocks_of_the_first_message(ask: bool) -> None:
    picture = Picture("image/png", b"\x89PNG")
    dialogue = Dialogue(TurnInput("what is it?", ("claude",), ask=ask, pictures=(picture,)))
    assert "--input-format stream-json" in " ".join(dialogue.argv)
    assert ("--dangerously-skip-permissions" in dialogue.argv) is not ask
    assert json.loads(dialogue.open())["message"]["content"] == [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw=="}},
        {"type": "text", "text": "what is it?"},
    ]
    assert not dialogue.finished
