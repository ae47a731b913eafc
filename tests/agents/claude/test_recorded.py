"""Recorded runs of the real Claude Code CLI: the events that they give, and what we write to it."""

import json
import random
from itertools import pairwise

import pytest

from breakglass.agents.lines import unreadable
from tests.agents.claude.made_lines import begun
from tests.agents.claude.recorded import ANSWERS, GOLDEN, Run, load, play, report
from tests.agents.drafts import check, joined

RUNS = load()
all_runs = pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)


def golden(name: str) -> str:
    return (GOLDEN / f"{name}.jsonl").read_text()


@all_runs
def test_a_recorded_run_gives_the_events_of_its_golden_file(run: Run) -> None:
    assert report(play(run, [run.stdout])) == golden(run.name)


@all_runs
def test_the_events_do_not_depend_on_where_the_bytes_are_cut(run: Run) -> None:
    data, rng = run.stdout, random.Random(run.name)
    for count in (1, 7, 100, 1000):
        cuts = sorted({0, len(data), *(rng.randrange(len(data) + 1) for _ in range(count))})
        assert report(play(run, [data[a:b] for a, b in pairwise(cuts)])) == golden(run.name)


@all_runs
def test_single_bytes_give_the_same_events(run: Run) -> None:
    assert report(play(run, [bytes([byte]) for byte in run.stdout])) == golden(run.name)


@all_runs
def test_a_last_line_without_a_newline_counts(run: Run) -> None:
    assert report(play(run, [run.stdout.removesuffix(b"\n")])) == golden(run.name)


@all_runs
def test_an_incomplete_last_line_is_only_a_notice(run: Run) -> None:
    *whole, last = run.stdout.splitlines(keepends=True) or [b""]
    before = b"".join(whole)
    expected = report(play(run, [before]))
    for at in {0, 1, len(last) // 2, max(0, len(last) - 2)}:
        played = play(run, [before + last[:at]])
        added = unreadable([last[:at].decode(errors="replace")])
        assert (added in played.drafts) == bool(last[:at])
        assert report(played._replace(drafts=[each for each in played.drafts if each != added])) == expected


@all_runs
def test_every_draft_can_be_recorded(run: Run) -> None:
    for draft in play(run, [run.stdout]).drafts:
        check(draft)


@all_runs
def test_streamed_prose_is_followed_by_the_same_prose_as_a_whole(run: Run) -> None:
    drafts = joined(play(run, [run.stdout]).drafts)
    for number, (kind, fields) in enumerate(drafts):
        if kind == "delta":
            following = [kind for kind, _ in drafts[number + 1 :]]
            if following[0] != "retry":  # after a retry the prose streams again
                assert drafts[number + 1 + following.index("text")] == ("text", fields)


@pytest.mark.parametrize("name", [name for name in ANSWERS if name >= "2" and len(name.split("_")[0]) == 3])
def test_we_still_write_what_was_written_to_the_real_program(name: str) -> None:
    run = RUNS[name]
    prompt = json.loads((run.stdin or b"").split(b"\n")[0])["message"]["content"]
    again = run._replace(turn_input=run.turn_input._replace(prompt=prompt))
    assert play(again, again.stdout.splitlines(keepends=True)).written == run.stdin


@pytest.mark.parametrize("name", ["80_ctl_allow", "81_ctl_deny_no_initialize"])
def test_an_answer_equals_the_hand_written_one_that_worked(name: str) -> None:
    run = RUNS[name]
    written = [json.loads(each) for each in play(run, [run.stdout]).written.splitlines()]
    assert written[-1] == json.loads((run.stdin or b"").splitlines()[-1])


@pytest.mark.parametrize("name", ["221_ask_interrupted", "226_ask_interrupt_streaming"])
def test_an_interrupt_is_the_request_that_stopped_the_real_program(name: str) -> None:
    assert begun(ask=True).interrupt() in (RUNS[name].stdin or b"").splitlines(keepends=True)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("200_root_refused", 'IS_SANDBOX = "1" in [agents.claude.env]'),
        ("201_not_logged_in", "set ANTHROPIC_API_KEY"),
        ("202_key_refused", "set ANTHROPIC_API_KEY"),
        ("203_model_not_found", "Choose another model"),
    ],
)
def test_an_error_says_what_to_do_once(name: str, advice: str) -> None:
    errors = [
        fields["error"] for kind, fields in play(RUNS[name], [RUNS[name].stdout]).drafts if kind == "error"
    ]
    assert len(errors) == 1
    assert advice in errors[0]


def test_a_retry_with_a_refused_key_says_what_to_do() -> None:
    drafts = play(RUNS["202_key_refused"], [RUNS["202_key_refused"].stdout]).drafts
    assert ["ANTHROPIC_API_KEY" in fields["error"] for kind, fields in drafts if kind == "retry"] == [True]


def test_a_saved_output_is_shown_as_far_as_the_line_holds_it() -> None:
    [(_, fields)] = [
        (kind, fields)
        for kind, fields in play(RUNS["07_bash_200k"], [RUNS["07_bash_200k"].stdout]).drafts
        if kind == "tool_result"
    ]
    assert len(fields["output"]) == 30_000
    assert fields["truncated"] == 198_894 - 30_000


@pytest.mark.parametrize("name", ["16_thinking", "17_thinking_partial"])
def test_thinking_becomes_events_only_if_it_is_wanted(name: str) -> None:
    run = load()[name]
    kinds = [kind for kind, _ in play(run, [run.stdout]).drafts]
    assert "thinking" not in kinds
    wanted = run._replace(turn_input=run.turn_input._replace(thinking=True))
    drafts = play(wanted, [run.stdout]).drafts
    assert [kind for kind, _ in drafts if kind in ("thinking", "text")] == ["thinking", "text"]
    assert all(fields["text"] for kind, fields in drafts if kind == "thinking")


def test_a_result_names_the_model_that_answered() -> None:
    """It may differ from the requested model: the CLI maps old names to new models."""
    run = load()["01_first_turn"]
    results = [fields for kind, fields in play(run, [run.stdout]).drafts if kind == "result"]
    assert results[0]["model"] == "claude-opus-5-5"
