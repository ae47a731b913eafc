"""The listening sockets: where the server listens, and who may connect."""

import os
import socket
import stat
from pathlib import Path

import pytest

from breakglass.errors import BadConfig
from breakglass.web.http.listen import SEND_BUFFER, open_tcp, open_unix, refuse_exposed
from breakglass.web.http.stalls import STALL_SECONDS


def test_connections_inherit_the_options_of_their_listening_socket() -> None:
    [listening] = open_tcp("127.0.0.1", 0)
    with listening:
        listening.listen()
        with socket.create_connection(listening.getsockname()), listening.accept()[0] as accepted:
            timeout = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            assert timeout == STALL_SECONDS * 1000
            assert (
                accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 2 * SEND_BUFFER
            )  # Linux doubles the value


def test_localhost_means_ipv4_and_ipv6_on_one_port() -> None:
    sockets = open_tcp("localhost", 0)
    assert len({sock.getsockname()[1] for sock in sockets}) == 1
    families = {found[0] for found in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
    assert {sock.family for sock in sockets} <= families
    for sock in sockets:
        sock.close()


@pytest.mark.parametrize(
    ("host", "given", "expected"),
    [
        ("127.0.0.1", {}, True),
        ("127.8.9.10", {}, True),
        ("::1", {}, True),
        ("localhost", {}, True),
        ("0.0.0.0", {}, False),
        ("::", {}, False),
        ("192.0.2.1", {}, False),
        ("0.0.0.0", {"tls": True}, True),
        ("0.0.0.0", {"proxied": True}, True),
        ("0.0.0.0", {"allow_plain": True}, True),
    ],
)
def test_listening_beyond_loopback_needs_tls_a_proxy_or_permission(
    host: str, given: dict[str, bool], expected: bool
) -> None:
    settings = {"tls": False, "proxied": False, "allow_plain": False} | given
    if expected:
        refuse_exposed(host, **settings)
        return
    with pytest.raises(BadConfig, match=r"--tls-cert.*proxies.*--allow-plain"):
        refuse_exposed(host, **settings)


def test_an_unusable_address_is_named_with_what_to_do() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(BadConfig, match=r"127.0.0.1 port \d+: it is in use already.*--port"):
            open_tcp("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(BadConfig, match="does not have that address"):
        open_tcp("192.0.2.1", 0)
    for name in ("no such name", "a..b", "x" * 64):
        with pytest.raises(BadConfig, match="expected a name or an IP address"):
            open_tcp(name, 0)


def test_a_unix_socket_is_private_from_its_creation(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with open_unix(tmp_path / "socket"):
            assert stat.S_IMODE((tmp_path / "socket").stat().st_mode) == 0o600
        (tmp_path / "shared").mkdir()
        (tmp_path / "shared").chmod(0o2750)
        with open_unix(tmp_path / "shared" / "socket"):
            assert stat.S_IMODE((tmp_path / "shared" / "socket").stat().st_mode) == 0o660
        assert os.umask(0) == 0, "the umask was not restored"
    finally:
        os.umask(before)


def test_only_the_socket_of_a_dead_server_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    open_unix(path).close()
    with open_unix(path) as live:
        live.listen()
        with pytest.raises(BadConfig, match="it is in use already"):
            open_unix(path)
    path.unlink()
    path.write_text("a file")
    with pytest.raises(BadConfig, match="it is in use already"):
        open_unix(path)
    assert path.read_text() == "a file"
