"""An engine of three servers, each record kept three times: one server is lost at a time while the host works."""

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from breakglass.relay import servers
from tests.help.fleet import Fleet
from tests.help.fleet_storm import run_storm
from tests.help.waiting import wait_until

pytestmark = pytest.mark.torture


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(tmp_path, servers=3)
    made.enroll("db1")
    for engine in made.engines:
        engine.start()
    wait_until(lambda: made.hub.run("mirror", "--once").returncode == 0, "the three servers to work together")
    yield made
    for engine in made.engines:
        engine.kill()


def test_nothing_is_lost_or_doubled_while_one_server_after_the_other_is_killed_or_stopped(
    fleet: Fleet,
) -> None:
    run_storm(fleet, kills=6, stops=2, victims=("engine",))


def test_nothing_is_lost_or_doubled_while_relay_mirror_and_servers_are_killed_or_stopped(
    fleet: Fleet,
) -> None:
    run_storm(fleet, kills=30, stops=10)


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_program_without_the_key_of_the_servers_is_not_let_in_as_a_server(
    encrypted: bool, fleet: Fleet
) -> None:
    port = servers.addresses(fleet.url)[1].cluster_port
    with socket.create_connection(("127.0.0.1", port), 10) as plain:
        assert json.loads(plain.recv(1 << 16).removeprefix(b"INFO "))["tls_verify"] is True
        client: socket.socket = plain
        said = b""
        with suppress(OSError):  # of TLS too
            if encrypted:
                context = ssl.create_default_context(cafile=fleet.hub.root / "engine" / "cert.pem")
                client = context.wrap_socket(plain, server_hostname="127.0.0.1")
            client.sendall(b'CONNECT {"server_id":"evil","name":"evil","cluster":"breakglass"}\r\nPING\r\n')
            while data := client.recv(1 << 16):
                said += data
        assert b"PONG" not in said
        assert b"+OK" not in said
