"""A state read by search is the state that all the events add up to, from any place in the log."""

import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakglass.events import Draft, Event
from breakglass.store import log, seek
from breakglass.store import state_cache as state
from breakglass.store.seek import Position
from breakglass.store.state_cache import LogState, read_state
from breakglass.turns.answer import find_question
from breakglass.turns.end import age_ms
from tests.help.logs import SAMPLES, decoded, fold_all, line, log_of
from tests.store.test_seek import opened

EARLIER, LATER = "2026-11-23T00:00:00.000Z", "9999-01-01T00:00:00.000Z"


def random_story(rng: random.Random) -> bytes:
    """Return a log of any kinds in any order, with strangers' lines, copies, other times, and a torn tail."""
    lines: list[bytes] = []
    for number in range(1, rng.choice([2, 10, 80])):
        kind = rng.choice(sorted(SAMPLES))
        made = line(number, kind)
        if "turn" in SAMPLES[kind]:
            made = line(number, kind, turn=rng.choice([2, number, 5]))
        if kind == "text" and rng.random() < 0.3:
            made = line(number, kind, text="y" * rng.choice([70_000, 1_200_000]))
        if rng.random() < 0.15:
            made = rng.choice(
                [b"hello\n", b"\n", b"\xff\r\n", line(3, "renamed"), line(number, "renamed")[:-1] + b"\r\n"]
            )
        lines.append(made.replace(b"01:02:03", b"01:02:%02d" % (number % 60)))
    return b"".join(lines) + rng.choice([b"", b"torn", line(len(lines) + 1, "renamed")[:-1]])


def keys_of(story: Sequence[Event]) -> dict[str, int]:
    """Return the prompts that came with a key, the first of each."""
    asked = [event for event in story if event["kind"] in ("user", "queued") and event.get("key")]
    return {event["key"]: event["id"] for event in reversed(asked)}


@given(st.randoms(use_true_random=False))
def test_a_state_by_search_is_the_fold_of_all_lines_from_anywhere(rng: random.Random) -> None:
    data = random_story(rng)
    story = decoded(data)
    with opened(data) as fd:
        known = read_state(fd)
        assert known.state == fold_all(story)
        assert known.keys == keys_of(story)
        assert known.end == seek.last(fd, len(data))
        cut = rng.randrange(len(story) + 1)
        place = seek.after(fd, cut, known.end)
        part = LogState(fold_all(story[:cut]), place, keys_of(story[:cut]), seek.mark(fd, place))
        assert read_state(fd, part) == known
        assert read_state(fd, known) == known


def test_a_giant_line_of_a_stranger_counts_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(line(1, "created"))
    os.truncate(path, 30 << 20)
    with path.open("ab") as file:
        file.write(b"\n" + line(3, "renamed"))
    with path.open("rb") as file:
        known = read_state(file.fileno())
    assert (known.state.last_id, known.state.title) == (3, "Another")
    assert known.end == Position(3, path.stat().st_size)


# --- the Idempotency-Key ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "turn"),
    [("k-1", 2), ("k-2", 4), ("k", None), ("", None), ('"', None), ("in-a-tool", None), ("in-prose", None)],
)
def test_a_key_is_found_in_the_user_event_that_has_it_and_nowhere_else(key: str, turn: int | None) -> None:
    data = log_of(
        [
            ("created", {}),
            ("user", {"key": "k-1"}),
            ("tool", {"input": {"a": 1, "key": "in-a-tool"}}),
            ("user", {"turn": 4, "key": "k-2", "text": ',"key":"in-prose"'}),
            line(9, "user", key="k")[:-1],  # not its number
            ("user", {"turn": 6, "key": "k-1"}),
        ]
    )
    with opened(data) as fd:
        assert read_state(fd).keys.get(key) == turn


@pytest.mark.parametrize("more", [0, 3])
def test_a_log_that_was_written_over_in_place_is_read_anew(more: int, tmp_path: Path) -> None:
    path = tmp_path / log.NAME
    path.write_bytes(line(1, "created") + line(2, "renamed", title="before"))
    fd = log.open_reader(str(tmp_path))
    assert state.cached(str(tmp_path), fd).state.title == "before"
    rest = [line(3 + number, "text") for number in range(more)]
    path.write_bytes(b"".join([line(1, "created"), line(2, "renamed", title="behind"), *rest]))
    os.utime(path, (1, 1))  # a coarse clock may not have moved since
    known = state.cached(str(tmp_path), fd)
    os.close(fd)
    assert (known.state.title, known.end.number) == ("behind", 2 + more)


def test_what_was_known_stays_as_it_was_when_more_is_read() -> None:
    """Nor are the keys copied where there is none to add: a long log has many."""
    drafts: list[Draft] = [
        ("created", {}),
        ("queued", {"key": "a"}),
        ("queued", {"key": "a"}),
        ("queued", {"key": "b"}),
    ]
    with opened(log_of(drafts)) as fd:
        before = read_state(fd)
    with opened(log_of([*drafts, ("delta", {})])) as fd:
        assert read_state(fd, before).keys is before.keys
    with opened(log_of([*drafts, ("queued", {"key": "b"}), ("queued", {"key": "c"})])) as fd:
        assert read_state(fd, before).keys == {"a": 2, "b": 4, "c": 6}
    assert before.keys == {"a": 2, "b": 4}


# --- questions ----------------------------------------------------------------------------------

ASKED: Draft = ("permission", {"expires": LATER})
QUESTIONS: dict[str, tuple[list[Draft], str]] = {
    "waits": ([ASKED], ""),
    "answered": ([ASKED, ("answer", {})], "answered"),
    "expired": ([("permission", {"expires": EARLIER})], "expired"),
    "another's answer": ([ASKED, ("answer", {"request": "r-2"})], ""),
    "the turn was stopped": ([ASKED, ("cancelled", {})], "withdrawn"),
    "the turn ended": ([ASKED, ("turn_end", {})], "withdrawn"),
    "answered, then ended": ([ASKED, ("answer", {}), ("turn_end", {})], "answered"),
    "asked again in the next turn": ([ASKED, ("turn_end", {}), ("user", {"turn": 5}), ASKED], ""),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_is_open_until_the_first_of_its_ends(name: str) -> None:
    drafts, closed = QUESTIONS[name]
    with opened(log_of([("created", {}), ("user", {}), *drafts])) as fd:
        found = find_question(fd, read_state(fd).state, "r-1")
        assert found is not None
        assert found.closed == closed


@pytest.mark.parametrize(
    "drafts", [[], [("user", {})], [("user", {}), ASKED, ("turn_end", {}), ("user", {"turn": 5})]]
)
def test_a_question_nobody_asked_in_the_last_turn_is_none(
    drafts: list[Draft],
) -> None:
    with opened(log_of([("created", {}), *drafts])) as fd:
        assert find_question(fd, read_state(fd).state, "r-1") is None


# --- how long a turn took -----------------------------------------------------------------------


@pytest.fixture
def clocked(tmp_path: Path) -> Iterator[int]:
    """A log whose turn began a minute and a bit before its last event."""
    data = log_of([("created", {}), ("user", {}), ("delta", {}), b"hello"])
    path = tmp_path / log.NAME
    path.write_bytes(data.replace(b'3,"ts":"2026-11-23T01:02', b'3,"ts":"2026-11-23T01:03'))
    fd = log.open_reader(str(tmp_path))
    yield fd
    os.close(fd)


def test_a_lost_turn_took_from_its_first_event_to_the_last_there_is(clocked: int) -> None:
    known = read_state(clocked).state
    assert age_ms(clocked, known) == 60_000
    assert age_ms(clocked, known._replace(last_turn=3)) == 0
