"""Causes that no turn ends with, from outside: a login, a failed disk, and a question that waits for long."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from breakglass import events
from breakglass.notify.causes import AGAIN_SECONDS
from breakglass.store import degraded, untold
from tests.help.questions import OldQuestion
from tests.help.servers import TOKEN, Server
from tests.help.services import Service, serve
from tests.help.waiting import wait_until

FORM = {"Content-Type": "application/x-www-form-urlencoded", "Authorization": ""}


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serve() as found:
        yield found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, service: Service) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("causes")
    (folder / "breakglass.toml").write_text(f'[[notify]]\nurl = "{service.webhook}"\ndetail = "full"\n')
    started = Server(folder / "var", "--config", str(folder / "breakglass.toml"))
    yield started
    started.kill()


def wait_for(service: Service, headline: str, number: int = 1) -> list[str]:
    """Return the texts of that headline once there are as many."""

    def found() -> list[str]:
        return [each["message"] for each in service.received if headline in each["title"]]

    wait_until(lambda: len(found()) >= number, headline)
    return found()


def notified(server: Server, session: str) -> list[tuple[str, bool]]:
    lines = (
        events.decode(line, number)
        for number, line in enumerate(server.log(session).read_bytes().splitlines(), 1)
    )
    return [(each["cause"], each["sent"]) for each in lines if each["kind"] == "notified"]


def log_in(server: Server) -> None:
    assert server.ask("POST", "/login", urlencode({"token": TOKEN}).encode(), FORM)[0] == 303


def test_a_login_from_a_new_address_is_told_once(server: Server, service: Service) -> None:
    wait_until((server.data / "notify" / "logins").exists, "the server to watch")
    log_in(server)
    (text,) = wait_for(service, "A login from a new address")
    assert text.startswith("owner from 127.0.0.1\n")
    log_in(server)  # from the same one
    wait_until(lambda: not untold.has_new_logins(server.data), "both to be looked at")
    assert b'"notified"' in (server.data / "logins.jsonl").read_bytes()
    assert len(wait_for(service, "A login from a new address")) == 1


def test_a_disk_that_fails_under_a_log_is_told_once(server: Server, service: Service, tmp_path: Path) -> None:
    session = server.new_session(agent="shell", title="On sdb")
    server.prompt(session, f"while [ ! -e {tmp_path}/gate ]; do sleep 0.1; done")
    degraded.DiskFailure(str(server.log(session).parent)).note()
    (text,) = wait_for(service, "The disk failed under a session")
    assert text.startswith("On sdb\n")
    assert f"/sessions/{session}\n" in text
    (tmp_path / "gate").touch()
    wait_until(lambda: not untold.names(server.data), "everything to be told")
    assert len(wait_for(service, "The disk failed under a session")) == 1


def test_a_question_that_waits_for_five_minutes_is_told_again_also_without_a_server(
    server: Server, service: Service
) -> None:
    old = OldQuestion(server.data, "Old question", AGAIN_SECONDS - 3)
    try:
        (first,) = wait_for(service, "A question waits")
        assert first.startswith("Old question\nBash\nrm x\n")
        (again,) = wait_for(service, "A question still waits")
        assert re.search(r"log: [34] lines, no seal yet$", again)
    finally:
        old.answer()
    wait_until(lambda: not untold.names(server.data), "everything to be told")
    found = notified(server, old.session.id)
    assert found[:2] == [("question", True), ("question_again", True)]
