"""Web Push from outside: a server, logins over HTTP, turns, and a push service on the loopback interface."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from breakglass.access.tokens import open_token
from breakglass.store import untold
from tests.help import push_services
from tests.help.devices import Device
from tests.help.push_services import PushService
from tests.help.servers import Server, environment
from tests.help.waiting import wait_until


@pytest.fixture(scope="module")
def service() -> Iterator[PushService]:
    with push_services.serve() as found:
        yield found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, service: PushService) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("push") / "var"
    started = Server(data, BREAKGLASS_PUSH_SERVICES=service.origin)
    yield started
    started.kill()


@pytest.fixture(autouse=True)
def nothing_before(service: PushService) -> None:
    service.status, service.location = 201, ""
    service.received.clear()


def failed_turn(server: Server, title: str) -> str:
    """Run a turn that fails and return its session once everything is told."""
    session = server.new_session(agent="shell", title=title)
    server.prompt(session, "exit 3")
    server.wait_for_end(session)
    wait_until(lambda: not untold.names(server.data), "everything to be told")
    return session


def notified(server: Server, session: str) -> list[tuple[str, str, bool]]:
    events = map(json.loads, server.log(session).read_bytes().splitlines())
    return [(each["to"], each["cause"], each["sent"]) for each in events if each["kind"] == "notified"]


def command(server: Server, service: PushService, *words: str) -> tuple[int, str]:
    """Run a command without the server's token."""
    env = environment(server.data, BREAKGLASS_PUSH_SERVICES=service.origin, BREAKGLASS_TOKEN="")
    done = subprocess.run(
        [sys.executable, "-m", "breakglass", *words],
        env={name: value for name, value in env.items() if value},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_browser_is_told_encrypted_until_its_subscription_is_gone(
    server: Server, service: PushService
) -> None:
    device = Device(server)
    status, before = device.push("GET")
    assert (status, before["on"], len(before["key"]), before["reason"]) == (200, False, 87, None)
    assert "a turn ended that took longer than 60 seconds" in before["told"]
    assert device.push("POST", service.subscription()) == (200, {"on": True})
    assert device.push("GET")[1]["on"] is True

    session = failed_turn(server, "Backups")
    (to,) = {each[0] for each in notified(server, session)}
    assert notified(server, session) == [(to, "failed", True)]
    (pushed,) = service.received
    sent = service.decrypted()
    assert sent["title"].partition(": ")[2].startswith("A turn failed")
    assert sent["body"].startswith(f"Backups\n\n{server.address}/sessions/{session}\nlog: ")
    assert sent["path"] == f"/sessions/{session}"
    assert pushed.path == "/push/device-5ecret"
    assert pushed.headers["authorization"].endswith(before["key"])
    assert (pushed.headers["content-encoding"], pushed.headers["ttl"]) == ("aes128gcm", "86400")
    assert b"Backups" not in pushed.body
    assert b"5ecret" not in server.log(session).read_bytes()

    code, shown = command(server, service, "notify", "--test")
    assert (code, shown) == (0, f"{to} 127.0.0.1: question, failed, lost, ended, degraded, login: ✓ sent\n")
    assert service.decrypted()["title"].endswith("This is a test")

    service.status = 410
    session = failed_turn(server, "gone")
    assert notified(server, session) == [(to, "failed", False)]
    assert device.push("GET")[1]["on"] is False
    code, shown = command(server, service, "notify")
    assert (code, "no notification is set" in shown) == (1, True)


def test_a_client_may_subscribe_without_having_read_the_key(
    server: Server, service: PushService, tmp_path: Path
) -> None:
    key, device = server.data / "push-key", Device(server)
    assert device.push("GET")[1]["key"]  # other tests may use this key later
    key.rename(tmp_path / "key")
    assert device.push("POST", service.subscription("keyless")) == (200, {"on": True})
    assert command(server, service, "notify", "--test")[0] == 0
    assert {each.path for each in service.received} == {"/push/keyless"}
    assert device.push("DELETE") == (200, {"on": False})
    (tmp_path / "key").replace(key)


def test_a_redirect_of_a_push_service_is_not_followed(server: Server, service: PushService) -> None:
    device = Device(server)
    device.push("POST", service.subscription("moved"))
    service.status, service.location = 307, f"{service.origin}/elsewhere"
    code, shown = command(server, service, "notify", "--test")
    assert (code, "✗ HTTP 307" in shown) == (1, True)
    assert {each.path for each in service.received} == {"/push/moved"}
    assert device.push("DELETE") == (200, {"on": False})
    assert device.push("GET")[1]["on"] is False


def test_a_running_turn_is_told_to_a_browser_that_subscribes_meanwhile(
    server: Server, service: PushService, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    session = server.new_session(agent="shell", title="long")
    server.prompt(session, f"while [ ! -e {gate} ]; do sleep 0.1; done; exit 4")
    device = Device(server)
    device.push("POST", service.subscription("late"))
    gate.touch()
    wait_until(lambda: bool(service.received), "the failed turn to be told")
    assert service.decrypted()["path"] == f"/sessions/{session}"
    device.push("DELETE")


def test_a_read_only_login_may_be_told_and_a_token_in_a_header_may_not(
    server: Server, service: PushService
) -> None:
    watcher = Device(server, open_token(server.data, may_act=False))
    assert watcher.push("POST", service.subscription("watcher")) == (200, {"on": True})
    assert watcher.push("DELETE") == (200, {"on": False})
    header = {"Authorization": f"Bearer {open_token(server.data, may_act=False)}"}
    assert server.ask("POST", "/api/push", service.subscription(), header)[0] == 403
    status, problem, _ = server.ask("POST", "/api/push", service.subscription())
    assert (status, "belong to a login" in problem["detail"]) == (409, True)
    status, found, _ = server.ask("GET", "/api/push")
    assert (found["on"], found["key"], "belong to a login" in found["reason"]) == (False, None, True)


@pytest.mark.parametrize(
    "change",
    [
        {"endpoint": "http://169.254.169.254/latest/meta-data"},
        {"endpoint": "https://127.0.0.1/x"},
        {"keys": {"p256dh": "AAAA", "auth": "AAAA"}},
        {"endpoint": 7},
        {"extra": 1},
    ],
)
def test_an_address_that_is_no_push_service_is_refused(
    change: dict[str, Any], server: Server, service: PushService
) -> None:
    device = Device(server)
    assert device.push("POST", service.subscription() | change)[0] == 422
    assert device.push("GET")[1]["on"] is False


def test_the_process_that_sends_loads_the_library_only_in_its_children() -> None:
    code = "import sys, breakglass.notifier.process; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-I", "-c", code], text=True).split()
    assert not {"apprise", "pywebpush", "requests", "aiohttp", "cryptography"} & {*loaded}
