"""Section 4 of the contract: the commands, what they print, and their exit statuses."""

import json
import os
import pty
import re
import shutil
import subprocess
from contextlib import suppress

import pytest

from tests.contract.driver import COMMAND, SECONDS, TOKEN, DataRoot, Gate, wait_until
from tests.contract.lists import OPTIONS

pytestmark = pytest.mark.contract
OPTION = re.compile(r"--[a-z][a-z-]*")


def on_terminal(data: DataRoot, *arguments: str, **env: str) -> bytes:
    """Return the output of a command on a terminal."""
    screen, inside = pty.openpty()
    given = {**data.env, "TERM": "xterm", **env}
    with subprocess.Popen([*COMMAND, *arguments], stdout=inside, stderr=inside, env=given):
        os.close(inside)
        shown = b""
        with suppress(OSError):  # EIO: the command has closed the terminal
            while piece := os.read(screen, 65536):
                shown += piece
        os.close(screen)
    return shown


# --- all commands ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "options"), OPTIONS.items())
def test_every_command_of_the_contract_has_its_options(data: DataRoot, name: str, options: str) -> None:
    assert {*options.split(), "--data", "--config"} <= set(OPTION.findall(data.ok(name, "--help")))


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        *(
            ("", 2),
            ("nosuch", 2),
            ("ls --nosuch", 2),
            ("send", 2),
            ("new --agent nosuch", 2),
            ("rename one", 2),
        ),
        *(("token", 2), ("attach --after x", 2), ("attach 0000", 1), ("cancel", 1)),
    ],
)
def test_an_error_is_one_line_on_stderr_and_no_traceback(data: DataRoot, arguments: str, status: int) -> None:
    done = data.run(*arguments.split())
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (status, "", 1)
    assert "Traceback" not in done.stderr


def test_only_terminals_get_colours_and_not_if_no_color_is_set(data: DataRoot) -> None:
    data.new()
    assert b"\x1b[" in on_terminal(data, "ls")
    assert b"\x1b" not in on_terminal(data, "ls", NO_COLOR="1")
    assert "\x1b" not in data.ok("ls")


# --- which session --------------------------------------------------------------------------------


def test_an_id_may_be_shortened_to_a_unique_prefix(data: DataRoot) -> None:
    session = data.new()
    data.ok("rename", session[:8], "by prefix")
    assert data.last(session, "renamed")["title"] == "by prefix"
    copy = session[:-1] + ("0" if session[-1] != "0" else "1")
    shutil.copytree(data.log(session).parent, data.log(copy).parent)
    assert data.run("rename", session[:8], "ambiguous").returncode == 2
    assert data.last(session, "renamed")["title"] == "by prefix"


def test_without_an_id_a_command_uses_the_shown_session_with_the_latest_change(data: DataRoot) -> None:
    first, second = data.new(), data.new()
    data.ok("rename", first, "written to")
    assert data.ok("send", "true").split()[0] == first
    data.wait_for_end(first)
    data.ok("archive", first)
    assert data.ok("send", "true").split()[0] == second


# --- send -----------------------------------------------------------------------------------------


def test_send_prints_the_session_and_the_turn_and_makes_a_session_if_needed(data: DataRoot) -> None:
    session, turn = data.ok("send", "true").split()
    assert (session, turn) == (data.listed()[0]["id"], "2")
    another = data.ok("send", "--agent", "shell", "--title", "another", "--model", "m", "true").split()[0]
    assert another != session
    assert data.last(another, "created")["title"] == "another"
    assert data.last(another, "user")["model"] == "m"


@pytest.mark.parametrize(("prompt", "status"), [("true", 0), ("false", 1)])
def test_send_with_wait_has_the_exit_status_of_the_turn(data: DataRoot, prompt: str, status: int) -> None:
    assert data.run("send", prompt, "--wait").returncode == status


def test_send_reads_a_prompt_from_stdin_and_no_options_after_two_dashes(data: DataRoot) -> None:
    session = data.ok("send", "-", "--wait", stdin="echo one\necho two\n") and data.listed()[0]["id"]
    assert data.last(session, "user")["text"] == "echo one\necho two\n"
    data.ok("send", "--", "--wait")
    assert data.last(session, "user")["text"] == "--wait"


def test_send_exits_3_while_a_turn_runs_and_queues_on_request(data: DataRoot, gate: Gate) -> None:
    session = data.ok("send", gate.script).split()[0]
    assert data.run("send", session, "true").returncode == 3
    queued = data.ok("send", session, "--queue", "true")
    assert queued == f"{session} {data.last(session, 'queued')['id']}\n"


def test_cancel_stops_the_turn_and_send_with_wait_exits_130(data: DataRoot, gate: Gate) -> None:
    session = data.new()
    with data.running("send", session, "--wait", gate.script) as waiting:
        data.wait_for_output(session)
        assert data.run("cancel", session).returncode == 0
        assert waiting.wait() == 130
    assert data.last(session, "turn_end")["status"] == "cancelled"
    assert data.run("cancel", session).returncode == 1


def test_ctrl_c_detaches_and_stops_no_turn(data: DataRoot, gate: Gate) -> None:
    session = data.new()
    with data.running("send", session, "--wait", gate.script) as waiting:
        data.wait_for_output(session)
        with data.running("attach", session) as watching:
            for program in (waiting, watching):
                program.wait_for(b"begun")
            assert (waiting.interrupt(), watching.interrupt()) == (130, 0)
    assert data.listed()[0]["turn_active"]
    gate.open()
    assert data.wait_for_end(session) == "ok"


# --- attach and answer ----------------------------------------------------------------------------


def test_attach_json_prints_the_lines_of_the_log_unchanged_and_follows(data: DataRoot) -> None:
    session = data.new()
    first = data.log(session).read_bytes()
    with data.running("attach", "--json") as whole, data.running("attach", "--after", "1", "--json") as rest:
        whole.wait_for(b'"created"')
        data.ok("send", session, "--wait", "seq 3")
        log = data.log(session).read_bytes()
        wait_until(lambda: (whole.out, rest.out) == (log, log.removeprefix(first)), "all lines of the log")


def test_a_closed_output_pipe_ends_a_command_with_141_and_no_message(data: DataRoot) -> None:
    session = data.new()
    command, pipe = [*COMMAND, "attach", session, "--json"], subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, env=data.env) as program:
        assert program.stdout and program.stderr
        program.stdout.readline()
        program.stdout.close()
        data.ok("rename", session, "one more line")
        assert (program.wait(SECONDS), program.stderr.read()) == (141, b"")


def test_answer_shows_the_question_and_answers_it_once(data: DataRoot, gate: Gate) -> None:
    session, turn = data.ok("send", gate.script).split()
    data.wait_for_output(session)
    data.ask(session, int(turn))
    assert "Bash" in data.ok("answer", session)
    data.ok("answer", session, "deny", "--message", "not now", "--request", "r1")
    answer = data.last(session, "answer")
    assert (answer["request"], answer["allow"], answer["message"]) == ("r1", False, "not now")
    assert data.run("answer", session, "allow").returncode == 1


# --- the others -----------------------------------------------------------------------------------


def test_ls_lists_the_latest_first_and_archived_sessions_on_request(data: DataRoot) -> None:
    first, second = data.new(), data.new()
    data.ok("rename", first, "a title")
    assert [each["id"] for each in data.listed()] == [first, second]
    data.ok("archive", first)
    assert [each["id"] for each in data.listed()] == [second]
    assert [each["id"] for each in data.listed("--archived")] == [first, second]
    data.ok("archive", first, "--undo")
    assert [each["id"] for each in data.listed()] == [first, second]
    assert data.last(first, "archived")["archived"] is False


def test_verify_reports_a_broken_rule_and_a_note_and_changes_nothing(data: DataRoot) -> None:
    session = data.new()
    path = data.log(session)
    data.append(session, b"foreign\n")
    assert f"{path}:2: note:" in data.ok("verify", session)
    data.append(session, data.lines(session)[0].replace(b'"id":1', b'"id":3') + b"\n")  # a second `created`
    log = path.read_bytes()
    for arguments in ([session], ["--all"]):
        broken = data.run("verify", *arguments)
        assert broken.returncode == 1
        assert re.search(rf"^{path}:3: (?!note:)", broken.stdout, re.MULTILINE)
    assert path.read_bytes() == log


def test_token_shows_and_rotates(data: DataRoot) -> None:
    assert data.ok("token", "show").strip() == TOKEN
    del data.env["BREAKGLASS_TOKEN"]
    for kind in ([], ["--read-only"]):
        first, second = (data.ok("token", word, *kind).strip() for word in ("show", "rotate"))
        assert first != second
        assert data.ok("token", "show", *kind) == f"{second}\n"


def test_agents_reports_whether_each_agent_can_start(data: DataRoot) -> None:
    missing = 'protocol = "acp"\ncommand = ["/nowhere/agent"]\n'
    (data.folder / "breakglass.toml").write_text(f"[agents.missing]\n{missing}")
    agents = [json.loads(line) for line in data.ok("agents", "--json").splitlines()]
    named = {agent["name"]: agent for agent in agents}
    assert set(named) == {"claude", "shell", "missing"}
    assert all({"can_start", "logged_in", "version", "problem"} <= set(agent) for agent in agents)
    assert (named["shell"]["can_start"], named["missing"]["can_start"]) == (True, False)
    assert named["missing"]["problem"] and not named["shell"]["problem"]
    assert named["shell"]["logged_in"] is None
