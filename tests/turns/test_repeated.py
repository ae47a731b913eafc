"""A repeated request is acknowledged only if what the first one recorded is on disk."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from breakglass.config import Config
from breakglass.errors import CannotRecord, Degraded
from breakglass.store import degraded, log, sessions
from breakglass.store.sessions import Session
from breakglass.turns.answer import answer_question
from breakglass.turns.begin import submit_prompt, withdraw_prompt
from breakglass.turns.end import cancel_turn
from tests.help.questions import open_turn
from tests.help.session_logs import events_of

Request = Callable[[], object]


class Killed(BaseException):
    """Stands for the death of the process at this point."""


@pytest.fixture
def stuck_sync(monkeypatch: pytest.MonkeyPatch) -> Callable[[Request, Request, BaseException], None]:
    """Make the first request, and in its sync the same request again; then end that sync with an exception."""

    def run(first: Request, again: Request, end: BaseException) -> None:
        sync, refused = os.fdatasync, []

        def repeat_and_end(_: int) -> None:
            monkeypatch.setattr(os, "fdatasync", sync)
            with pytest.raises(CannotRecord, match="locked"):
                again()
            refused.append(True)
            raise end

        monkeypatch.setattr(sessions, "LOCK_TIMEOUT", 0.02)
        monkeypatch.setattr(os, "fdatasync", repeat_and_end)
        with pytest.raises((CannotRecord, Killed)):
            first()
        assert refused

    return run


StuckSync = Callable[[Request, Request, BaseException], None]
EIO = OSError(errno.EIO, os.strerror(errno.EIO))


@contextmanager
def failing_sync(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def fail(_: int) -> None:
        raise EIO

    with monkeypatch.context() as failing:
        failing.setattr(os, "fdatasync", fail)
        yield


def in_idle_session(settings: Config, session: Session) -> Request:
    return lambda: submit_prompt(settings, session, "true", by="ann", key="k-1")


def queued(settings: Config, session: Session) -> Request:
    return lambda: submit_prompt(settings, session, "true", by="ann", key="k-1", queue=True)


def created(settings: Config, _: Session) -> Request:
    return lambda: sessions.create(settings.data, "shell", key="k-1")


def answered(_: Config, session: Session) -> Request:
    return lambda: answer_question(session, "r", allow=True, by="ann")


def stopped(_: Config, session: Session) -> Request:
    return lambda: cancel_turn(session, by="ann")


def withdrawn(_: Config, session: Session) -> Request:
    return lambda: withdraw_prompt(session, 4, by="ann")


REQUESTS = {
    "a prompt": in_idle_session,
    "a queued prompt": queued,
    "a new session": created,
    "an answer": answered,
    "a stop": stopped,
    "the withdrawal of a prompt": withdrawn,
}
KINDS = {
    "a prompt": "user",
    "a queued prompt": "queued",
    "a new session": "created",
    "an answer": "answer",
    "a stop": "cancelled",
    "the withdrawal of a prompt": "withdrawn",
}


@pytest.fixture
def session(settings: Config, request: pytest.FixtureRequest) -> Iterator[Session]:
    """A session, with an open turn, a question and a queued prompt unless the request needs none of them."""
    name = request.node.callspec.params["name"]
    made = sessions.create(settings.data, "shell")
    if name in ("a prompt", "a new session"):
        yield made
    else:
        with open_turn(settings.data, made.id, {}) as opened:
            if name == "the withdrawal of a prompt":
                opened.append("queued", text="true", by="ann")
            yield made


@pytest.mark.parametrize("name", REQUESTS)
def test_a_repeated_request_waits_for_the_sync_of_the_first_and_is_refused_if_that_fails(
    name: str, settings: Config, session: Session, stuck_sync: StuckSync
) -> None:
    request = REQUESTS[name](settings, session)
    stuck_sync(request, request, EIO)
    with pytest.raises(CannotRecord, match="the disk failed under this session; once it is repaired, delete"):
        request()


@pytest.mark.parametrize("name", ["a prompt", "a queued prompt", "a new session", "a stop"])
def test_a_repeated_request_syncs_what_the_killed_process_of_the_first_did_not(
    name: str, settings: Config, session: Session, stuck_sync: StuckSync, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = REQUESTS[name](settings, session)
    stuck_sync(request, request, Killed())
    with failing_sync(monkeypatch), pytest.raises(CannotRecord):
        request()
    for mark in Path(settings.data).glob(f"sessions/*/{degraded.NAME}"):
        mark.unlink()  # as the administrator does after the repair
    request()
    logs = [Session(settings.data, id_) for id_ in sessions.ids(settings.data)]
    of_kind = [event for each in logs for event in events_of(each) if event["kind"] == KINDS[name]]
    assert len(of_kind) == (2 if name == "a new session" else 1)


@pytest.mark.parametrize("name", ["a new session"])
def test_a_session_with_a_key_is_not_completed_on_a_failed_disk(
    name: str, settings: Config, session: Session
) -> None:
    made = sessions.create(settings.data, "shell", key="k-1")
    os.truncate(f"{made.directory}/{log.NAME}", 0)
    Path(made.directory, degraded.NAME).touch()
    with pytest.raises(CannotRecord, match="the disk failed"):
        sessions.create(settings.data, "shell", key="k-1")


@pytest.mark.parametrize("name", ["a prompt"])
def test_a_disk_that_fails_between_the_first_look_and_the_prompt_refuses_the_prompt(
    name: str, settings: Config, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserve = log.Log.reserve_space

    def reserve_and_fail(self: log.Log) -> None:
        Path(session.directory, degraded.NAME).touch()
        reserve(self)

    monkeypatch.setattr(log.Log, "reserve_space", reserve_and_fail)
    with pytest.raises(Degraded):
        submit_prompt(settings, session, "true", by="ann")
    assert [event["kind"] for event in events_of(session)] == ["created"]
