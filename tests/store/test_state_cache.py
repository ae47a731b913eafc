"""A state found by a search equals the fold of all events, and is read again if the log was written over."""

import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakglass.events import Draft, Event
from breakglass.store import log, seek, state_cache
from breakglass.store.seek import Position
from breakglass.store.state_cache import LogState, read_state
from tests.help.log_files import open_bytes
from tests.help.logs import SAMPLES, decoded, fold_all, line, log_of


def random_log(rng: random.Random) -> bytes:
    """Return a log of any kinds in any order, with foreign lines, copies, different times, and a torn tail."""
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


def keys_of(history: Sequence[Event]) -> dict[str, int]:
    """Return the id of the first prompt with each key."""
    prompts = [event for event in history if event["kind"] in ("user", "queued", "file") and event.get("key")]
    return {event["key"]: event["id"] for event in reversed(prompts)}


@given(st.randoms(use_true_random=False))
def test_a_state_read_by_search_is_the_fold_of_all_events(rng: random.Random) -> None:
    data = random_log(rng)
    history = decoded(data)
    with open_bytes(data) as fd:
        known = read_state(fd)
        assert known.state == fold_all(history)
        assert known.keys == keys_of(history)
        assert known.end == seek.find_end(fd, len(data))
        cut = rng.randrange(len(history) + 1)
        position = seek.find_after(fd, cut, known.end)
        part = LogState(
            fold_all(history[:cut]), position, keys_of(history[:cut]), seek.tail_sample(fd, position)
        )
        assert read_state(fd, part) == known
        assert read_state(fd, known) == known


def test_a_giant_foreign_line_is_counted_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(line(1, "created"))
    os.truncate(path, 30 << 20)
    with path.open("ab") as file:
        file.write(b"\n" + line(3, "renamed"))
    with path.open("rb") as file:
        known = read_state(file.fileno())
    assert (known.state.last_id, known.state.title) == (3, "Another")
    assert known.end == Position(3, path.stat().st_size)


@pytest.mark.parametrize("decoys", [1, 3])
def test_a_kind_within_a_value_of_another_line_changes_nothing(decoys: int) -> None:
    value = {
        "a": "b",
        "kind": "renamed",
        "more": [{"id": 3, "ts": "x", "kind": "renamed", "title": "x"}] * decoys,
    }
    data = log_of(
        [
            ("created", {}),
            ("tool", {"input": value}),
            ("renamed", {"title": "right", "by": "ann"}),
            ("tool", {"input": value}),
            ("permission", {"turn": 1, "input": value}),
            ("queued", {"text": '","kind":"renamed"'}),
        ]
    )
    with open_bytes(data) as fd:
        state = read_state(fd).state
    assert state == fold_all(decoded(data))
    assert (state.title, state.last_id, len(state.queued)) == ("right", 6, 1)


def test_a_line_full_of_kinds_changes_nothing() -> None:
    """It is looked at once: a search for its beginning at each match would take minutes."""
    data = line(1, "created") + b'{"x":["' + b'","kind":"user' * 100_000 + b'"]}\n' + line(3, "renamed")
    with open_bytes(data) as fd:
        assert read_state(fd).state == fold_all(decoded(data))


# --- the Idempotency-Key ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "turn"),
    [("k-1", 2), ("k-2", 4), ("k", None), ("", None), ('"', None), ("in-a-tool", None), ("in-prose", None)],
)
def test_a_key_is_found_only_in_the_prompt_that_was_sent_with_it(key: str, turn: int | None) -> None:
    data = log_of(
        [
            ("created", {}),
            ("user", {"key": "k-1"}),
            ("tool", {"input": {"a": 1, "key": "in-a-tool"}}),
            ("user", {"turn": 4, "key": "k-2", "text": ',"key":"in-prose"'}),
            line(9, "user", key="k")[:-1],  # a foreign line: its id is not its number
            ("user", {"turn": 6, "key": "k-1"}),
        ]
    )
    with open_bytes(data) as fd:
        assert read_state(fd).keys.get(key) == turn


# --- the cache ----------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [0, 3])
def test_a_log_that_was_written_over_in_place_is_read_again(more: int, tmp_path: Path) -> None:
    path = tmp_path / log.NAME
    path.write_bytes(line(1, "created") + line(2, "renamed", title="before"))
    fd = log.open_reader(str(tmp_path))
    assert state_cache.read_cached(str(tmp_path), fd).state.title == "before"
    rest = [line(3 + number, "text") for number in range(more)]
    path.write_bytes(b"".join([line(1, "created"), line(2, "renamed", title="after"), *rest]))
    os.utime(path, (1, 1))  # the clock of the file system may not have moved yet
    known = state_cache.read_cached(str(tmp_path), fd)
    os.close(fd)
    assert (known.state.title, known.end.number) == ("after", 2 + more)


def test_reading_new_lines_does_not_change_the_earlier_state() -> None:
    """The keys are only copied if there is a key to add, because a long log has many keys."""
    drafts: list[Draft] = [
        ("created", {}),
        ("queued", {"key": "a"}),
        ("queued", {"key": "a"}),
        ("queued", {"key": "b"}),
    ]
    with open_bytes(log_of(drafts)) as fd:
        before = read_state(fd)
    with open_bytes(log_of([*drafts, ("delta", {})])) as fd:
        assert read_state(fd, before).keys is before.keys
    with open_bytes(log_of([*drafts, ("queued", {"key": "b"}), ("queued", {"key": "c"})])) as fd:
        assert read_state(fd, before).keys == {"a": 2, "b": 4, "c": 6}
    assert before.keys == {"a": 2, "b": 4}


def changes_of(path: Path) -> dict[str, Callable[[], object]]:
    """Return what can happen to a log with two lines."""
    data = path.read_bytes()
    return {
        "a line is appended": lambda: path.write_bytes(data + line(3, "text")),
        "it is written over with as many bytes": lambda: path.write_bytes(data.replace(b"before", b"behind")),
        "it is replaced by a copy": lambda: (path.rename(f"{path}.old"), path.write_bytes(data)),
        "it is deleted": path.unlink,
        "it becomes a link": lambda: os.symlink(path.rename(f"{path}.old"), path),
        "its mode is changed": lambda: path.chmod(0),
    }


@pytest.mark.parametrize("change", changes_of(Path(os.devnull)))
def test_only_an_unchanged_log_is_known_without_an_open(change: str, tmp_path: Path) -> None:
    path = tmp_path / log.NAME
    path.write_bytes(line(1, "created") + line(2, "renamed", title="before"))
    assert state_cache.find_unchanged(str(tmp_path)) is None
    fd = log.open_reader(str(tmp_path))
    read = state_cache.read_cached(str(tmp_path), fd)
    os.close(fd)
    assert state_cache.find_unchanged(str(tmp_path)) is read
    before = path.stat().st_ctime_ns
    changes_of(path)[change]()
    while os.path.exists(path) and path.lstat().st_ctime_ns == before:
        os.utime(path)  # the clock of the file system moves a few times in a hundredth of a second
    assert state_cache.find_unchanged(str(tmp_path)) is None
