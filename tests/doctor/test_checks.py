"""`breakglass doctor`: each check turns red by a fault that is made here, and says what to do."""

import json
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from breakglass import doctor
from breakglass.config import Config
from breakglass.doctor import files, machine, network, notifications, service
from breakglass.notify import Notify
from breakglass.store import root as data_root
from breakglass.store import servers, untold
from breakglass.store.servers import RunningServer
from breakglass.targets import Target
from breakglass.vitals import Sign
from breakglass.vitals.probes import Place
from tests.cli.program import Data
from tests.help.commands import make_certificate

UNIT = {"LoadState": "loaded", "ActiveState": "active", "UnitFileState": "enabled", "KillMode": "process"}


@pytest.fixture
def config(root: Path) -> Config:
    data_root.create(root)
    return Config(data=root)


def place_with(folder: Path, **properties: str) -> Place:
    """Return a place whose systemctl reports these properties of the unit."""
    rows = "\n".join(f"echo {key}={value}" for key, value in properties.items())
    path = folder / "systemctl"
    path.write_text(f"#!/bin/sh\n{rows}\n")
    path.chmod(0o755)
    return Place(folder, {"PATH": f"{folder}:{os.environ['PATH']}"})


def nowhere(folder: Path) -> Place:
    return Place(folder, {"PATH": str(folder)})


def assert_says(sign: Sign, status: str, text: str, advice: str) -> None:
    """Fail unless a check has this status, and the texts contain these."""
    assert (sign.status, text in sign.text, advice in sign.advice) == (status, True, True), sign


# --- the data root --------------------------------------------------------------------------------


def test_a_sound_data_root_is_ok(config: Config, tmp_path: Path) -> None:
    assert files.data_root(config, nowhere(tmp_path)).status == "ok"


def test_a_data_root_that_others_may_enter_is_bad(config: Config, tmp_path: Path) -> None:
    config.data.chmod(0o750)
    assert_says(files.data_root(config, nowhere(tmp_path)), "bad", "others have rights", "chmod 700")


def test_a_parent_that_others_may_write_is_bad(tmp_path: Path) -> None:
    parent = tmp_path / "open"
    parent.mkdir()
    parent.chmod(0o777)
    sign = files.data_root(Config(data=parent / "var"), nowhere(tmp_path))
    assert_says(sign, "bad", "others than its owner", f"chmod go-w {parent}")
    assert "chmod" not in sign.text  # the advice has it
    assert not (parent / "var").exists()


def test_a_read_only_data_root_is_bad(config: Config, tmp_path: Path) -> None:
    (config.data / "read-only").write_text("a mirror")
    assert_says(files.data_root(config, nowhere(tmp_path)), "bad", "read-only: a mirror", "make it writable")


def test_a_data_root_that_does_not_exist_is_a_warning(tmp_path: Path) -> None:
    sign = files.data_root(Config(data=tmp_path / "var"), nowhere(tmp_path))
    assert_says(sign, "warn", "does not exist yet", "--data")


def test_memory_is_not_a_disk(tmp_path: Path) -> None:
    sign = files.file_system(Config(data=Path("/dev/shm/none")), nowhere(tmp_path))
    assert_says(sign, "warn", "tmpfs", "on a disk")


# --- the service ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "status", "text", "advice"),
    [
        ({}, "ok", "starts at boot", ""),
        ({"LoadState": "not-found"}, "warn", "not installed", "breakglass install"),
        ({"ActiveState": "failed"}, "bad", "failed", "systemctl status"),
        ({"UnitFileState": "disabled"}, "bad", "does not start at boot", "systemctl enable"),
    ],
)
def test_the_service_must_run_and_start_at_boot(
    change: dict[str, str], status: str, text: str, advice: str, config: Config, tmp_path: Path
) -> None:
    assert_says(service.unit(config, place_with(tmp_path, **UNIT | change)), status, text, advice)


@pytest.mark.parametrize("mode", ["control-group", "mixed"])
def test_a_kill_mode_that_ends_turns_is_bad(mode: str, config: Config, tmp_path: Path) -> None:
    sign = service.kill_mode(config, place_with(tmp_path, **UNIT | {"KillMode": mode}))
    assert_says(sign, "bad", f"kills every running turn (KillMode={mode})", "breakglass install --force")
    assert service.kill_mode(config, place_with(tmp_path, **UNIT)).status == "ok"


def test_a_machine_without_systemd_gets_a_warning(config: Config, tmp_path: Path) -> None:
    assert_says(
        service.unit(config, nowhere(tmp_path)), "warn", "systemd does not run here", "breakglass serve"
    )
    assert service.kill_mode(config, nowhere(tmp_path)).text == doctor.NOT_HERE


def test_a_server_that_the_kernel_kills_first_is_bad(config: Config, tmp_path: Path) -> None:
    score = Path("/proc/self/oom_score_adj")
    before = score.read_text()
    with servers.registered(config.data, RunningServer("http://127.0.0.1:1/", None)):
        score.write_text("500")  # a process may always raise it
        assert_says(
            service.oom_score(config, nowhere(tmp_path)), "bad", "before other processes (500)", "install"
        )
    assert service.oom_score(config, nowhere(tmp_path)).text == doctor.NOT_HERE
    try:
        score.write_text(before)
    except OSError:
        pass  # only root may lower it


# --- the network ----------------------------------------------------------------------------------


class Proxy(BaseHTTPRequestHandler):
    """A server that answers as the health check does, and lets in who has the header `X-User`."""

    health = json.dumps({"status": "ok", "service": "breakglass"}).encode()

    def do_GET(self) -> None:
        allowed = self.path.endswith("/health") or "X-User" in self.headers
        self.send_response(200 if allowed else 401)
        self.end_headers()
        self.wfile.write(self.health)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def proxy(certificate: tuple[Path, Path] | None = None) -> Iterator[str]:
    """Run it. Yields its origin."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def test_no_server_is_a_warning_and_one_that_does_not_answer_is_bad(config: Config, tmp_path: Path) -> None:
    here = nowhere(tmp_path)
    assert_says(network.server(config, here), "warn", "none runs", "breakglass serve")
    with servers.registered(config.data, RunningServer(f"http://127.0.0.1:{free_port()}/", None)):
        assert_says(network.server(config, here), "bad", "Connection refused", "journalctl")
    with proxy() as origin, servers.registered(config.data, RunningServer(f"{origin}/", None)):
        assert network.server(config, here).status == "ok"


def test_a_public_address_must_lead_to_the_server(tmp_path: Path) -> None:
    here = nowhere(tmp_path)
    assert network.public_address(Config(), here).status == "ok"
    closed = f"http://127.0.0.1:{free_port()}"
    assert_says(network.public_address(Config(origins=(closed,)), here), "bad", "Connection refused", "DNS")
    with proxy() as origin:
        assert network.public_address(Config(origins=(origin,)), here).status == "ok"
        found = network.public_address(Config(origins=(origin, closed)), here)
        assert_says(found, "bad", closed, "proxy")


def test_a_certificate_that_no_browser_accepts_is_bad(tmp_path: Path) -> None:
    with proxy(make_certificate(tmp_path)) as origin:
        sign = network.public_address(Config(origins=(origin,)), nowhere(tmp_path))
        assert_says(sign, "bad", "its certificate is refused: ", "certificate")


def test_a_proxy_that_passes_a_users_own_header_on_is_bad(tmp_path: Path) -> None:
    with proxy() as origin:
        passed = Config(origins=(origin,), proxy_user_header="X-User")
        assert_says(network.proxy_user(passed, nowhere(tmp_path)), "bad", "log in as any user", "X-User")
        removed = Config(origins=(origin,), proxy_user_header="X-Other")
        assert network.proxy_user(removed, nowhere(tmp_path)).status == "ok"


def test_a_certificate_that_ends_or_does_not_fit_is_found(tmp_path: Path) -> None:
    here, (certificate, key) = nowhere(tmp_path), make_certificate(tmp_path)
    found = network.certificate(Config(tls_cert=certificate, tls_key=key), here)
    assert found.value is not None
    assert found.status == ("ok" if found.value > network.SOON_SECONDS else "warn"), found
    missing = Config(tls_cert=tmp_path / "none", tls_key=key)
    assert_says(network.certificate(missing, here), "bad", "No such file", "must be able to read")
    (tmp_path / "other").mkdir()
    _, other = make_certificate(tmp_path / "other")
    assert network.certificate(Config(tls_cert=certificate, tls_key=other), here).status == "bad"


# --- targets, agents, the command -----------------------------------------------------------------


def test_a_target_must_have_an_ssh_server(tmp_path: Path) -> None:
    here = nowhere(tmp_path)
    closed = machine.target(Target("db1", f"root@127.0.0.1:{free_port()}"), here)
    assert_says(closed, "bad", "Connection refused", "[targets.db1]")
    with proxy() as origin:
        port = origin.rpartition(":")[2]
        assert machine.target(Target("db1", f"root@127.0.0.1:{port}"), here).status == "bad"
    behind = machine.target(Target("db2", "root@db2", proxy_jump="root@db1"), here)
    assert_says(behind, "unknown", "behind root@db1", "ssh -J root@db1 root@db2 true")


def test_the_command_exits_with_1_for_a_red_row_only(data: Data) -> None:
    data.new()
    config = data.folder / "breakglass.toml"
    config.write_text('[agents.missing]\nprotocol = "acp"\ncommand = ["/nowhere/agent"]\n')
    failed = data.run("doctor", "--config", str(config))
    shown = failed.stdout.decode()
    assert (failed.returncode, "✗ missing" in shown, "→ see: breakglass agents" in shown) == (1, True, True)
    rows = [json.loads(line) for line in data.run("doctor", "--json").stdout.splitlines()]
    assert all([*row] == ["name", "label", "status", "text", "advice"] for row in rows)
    assert all(row["advice"] for row in rows if row["status"] != "ok")
    bad = [row for row in rows if row["status"] == "bad"]
    assert data.run("doctor").returncode == (1 if bad else 0)


# --- notifications ---------------------------------------------------------------------------------


def test_a_notification_whose_address_cannot_be_read_or_that_was_not_sent_is_bad(
    config: Config, tmp_path: Path
) -> None:
    def check(**settings: Any) -> Sign:
        notify = replace(config, notify=(Notify(0, **settings),), environ={"OPS": "json://127.0.0.1/5ecret"})
        return notifications.notifications(notify, nowhere(tmp_path))

    assert_says(check(url_env="NONE"), "bad", "the variable NONE is not set", "notify --test")
    address = tmp_path / "address"
    assert_says(check(url_file=str(address)), "bad", "No such file", "notify --test")
    address.write_text("json://127.0.0.1/5ecret")
    address.chmod(0o644)
    assert_says(check(url_file=str(address)), "bad", "others may read", "notify --test")
    assert_says(check(url_env="OPS"), "warn", "has never told anything", "notify --test")
    untold.note_result(config.data, "notify[0]", 1.0, "HTTP 500")
    assert_says(check(url_env="OPS"), "bad", "notify[0]: HTTP 500", "notify --test")
    untold.note_result(config.data, "notify[0]", 2.0, "")
    assert check(url_env="OPS").status == "ok"
