"""The end of a turn and the prompt that waited are one write. Readers that see a part of it, and a kill within it."""

import os
import threading
from typing import Any

import pytest

from breakglass.config import Config
from breakglass.events import Event
from breakglass.store import sessions
from breakglass.store.sessions import Session
from breakglass.turns.begin import submit_prompt
from breakglass.turns.end import current_state, end_if_lost
from tests.help.session_logs import events_of
from tests.help.turns import find_broken_rules
from tests.help.waiting import DEADLINE, wait_until

PROMPT = "echo waited #" + "x" * (250 << 10)


class Killed(BaseException):
    """Stands for a kill: nothing is repaired after it."""


@pytest.fixture
def session(settings: Config) -> Session:
    """A session with a turn and a waiting prompt of 250 KiB, without a runner."""
    made = sessions.create(settings.data, "shell")
    with made.open_log() as opened:
        opened.append("user", text="one", by="ann")
        opened.append("queued", text=PROMPT, by="bob")
    return made


def hand_over(session: Session) -> None:
    """Write what a runner writes between two turns."""
    with session.open_log() as opened:
        opened.append_together(
            ("turn_end", {"turn": 2, "status": "ok", "duration_ms": 1}),
            ("user", {"text": PROMPT, "by": "bob", "model": None, "queued": 3}),
        )


def test_a_reader_never_sees_the_session_idle_between_a_turn_and_the_turn_of_the_waiting_prompt(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, seen, found = os.write, threading.Event(), list[int | None]()
    log_state = Session.log_state

    def observe(self: Session, fd: int) -> Any:
        state = log_state(self, fd)
        if threading.current_thread() is reader:
            seen.set()
        return state

    def write_in_two_parts(fd: int, data: bytes) -> int:
        if not data.startswith(b'{"id":4,'):
            return write(fd, data)
        first = write(fd, data[: data.index(b"\n") + 1000])
        reader.start()
        assert seen.wait(DEADLINE)
        return first + write(fd, data[first:])

    reader = threading.Thread(target=lambda: found.append(session.state().turn))
    monkeypatch.setattr(Session, "log_state", observe)
    monkeypatch.setattr(os, "write", write_in_two_parts)
    hand_over(session)
    reader.join()
    assert found == [6]


def of_kind(session: Session, kind: str) -> list[Event]:
    return [event for event in events_of(session) if event["kind"] == kind]


@pytest.mark.parametrize("lines", [0, 1])
@pytest.mark.parametrize("more", [0, 1, 40, 1000, 200_000])
def test_a_kill_within_the_write_keeps_the_prompt_and_the_next_turn_is_followed_by_it(
    settings: Config, session: Session, monkeypatch: pytest.MonkeyPatch, lines: int, more: int
) -> None:
    write = os.write

    def write_a_part(fd: int, data: bytes) -> int:
        end = data.index(b"\n") + 1
        write(fd, data[: lines * end + (more if lines else min(more, end - 1))])
        raise Killed

    with monkeypatch.context() as killing:
        killing.setattr(os, "write", write_a_part)
        with pytest.raises(Killed):
            hand_over(session)
    state = current_state(session)
    assert state.status == ("ok" if lines else "lost")
    assert [each.id for each in state.queued] == [3]
    submit_prompt(settings, session, "echo next", by="ann")
    wait_until(lambda: end_if_lost(session).turn is None, "the session to be idle")
    statuses = [event["status"] for event in of_kind(session, "turn_end")]
    assert statuses == ["ok" if lines else "lost", "ok", "ok"]
    assert [event.get("queued") for event in of_kind(session, "user")] == [None, None, 3]
    assert [event["text"] for event in of_kind(session, "user")][1:] == ["echo next", PROMPT]
    assert find_broken_rules(session) == []


def test_the_state_of_an_idle_session_with_a_queue_can_be_read_while_its_log_is_locked(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "STATE_LOCK_TIMEOUT", 0.05)
    with session.open_log() as opened, opened.exclusive():
        opened.append("turn_end", turn=2, status="ok", duration_ms=1)
        assert session.state().status == "ok"
