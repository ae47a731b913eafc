"""The answers of the engine to what was published. Only `engine.py` uses it."""

import asyncio
import json

from nats.aio.client import Client
from nats.aio.msg import Msg

from breakglass.errors import EngineLost, StreamFull, WrongSequence

PATIENCE = 5.0
"""Seconds that an answer of the engine may take."""
_WRONG_SEQUENCE = 10071
_FULL = {10047, 10077}


class Acks:
    """The answers to what was published, in an inbox of ours: a publish of the library reports no refusal."""

    def __init__(self, client: Client, prefix: str) -> None:
        """`prefix` is put before the name of a message to get its subject."""
        self._client = client
        self._prefix = prefix
        self._waiting: dict[str, asyncio.Future[int]] = {}
        self._inbox = ""
        self._sent = 0

    async def publish(
        self, name: str, data: bytes, headers: dict[str, str], expected: int
    ) -> "asyncio.Future[int]":
        """Send a message, as `Engine.publish`."""
        if not self._inbox:
            self._inbox = self._client.new_inbox()
            await self._client.subscribe(f"{self._inbox}.*", cb=self._take)
        self._sent += 1
        number, loop = str(self._sent), asyncio.get_running_loop()
        answer = self._waiting[number] = loop.create_future()
        loop.call_later(PATIENCE, self._give_up, number)
        sent = {**headers, "Nats-Expected-Last-Sequence": str(expected)}
        await self._client.publish(f"{self._prefix}{name}", data, f"{self._inbox}.{number}", headers=sent)
        return answer

    async def _take(self, message: Msg) -> None:
        answer = self._waiting.pop(message.subject.rpartition(".")[2], None)
        if answer is None or answer.done():
            return
        found = _read_ack(message.data)
        if isinstance(found, int):
            answer.set_result(found)
        else:
            answer.set_exception(found)

    def _give_up(self, number: str) -> None:
        answer = self._waiting.pop(number, None)
        if answer is not None and not answer.done():
            answer.set_exception(EngineLost(f"the engine did not store a piece within {PATIENCE:g} s"))


def _read_ack(data: bytes) -> int | Exception:
    """Return the sequence of a message that was stored, or the error that says why it was not."""
    try:
        found = json.loads(data)
        if (error := found.get("error")) is None:
            return int(found["seq"])
        text = str(error.get("description"))
        if error.get("err_code") == _WRONG_SEQUENCE:
            return WrongSequence(text)
        kind = StreamFull if error.get("err_code") in _FULL else EngineLost
        return kind(f"the engine did not store a piece: {text}")
    except (ValueError, KeyError, AttributeError):  # no responders: an empty message with a status
        return EngineLost("the engine has no stream for this host")
