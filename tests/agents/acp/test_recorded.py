"""Recorded runs of real ACP agents: the events that they give, and what we write to them."""

import pytest

from breakglass import __version__
from breakglass.agents import Exit
from breakglass.agents.acp.dialogue import Dialogue
from tests.agents.acp.recorded import GOLDEN, Played, lines, load, play, report
from tests.agents.drafts import check, joined

RUNS = load()
NAMES = sorted(RUNS)


def written_when_recorded(played: Played) -> bytes:
    """Return what we wrote, with the version of the program that recorded the runs."""
    return played.written.replace(f'"version":"{__version__}"'.encode(), b'"version":"0.1.0"')


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_run_gives_the_events_of_its_golden_file(name: str) -> None:
    run = RUNS[name]
    assert report(play(run, [run.stdout])) == (GOLDEN / f"{name}.jsonl").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_single_lines_give_the_same_events_and_the_recorded_input(name: str) -> None:
    run = RUNS[name]
    played = play(run, lines(run.stdout))
    assert run.stdin in (written_when_recorded(played), None)
    assert joined(played.drafts) == joined(play(run, [run.stdout]).drafts)


@pytest.mark.parametrize("name", NAMES)
def test_single_bytes_give_the_same_events(name: str) -> None:
    run = RUNS[name]
    played = play(run, (run.stdout[at : at + 1] for at in range(len(run.stdout))))
    assert run.stdin in (written_when_recorded(played), None)
    assert report(played) == (GOLDEN / f"{name}.jsonl").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_every_draft_can_be_recorded(name: str) -> None:
    run = RUNS[name]
    for draft in play(run, [run.stdout]).drafts:
        check(draft)


@pytest.mark.parametrize("name", NAMES)
def test_a_run_that_breaks_off_is_a_failure(name: str) -> None:
    run = RUNS[name]
    for size in range(0, len(run.stdout), 997):
        dialogue = Dialogue(run.turn_input)
        dialogue.open()
        drafts = dialogue.translate(run.stdout[:size])
        if dialogue.finished:
            break
        drafts += dialogue.close(Exit(-9, "it was killed"))
        for draft in drafts:
            check(draft)
        assert dialogue.failed
        assert drafts[-1] == (
            "error",
            {"error": "The agent failed without an answer: ended by signal KILL. it was killed"},
        )
