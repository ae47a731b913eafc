"""`ls` and `agents`: what there is, for people and for scripts."""

import json
import os
import re
import signal
from pathlib import Path

import pytest

from breakglass.cli.listing import headline
from breakglass.state import SessionState
from breakglass.store import sessions
from breakglass.store.turnlock import TurnLock
from tests.cli.conftest import Gate
from tests.cli.program import Data
from tests.cli.test_send import runner_of


def kinds(data: Data, session: str) -> list[str]:
    return [event["kind"] for event in data.events(session)]


KEYS = "id title agent model created updated last_event_id turn_active status asking queued".split()


def rows(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_json_has_the_contracts_session_objects_latest_first(data: Data, gate: Gate) -> None:
    assert data.ok("ls", "--json") == ""
    old, idle, busy = data.new("--title", "old"), data.new(), data.new("--model", "m-1")
    data.run("send", idle, "exit 3", "--wait")
    data.ok("send", busy, gate.script)
    listed = rows(data.ok("ls", "--json"))
    assert [list(row) for row in listed] == [KEYS] * 3
    assert [row["id"] for row in listed] == [busy, idle, old]
    assert [row["status"] for row in listed] == ["running", "error", "new"]
    assert [row["turn_active"] for row in listed] == [True, False, False]
    assert [row["title"] for row in listed] == ["", "", "old"]
    assert [row["model"] for row in listed] == ["m-1", None, None]
    events = data.events(idle)
    assert (listed[1]["created"], listed[1]["updated"]) == (events[0]["ts"], events[-1]["ts"])
    assert listed[1]["last_event_id"] == len(events)


def test_a_list_shows_how_each_session_stands_and_what_it_is_called(data: Data) -> None:
    titled, untitled = data.new("--title", "disk \x1b[31mfull"), data.new()
    data.ok("send", untitled, "echo hello;\n echo more", "--wait")
    first, second = data.ok("ls").splitlines()
    assert re.fullmatch(rf"{untitled[:8]} +✓ ok +now +shell +echo hello; echo more", first)
    assert second.split()[:3] == [titled[:8], "○", "new"]
    assert second.endswith("shell     disk ␛[31mfull")


def test_a_session_whose_agent_waits_for_leave_says_so(data: Data) -> None:
    session = sessions.get(data.root, data.new())
    lock = TurnLock(session)
    lock.take()
    with session.open_log() as log:
        turn = log.append("user", text="go on", by="b")
        log.append(
            "permission", turn=turn, request="r", name="Bash", input={}, expires="2126-01-01T00:00:00.000Z"
        )
    assert data.ok("ls").split()[1:3] == ["◐", "asking"]
    assert rows(data.ok("ls", "--json"))[0]["asking"] is True
    lock.release()


def test_a_lost_turn_is_ended_by_whoever_lists(data: Data, gate: Gate) -> None:
    session = data.ok("send", gate.script).split()[0]
    os.kill(runner_of(data, session), signal.SIGKILL)
    (row,) = rows(data.ok("ls", "--json"))
    assert (row["status"], row["turn_active"]) == ("lost", False)
    assert data.events(session)[-1]["status"] == "lost"


def test_archived_sessions_are_listed_only_if_asked_for(data: Data) -> None:
    kept, archived = data.new(), data.new()
    sessions.change(sessions.get(data.root, archived), archived=True)
    assert [row["id"] for row in rows(data.ok("ls", "--json"))] == [kept]
    assert {row["id"] for row in rows(data.ok("ls", "--json", "--archived"))} == {kept, archived}


def test_a_line_fits_the_terminal(data: Data) -> None:
    data.new("--title", "long " * 40)
    with data.terminal("ls", NO_COLOR="1") as terminal:
        assert terminal.end() == 0
    (line,) = terminal.screen.decode().splitlines()
    assert len(line) == 100
    assert line.endswith("…")


def test_one_bad_session_hides_no_other(data: Data) -> None:
    good, bad = data.new(), data.new()
    data.log(bad).write_bytes(b"\xff\0 not a log at all\n{}\n")
    assert {row["id"] for row in rows(data.ok("ls", "--json"))} == {good, bad}


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (SessionState(title="a title", first_prompt="a prompt"), "a title"),
        (SessionState(first_prompt="first\n words\t here"), "first words here"),
        (SessionState(first_prompt="x" * 100), "x" * 79 + "…"),
        (SessionState(), "-"),
    ],
)
def test_a_session_is_called_by_its_title_or_its_first_words(state: SessionState, words: str) -> None:
    assert headline(state) == words


# --- agents -------------------------------------------------------------------------------------


def program(path: Path, script: str, mode: int = 0o755) -> str:
    path.write_text(script)
    path.chmod(mode)
    return str(path)


def configured(data: Data, table: str) -> dict[str, object]:
    """Return what `agents --json` says of the agent `it`."""
    (data.folder / "breakglass.toml").write_text(f"[agents.it]\n{table}\n")
    return {str(row["name"]): row for row in rows(data.ok("agents", "--json"))}["it"]


def test_an_agent_whose_program_runs_can_start(data: Data) -> None:
    it = program(data.folder / "it", "#!/bin/sh\necho it 1.2.3\necho more")
    row = configured(data, f'protocol = "shell"\ncommand = ["{it}"]')
    assert row == {
        "name": "it",
        "protocol": "shell",
        "command": [it],
        "permissions": "bypass",
        "default": False,
        "can_start": True,
        "logged_in": None,
        "program": it,
        "version": "it 1.2.3",
        "problem": "",
    }


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("no-such-program", "no-such-program was not found on PATH: install it"),
        ("/no/such/program", "/no/such/program does not exist: install it"),
        ("bin/agent", "bin/agent: write the whole path into [agents.it] command"),
    ],
)
def test_an_agent_without_a_program_cannot_start(data: Data, command: str, says: str) -> None:
    row = configured(data, f'protocol = "shell"\ncommand = ["{command}"]')
    assert row["can_start"] is False
    assert says in str(row["problem"])


@pytest.mark.parametrize(
    ("script", "mode", "says"),
    [
        ("#!/bin/sh\n", 0o644, "is not executable: chmod +x it"),
        ("#!/no/interpreter\n", 0o755, "cannot be run: No such file or directory"),
        ("neither a script nor a program", 0o755, "cannot be run: Exec format error"),
    ],
)
def test_a_program_that_cannot_be_run_is_no_agent(data: Data, script: str, mode: int, says: str) -> None:
    it = program(data.folder / "it", script, mode)
    row = configured(data, f'protocol = "shell"\ncommand = ["{it}"]')
    assert row["can_start"] is False
    assert says in str(row["problem"])


@pytest.mark.parametrize(
    "script", ["#!/bin/sh\nexit 2", "#!/bin/sh\nexec sleep 60", "#!/bin/sh\nprintf '\\033[31m'"]
)
def test_a_program_that_will_not_say_its_version_can_start_all_the_same(data: Data, script: str) -> None:
    it = program(data.folder / "it", script)
    row = configured(data, f'protocol = "shell"\ncommand = ["{it}"]')
    assert (row["can_start"], row["version"]) == (True, "")


def test_a_command_with_arguments_is_not_asked_for_the_version_of_its_first_word(data: Data) -> None:
    row = configured(data, 'protocol = "shell"\ncommand = ["bash", "--norc"]')
    assert (row["can_start"], row["version"]) == (True, "")


@pytest.mark.parametrize(
    ("more", "can_start"),
    [
        ("", False),
        ('env = { IS_SANDBOX = "1" }', True),
        ('permissions = "ask"', True),
        ('pass_env = ["IS_SANDBOX"]', False),
    ],
)
def test_claude_as_root_needs_the_operators_word(data: Data, more: str, can_start: bool) -> None:
    it = program(data.folder / "it", "#!/bin/sh\necho 2.1")
    row = configured(data, f'protocol = "claude"\ncommand = ["{it}"]\n{more}')
    can_start = can_start or os.geteuid() != 0
    assert row["can_start"] is can_start
    assert ("IS_SANDBOX" in str(row["problem"])) is not can_start


def test_agents_for_people_say_what_to_do(data: Data) -> None:
    (data.folder / "breakglass.toml").write_text(
        '[agents.it]\nprotocol = "shell"\ncommand = ["no-such-program"]\n'
    )
    lines = data.ok("agents").splitlines()
    assert "✗ it: shell · bypass" in lines
    assert (
        "  no-such-program was not found on PATH: install it, or put its whole path into [agents.it] command"
        in lines
    )
    assert any(line.startswith("✓ shell (default): shell · bypass · GNU bash") for line in lines)


def test_a_session_is_renamed_and_put_away_and_taken_out_again(data: Data) -> None:
    session = data.new("--title", "before")
    data.ok("rename", session[:8], "behind it")
    assert "behind it" in data.ok("ls")
    data.ok("archive", session)
    assert "behind it" not in data.run("ls").stdout.decode()
    assert "behind it" in data.ok("ls", "--archived")
    data.ok("archive", session, "--undo")
    assert "behind it" in data.ok("ls")
    assert kinds(data, session) == ["created", "renamed", "archived", "archived"]


@pytest.mark.parametrize(
    "words", [["rename"], ["rename", "3f2a"], ["rename", "", "x"], ["archive"], ["archive", ""]]
)
def test_which_session_is_renamed_or_put_away_must_be_said(data: Data, words: list[str]) -> None:
    session = data.new()
    assert data.run(*words).returncode == 2
    assert kinds(data, session) == ["created"]


def test_without_an_id_a_command_is_for_the_last_session_that_was_not_put_away(data: Data) -> None:
    shown, away = data.new(), data.new()
    data.ok("archive", away)
    assert data.ok("send", "true", "--wait")
    assert (kinds(data, away)[-1], kinds(data, shown)[-1]) == ("archived", "turn_end")


def test_an_archived_session_in_which_a_turn_runs_is_listed(data: Data, gate: Gate) -> None:
    session = data.new()
    data.ok("archive", session)
    assert data.run("ls").stdout == b""
    data.ok("send", session, gate.script)
    assert session[:8] in data.ok("ls")
    gate.open()
