"""A seal covers every line since the seal before it, also lines of other programs and of a repair."""

import resource
from pathlib import Path

import pytest

from breakglass import verify
from breakglass.events import Draft
from breakglass.store import log, sealer, sessions
from breakglass.store.log import Log
from breakglass.store.seek import MAX_LINE
from breakglass.verify.finding import Finding
from tests.help.log_files import append_bytes, kinds, path_of
from tests.help.logs import check_seals, decoded, line

TURN_END: Draft = ("turn_end", {"turn": 2, "status": "ok", "duration_ms": 1})


def seals(directory: str) -> list[tuple[int, int]]:
    """Return the first and the last line of each seal in a log. Fail if one does not match the lines."""
    return check_seals(path_of(directory).read_bytes())


def write_deltas(writer: Log, number: int) -> None:
    for _ in range(number):
        writer.append("delta", turn=2, text="a")


def test_the_end_of_a_turn_is_sealed_in_the_same_write(directory: str) -> None:
    with log.open_log(directory) as writer:
        writer.append("user", text="ls", by="ann")
        writer.append_end(TURN_END)
        assert kinds(directory) == ["created", "user", "turn_end", "sealed"]
        assert seals(directory) == [(1, 3)]
        writer.append_end(TURN_END)
        assert seals(directory) == [(1, 3), (4, 5)]


def test_the_next_turn_begins_after_the_seal_of_the_turn_before(directory: str) -> None:
    with log.open_log(directory) as writer:
        writer.append_together(TURN_END, ("user", {"text": "ls", "by": "ann"}))
    assert kinds(directory) == ["created", "turn_end", "sealed", "user"]
    assert seals(directory) == [(1, 2)]


def test_a_thousand_lines_without_a_seal_get_one(directory: str) -> None:
    with log.open_log(directory) as writer:
        write_deltas(writer, 998)
        assert seals(directory) == []
        assert writer.append("delta", turn=2, text="line 1000") == 1000
        assert seals(directory) == [(1, 1000)]
        assert writer.append("delta", turn=2, text="line 1002") == 1002
        write_deltas(writer, 1500)
        writer.append_end(TURN_END)
    assert seals(directory) == [(1, 1000), (1001, 2000), (2001, 2504)]


def test_two_writers_write_one_chain_of_seals(directory: str) -> None:
    with log.open_log(directory) as one, log.open_log(directory) as two:
        for _ in range(5):
            write_deltas(one, 300)
            write_deltas(two, 300)
        one.append_end(TURN_END)
        two.append_end(TURN_END)
    assert seals(directory) == [(1, 1000), (1001, 2000), (2001, 3000), (3001, 3005), (3006, 3007)]


def test_lines_of_other_programs_and_a_repaired_line_are_sealed(directory: str) -> None:
    with log.open_log(directory) as writer:
        writer.append_end(TURN_END)
        append_bytes(directory, b"\xff a foreign line\r\n\n" + b"torn \0")
        writer.append("delta", turn=2, text="a")
        append_bytes(directory, b"{}\n")
        writer.append_end(TURN_END)
    assert seals(directory) == [(1, 2), (3, 9)]
    assert b'"kind":"repaired"' in path_of(directory).read_bytes().split(b"\n")[5]


def test_a_forged_seal_is_found_and_the_next_one_follows_it(directory: str) -> None:
    with log.open_log(directory) as writer:
        writer.append_end(TURN_END)
    forged = line(4, "sealed", **{"from": 3, "lines": 3, "prev": "1" * 64, "sha256": "2" * 64})
    append_bytes(directory, forged)
    with log.open_log(directory) as writer:
        writer.append_end(TURN_END)
    found = [each for each in findings(directory) if "sealed" in each.what]
    assert [(each.line, each.what) for each in found] == [
        (4, "does not follow the seal before it: lines 3 to 3 differ from what was sealed")
    ]
    newest = decoded(path_of(directory).read_bytes())[-1]
    assert (newest["from"], newest["prev"]) == (4, "2" * 64)


def findings(directory: str) -> list[Finding]:
    return [*verify.findings(each + b"\n" for each in path_of(directory).read_bytes().split(b"\n")[:-1])]


def test_a_log_from_before_there_were_seals_gets_one_over_all_its_lines(directory: str) -> None:
    append_bytes(directory, b"".join(line(number, "delta") for number in range(2, 3001)))
    with log.open_log(directory) as writer:
        writer.append("delta", turn=2, text="a")
    assert seals(directory) == [(1, 3001)]


def test_a_line_of_many_megabytes_is_sealed_whole(directory: str) -> None:
    append_bytes(directory, b"x" * (MAX_LINE + 5) + b"\n")
    with log.open_log(directory) as writer:
        writer.append_end(TURN_END)
    assert seals(directory) == [(1, 3)]


def test_output_that_was_hashed_ahead_is_sealed_once(directory: str) -> None:
    with log.open_log(directory) as writer:
        for number in range(30):
            writer.append("delta", turn=2, text=f"{number}" + "x" * 300_000)
        writer.append_end(TURN_END)
        writer.append("delta", turn=2, text="a" * 2_000_000)
        writer.append_end(TURN_END)
    assert seals(directory) == [(1, 32), (33, 35)]


def test_a_seal_that_would_cover_too_much_is_left_out(
    directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealer, "MAX_BYTES", 1000)
    append_bytes(directory, b"x" * 2000 + b"\n")
    with log.open_log(directory) as writer:
        writer.append_end(TURN_END)
    assert seals(directory) == []


def test_a_seal_that_does_not_fit_on_the_disk_is_left_out_and_the_next_covers_its_lines(
    directory: str,
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with log.open_log(directory) as writer:
        try:
            limit = path_of(directory).stat().st_size + len(line(2, "turn_end", **TURN_END[1])) + 20
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
            writer.append_end(TURN_END)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert kinds(directory) == ["created", "turn_end"]
        writer.append_end(TURN_END)
    assert seals(directory) == [(1, 3)]


def test_a_seal_after_a_foreign_line_that_its_writer_did_not_expect_is_followed(directory: str) -> None:
    """A program without the lock appended a line between the writer's check and its write."""
    with log.open_log(directory) as writer:
        writer.append_end(TURN_END)
    *lines, seal = path_of(directory).read_bytes().split(b"\n")[:-1]
    path_of(directory).write_bytes(b"\n".join([*lines, b"a foreign line", seal, b""]))
    with log.open_log(directory) as writer:
        writer.append_end(TURN_END)
    assert seals(directory) == [(1, 2), (3, 5)]
    assert not [each for each in findings(directory) if "sealed" in each.what]


def test_a_session_continues_the_seals_that_another_process_wrote(tmp_path: Path) -> None:
    session = sessions.create(tmp_path, "shell")
    for _ in range(3):
        with session.open_log() as writer:
            writer.append_end(TURN_END)
    assert seals(session.directory) == [(1, 2), (3, 4), (5, 6)]
    seal = session.state().seal
    assert seal and (seal.first, seal.lines) == (5, 6)
