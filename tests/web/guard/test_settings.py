"""Which Host headers and origins belong to a server."""

import pytest

from breakglass.errors import BadConfig
from breakglass.web.guard.settings import map_hosts


@pytest.mark.parametrize(
    ("host", "port", "scheme", "origins", "expected"),
    [
        ("db1.lan", 8420, "http", [], {b"db1.lan:8420": b"http://db1.lan:8420"}),
        ("fd00::1", 8420, "https", [], {b"[fd00::1]:8420": b"https://[fd00::1]:8420"}),
        ("db1.lan", 443, "https", [], {b"db1.lan": b"https://db1.lan", b"db1.lan:443": b"https://db1.lan"}),
        ("DB1", 80, "http", [], {b"db1": b"http://db1", b"db1:80": b"http://db1"}),
        ("a", 1, "http", ["https://b:444"], {b"a:1": b"http://a:1", b"b:444": b"https://b:444"}),
    ],
)
def test_a_host_belongs_to_one_origin(
    host: str, port: int, scheme: str, origins: list[str], expected: dict[bytes, bytes]
) -> None:
    assert map_hosts(host, port, scheme, origins) == expected


@pytest.mark.parametrize(
    "origin",
    [
        "ops.example.com",
        "https://OPS",
        "https://a/b",
        "*",
        "https://*.example.com",
        "",
        "https://a:65536",
        "https://a:0",
        "https://a:08420",
    ],
)
def test_an_origin_must_be_exact(origin: str) -> None:
    with pytest.raises(BadConfig, match="expected https://NAME"):
        map_hosts("127.0.0.1", 8420, origins=[origin])
