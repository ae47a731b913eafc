"""The engine that a connection leads to: only a version that separates accounts safely is used."""

import asyncio
import importlib.util
from typing import cast

import pytest
from nats.aio.client import Client, ServerVersion
from nats.js import JetStreamContext
from nats.js.api import StreamConfig
from nats.js.errors import NotFoundError

from breakglass.errors import EngineLost, EngineRefused
from breakglass.relay import engine as engines
from breakglass.relay.credentials import Credentials
from breakglass.relay.keys import new_key
from tests.help.fleet import free_port


def connect_to(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connect to an engine that says that it has this version."""

    async def do_nothing(*_: object, **__: object) -> None:
        pass

    monkeypatch.setattr(Client, "connect", do_nothing)
    monkeypatch.setattr(Client, "close", do_nothing)
    monkeypatch.setattr(Client, "connected_server_version", ServerVersion(version))
    asyncio.run(engines.connect(Credentials("db1", "nats://127.0.0.1:4222", new_key()[0]), "test"))


@pytest.mark.parametrize("version", ["2.9.0", "2.11.99", "2.12.6", "2.13.0", "2.13.9"])
def test_an_engine_whose_walls_do_not_hold_is_refused(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineRefused, match="do not separate accounts safely"):
        connect_to(version, monkeypatch)


@pytest.mark.parametrize("version", ["2.12.7", "2.12.10", "2.14.0", "2.15.1", "3.0.0"])
def test_a_safe_engine_is_used(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connect_to(version, monkeypatch)


def test_an_engine_that_does_not_listen_is_lost_and_not_waited_for() -> None:
    wanted = Credentials("db1", f"nats://127.0.0.1:{free_port()}", new_key()[0])
    with pytest.raises(EngineLost, match=r"cannot be reached: .*Connect call failed"):
        asyncio.run(asyncio.wait_for(engines.connect(wanted, "test"), 60))


def test_a_websocket_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    wanted = Credentials("db1", "wss://hub.example.com", new_key()[0])
    with pytest.raises(EngineRefused, match=r"pip install 'breakglass\[relay,wss\]'"):
        asyncio.run(engines.connect(wanted, "test"))


def test_the_stream_of_a_host_refuses_to_delete() -> None:
    """Also for a client that got more rights than it should have."""
    created: list[StreamConfig] = []

    class NoStream:
        async def stream_info(self, _: str) -> None:
            raise NotFoundError

        async def add_stream(self, wanted: StreamConfig) -> None:
            created.append(wanted)

    engine = engines.Engine.__new__(engines.Engine)
    engine._js, engine._copies = cast(JetStreamContext, NoStream()), 3
    asyncio.run(engine.ensure_stream())
    assert [(stream.deny_delete, stream.num_replicas) for stream in created] == [(True, 3)]


@pytest.mark.parametrize(
    ("says", "found"),
    [
        (("refuses", "accepts", "accepts"), "b"),
        (("refuses", "away", "accepts"), "c"),
        (("away", "refuses", "away"), EngineLost),
        (("refuses", "refuses", "away"), EngineLost),
        (("refuses", "refuses", "refuses"), EngineRefused),
        (("away", "away", "away"), EngineLost),
    ],
)
def test_a_server_that_refuses_is_no_reason_not_to_ask_the_others(
    says: tuple[str, ...], found: str | type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = dict(zip(("tls://a", "tls://b", "tls://c"), says, strict=True))

    async def connect(_: Credentials, url: str, name: str) -> str:
        if answers[url] == "refuses":
            raise EngineRefused(url)
        if answers[url] == "away":
            raise EngineLost(url)
        return url[-1]

    monkeypatch.setattr(engines, "_connect", connect)
    wanted = Credentials("db1", ",".join(answers), new_key()[0])
    if isinstance(found, str):
        taken: object = asyncio.run(engines.connect(wanted, "test"))
        assert taken == found
    else:
        with pytest.raises(found):
            asyncio.run(engines.connect(wanted, "test"))
