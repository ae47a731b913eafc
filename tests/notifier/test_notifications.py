"""Notifications as a user gets them: real turns, the real process, and services on the loopback interface."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from breakglass.config import Config
from breakglass.load_config import load_config
from breakglass.notifier.process import Notifier
from breakglass.store import log, sessions, untold
from breakglass.store.seek import START
from breakglass.store.turnlock import read_runner
from breakglass.turns import processes
from breakglass.turns.answer import answer_question
from breakglass.turns.begin import submit_prompt
from breakglass.turns.notifying import Sender, start_sender
from tests.help import scripted_agent
from tests.help.questions import OldQuestion
from tests.help.senders import find_senders
from tests.help.services import Service, serve
from tests.help.session_logs import events_of
from tests.help.waiting import wait_until

AGENT = Path(scripted_agent.__file__)


@pytest.fixture
def service() -> Iterator[Service]:
    with serve() as found:
        yield found


def configured(root: Path, folder: Path, text: str, **env: str) -> Config:
    """Return the settings of a file, as every process reads them."""
    file = folder / "breakglass.toml"
    agent = f'[agents.actor]\nprotocol = "claude"\ncommand = ["{sys.executable}", "{AGENT}"]\npermissions = "ask"\n'
    file.write_text(f'agent = "actor"\nvitals = false\norigins = ["https://ops.example.com"]\n{agent}{text}')
    keep = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return load_config({**keep, **env}, str(file), {"data": str(root)})


def told(config: Config, session: sessions.Session) -> list[dict[str, Any]]:
    """Return the `notified` events of a session, once nothing more is to be told."""
    wait_until(lambda: not untold.names(config.data), "everything to be told")
    return [each for each in events_of(session) if each["kind"] == "notified"]


def test_a_question_and_the_end_are_told_and_dead_services_delay_neither_the_turn_nor_others(
    root: Path, tmp_path: Path, service: Service
) -> None:
    refusing = '\n[[notify]]\nurl = "json://127.0.0.1:1/hook-5ecret"\non = ["question"]\n'
    config = configured(
        root,
        tmp_path,
        f'[[notify]]\nurl = "{service.webhook}"\non = ["question", "ended"]\nafter_seconds = 0.001\ndetail = "full"\n'
        f'[[notify]]\nurl_env = "OPS_NTFY"\ndetail = "none"\n{refusing}',
        OPS_NTFY=service.ntfy,
        BREAKGLASS_TOKEN="0f9d2c7b81e64a35" * 2,
    )
    session = sessions.create(config.data, "actor", title="Backups")
    submit_prompt(config, session, "ask Bash rm x", by="ann")
    wait_until(lambda: len(service.received) == 2, "the question to be told")
    request = session.state().asking[0].request
    answer_question(session, request, allow=True, by="ann")

    events = told(config, session)
    outcomes = sorted((each["to"], each["cause"], each["sent"]) for each in events)
    assert outcomes == [
        ("notify[0]", "ended", True),
        ("notify[0]", "question", True),
        ("notify[1]", "question", True),
        ("notify[2]", "question", False),
    ]
    assert [each["error"] for each in events if not each["sent"]] == [
        "it could not be reached, or did not answer in time"
    ]
    address = f"https://ops.example.com/sessions/{session.id}"
    question = [each for each in service.received if "waits" in each["title"]]
    assert {each.get("topic") for each in question} == {None, "topic-5ecret"}
    assert all(address in each["message"] and "log: " in each["message"] for each in question)
    by_topic = {"topic" in each: each["message"] for each in question}
    assert by_topic[False].startswith("Backups\nBash\nrm x\n")
    assert by_topic[True].startswith(address)
    written = b"".join(each.read_bytes() for each in root.rglob("*") if each.is_file())
    assert b"5ecret" not in written
    assert b"0f9d2c7b81e64a35" not in b"".join(service.raw)


def test_a_turn_whose_runner_died_is_told_without_a_server(
    root: Path, tmp_path: Path, service: Service
) -> None:
    config = configured(root, tmp_path, f'[[notify]]\nurl = "{service.webhook}"\n')
    session = sessions.create(config.data, "shell")
    submit_prompt(config, session, "kill -9 $PPID; sleep 100", by="ann")
    events = told(config, session)
    assert [(each["cause"], each["sent"]) for each in events] == [("lost", True)]
    assert service.received[0]["title"].partition(": ")[2].startswith("A turn was lost")


def test_a_question_that_was_answered_while_its_try_was_killed_is_recorded_and_the_process_ends(
    root: Path, tmp_path: Path, service: Service
) -> None:
    config = configured(root, tmp_path, f'[[notify]]\nurl = "{service.webhook}"\non = ["question"]\n')
    session = sessions.create(config.data, "shell")
    with session.open_log() as opened:
        turn = opened.append("user", text="x", by="ann", agent="shell")
        question = {"request": "r1", "name": "Bash", "input": {}, "expires": log.timestamp(time.time() + 600)}
        asked = opened.append("permission", turn=turn, **question)
        untold.mark(root, session.id, START, is_first=True)
        untold.note(root, session.id, untold.Attempt(f"question:{asked}", "notify[0]", time.time()))
        opened.append("answer", turn=turn, request="r1", allow=True, by="ann")
        opened.append("turn_end", turn=turn, status="ok", duration_ms=5)
    Notifier(config).run()
    assert [(each["about"], each["sent"]) for each in told(config, session)] == [(asked, False)]
    assert service.received == []


def test_in_quiet_hours_a_question_is_told_and_a_failed_turn_waits(
    root: Path, tmp_path: Path, service: Service
) -> None:
    now = time.time()
    begin, end = (time.strftime("%H:%M", time.localtime(now + hours * 3600)) for hours in (-1, 1))
    table = f'[[notify]]\nurl = "{service.webhook}"\nquiet_hours = "{begin}-{end}"\n'
    config = configured(root, tmp_path, table)
    failed = sessions.create(config.data, "shell", title="failed")
    submit_prompt(config, failed, "exit 3", by="ann")
    wait_until(lambda: failed.state().status == "error", "the turn to fail")
    asking = sessions.create(config.data, "actor", title="asking")
    submit_prompt(config, asking, "ask Bash rm x", by="ann")
    try:
        wait_until(lambda: [each for each in events_of(asking) if each["kind"] == "notified"], "the question")
        assert [each["message"].partition("\n")[0] for each in service.received] == ["asking"]
        assert [each["kind"] for each in events_of(failed) if each["kind"] == "notified"] == []
    finally:
        answer_question(asking, asking.state().asking[0].request, allow=True, by="ann")
        runner = read_runner(asking)
        wait_until(lambda: runner and not processes.is_alive(*runner), "the runner to exit")
        for pid in find_senders(config.data):  # it would wait for the end of the quiet hours
            os.kill(pid, signal.SIGKILL)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of apprise: the child is a fork of this process
def test_one_child_tells_a_destination_the_causes_of_all_sessions_and_questions_first(
    root: Path, tmp_path: Path, service: Service
) -> None:
    config = configured(root, tmp_path, f'[[notify]]\nurl = "{service.webhook}"\ndetail = "title"\n')
    children: list[int] = []
    os.register_at_fork(before=lambda: children.append(1))
    failed = [sessions.create(config.data, "shell", title=f"failed {number}") for number in range(5)]
    for session in failed:
        untold.mark(root, session.id, START, is_first=True)
        with session.open_log() as opened:
            turn = opened.append("user", text="x", by="ann", agent="shell")
            opened.append("turn_end", turn=turn, status="error", duration_ms=5)
    asking = OldQuestion(root, "asking", 60)

    def answer_once_told() -> None:
        wait_until(lambda: service.received, "the question to be told")
        asking.answer()

    answering = threading.Thread(target=answer_once_told)
    answering.start()
    Notifier(config).run()
    answering.join()
    assert len(children) == 1
    titles = [each["message"].partition("\n")[0] for each in service.received]
    assert titles == ["asking", *(f"failed {number}" for number in range(5))]
    assert all(each["sent"] for session in failed for each in told(config, session))


def test_the_process_gets_neither_the_token_nor_the_mark_of_a_turn_and_shows_no_address(
    root: Path, tmp_path: Path
) -> None:
    config = configured(
        root,
        tmp_path,
        '[[notify]]\nurl_env = "OPS"\n[[notify]]\nurl = "json://127.0.0.1:1/5ecret"\n',
        OPS="json://127.0.0.1:1/5ecret",
        BREAKGLASS_TOKEN="0f9d2c7b81e64a35" * 2,
        OTHER_KEY="x",
    )
    from breakglass.turns.notifying import sender_of

    sender = sender_of(config)
    assert sender
    assert sender.environ.keys() - {"PATH", "HOME"} == {"OPS"}
    assert not any("5ecret" in word for word in sender.argv)


def test_a_runner_spends_less_than_a_millisecond_on_notifications(root: Path) -> None:
    sender = Sender(str(root), ("/bin/false",), {})
    root.mkdir()
    untold.mark(root, "0" * 36, START, is_first=False)
    with untold.sender_lock(root) as lock:
        assert lock is not None
        began = time.process_time()
        for _ in range(200):
            assert start_sender(sender) == 0
        assert (time.process_time() - began) / 200 < 0.001


def test_without_anything_to_tell_no_process_is_started(root: Path) -> None:
    root.mkdir()
    assert start_sender(Sender(str(root), ("/bin/false",), {})) == 0
    assert start_sender(None) == 0


def test_a_dead_process_is_started_again(root: Path, tmp_path: Path) -> None:
    root.mkdir()
    untold.mark(root, "0" * 36, START, is_first=False)
    pid = start_sender(Sender(str(root), ("/bin/sleep", "100"), {"BREAKGLASS_DATA": "x"}))
    try:
        assert os.getsid(pid) == pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
