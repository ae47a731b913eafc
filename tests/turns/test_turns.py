"""A turn begins once and ends once. It does not depend on the process that began it."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from breakglass.config import Config
from breakglass.config.agents import AgentConfig
from breakglass.errors import BadConfig, BadInput, CannotRecord, Degraded, TooLarge, TurnRunning
from breakglass.store import degraded, log, sessions
from breakglass.store.sessions import Session
from breakglass.store.turnlock import read_runner
from breakglass.turn_limits import MAX_PROMPT
from breakglass.turns.begin import submit_prompt
from breakglass.turns.end import (
    cancel_turn,
    end_if_lost,
)
from tests.help import turns as real_turns
from tests.help.session_logs import events_of, kinds
from tests.help.small_disk import mount_small_disk
from tests.help.turns import (
    BACKGROUND,
    begin_turn,
    is_alive,
    kill_runner,
    output_of_turn,
    pids_in,
    runner_pid,
    wait_for_end,
    wait_for_output,
    wait_for_status,
)
from tests.help.waiting import wait_until

# --- beginning --------------------------------------------------------------------------------------


def test_the_log_contains_a_turn_from_its_prompt_to_its_end(settings: Config) -> None:
    session, turn = begin_turn(settings, "echo hello")
    assert turn == 2
    assert [event["kind"] for event in wait_for_end(session, turn)] == [
        *("user", "tool", "tool_result", "tool_result", "result", "turn_end")
    ]
    user, *_, end = wait_for_end(session, turn)
    assert (user["text"], user["by"], end["status"]) == ("echo hello", "ann", "ok")
    assert real_turns.output_of_turn(session, turn) == "hello\n"


def test_processes_that_a_command_leaves_running_are_killed_and_named(settings: Config) -> None:
    is_up = 'until [ "$(cat /proc/$!/comm)" = sleep ]; do :; done'
    session, turn = begin_turn(settings, f"setsid sleep 1000 >/dev/null 2>&1 & {is_up}; echo started")
    own = wait_for_end(session, turn)
    (notice,) = (event["text"] for event in own if event["kind"] == "notice")
    assert notice.startswith("Killed the processes that this command left running: sleep. ")
    assert wait_for_status(session, turn) == "ok"


def test_a_prompt_is_kept_unchanged_and_is_not_in_the_arguments_of_a_process(settings: Config) -> None:
    prompt = "-n : 'né\u2028\t' ; grep -az a-wo[r]d /proc/[0-9]*/cmdline; echo done # a-word"
    session, turn = begin_turn(settings, prompt)
    assert "a-word" not in wait_for_output(session, turn, "done")
    assert wait_for_end(session, turn)[0]["text"] == prompt


def test_a_prompt_of_the_maximum_length_reaches_the_agent(settings: Config) -> None:
    script = "echo ${#x}"
    session, turn = begin_turn(settings, f"x={'y' * (MAX_PROMPT - len(script) - 3)}\n{script}")
    assert wait_for_output(session, turn, "\n").strip() == str(MAX_PROMPT - len(script) - 3)
    assert wait_for_status(session, turn) == "ok"


WRONG: dict[str, tuple[Any, dict[str, Any], type[Exception]]] = {
    "empty": ("", {}, BadInput),
    "only spaces": (" \n\t", {}, BadInput),
    "not a text": (5, {}, BadInput),
    "half a surrogate pair": ("ls \ud83d", {}, BadInput),
    "too large": ("é" * (MAX_PROMPT // 2) + "x", {}, TooLarge),
    "a model that is an option": ("ls", {"model": "--help"}, BadConfig),
    "a key with a space": ("ls", {"key": "a b"}, BadInput),
    "a key too long": ("ls", {"key": "k" * 201}, BadInput),
    "an empty key": ("ls", {"key": ""}, BadInput),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_request_begins_no_turn(name: str, settings: Config) -> None:
    prompt, more, error = WRONG[name]
    session = sessions.create(settings.data, "shell")
    with pytest.raises(error):
        submit_prompt(settings, session, prompt, by="ann", **more)
    assert kinds(session) == ["created"]


def test_no_turn_begins_if_the_agent_is_no_longer_configured(settings: Config) -> None:
    session = sessions.create(settings.data, "gone")
    with pytest.raises(BadConfig, match=rf"session {session.id[:8]} .* got 'gone'"):
        submit_prompt(settings, session, "ls", by="ann")
    assert kinds(session) == ["created"]


def test_no_second_turn_begins_while_one_is_running(settings: Config) -> None:
    session, turn = begin_turn(settings, "read line < <(sleep 99); echo never")
    with pytest.raises(TurnRunning):
        submit_prompt(settings, session, "ls", by="ann")
    assert end_if_lost(session).turn is not None
    cancel_turn(session, by="ann")
    assert wait_for_status(session, turn) == "cancelled"
    again = submit_prompt(settings, session, "ls", by="ann").id
    assert wait_for_status(session, again) == "ok"


def test_only_one_of_many_simultaneous_prompts_begins_a_turn(settings: Config) -> None:
    session = sessions.create(settings.data, "shell")

    def start(_: int) -> int | None:
        try:
            return submit_prompt(settings, session, "sleep 0.5", by="ann").id
        except TurnRunning:
            return None

    with ThreadPoolExecutor(8) as pool:
        begun = [turn for turn in pool.map(start, range(8)) if turn]
    assert begun == [2]
    assert wait_for_status(session, 2) == "ok"
    assert kinds(session).count("user") == 1


def test_a_key_begins_one_turn_although_it_is_sent_often_and_simultaneously(settings: Config) -> None:
    session = sessions.create(settings.data, "shell")

    def start(_: int) -> int:
        return submit_prompt(settings, session, "sleep 0.3", by="ann", key="k-1").id

    with ThreadPoolExecutor(8) as pool:
        assert {*pool.map(start, range(8))} == {2}
    assert wait_for_status(session, 2) == "ok"
    assert start(0) == 2
    other = submit_prompt(settings, session, "ls", by="ann", key="k-2").id
    assert other != 2
    assert start(0) == 2
    assert wait_for_status(session, other) == "ok"
    assert kinds(session).count("user") == 2


BEGIN_AND_DIE = """
import os, sys
from pathlib import Path
from breakglass.turns.begin import submit_prompt
from breakglass.config import Config
from breakglass.store.sessions import Session
settings = Config(data=Path(sys.argv[1]), environ=dict(os.environ), vitals=False)
submit_prompt(settings, Session(Path(sys.argv[1]), sys.argv[2]), "sleep 0.5; echo done", by="ann")
os.kill(os.getpid(), 9)
"""


def test_a_turn_continues_after_the_death_of_the_process_that_began_it(settings: Config) -> None:
    session = sessions.create(settings.data, "shell")
    command = [sys.executable, "-c", BEGIN_AND_DIE, str(settings.data), session.id]
    assert subprocess.run(command, check=False, cwd="/").returncode == -signal.SIGKILL
    assert end_if_lost(session).turn is not None
    assert wait_for_status(session, 2) == "ok"
    assert real_turns.output_of_turn(session, 2) == "done\n"


def test_a_new_turn_first_ends_the_lost_one(settings: Config) -> None:
    session, turn = begin_turn(settings, BACKGROUND)
    background = pids_in(wait_for_output(session, turn, "up"))
    kill_runner(session)
    again = submit_prompt(settings, session, "echo alive", by="ann").id
    assert not any(map(is_alive, background))
    assert wait_for_status(session, again) == "ok"
    assert [event["status"] for event in events_of(session) if event["kind"] == "turn_end"] == ["lost", "ok"]


# --- agents and runners that cannot start --------------------------------------------------------------------------


def agent(*command: str, protocol: str = "shell") -> AgentConfig:
    return AgentConfig("odd", protocol, command)


@pytest.mark.parametrize(
    ("command", "reason"),
    [("/nowhere/bash", "No such file"), ("/etc/passwd", "Permission denied"), ("/", "Permission denied")],
)
def test_an_agent_that_cannot_start_gives_an_error_that_says_what_to_do(
    command: str, reason: str, root: Path
) -> None:
    session, turn = begin_turn(real_turns.make_config(root, agent(command)), "ls", "odd")
    error, end = wait_for_end(session, turn)[-2:]
    assert (error["kind"], end["status"]) == ("error", "error")
    assert f"{command}: {reason}" in error["error"]
    assert "Your prompt is kept as line 2" in error["error"]


def test_a_runner_that_cannot_start_ends_its_turn(settings: Config) -> None:
    session = sessions.create(settings.data, "shell")
    os.rmdir(session.workspace)
    Path(session.workspace).write_bytes(b"")
    turn = submit_prompt(settings, session, "ls", by="ann").id
    assert [event["kind"] for event in wait_for_end(session, turn)] == ["user", "error", "turn_end"]
    assert read_runner(session) is None


def test_an_exception_in_the_runner_is_recorded_and_ends_the_turn(root: Path) -> None:
    session, turn = begin_turn(real_turns.make_config(root, agent(protocol="acp")), "ls", "odd")
    error, end = wait_for_end(session, turn)[-2:]
    assert "process failed: IndexError" in error["error"]
    assert end["status"] == "error"


# --- disks and logs that fail -----------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A data root on a file system of 512 KiB."""
    with mount_small_disk(tmp_path / "disk", "512k") as disk:
        yield disk
        real_turns.kill_turns(disk)
        real_turns.kill_turns(disk)


def fill(settings: Config, session: Session) -> None:
    """Send prompts until the disk has no space for another one."""
    for _ in range(9):
        wait_for_end(session, submit_prompt(settings, session, "true " + "x" * 8_000, by="ann").id)


def test_a_full_disk_ends_the_agent_and_the_turn_and_refuses_prompts(small_disk: Path) -> None:
    settings = real_turns.make_config(small_disk)
    session, turn = begin_turn(
        settings,
        "echo $$; exec 2>/dev/null; while true; do head -c 9000 /dev/zero | tr '\\0' x; sleep 0.01; done",
    )
    shell = pids_in(wait_for_output(session, turn, "\n"))[0]
    own = wait_for_end(session, turn)
    assert not is_alive(shell)
    assert [event["kind"] for event in own[-2:]] == ["error", "turn_end"]
    assert own[-1]["status"] == "error"
    assert "No space left" in own[-2]["error"]
    with pytest.raises(CannotRecord, match="No space"):
        fill(settings, session)
    assert events_of(session)[-1]["kind"] in ("turn_end", "sealed")


@pytest.mark.parametrize("change", ["deleted", "cut short"])
def test_a_deleted_or_shortened_log_ends_the_agent(change: str, settings: Config) -> None:
    session, turn = begin_turn(settings, "echo up $$; while true; do sleep 0.1; done")
    (shell,) = pids_in(wait_for_output(session, turn, "up"))
    path = Path(session.directory, log.NAME)
    path.unlink() if change == "deleted" else os.truncate(path, 10)
    wait_until(lambda: not is_alive(shell), "the death of the agent")
    wait_until(lambda: not is_alive(runner_pid(session)), "the death of the runner")


def replace_log(path: Path, change: str) -> None:
    """Let the name of a log lead to something other than the open file."""
    old, new = path.with_name("old"), path.with_name("new")
    shutil.copy(path, new)
    if change == "a copy renamed over it":  # as `sed -i` does
        os.rename(new, path)
        return
    os.rename(path, old)
    if change == "renamed, and created again":  # as logrotate does
        path.touch()
    elif change == "a symbolic link to it":
        path.symlink_to(old)
    elif change == "a hard link to a copy":
        os.link(new, path)
    elif change == "a directory":
        path.mkdir()


@pytest.mark.parametrize(
    "change",
    [
        "a copy renamed over it",
        "renamed away",
        "renamed, and created again",
        "a symbolic link to it",
        "a hard link to a copy",
        "a directory",
    ],
)
def test_a_log_whose_name_leads_to_another_file_ends_the_agent_and_gets_no_further_event(
    change: str, settings: Config
) -> None:
    session, turn = begin_turn(settings, "echo up $$; while true; do sleep 0.1; done")
    (shell,) = pids_in(wait_for_output(session, turn, "up"))
    runner, path = runner_pid(session), Path(session.directory, log.NAME)
    replace_log(path, change)
    before = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
    wait_until(lambda: not is_alive(shell), "the death of the agent")
    wait_until(lambda: not is_alive(runner), "the death of the runner")
    if before:
        assert path.read_bytes() == before


def test_a_turn_goes_on_in_a_session_directory_that_was_renamed(settings: Config) -> None:
    session, turn = begin_turn(settings, "echo up; until [ -e go ]; do sleep 0.1; done; echo done")
    wait_for_output(session, turn, "up")
    runner = runner_pid(session)
    moved = session._replace(id=session.id[::-1])
    os.rename(session.directory, moved.directory)
    os.kill(runner, signal.SIGUSR1)  # the runner looks at the log now
    Path(session.workspace, "go").touch()
    wait_until(lambda: moved.state().turn is None, "the end of the turn")
    assert moved.state().status == "ok"
    assert output_of_turn(moved, turn) == "up\ndone\n"


def test_no_turn_begins_in_a_session_whose_disk_failed(settings: Config) -> None:
    session = sessions.create(settings.data, "shell")
    mark = Path(session.directory, degraded.NAME)
    mark.touch()
    with pytest.raises(Degraded, match=f"delete {mark}"):
        submit_prompt(settings, session, "ls", by="ann")
    mark.unlink()
    assert wait_for_status(session, submit_prompt(settings, session, "ls", by="ann").id) == "ok"
