"""The configuration of the engine's servers, as `breakglass enroll` writes it."""

from pathlib import Path

import pytest

from breakglass.relay import servers
from breakglass.relay.enroll import Hub

THREE = "tls://h1.example.com,tls://h2.example.com:4333,tls://192.0.2.3"


def test_one_server_has_one_file_and_speaks_to_no_other() -> None:
    files = servers.configurations("tls://hub.example.com", "/d")
    assert list(files) == ["nats-server.conf"]
    text = files["nats-server.conf"]
    assert 'listen: "0.0.0.0:4222"\n' in text
    assert 'tls { cert_file: "/d/cert.pem", key_file: "/d/key.pem" }\n' in text
    assert "cluster" not in text


def test_a_server_that_speaks_websocket_listens_only_so() -> None:
    text = servers.configurations("wss://hub.example.com", "/d")["nats-server.conf"]
    tls = 'tls { cert_file: "/d/cert.pem", key_file: "/d/key.pem" }'
    assert f'websocket {{\n  listen: "0.0.0.0:443"\n  {tls}\n}}\n' in text
    assert text.count(tls) == 1
    assert '\nlisten: "127.0.0.1:-1"\n' in text
    plain = servers.configurations("ws://127.0.0.1:8080", "/d")["nats-server.conf"]
    assert 'websocket {\n  listen: "127.0.0.1:8080"\n  no_tls: true\n}\n' in plain


def test_each_of_three_servers_reaches_the_other_two_over_tls() -> None:
    files = servers.configurations(THREE, "/d")
    assert list(files) == ["nats-server-1.conf", "nats-server-2.conf", "nats-server-3.conf"]
    second = files["nats-server-2.conf"]
    assert 'server_name: "engine-2"\nlisten: "0.0.0.0:4333"\n' in second
    assert 'store_dir: "/d/jetstream-2"' in second
    assert '  listen: "0.0.0.0:6333"\n' in second
    assert 'routes: ["nats://h1.example.com:6222", "nats://192.0.2.3:6222"]' in second
    assert 'ca_file: "/d/cert.pem", verify: true }' in second, "a server without the key is not let in"


def test_servers_of_this_machine_listen_nowhere_else_and_still_need_the_certificate() -> None:
    url = "nats://127.0.0.1:4222,nats://127.0.0.1:4223,nats://127.0.0.1:64000"
    files = servers.configurations(url, "/d")
    assert servers.needs_certificate(url)
    assert not servers.needs_certificate("nats://127.0.0.1:4222")
    assert [line for line in files["nats-server-3.conf"].split("\n") if "listen" in line] == [
        'listen: "127.0.0.1:64000"',
        '  listen: "127.0.0.1:62000"',
    ]
    assert "0.0.0.0" not in "".join(files.values())


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("wss://hub.example.com", ("wss", "hub.example.com", 443)),
        ("nats://[::1]:4333", ("nats", "[::1]", 4333)),
        ("tls://[2001:db8::1]", ("tls", "[2001:db8::1]", 4222)),
    ],
)
def test_an_address_without_a_port_has_that_of_its_kind(url: str, found: tuple[str, str, int]) -> None:
    assert servers.addresses(url) == [found]


def test_each_record_of_three_servers_is_kept_three_times_within_the_same_limit(tmp_path: Path) -> None:
    for name, url, limit in (("one", "nats://127.0.0.1:4222", "16G"), ("three", THREE, "48G")):
        hub = Hub(tmp_path / name)
        hub.directory.parent.mkdir()
        hub.prepare(url)
        given = hub.enroll("db1")
        assert f"max_file: {limit}" in (hub.directory / "accounts.conf").read_text()
        assert (given.url, bool(given.ca)) == (url, name == "three")


@pytest.mark.parametrize("url", ["nats://127.0.0.1:4222", THREE])
def test_the_names_of_the_files_are_known_without_their_texts(url: str) -> None:
    assert servers.names(url) == list(servers.configurations(url, "/d"))
