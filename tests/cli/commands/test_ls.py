"""`breakglass ls`: the sessions, for people and for scripts."""

import os
import re
import signal

from breakglass.store import sessions
from breakglass.store.turnlock import TurnLock
from tests.cli.conftest import Gate
from tests.cli.program import Data

KEYS = [
    *"id title agent model target created updated last_event_id turn_active status asking queued".split(),
    *("allowed", "context", "seal"),
]
"""The keys of the contract's session object (docs/contract.md, section 3)."""


def test_json_prints_the_contracts_session_objects_latest_first(data: Data, gate: Gate) -> None:
    assert data.ok("ls", "--json") == ""
    old, idle, busy = data.new("--title", "old"), data.new(), data.new("--model", "m-1")
    data.run("send", idle, "exit 3", "--wait")
    data.ok("send", busy, gate.script)
    listed = data.json("ls")
    assert [list(row) for row in listed] == [KEYS] * 3
    assert [row["id"] for row in listed] == [busy, idle, old]
    assert [row["status"] for row in listed] == ["running", "error", "new"]
    assert [row["turn_active"] for row in listed] == [True, False, False]
    assert [row["title"] for row in listed] == ["", "", "old"]
    assert [row["model"] for row in listed] == ["m-1", None, None]
    events = data.events(idle)
    assert (listed[1]["created"], listed[1]["updated"]) == (events[0]["ts"], events[-1]["ts"])
    assert listed[1]["last_event_id"] == len(events)


def test_a_row_shows_the_status_and_the_title_or_first_prompt(data: Data) -> None:
    titled, untitled = data.new("--title", "disk \x1b[31mfull"), data.new()
    data.ok("send", untitled, "echo hello;\n echo more", "--wait")
    first, second = data.ok("ls").splitlines()
    assert re.fullmatch(rf"{untitled[:8]} +✓ ok +now +shell +echo hello; ⏎ echo more", first)
    assert second.split()[:3] == [titled[:8], "○", "new"]
    assert second.endswith("shell     disk ␛[31mfull")


def test_a_row_says_what_is_queued_and_archived(data: Data, gate: Gate) -> None:
    busy, old = data.new(), data.new("--title", "old")
    data.ok("send", busy, gate.script)
    data.ok("send", busy, "echo next", "--queue")
    data.ok("archive", old)
    rows = {line.split()[0]: line for line in data.ok("ls", "--archived").splitlines()}
    assert "[1 queued] " in rows[busy[:8]]
    assert rows[old[:8]].endswith("[archived] old")


def test_a_session_with_an_open_question_is_shown_as_asking(data: Data) -> None:
    session = sessions.get(data.root, data.new())
    lock = TurnLock(session)
    lock.take()
    with session.open_log() as log:
        turn = log.append("user", text="go on", by="b")
        log.append(
            "permission", turn=turn, request="r", name="Bash", input={}, expires="2126-01-01T00:00:00.000Z"
        )
    assert data.ok("ls").split()[1:3] == ["◐", "asking"]
    assert data.json("ls")[0]["asking"] is True
    lock.release()


def test_ls_ends_a_lost_turn(data: Data, gate: Gate) -> None:
    session = data.ok("send", gate.script).split()[0]
    os.kill(data.runner_pid(session), signal.SIGKILL)
    (row,) = data.json("ls")
    assert (row["status"], row["turn_active"]) == ("lost", False)
    assert data.last_status(session) == "lost"


def test_archived_sessions_are_listed_only_with_the_option(data: Data) -> None:
    kept, archived = data.new(), data.new()
    sessions.change(sessions.get(data.root, archived), archived=True)
    assert [row["id"] for row in data.json("ls")] == [kept]
    assert {row["id"] for row in data.json("ls", "--archived")} == {kept, archived}


def test_an_archived_session_with_a_running_turn_is_listed(data: Data, gate: Gate) -> None:
    session = data.new()
    data.ok("archive", session)
    assert data.run("ls").stdout == b""
    data.ok("send", session, gate.script)
    assert session[:8] in data.ok("ls")
    gate.open()


def test_a_row_fits_the_terminal(data: Data) -> None:
    data.new("--title", "long " * 40)
    with data.terminal("ls", NO_COLOR="1") as terminal:
        assert terminal.end() == 0
    (line,) = terminal.screen.decode().splitlines()
    assert len(line) == 100
    assert line.endswith("…")


def test_a_broken_session_hides_no_other(data: Data) -> None:
    good, bad = data.new(), data.new()
    data.log(bad).write_bytes(b"\xff\0 not a log at all\n{}\n")
    assert {row["id"] for row in data.json("ls")} == {good, bad}
