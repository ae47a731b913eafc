"""Services that hang, refuse or fail, from outside: no turn waits for them, and no other process learns a secret."""

import json
import os
import signal
import sys
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from breakglass.access.push_key import read_push_key
from breakglass.store.sessions import Session
from breakglass.store.turnlock import read_runner
from breakglass.turns import processes
from tests.help import push_services, scripted_agent, services
from tests.help.commands import breakglass
from tests.help.devices import Device
from tests.help.push_services import AUTH, PushService, encode
from tests.help.senders import find_senders
from tests.help.servers import TOKEN, RealServer, Server
from tests.help.services import Service
from tests.help.session_logs import events_of
from tests.help.waiting import wait_until

AGENT = (
    '[agents.actor]\nprotocol = "claude"\npermissions = "ask"\n'
    f'command = ["{sys.executable}", "{scripted_agent.__file__}"]\n'
)
UNREACHED = "it could not be reached, or did not answer in time"


@pytest.fixture
def hanging() -> Iterator[Service]:
    with services.serve() as found:
        found.hangs.set()
        yield found


@pytest.fixture
def failing() -> Iterator[Service]:
    with services.serve() as found:
        found.status = 500
        yield found


@pytest.fixture
def push() -> Iterator[PushService]:
    with push_services.serve() as found:
        found.hangs.set()
        yield found


@pytest.mark.torture
def test_services_that_hang_refuse_and_fail_delay_no_turn_and_are_told_everywhere(
    tmp_path: Path, hanging: Service, failing: Service
) -> None:
    addresses = (hanging.webhook, "json://127.0.0.1:1/hook-5ecret", failing.webhook)
    tables = "".join(f'[[notify]]\nurl = "{each}"\non = ["question"]\n' for each in addresses)
    file = tmp_path / "breakglass.toml"
    file.write_text(f"metrics = true\n{AGENT}{tables}")
    server = Server(tmp_path / "var", "--config", str(file))
    try:
        session = Session(server.data, server.new_session(agent="actor"))
        server.prompt(session.id, "ask Bash rm x")
        wait_until(lambda: hanging.raw and failing.raw, "the question to be sent")
        body = {"request": session.state().asking[0].request, "allow": True}
        assert server.ask("POST", f"/api/sessions/{session.id}/answers", body)[0] == 202
        assert server.wait_for_end(session.id) == "ok"
        assert hanging.taken == []  # it answers never

        def notified() -> dict[str, object]:
            return {each["to"]: each["error"] for each in events_of(session) if each["kind"] == "notified"}

        wait_until(lambda: len(notified()) == 3, "everything to be told")
        assert notified() == {"notify[0]": UNREACHED, "notify[1]": UNREACHED, "notify[2]": "HTTP 500"}
        _, metrics, _ = server.ask("GET", "/metrics")
        assert b"breakglass_notifications_failed_total 3.0" in metrics
        done = breakglass(server.data, "doctor", "--json", "--config", str(file))
        rows = {row["name"]: row for row in map(json.loads, done.stdout.splitlines())}
        assert done.returncode == 1
        assert rows["notifications"]["status"] == "bad"
        assert rows["notifications"]["text"] == f"notify[0]: {UNREACHED}"
    finally:
        server.kill()


class Told(NamedTuple):
    """A running turn, and notifications that are on their way to services that do not answer."""

    server: Server
    session: str
    address: str
    """The address of the services. It has a part that no other test has."""
    secrets: tuple[bytes, ...]
    """What no other process may have. The first one is the token, which other tests use too."""


@pytest.fixture
def told(tmp_path: Path, hanging: Service, push: PushService) -> Iterator[Told]:
    mark = uuid.uuid4().hex
    address = f"json://127.0.0.1:{hanging.port}/{mark}"
    (tmp_path / "address").write_text(address)
    (tmp_path / "address").chmod(0o600)
    on = 'on = ["first_action"]\ndetail = "full"\n'
    places = ('url_env = "OPS_HOOK"', f'url_file = "{tmp_path}/address"', f'url = "{address}"', "push = true")
    tables = "".join(f"[[notify]]\n{each}\n{on}" for each in places)
    (tmp_path / "breakglass.toml").write_text(f'push_services = ["{push.origin}"]\n{tables}')
    server = RealServer(tmp_path / "var", "--config", str(tmp_path / "breakglass.toml"), OPS_HOOK=address)
    try:
        device = Device(server)
        assert device.push("GET")[0] == 200
        assert device.push("POST", push.subscription(mark))[0] == 200
        session = server.new_session(agent="shell", title="Title")
        server.prompt(session, f"while [ ! -e {tmp_path}/gate ]; do sleep 0.1; done")
        wait_until(lambda: len(hanging.raw) == 3 and push.received, "every service to be told")
        secrets = (TOKEN, mark, read_push_key(server.data).private, encode(AUTH))
        yield Told(server, session, address, tuple(each.encode() for each in secrets))
    finally:
        (tmp_path / "gate").touch()
        server.kill()
        for pid in find_senders(server.data):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_while_a_notification_is_on_its_way_no_body_log_or_other_process_has_a_secret(
    told: Told, hanging: Service, push: PushService
) -> None:
    server = told.server
    assert_hidden_in_processes(told)
    texts = [*hanging.raw, push.received[0].body, json.dumps(push.decrypted()).encode()]
    own = {"logins.jsonl", "push-key", "token", "read-only-token"}
    texts += [each.read_bytes() for each in server.data.rglob("*") if each.is_file() and each.name not in own]
    for text in (*texts, server.printed.encode()):
        assert not any(each in text for each in told.secrets), text


def assert_hidden_in_processes(told: Told) -> None:
    """Fail if a process shows a secret in its words, or has one in its environment that it does not need."""
    runner = read_runner(Session(told.server.data, told.session))
    assert runner
    senders = find_senders(told.server.data)
    assert len(senders) >= 4
    ours = {*senders, runner.pid, *processes.descendants(runner.pid)}
    found = {pid: words_and_variables(pid) for pid in processes.list_pids()}
    for pid, (words, variables) in found.items():
        secrets = told.secrets if pid in ours else told.secrets[1:]
        assert not any(each in words for each in secrets), (pid, words)
        if pid != told.server.process.pid:  # it has what its user gave it
            shown = {each for each in variables.split(b"\0") if any(text in each for text in secrets)}
            assert shown <= ({b"OPS_HOOK=" + told.address.encode()} if pid in senders else set()), pid


def words_and_variables(pid: int) -> tuple[bytes, bytes]:
    """Return the command line and the environment of a process, as root sees them; empty if it has exited."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes(), Path(f"/proc/{pid}/environ").read_bytes()
    return b"", b""
