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
    assert data.ok("verify") == f"{path}: ok, {lines} lines\n"
    assert data.ok("verify", "--all") == data.ok("verify", path.parent.name[:8]) + "1 log, 0 of them broken\n"


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
    assert printed.endswith(f"{path}: ok, {before.count(bytes([10]))} lines\n")
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


def test_a_terminal_shows_the_progress_and_erases_it(data: Data) -> None:
    path = data.log(data.new())
    with path.open("ab") as file:
        for number in range(2, 200_000):
            file.write(line(number, "renamed"))
    with data.terminal("verify") as program:
        program.until(b" %, ")
        assert program.end() == 0
    assert program.screen.rpartition(b"\x1b[K")[2].endswith(b"ok, 199,999 lines\r\n")


@pytest.mark.torture
def test_a_million_lines_take_seconds(data: Data) -> None:
    path = data.log(data.new())
    with path.open("ab") as file:
        file.writelines(line(number, "renamed") for number in range(2, 1_000_001))
    began = time.monotonic()
    assert data.ok("verify") == f"{path}: ok, 1,000,000 lines\n"
    seconds = time.monotonic() - began
    print(f"verify: 1,000,000 lines, {os.path.getsize(path) / 1e6:.0f} MB, {seconds:.1f} s")
    assert seconds < 20
