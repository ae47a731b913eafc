"""A queue that no runner is left to continue: which process begins its next turn, and when it must not begin."""

import functools
import os
import signal
import threading
from pathlib import Path

import pytest

from breakglass.config import Config
from breakglass.config.agents import AgentConfig
from breakglass.errors import BadConfig, ReadOnly
from breakglass.store import degraded as degraded_mark
from breakglass.store import log, sessions, state_cache
from breakglass.store.sessions import Session
from breakglass.store.turnlock import TurnLock
from breakglass.turns.begin import continue_queue
from breakglass.turns.end import end_if_lost, has_runner
from tests.cli.conftest import Gate, data, gate
from tests.cli.program import Data
from tests.help.servers import Attached, serving
from tests.help.session_logs import events_of
from tests.help.turns import find_broken_rules, make_config
from tests.help.waiting import wait_until

__all__ = ["data", "gate"]  # fixtures

TORN = b'{"id":5,"ts":"2026-01-02T03:04:05.678Z","kind":"user","tu'


def leave_queue(root: Path, status: str = "ok", torn: bytes = b"", *prompts: str) -> Session:
    """Make a session whose turn has ended and whose prompts still wait."""
    session = sessions.create(root, "shell")
    with session.open_log() as opened:
        opened.append("user", text="one", by="ann")
        for prompt in prompts or ("echo waited",):
            opened.append("queued", text=prompt, by="bob")
        opened.append("turn_end", turn=2, status=status, duration_ms=1)
    with open(f"{session.directory}/{log.NAME}", "ab") as file:
        file.write(torn)
    return session


def ends(session: Session) -> list[str]:
    return [event["status"] for event in events_of(session) if event["kind"] == "turn_end"]


def has_ends(session: Session, count: int) -> bool:
    return len(ends(session)) == count


def users(session: Session) -> list[tuple[str, str, int | None]]:
    found = [event for event in events_of(session) if event["kind"] == "user"]
    return [(event["text"], event["by"], event.get("queued")) for event in found[1:]]


@pytest.mark.parametrize("status", ["ok", "error", "timeout", "cancelled"])
def test_the_turns_of_all_waiting_prompts_follow_in_order(settings: Config, status: str) -> None:
    session = leave_queue(settings.data, status, TORN, "echo first", "echo second")
    assert state_cache.may_have_queue(session.directory)
    assert continue_queue(settings, session)
    wait_until(lambda: len(ends(session)) == 3, "the end of both turns")
    assert users(session) == [("echo first", "bob", 3), ("echo second", "bob", 4)]
    assert ends(session) == [status, "ok", "ok"]
    assert find_broken_rules(session) == []
    wait_until(lambda: not has_runner(session), "the runner's exit")
    assert not continue_queue(settings, session)


def test_after_a_lost_turn_the_queue_waits(settings: Config) -> None:
    session = leave_queue(settings.data, "lost")
    before = events_of(session)
    assert not continue_queue(settings, session)
    assert events_of(session) == before
    assert end_if_lost(session).queued


def test_several_processes_begin_one_turn(settings: Config) -> None:
    session = leave_queue(settings.data)
    begun: list[bool] = []
    threads = [
        threading.Thread(target=lambda: begun.append(continue_queue(settings, session))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(begun) == [False, False, False, True]
    wait_until(lambda: len(ends(session)) == 2, "the end of the turn")
    assert users(session) == [("echo waited", "bob", 3)]


def test_a_runner_that_still_holds_the_turn_lock_continues_by_itself(settings: Config) -> None:
    session = leave_queue(settings.data)
    lock = TurnLock(session)
    lock.take()
    assert not continue_queue(settings, session)
    lock.release()
    assert users(session) == []


def test_a_queue_that_cannot_be_continued_stays_as_it_is(settings: Config) -> None:
    read_only, gone, degraded = (leave_queue(settings.data) for _ in range(3))
    Path(degraded.directory, degraded_mark.NAME).touch()
    assert not continue_queue(settings, degraded)
    without_shell = make_config(settings.data, AgentConfig("other", "shell", ("bash",)))
    with pytest.raises(BadConfig, match="no longer configured"):
        continue_queue(without_shell, gone)
    (settings.data / "read-only").touch()
    with pytest.raises(ReadOnly):
        continue_queue(settings, read_only)
    assert [users(session) for session in (read_only, gone, degraded)] == [[], [], []]


def test_a_server_continues_left_queues_at_its_start_and_of_sessions_that_are_followed(
    root: Path,
) -> None:
    left, torn, lost = leave_queue(root), leave_queue(root, "ok", TORN), leave_queue(root, "lost")
    followed = sessions.create(root, "shell")
    with serving(root) as server:
        for session in (left, torn):
            wait_until(functools.partial(has_ends, session, 2), "the turn of the waiting prompt")
            assert users(session) == [("echo waited", "bob", 3)]
        assert server.state(lost.id)["queued"] == 1
        assert users(lost) == []
        lock = TurnLock(followed)
        lock.take()
        with followed.open_log() as opened:
            opened.append("user", text="one", by="ann")
            opened.append("queued", text="echo waited", by="bob")
            client = Attached(server, followed.id)
            wait_until(lambda: client.has(3), "the client to follow")
            opened.append("turn_end", turn=2, status="ok", duration_ms=1)
        lock.release()
        wait_until(lambda: len(ends(followed)) == 2, "the turn of the waiting prompt")
        client.disconnect()
    assert [find_broken_rules(session) for session in (left, torn, lost, followed)] == [[], [], [], []]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_wait_for_a_queued_prompt_begins_its_turn_but_not_after_a_lost_one(
    data: Data, gate: Gate, number: int
) -> None:
    session = data.ok("send", gate.script).split()[0]
    with data.running("send", "--queue", "--wait", "echo second") as waiter:
        wait_until(lambda: data.kinds(session).count("queued") == 1, "the prompt to wait")
        os.kill(data.runner_pid(session), number)  # at SIGTERM a runner ends its turn and exits
        if number == signal.SIGTERM:
            assert waiter.end() == 0
            assert "│ second".encode() in waiter.out
        else:
            told = b"the turn before it was lost; the prompt waits until the next prompt is sent"
            wait_until(lambda: told in waiter.err, "what happened")
            assert data.ok("send", session, "echo next", "--wait")
            assert waiter.end() == 0
            assert waiter.err.count(told) == 1
