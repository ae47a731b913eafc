"""The rounds of Claude Code: when its answer is final, and which of several results counts."""

import pytest

from breakglass.agents import Exit
from breakglass.agents.claude.dialogue import Dialogue
from breakglass.events import Draft
from tests.agents.claude.made_lines import INIT, asking, assistant, begun, ended, line, result

SAID = assistant({"type": "text", "text": "The disk is full."})
FAILED = line(type="result", subtype="error_during_execution", is_error=True, errors=["boom"], num_turns=0)
TASKS = line(type="system", subtype="background_tasks_changed", tasks=[{"task_id": "b1"}])
NO_TASKS = line(type="system", subtype="background_tasks_changed", tasks=[])


def read(*lines: bytes) -> Dialogue:
    dialogue = begun()
    dialogue.translate(b"".join(lines))
    return dialogue


def texts(drafts: list[Draft], kind: str) -> list[str]:
    return [str(fields.get("text") or fields.get("error")) for found, fields in drafts if found == kind]


# --- when the answer is final -----------------------------------------------------------------------


@pytest.mark.parametrize("lines", [(SAID, result()), (FAILED,), (INIT, SAID, result(), INIT, SAID, result())])
def test_the_last_result_is_the_final_answer(lines: tuple[bytes, ...]) -> None:
    assert read(*lines).answered


@pytest.mark.parametrize(
    "lines",
    [
        (),
        (INIT, SAID),
        (INIT, TASKS, SAID, result()),
        (INIT, line(type="system", subtype="task_started", task_id="b1"), SAID, result()),
        (INIT, TASKS, SAID, result(), NO_TASKS, INIT),
    ],
)
def test_an_answer_is_not_final_while_the_agent_or_a_background_task_works(lines: tuple[bytes, ...]) -> None:
    assert not read(*lines).answered


@pytest.mark.parametrize(
    "end",
    [
        NO_TASKS,
        line(type="system", subtype="task_notification", task_id="b1", status="completed"),
        line(type="system", subtype="task_updated", task_id="b1", patch={"status": "killed"}),
    ],
)
def test_an_answer_is_final_when_the_last_background_task_has_ended(end: bytes) -> None:
    assert read(INIT, TASKS, SAID, result(), end).answered


def test_a_tool_that_runs_in_the_foreground_delays_no_answer() -> None:
    started = line(type="system", subtype="task_started", task_id="f1", is_backgrounded=False)
    assert read(INIT, started, SAID, result()).answered


def test_an_answer_is_not_final_while_a_question_is_open() -> None:
    dialogue = asking()
    dialogue.translate(SAID + result())
    assert not dialogue.answered
    dialogue.answer("q1", allow=True)
    assert dialogue.answered


# --- results that contradict each other ----------------------------------------------------------------


@pytest.mark.parametrize("later", [FAILED, FAILED + FAILED, NO_TASKS + INIT + FAILED])
@pytest.mark.parametrize("code", [0, 1])
def test_an_answer_stands_although_a_failure_without_a_round_follows(later: bytes, code: int) -> None:
    drafts, dialogue = ended(INIT + SAID + result() + later, Exit(code))
    assert not dialogue.failed
    assert texts(drafts, "error") == []
    assert [fields["is_error"] for kind, fields in drafts if kind == "result"] == [False]
    assert set(texts(drafts, "notice")) == {
        "The agent reported a failure after its answer; the answer stands. It said: boom"
    }


def test_an_answer_stands_although_a_failure_came_before_it() -> None:
    drafts, dialogue = ended(INIT + FAILED + SAID + result(), Exit(0))
    assert not dialogue.failed
    assert texts(drafts, "notice") == ["The agent reported a failure, and answered after it. It said: boom"]


def test_two_failures_are_one_failure_with_the_first_reason() -> None:
    second = line(type="result", is_error=True, result="bang")
    drafts, dialogue = ended(INIT + FAILED + second, Exit(1))
    assert dialogue.failed
    assert texts(drafts, "error") == ["boom"]
    assert texts(drafts, "notice") == []


def test_a_failure_of_a_later_round_is_a_failure() -> None:
    drafts, dialogue = ended(INIT + TASKS + SAID + result() + NO_TASKS + INIT + SAID + FAILED, Exit(1))
    assert dialogue.failed
    assert texts(drafts, "error") == ["boom"]


def test_three_results_of_three_rounds_are_all_kept() -> None:
    drafts, dialogue = ended((INIT + SAID + result()) * 3, Exit(0))
    assert not dialogue.failed
    assert [kind for kind, _ in drafts].count("result") == 3


def test_an_agent_that_is_killed_after_a_contradiction_has_failed() -> None:
    assert ended(INIT + SAID + result() + FAILED, Exit(-9))[1].failed
