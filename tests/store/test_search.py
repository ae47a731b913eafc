"""A search finds every line that matches, newest first, with its true number, and continues after any hit."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from breakglass.errors import NotFound
from breakglass.query import Query
from breakglass.store import search
from breakglass.store.search import Hit, Place, Progress
from breakglass.turns import processes
from tests.help.logs import line

ONE, TWO = (f"{digit * 8}-{digit * 4}-4{digit * 3}-8{digit * 3}-{digit * 12}" for digit in "12")
Add = Callable[[str, list[bytes], int], None]


@pytest.fixture
def add(tmp_path: Path) -> Add:
    def add(session: str, lines: list[bytes], changed: int) -> None:
        """Write the log of a session that was changed at that second."""
        path = tmp_path / "sessions" / session / "events.jsonl"
        path.parent.mkdir(parents=True, mode=0o700)
        path.write_bytes(b"".join(lines))
        os.utime(path, (changed, changed))

    return add


def found(
    root: Path, words: str, after: Place | None = None, session: str | None = None, **how: str
) -> list[Hit]:
    results = [*search.search(root, Query(words, **how), session, after)]
    return [each for each in results if isinstance(each, Hit)]


def places(hits: list[Hit]) -> list[tuple[str, int]]:
    return [(hit.place.session, hit.place.line) for hit in hits]


def texts(number: int, text: str) -> bytes:
    return line(number, "text", text=text)


def many(number: int) -> list[bytes]:
    """Return lines of which every hundredth has the word `needle`."""
    return [
        texts(n, f"{'needle' if n % 100 == 0 else 'hay'} {'x' * (n * 7 % 500)}") for n in range(1, number + 1)
    ]


def test_the_newest_log_comes_first_and_in_it_the_newest_line(tmp_path: Path, add: Add) -> None:
    add(ONE, [texts(1, "a disk"), texts(2, "other"), texts(3, "Disk b")], 100)
    add(TWO, [texts(1, "a disk")], 200)
    assert places(found(tmp_path, "disk")) == [(TWO, 1), (ONE, 3), (ONE, 1)]
    assert places(found(tmp_path, "disk", session=ONE)) == [(ONE, 3), (ONE, 1)]
    assert found(tmp_path, "disk", session=ONE)[0].as_json() == {
        "session": ONE,
        "line": 3,
        "kind": "text",
        "text": "Disk b",
    }


def test_a_hit_is_told_before_older_lines_of_its_log_are_read(tmp_path: Path, add: Add) -> None:
    lines = [texts(1, "old needle"), *(texts(n, "x" * 900) for n in range(2, 3000)), texts(3000, "needle")]
    add(ONE, lines, 100)
    path = tmp_path / "sessions" / ONE / "events.jsonl"
    assert path.stat().st_size > 2 * search.BLOCK
    assert [hit.place.line for hit in found(tmp_path, "needle")] == [3000, 1]
    results = search.search(tmp_path, Query("needle"))
    assert isinstance(next(results), Hit)
    with path.open("r+b") as log:
        log.write(lines[0].replace(b"old needle", b"overwrites"))
    assert not [each for each in results if isinstance(each, Hit)]


def test_without_sessions_nothing_is_found_and_an_unknown_one_is_an_error(tmp_path: Path) -> None:
    assert found(tmp_path, "disk") == []
    with pytest.raises(NotFound):
        found(tmp_path, "disk", session=ONE)


def test_a_search_continues_after_each_hit(tmp_path: Path, add: Add) -> None:
    add(ONE, many(1000), 100)
    add(TWO, many(300), 200)
    everything = found(tmp_path, "needle")
    assert places(everything) == [(TWO, n) for n in (300, 200, 100)] + [
        (ONE, n) for n in range(1000, 0, -100)
    ]
    for number, hit in enumerate(everything, 1):
        assert found(tmp_path, "needle", hit.place) == everything[number:]


def test_a_search_that_continues_searches_no_log_that_was_changed_since(tmp_path: Path, add: Add) -> None:
    add(ONE, many(300), 100)
    add(TWO, many(300), 200)
    (_, second, *_) = found(tmp_path, "needle")
    os.utime(tmp_path / "sessions" / TWO / "events.jsonl", (300, 300))
    assert places(found(tmp_path, "needle", second.place)) == [(TWO, 100), (ONE, 300), (ONE, 200), (ONE, 100)]
    os.utime(tmp_path / "sessions" / ONE / "events.jsonl", (400, 400))
    assert places(found(tmp_path, "needle", second.place)) == [(TWO, 100)]


@pytest.mark.parametrize("chunk", [1000, 4096, 70_000])
def test_many_processes_find_the_same_in_the_same_order(
    chunk: int, tmp_path: Path, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(ONE, many(2000), 100)
    add(TWO, [*many(900), b"needle, torn"], 200)
    alone = found(tmp_path, "needle")
    assert len(alone) == 29
    monkeypatch.setattr(search, "CHUNK", chunk)
    monkeypatch.setattr(search, "BLOCK", 3000)
    monkeypatch.setattr(search, "ALONE", 0)
    assert found(tmp_path, "needle") == alone
    before = processes.descendants(os.getpid())
    results = search.search(tmp_path, Query("needle"))
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert processes.descendants(os.getpid()) <= before


def test_the_number_of_a_hit_is_its_place_whatever_other_programs_wrote(tmp_path: Path, add: Add) -> None:
    lines = [
        *many(3000),
        b"a foreign needle\n",
        texts(9, "a needle that claims to be line 9"),
        *many(6000)[3002:],
    ]
    add(ONE, lines, 100)
    raw = b"".join(lines).split(b"\n")
    hits = found(tmp_path, "needle")
    assert [hit.place.line for hit in hits] == [n for n in range(len(raw), 0, -1) if b"needle" in raw[n - 1]]
    assert [hit.place.line for hit in hits if hit.kind == "foreign"] == [3002, 3001]


def test_a_giant_line_is_searched_in_the_part_that_readers_get(tmp_path: Path, add: Add) -> None:
    add(ONE, [texts(1, "needle"), b"needle " + b"x" * (9 << 20) + b" haystack\n", texts(3, "needle")], 100)
    assert places(found(tmp_path, "needle")) == [(ONE, 3), (ONE, 2), (ONE, 1)]
    assert found(tmp_path, "haystack") == []


def test_a_kind_and_a_time_select_events(tmp_path: Path, add: Add) -> None:
    add(ONE, [line(1, "user", text="disk", turn=1), texts(2, "disk")], 2_000_000_000)
    assert places(found(tmp_path, "disk", kind="user")) == [(ONE, 1)]
    assert len(found(tmp_path, "disk", since="2026-11-23T01:02:03.004Z")) == 2
    assert found(tmp_path, "disk", since="2026-11-23T01:02:03.005Z") == []


def test_streamed_text_is_found_once_unless_its_end_is_missing(tmp_path: Path, add: Add) -> None:
    deltas = [line(1, "delta", text="the disk "), line(2, "delta", text="is full")]
    add(ONE, [*deltas, texts(3, "the disk is full")], 100)
    add(TWO, deltas, 50)
    assert places(found(tmp_path, "disk")) == [(ONE, 3), (TWO, 1)]
    assert places(found(tmp_path, "disk", kind="delta")) == [(ONE, 1), (TWO, 1)]


def test_the_progress_reaches_the_size_of_all_logs(tmp_path: Path, add: Add) -> None:
    add(ONE, many(100), 100)
    add(TWO, many(200), 200)
    size = sum(len(b"".join(many(number))) for number in (100, 200))
    progress = [each for each in search.search(tmp_path, Query("none")) if isinstance(each, Progress)]
    assert progress[-1] == (size, size)
