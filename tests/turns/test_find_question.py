"""What the log shows: whether a question is open, and how long a lost turn took."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from breakglass.events import Draft
from breakglass.store import log
from breakglass.store.state_cache import read_state
from breakglass.turns.answer import find_question
from breakglass.turns.end import turn_duration_ms
from tests.help.log_files import open_bytes
from tests.help.logs import log_of

EARLIER, LATER = "2026-11-23T00:00:00.000Z", "9999-01-01T00:00:00.000Z"

ASKED: Draft = ("permission", {"expires": LATER})
QUESTIONS: dict[str, tuple[list[Draft], str]] = {
    "waits": ([ASKED], ""),
    "answered": ([ASKED, ("answer", {})], "answered"),
    "waits, and its time is over by the wall clock": ([("permission", {"expires": EARLIER})], ""),
    "waits, and its time is no time": ([("permission", {"expires": ""})], ""),
    "expired": ([ASKED, ("answer", {"by": "timeout"})], "expired"),
    "expired, by the runner's clock only": (
        [ASKED, ("answer", {"by": "timeout"}), ("turn_end", {})],
        "expired",
    ),
    "withdrawn by the agent": ([ASKED, ("answer", {"by": "agent"})], "withdrawn"),
    "the agent died": ([ASKED, ("answer", {"by": "exit"})], "closed by the agent's exit"),
    "another's answer": ([ASKED, ("answer", {"request": "r-2"})], ""),
    "the turn was stopped": ([ASKED, ("cancelled", {})], "withdrawn"),
    "the turn ended": ([ASKED, ("turn_end", {})], "withdrawn"),
    "answered, then ended": ([ASKED, ("answer", {}), ("turn_end", {})], "answered"),
    "asked again in the next turn": ([ASKED, ("turn_end", {}), ("user", {"turn": 5}), ASKED], ""),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_is_open_until_the_first_of_its_ends(name: str) -> None:
    drafts, closed = QUESTIONS[name]
    with open_bytes(log_of([("created", {}), ("user", {}), *drafts])) as fd:
        found = find_question(fd, read_state(fd).state, "r-1")
        assert found is not None
        assert found.closed == closed


@pytest.mark.parametrize(
    "drafts", [[], [("user", {})], [("user", {}), ASKED, ("turn_end", {}), ("user", {"turn": 5})]]
)
def test_a_question_that_was_not_asked_in_the_last_turn_is_not_found(
    drafts: list[Draft],
) -> None:
    with open_bytes(log_of([("created", {}), *drafts])) as fd:
        assert find_question(fd, read_state(fd).state, "r-1") is None


# --- how long a turn took -----------------------------------------------------------------------


@pytest.fixture
def clocked(tmp_path: Path) -> Iterator[int]:
    """A log whose turn began a minute before its last event."""
    data = log_of([("created", {}), ("user", {}), ("delta", {}), b"hello"])
    path = tmp_path / log.NAME
    path.write_bytes(data.replace(b'3,"ts":"2026-11-23T01:02', b'3,"ts":"2026-11-23T01:03'))
    fd = log.open_reader(str(tmp_path))
    yield fd
    os.close(fd)


def test_a_lost_turn_took_from_its_first_event_to_the_last_in_the_log(clocked: int) -> None:
    state = read_state(clocked).state
    assert turn_duration_ms(clocked, state) == 60_000
    assert turn_duration_ms(clocked, state._replace(last_turn=3)) == 0
