"""`breakglass verify`: it names each line that breaks a rule, and its exit status says whether there is one."""

import os
import time
from pathlib import Path

import pytest

from tests.cli.program import Data
from tests.help.logs import line


def log_with_turn(data: Data) -> Path:
    """Create a session with one turn and return the path of its log."""
    session = data.new()
    data.ok("send", session, "echo hello", "--wait")
    return data.log(session)


def test_a_sound_log_is_ok(data: Data) -> None:
    path = log_with_turn(data)
    lines = path.read_bytes().count(b"\n")
    seal = data.json("ls")[0]["seal"]
    assert seal["lines"] == lines - 1
    assert data.ok("verify") == f"{path}: ok, {lines} lines, seal {lines - 1}:{seal['sha256']}\n"
    assert data.ok("verify", "--all") == data.ok("verify", path.parent.name[:8]) + "1 log, 0 of them broken\n"


def test_a_log_is_compared_with_a_seal_that_was_kept_elsewhere(data: Data) -> None:
    path = log_with_turn(data)
    session, seal = path.parent.name, data.json("ls")[0]["seal"]
    witnessed = f"{seal['lines']}:{seal['sha256']}"
    assert data.ok("verify", session, "--against", witnessed)
    assert data.ok("verify", "--against", witnessed[: len(witnessed) - 48].upper())
    done = data.run("verify", "--against", f"{seal['lines']}:{'0' * 64}")
    assert done.returncode == 1
    assert f": lines 1 to {seal['lines']} were written anew" in done.stdout.decode()
    assert data.run("verify", "--against", "9" * 17 + ":" + "0" * 64).returncode == 1
    for wrong in (
        "",
        ":",
        "5",
        f"0:{'0' * 64}",
        f"5:{'0' * 15}",
        f"5:{'0' * 65}",
        f"-5:{'0' * 64}",
        f"5:{'g' * 64}",
    ):
        assert data.run("verify", "--against", wrong).returncode == 2
    assert data.run("verify", "--all", "--against", witnessed).returncode == 2


def test_a_changed_line_is_reported_by_the_lines_of_its_seal(data: Data) -> None:
    path = log_with_turn(data)
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"echo hello", b"echo hallo", 1))
    done = data.run("verify")
    lines = raw.count(b"\n")
    assert done.returncode == 1
    assert f"{path}:{lines}: lines 1 to {lines - 1} differ from what was sealed\n" in done.stdout.decode()


def test_a_broken_rule_is_reported_with_line_and_reason(data: Data) -> None:
    path = log_with_turn(data)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], *lines[3:]]))
    done = data.run("verify")
    assert done.returncode == 1
    first, *_, last = done.stdout.decode().splitlines()
    assert first == f"{path}:3: claims to be line 4"
    assert last.endswith(f"broken rules, {len(lines) - 1} lines")


def test_a_finding_that_breaks_no_rule_is_a_note(data: Data) -> None:
    path = log_with_turn(data)
    with path.open("ab") as file:
        file.write(b"not an event \x1b[31m\n" * 30 + b'{"id":')
    (path.parent / "degraded").touch()
    before = path.read_bytes()
    printed = data.ok("verify")
    assert printed.count(": note: a foreign line: ") == 20
    assert f"{path}: 11 more notes\n" in printed
    assert f"{path}: note: the disk failed" in printed
    assert f"{path}: ok, {before.count(bytes([10]))} lines, seal " in printed
    assert "\x1b" not in printed
    assert path.read_bytes() == before


def test_all_checks_every_session_with_a_log(data: Data) -> None:
    sound, broken, missing = data.log(data.new()), data.log(data.new()), data.log(data.new())
    broken.write_bytes(line(1, "user"))
    missing.unlink()
    done = data.run("verify", "--all")
    assert done.returncode == 1
    assert f"{sound}: ok, 1 lines\n" in done.stdout.decode()
    assert f"{broken}:1: a session begins with `created`, and only there\n" in done.stdout.decode()
    assert f"{missing}: note: there is no log" in done.stdout.decode()
    assert done.stdout.endswith(b"2 logs, 1 of them broken\n")
    assert data.run("verify", broken.parent.name, "--all").returncode == 2
    assert data.run("verify", missing.parent.name).returncode == 1


def write_lines(path: Path, last: int) -> None:
    """Append equal lines 2 to `last`. To encode each of them would take longer than the test."""
    head, _, tail = line(2, "renamed").partition(b"2")
    with path.open("ab") as file:
        file.writelines(b"%b%d%b" % (head, number, tail) for number in range(2, last + 1))


def test_a_terminal_shows_the_progress_and_erases_it(data: Data) -> None:
    path = data.log(data.new())
    write_lines(path, 150_000)
    with data.terminal("verify") as program:
        program.until(b" %, ")
        assert program.end() == 0
    assert program.screen.rpartition(b"\x1b[K")[2].endswith(b"ok, 150,000 lines\r\n")


@pytest.mark.torture
def test_a_million_lines_take_seconds(data: Data) -> None:
    path = data.log(data.new())
    write_lines(path, 1_000_000)
    began = time.monotonic()
    assert data.ok("verify") == f"{path}: ok, 1,000,000 lines\n"
    seconds = time.monotonic() - began
    print(f"verify: 1,000,000 lines, {os.path.getsize(path) / 1e6:.0f} MB, {seconds:.1f} s")
    assert seconds < 20
