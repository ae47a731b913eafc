"""`breakglass attach`: it shows the whole log, once and in order, and detaching stops nothing."""

import json
import os
import shutil
import signal
import sys
from functools import partial

from tests.cli.conftest import Gate
from tests.cli.program import MANY, Data, Running
from tests.help.waiting import wait_until


def test_attach_json_is_the_file_while_a_turn_of_many_events_runs(data: Data) -> None:
    (data.folder / "breakglass.toml").write_text(
        f'[agents.many]\nprotocol = "claude"\ncommand = ["{sys.executable}", "{MANY}"]\n'
    )
    session = data.new("--agent", "many")
    log = data.log(session)
    with data.running("attach", "--json") as first:
        data.ok("send", "3000 1.5")
        first.until(b"event 1000 ")
        with (
            data.running("attach", session, "--json") as second,
            data.running("attach", "--json", "--after", "500") as third,
        ):
            assert data.wait_for_end(session) == "ok"
            whole = log.read_bytes()
            rest = b"".join(whole.splitlines(keepends=True)[500:])
            for follower, wanted in ((first, whole), (second, whole), (third, rest)):
                wait_until(partial(has_printed, follower, wanted), "all lines")
                assert follower.out == wanted
                assert follower.err == b""


def has_printed(follower: Running, wanted: bytes) -> bool:
    return len(follower.out) >= len(wanted)


def test_a_foreign_line_comes_as_a_foreign_event_with_its_number(data: Data) -> None:
    session = data.new()
    foreign = [
        b"hello",
        b'{"id":3}',
        b"\xff\0\r",
        b'{"id":9,"ts":"2026-11-23T00:00:00.000Z","kind":"text"}',
        b"",
    ]
    with data.running("attach", "--json") as follower:
        follower.until(b'"created"')
        with data.log(session).open("ab") as log:
            log.write(b"\n".join(foreign) + b"\n")
        wait_until(lambda: follower.out.count(b"\n") == 6, "six lines")
        events = [json.loads(line) for line in follower.out.splitlines()[1:]]
    assert [(event["id"], event["kind"]) for event in events] == [
        (number, "foreign") for number in range(2, 7)
    ]
    assert [event["text"] for event in events] == [
        line.decode(errors="replace").rstrip("\r") for line in foreign
    ]
    shown = data.sh("breakglass attach | head -n 4").stdout.decode()
    assert "     2   hello\n" in shown


def test_ctrl_c_detaches_and_stops_nothing(data: Data, gate: Gate) -> None:
    session = data.ok("send", gate.script).split()[0]
    with data.running("attach") as follower:
        follower.until(Gate.BEGUN)
        follower.process.send_signal(signal.SIGINT)
        assert follower.end() == 0
        assert follower.err == b"detached\n"
        assert follower.out.endswith(b"begun\n")
    assert "turn_end" not in data.kinds(session)
    gate.open()
    assert data.wait_for_end(session) == "ok"


def test_attach_follows_several_turns_and_ends_a_lost_one(data: Data, gate: Gate) -> None:
    session = data.new()
    with data.running("attach") as follower:
        data.ok("send", "echo one", "--wait")
        follower.until(b"ok \xc2\xb7")
        data.ok("send", gate.script)
        follower.until(Gate.BEGUN)
        os.kill(data.runner_pid(session), signal.SIGKILL)
        follower.until(b"lost \xc2\xb7")
    assert data.last_status(session) == "lost"


def test_a_follower_that_cannot_lock_still_follows(data: Data) -> None:
    session = data.new()
    (data.root / "sessions" / session / "turn.lock").mkdir()  # a directory cannot be locked, not even by root
    with data.log(session).open("ab") as log, data.running("attach") as follower:
        log.write(b'{"id":2,"ts":"2026-11-23T00:00:00.000Z","kind":"user","turn":2,"text":"lost","by":"x"}\n')
        log.flush()
        follower.until("┃ lost".encode())
        for number in (3, 4, 5):
            log.write(
                b'{"id":%d,"ts":"2026-11-23T00:00:00.000Z","kind":"error","turn":2,"error":"e%d"}\n'
                % (number, number)
            )
            log.flush()
            follower.until(b"e%d" % number)
        assert follower.err == b""


def test_a_position_beyond_the_end_shows_the_whole_log_with_a_message(data: Data) -> None:
    session = data.new()
    with data.running("attach", "--json", "--after", "7") as follower:
        wait_until(lambda: follower.out == data.log(session).read_bytes(), "the whole log")
        wait_until(lambda: follower.err.endswith(b"\n"), "the message")
        assert follower.err == b"the log has no line 7; all of it follows\n"


def test_attach_ends_with_one_line_if_the_session_is_deleted(data: Data) -> None:
    session = data.new()
    with data.running("attach") as follower:
        follower.until(b"shell")
        shutil.rmtree(data.root / "sessions" / session)
        assert follower.end() == 1
        assert (
            follower.err
            == f"breakglass: session {session} was deleted or replaced while it was shown\n".encode()
        )


def test_an_agents_escape_sequences_reach_no_terminal(data: Data) -> None:
    script = r"printf '\033]52;c;aGk=\007\033[31mred\033[0m\033]8;;http://x\033\\link\033]8;;\033\\ \302\233 \b\r\nend'"
    data.ok("send", script, "--wait")
    with data.terminal("attach", NO_COLOR="1") as terminal:
        terminal.until(b"end\r\n")
        terminal.until(b"Ctrl-C detaches")
        assert b"redlink" in terminal.screen
        assert b"\x1b" not in terminal.screen
        assert b"\xc2\x9b" not in terminal.screen


def test_events_come_at_once_with_a_relative_data_root(data: Data) -> None:
    session = data.new()
    with data.running("attach", "--json", "--data", "var") as follower:
        follower.until(b'"created"')
        data.ok("send", "seq 3", "--wait")
        wait_until(lambda: follower.out == data.log(session).read_bytes(), "the turn")
