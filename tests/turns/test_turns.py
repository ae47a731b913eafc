"""A turn begins once and ends once. It does not depend on the process that began it. Any process can stop it."""

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

from breakglass.config import AgentConfig, Config
from breakglass.errors import BadConfig, BadInput, CannotRecord, Conflict, Degraded, TooLarge, TurnRunning
from breakglass.store import log, sessions, turnlock
from breakglass.store.log import Log
from breakglass.store.sessions import Session
from breakglass.store.turnlock import Signer, TurnLock, read_signer, sign
from breakglass.turn_limits import MAX_PROMPT
from breakglass.turns import processes
from breakglass.turns.answer import answer_question
from breakglass.turns.begin import submit_prompt
from breakglass.turns.end import (
    cancel_turn,
    current_state,
    end_if_lost,
    has_runner,
    notify_runner,
    wait_for_stop,
)
from tests.help import turns as real_turns
from tests.help.questions import open_turn
from tests.help.session_logs import events_of
from tests.help.small_disk import mount_small_disk
from tests.help.turns import (
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


def kinds(session: Session) -> list[str]:
    return [event["kind"] for event in events_of(session)]


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
settings = Config(data=Path(sys.argv[1]), environ=dict(os.environ))
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
    assert read_signer(session) is None


def test_an_exception_in_the_runner_is_recorded_and_ends_the_turn(root: Path) -> None:
    session, turn = begin_turn(real_turns.make_config(root, agent(protocol="acp")), "ls", "odd")
    error, end = wait_for_end(session, turn)[-2:]
    assert "process failed: IndexError" in error["error"]
    assert end["status"] == "error"


# --- lost turns ---------------------------------------------------------------------------------------

BACKGROUND = "setsid sleep 1000 & echo $$ $!; (setsid nohup sleep 1001 >/dev/null & echo $!); echo up; wait"


def test_the_agent_dies_with_its_runner_and_the_next_reader_ends_the_lost_turn(settings: Config) -> None:
    session, turn = begin_turn(settings, BACKGROUND)
    shell, *background = pids_in(wait_for_output(session, turn, "up"))
    assert all(map(is_alive, [shell, *background]))
    kill_runner(session)
    wait_until(lambda: not is_alive(shell), "the death of the agent")
    before = len(events_of(session))
    assert end_if_lost(session).status == "lost"
    assert not any(map(is_alive, background))
    assert [event["kind"] for event in events_of(session)[before:]] == ["error", "turn_end"]
    assert wait_for_status(session, turn) == "lost"
    assert end_if_lost(session).turn is None
    assert len(events_of(session)) == before + 2


def test_has_runner_does_not_read_the_log(settings: Config) -> None:
    session, turn = begin_turn(settings, "echo up; sleep 1000")
    wait_for_output(session, turn, "up")
    os.rename(f"{session.directory}/{log.NAME}", f"{session.directory}/aside")
    assert has_runner(session)
    kill_runner(session)
    assert not has_runner(session)
    os.rename(f"{session.directory}/aside", f"{session.directory}/{log.NAME}")


def test_a_stopped_turn_whose_runner_dies_ends_as_cancelled(settings: Config) -> None:
    session, turn = begin_turn(settings, "trap '' INT; echo up; sleep 1000")
    wait_for_output(session, turn, "up")
    os.kill(runner_pid(session), signal.SIGSTOP)
    assert cancel_turn(session, by="ann")
    kill_runner(session)
    assert end_if_lost(session).status == "cancelled"
    assert wait_for_status(session, turn) == "cancelled"


def test_a_session_whose_disk_failed_stays_degraded_after_its_lost_turn_is_ended(settings: Config) -> None:
    session, turn = begin_turn(settings, "sleep 1000")
    kill_runner(session)
    Path(session.directory, log.DEGRADED).touch()
    assert end_if_lost(session).status == "degraded"
    assert wait_for_status(session, turn) == "lost"


def test_a_question_of_a_lost_turn_cannot_be_answered(settings: Config) -> None:
    session, _ = begin_turn(settings, "sleep 1000")
    with session.open_log() as opened:
        opened.append(
            "permission", turn=2, request="r", name="Bash", input={}, expires="2126-01-01T00:00:00.000Z"
        )
    kill_runner(session)
    with pytest.raises(Conflict):
        answer_question(session, "r", allow=True, by="ann")
    assert "answer" not in kinds(session)


def test_a_question_can_be_answered_although_its_time_is_over_by_the_wall_clock(settings: Config) -> None:
    """The machine has slept, or its clock has jumped. The runner's clock decides, and the agent still waits."""
    session = sessions.create(settings.data, "shell")
    with open_turn(settings.data, session.id, {"expires": "2001-01-01T00:00:00.000Z"}):
        assert [each.request for each in current_state(session).asking] == ["r"]
        answer_question(session, "r", allow=True, by="ann")
        with pytest.raises(Conflict, match="already answered"):
            answer_question(session, "r", allow=False, by="bob")


@pytest.mark.parametrize(
    ("by", "closed"), [("timeout", "expired"), ("agent", "withdrawn"), ("settings", "answered")]
)
def test_a_question_is_closed_by_any_answer_although_its_time_is_not_over(
    by: str, closed: str, settings: Config
) -> None:
    session = sessions.create(settings.data, "shell")
    with open_turn(settings.data, session.id, {}) as opened:
        opened.append("answer", turn=2, request="r", allow=False, by=by)
        assert current_state(session).asking == ()
        with pytest.raises(Conflict, match=f"already {closed}"):
            answer_question(session, "r", allow=True, by="ann")


def test_a_session_can_be_read_although_its_lost_turn_cannot_be_ended(
    settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, turn = begin_turn(settings, "sleep 1000")
    kill_runner(session)
    warnings: list[str] = []
    with monkeypatch.context() as readonly:
        readonly.setattr(Session, "open_log", refuse_to_open)
        assert current_state(session, warn=warnings.append).turn == turn
    assert warnings == [f"session {session.id}: Read-only file system"]
    assert current_state(session).status == "lost"


def refuse_to_open(_: Session) -> Log:
    raise CannotRecord("Read-only file system")


def test_a_new_turn_first_ends_the_lost_one(settings: Config) -> None:
    session, turn = begin_turn(settings, BACKGROUND)
    background = pids_in(wait_for_output(session, turn, "up"))
    kill_runner(session)
    again = submit_prompt(settings, session, "echo alive", by="ann").id
    assert not any(map(is_alive, background))
    assert wait_for_status(session, again) == "ok"
    assert [event["status"] for event in events_of(session) if event["kind"] == "turn_end"] == ["lost", "ok"]


def test_many_simultaneous_readers_end_a_lost_turn_once(settings: Config) -> None:
    session, turn = begin_turn(settings, "sleep 1000")
    kill_runner(session)
    with ThreadPoolExecutor(8) as pool:
        [*pool.map(lambda _: end_if_lost(session), range(16))]
    assert wait_for_status(session, turn) == "lost"


def test_a_torn_last_line_of_a_lost_turn_is_repaired_before_its_end(settings: Config) -> None:
    session, turn = begin_turn(settings, "echo up; sleep 1000")
    wait_for_output(session, turn, "up")
    kill_runner(session)
    with open(f"{session.directory}/{log.NAME}", "ab") as file:
        file.write(b'{"id":5,"ts":"20')
    assert end_if_lost(session).status == "lost"
    assert kinds(session)[-3:] == ["repaired", "error", "turn_end"]
    assert real_turns.find_broken_rules(session) == []


# --- stopping ----------------------------------------------------------------------------------


CANCEL = """
import sys
from pathlib import Path
from breakglass.store.sessions import Session
from breakglass.turns.end import cancel_turn
print(cancel_turn(Session(Path(sys.argv[1]), sys.argv[2]), by="cli"))
"""


def test_a_turn_is_stopped_once_although_three_processes_stop_it(settings: Config) -> None:
    session, turn = begin_turn(settings, BACKGROUND)
    background = pids_in(wait_for_output(session, turn, "up"))
    command = [sys.executable, "-c", CANCEL, str(settings.data), session.id]
    cancelling = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    answers = {process.communicate()[0] for process in cancelling}
    assert "True\n" in answers <= {"True\n", "False\n"}
    assert wait_for_status(session, turn) == "cancelled"
    assert kinds(session).count("cancelled") == 1
    assert not any(map(is_alive, background))
    assert "error" not in kinds(session)


def test_a_second_stop_records_no_event_while_the_turn_is_still_running(settings: Config) -> None:
    session, turn = begin_turn(settings, "echo up; sleep 1000")
    wait_for_output(session, turn, "up")
    os.kill(runner_pid(session), signal.SIGSTOP)
    assert cancel_turn(session, by="ann")
    assert cancel_turn(session, by="bob")
    os.kill(runner_pid(session), signal.SIGCONT)
    assert wait_for_status(session, turn) == "cancelled"
    assert kinds(session).count("cancelled") == 1


def test_a_stop_without_a_running_turn_records_no_event(settings: Config) -> None:
    session, turn = begin_turn(settings, "true")
    wait_for_end(session, turn)
    before = kinds(session)
    assert not cancel_turn(session, by="ann")
    assert kinds(session) == before


@pytest.mark.parametrize("traps", ["", "trap '' INT", "trap '' INT TERM", "trap 'echo no' INT TERM"])
def test_an_agent_that_ignores_signals_is_killed(traps: str, settings: Config) -> None:
    session, turn = begin_turn(settings, f"{traps}\necho up $$\nwhile true; do sleep 1000; done")
    (shell,) = pids_in(wait_for_output(session, turn, "up"))
    assert cancel_turn(session, by="ann")
    assert wait_for_status(session, turn) == "cancelled"
    assert not is_alive(shell)


def test_an_agent_that_is_suspended_is_killed(settings: Config) -> None:
    session, turn = begin_turn(settings, "echo up $$; kill -STOP $$")
    (shell,) = pids_in(wait_for_output(session, turn, "up"))
    assert cancel_turn(session, by="ann")
    assert wait_for_status(session, turn) == "cancelled"
    assert not is_alive(shell)


def test_a_suspended_runner_is_killed(settings: Config) -> None:
    session, turn = begin_turn(settings, BACKGROUND)
    background = pids_in(wait_for_output(session, turn, "up"))
    os.kill(runner_pid(session), signal.SIGSTOP)
    assert cancel_turn(session, by="ann")
    assert wait_for_stop(session, 0.3).status == "cancelled"
    assert wait_for_status(session, turn) == "cancelled"
    assert not any(map(is_alive, background))


def race(settings: Config, session: Session, delay: int) -> None:
    """Cancel a short turn after some delay, and check that the returned value agrees with the log."""
    turn = submit_prompt(settings, session, "echo $$", by="ann").id
    for _ in range(delay):
        os.stat(session.directory)  # a few microseconds
    stopped = cancel_turn(session, by="ann")
    own = wait_for_end(session, turn)
    assert [event["kind"] for event in own].count("cancelled") == stopped
    assert own[-1]["status"] == ("cancelled" if stopped else "ok")
    assert [event["kind"] for event in own].count("turn_end") == 1


def test_a_stop_at_the_end_of_a_turn_is_either_in_time_or_refused(settings: Config) -> None:
    session = sessions.create(settings.data, "shell")
    for number in range(20):
        race(settings, session, number * 2_000)


@pytest.mark.torture
def test_five_hundred_stops_at_the_end_of_a_turn_are_either_in_time_or_refused(settings: Config) -> None:
    session = sessions.create(settings.data, "shell")
    for number in range(500):
        race(settings, session, number % 100 * 500)


def test_a_signal_for_a_dead_runner_does_not_reach_another_process_with_its_pid(settings: Config) -> None:
    """The lock file contains the pid of another process with another start time, so no signal is sent."""
    session = sessions.create(settings.data, "shell")
    marked = processes.mark(session.id, 2, turnlock.place(session.directory))
    other = subprocess.Popen(["sleep", "100"], env={**os.environ, processes.MARK: marked})
    started = processes.start_time(other.pid)
    lock = TurnLock(session)
    lock.take()
    sign(lock.fds, Signer(other.pid, started - 1))
    notify_runner(session)
    assert other.poll() is None
    sign(lock.fds, Signer(other.pid, started))
    notify_runner(session)
    assert other.wait() == -signal.SIGUSR1
    lock.release()


def test_a_signer_without_the_mark_of_the_session_gets_no_signal(settings: Config) -> None:
    """Any program may write the pid and start time of a living process into `turn.lock`: also those of this process."""
    session, another = sessions.create(settings.data, "shell"), sessions.create(settings.data, "shell")
    lock = TurnLock(session)
    lock.take()
    place = turnlock.place(session.directory)
    for mark in (
        "",
        processes.mark(another.id, 2, place),
        processes.mark(session.id, 2, turnlock.place(another.directory)),
        f"x{processes.mark(session.id, 2, place)}",
        f"{processes.mark(session.id, 2, place)}0",
    ):
        other = subprocess.Popen(["sleep", "100"], env={**os.environ, processes.MARK: mark})
        sign(lock.fds, Signer(other.pid, processes.start_time(other.pid)))
        notify_runner(session)
        other.terminate()
        assert other.wait() == -signal.SIGTERM, mark
    sign(lock.fds, Signer(os.getpid(), processes.start_time(os.getpid())))
    notify_runner(session)
    lock.release()


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
    assert events_of(session)[-1]["kind"] == "turn_end"


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
    degraded = Path(session.directory, log.DEGRADED)
    degraded.touch()
    with pytest.raises(Degraded, match=f"delete {degraded}"):
        submit_prompt(settings, session, "ls", by="ann")
    degraded.unlink()
    assert wait_for_status(session, submit_prompt(settings, session, "ls", by="ann").id) == "ok"
