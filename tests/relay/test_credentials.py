"""The credentials of a host: no address leads in clear text to another machine."""

from pathlib import Path

import pytest

from breakglass.errors import BadConfig
from breakglass.relay import credentials
from breakglass.relay.credentials import Credentials
from breakglass.relay.keys import new_key
from breakglass.relay_settings import check_url


@pytest.mark.parametrize(
    "url",
    [
        "nats://hub.example.com:4222",
        "ws://hub.example.com",
        "nats://192.0.2.7",
        "nats://127.0.0.1.example.com",
        "nats://localhost.example.com",
        "nats://[2001:db8::1]:4222",
        "nats://127.0.0.1:4222,nats://127.0.0.1:4223,nats://hub.example.com",
    ],
)
def test_an_address_without_tls_is_refused_beyond_this_machine(url: str, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="is not encrypted"):
        check_url("--url", url)
    file = tmp_path / "relay.creds"
    file.touch(0o600)
    file.write_text(credentials.write(Credentials("db1", url, new_key()[0])))
    with pytest.raises(BadConfig, match=r"relay\.creds: url: .* is not encrypted"):
        credentials.read(file)


@pytest.mark.parametrize(
    "url",
    [
        "tls://hub.example.com:4222",
        "wss://192.0.2.7",
        "nats://127.0.0.1:4222",
        "ws://localhost",
        "nats://[::1]:4222",
        "tls://a.example.com,tls://b.example.com:4333,tls://c.example.com",
    ],
)
def test_an_address_with_tls_or_on_this_machine_is_taken(url: str) -> None:
    assert check_url("--url", url) == url


@pytest.mark.parametrize(
    "url",
    [
        "tls://a.example.com,tls://b.example.com",
        "tls://a.example.com,tls://b.example.com,tls://a.example.com",
        "tls://a.example.com,tls://b.example.com,wss://c.example.com",
        "tls://a,tls://b,tls://c,tls://d",
        "tls://h1,tls://h1:4222,tls://h1/",
        "tls://h1,tls://H1.,tls://h2",
        "wss://h1:0443,wss://h1,wss://h2",
        "tls://[2001:db8::1]:4222,tls://[2001:db8:0::1],tls://h",
    ],
)
def test_an_engine_has_one_address_or_three(url: str) -> None:
    with pytest.raises(BadConfig, match="expected one address, or three different ones"):
        check_url("--url", url)


@pytest.mark.parametrize(
    "url", ["tls://hub:70000", "tls://hub:0", "tls://a,tls://b:65536,tls://c", "wss://[::1]:0"]
)
def test_a_port_is_from_1_to_65535(url: str) -> None:
    with pytest.raises(BadConfig, match=r"--url: expected a port from 1 to 65535, got '(tls|wss)://"):
        check_url("--url", url)
    assert check_url("--url", "tls://hub:65535") == "tls://hub:65535"


@pytest.mark.parametrize("url", ["tls://[:::]", "tls://[1:2]", "wss://[10.0.0.1]:443", "tls://."])
def test_what_is_no_host_is_refused(url: str) -> None:
    with pytest.raises(BadConfig, match="expected an address such as"):
        check_url("--url", url)
