"""Who can open a login address, and the tunnel that helps."""

import socket

import pytest

from breakglass.cli.login_address import tunnel, with_code
from breakglass.store.servers import RunningServer

NAME = socket.gethostname()


def test_the_code_is_in_the_part_that_browsers_do_not_send() -> None:
    assert with_code("https://db1.example/ops/login", "abc") == "https://db1.example/ops/login#code=abc"


@pytest.mark.parametrize(
    ("address", "page", "command"),
    [
        ("http://127.0.0.1:8420/", "http://127.0.0.1:8420/login", f"ssh -L 8420:127.0.0.1:8420 {NAME}"),
        ("http://localhost:9/", "http://localhost:9/login", f"ssh -L 9:localhost:9 {NAME}"),
        ("https://[::1]:8420/x/", "https://[::1]:8420/x/login", f"ssh -L 8420:[::1]:8420 {NAME}"),
        ("http://127.0.0.1:8420/", "http://127.0.0.1:9420/login", f"ssh -L 9420:127.0.0.1:8420 {NAME}"),
        ("http://127.0.0.1:8420/", "https://bg.localhost/login", f"ssh -L 443:127.0.0.1:8420 {NAME}"),
        ("/run/bg/socket", "http://127.0.0.1:9420/login", f"ssh -L 9420:/run/bg/socket {NAME}"),
        ("http://127.0.0.1:8420/", "https://ops.example.com/login", ""),
        ("http://192.0.2.7:8420/", "http://192.0.2.7:8420/login", ""),
        ("/run/bg/socket", None, ""),
    ],
)
def test_a_loopback_address_comes_with_its_tunnel(address: str, page: str | None, command: str) -> None:
    assert tunnel(RunningServer(address, page)) == command
