"""An engine of three servers, each record kept three times: one server is lost at a time while the host works."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, suppress
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


@pytest.mark.parametrize("given", ["nothing", "the certificate", "the key"])
def test_only_a_program_with_the_key_of_the_servers_is_let_in_as_a_server(given: str, fleet: Fleet) -> None:
    port = servers.addresses(fleet.url)[1].cluster_port
    said = b""
    with suppress(OSError), ExitStack() as opened:
        client = opened.enter_context(socket.create_connection(("127.0.0.1", port), 30))
        if given != "nothing":
            files = fleet.hub.root / "engine"
            context = ssl.create_default_context(cafile=files / "cert.pem")
            if given == "the key":
                context.load_cert_chain(files / "cert.pem", files / "key.pem")
            client = opened.enter_context(context.wrap_socket(client, server_hostname="127.0.0.1"))
        client.sendall(b"PING\r\n")
        said = client.recv(1 << 16)
    assert said[:5] == (b"INFO " if given == "the key" else b"")
