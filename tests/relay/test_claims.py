"""Which relay may ship: the one whose claim is the newest that the engine has stored."""

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from breakglass.errors import EngineLost, Fenced
from breakglass.relay.engine import Asked, Engine
from breakglass.relay.heads import HeadSigner
from breakglass.relay.ship import Relay


class Claims:
    """An engine that stores claims, or loses them before they are stored."""

    def __init__(self, stored: int, relay: str) -> None:
        self.sequence = stored
        self.claim = {"Bg-Relay": relay, "Bg-Machine": "old"}
        self.claim_sequence = stored
        self.loses = False
        self.told: list[bytes] = []

    async def ask(self) -> Asked:
        return Asked(self.sequence, {}, {}, dict(self.claim), self.claim_sequence)

    async def publish(
        self, _: str, __: bytes, headers: dict[str, str], expected: int
    ) -> "asyncio.Future[int]":
        stored: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if self.loses:
            stored.set_exception(EngineLost("the engine did not store a piece within 5 s"))
            return stored
        self.sequence = self.claim_sequence = expected + 1
        self.claim = headers
        stored.set_result(self.sequence)
        return stored

    async def tell(self, _: str, data: bytes) -> None:
        self.told.append(data)


def relay(tmp_path: Path) -> Relay:
    return Relay(tmp_path, cast(Any, None), lambda _: None, cast(HeadSigner, None))


def test_a_claim_that_was_not_stored_is_made_again(tmp_path: Path) -> None:
    engine, ours = Claims(7, "a relay that was killed"), relay(tmp_path)

    async def connect_twice() -> None:
        engine.loses = True
        with pytest.raises(EngineLost):
            await ours._take_over(cast(Engine, engine))
        ours._acks.clear()
        engine.loses = False
        await ours._take_over(cast(Engine, engine))

    asyncio.run(connect_twice())
    assert (engine.claim["Bg-Relay"], engine.claim_sequence) == (ours._nonce, 8)
    assert engine.told == []


@pytest.mark.parametrize("loses", [False, True])
def test_a_relay_stops_if_another_one_has_claimed_later(tmp_path: Path, *, loses: bool) -> None:
    """Also if its own claim was lost, and the other one got its number."""
    engine, first, second = Claims(7, "before"), relay(tmp_path), relay(tmp_path)

    async def claim_in_turn() -> None:
        engine.loses = loses
        if loses:
            with pytest.raises(EngineLost):
                await first._take_over(cast(Engine, engine))
            first._acks.clear()
        else:
            await first._take_over(cast(Engine, engine))
        engine.loses = False
        await second._take_over(cast(Engine, engine))
        with pytest.raises(Fenced, match="another relay with the credentials of this host has taken over"):
            await first._take_over(cast(Engine, engine))

    asyncio.run(claim_in_turn())
    assert engine.claim["Bg-Relay"] == second._nonce


def test_a_relay_claims_again_after_the_engine_was_emptied(tmp_path: Path) -> None:
    engine, ours = Claims(7, "before"), relay(tmp_path)

    async def connect_twice() -> None:
        await ours._take_over(cast(Engine, engine))
        engine.sequence = engine.claim_sequence = 0
        engine.claim = {}
        await ours._take_over(cast(Engine, engine))

    asyncio.run(connect_twice())
    assert (engine.claim["Bg-Relay"], engine.claim_sequence) == (ours._nonce, 1)
