"""Open streams: limits their number, and ends them when a credential ends or the server stops."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from breakglass.access.credentials import Access, Credential
from breakglass.web.guard.settings import GuardSettings
from breakglass.web.http.asgi import Message, Receive
from breakglass.web.http.clients import AddressCounter


class TooManyStreams(Exception):
    """The response is a stream, and a limit is reached. No part of it was sent."""


class OpenResponse:
    """The `receive` of an application whose response can be ended early.

    `end` makes `receive` report a disconnect, which every application expects.
    Cancelling the application's task instead would leave tasks of Quart behind.
    """

    __slots__ = ("_is_ended", "_receive", "_waiting", "began", "credential")

    def __init__(self, receive: Receive, credential: Credential | None):
        self.credential = credential
        self.began = 0.0
        """In monotonic seconds, set when it turns out to be a stream."""
        self._receive = receive
        self._waiting: asyncio.Task[Any] | None = None
        self._is_ended = False

    async def receive(self) -> Message:
        """Return the next ASGI message, `http.disconnect` after `end`."""
        if self._is_ended:
            return {"type": "http.disconnect"}
        task = self._waiting = asyncio.current_task()
        try:
            return await self._receive()
        except asyncio.CancelledError:
            if task is None or self._waiting is task:
                raise
            task.uncancel()  # only `end` cancelled it
            return {"type": "http.disconnect"}
        finally:
            self._waiting = None

    def end(self) -> None:
        """Make the pending `receive`, and every later one, return `http.disconnect`."""
        self._is_ended = True
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()


class OpenStreams:
    """The open streams of this process. While there are any, their credentials are checked again and again."""

    def __init__(
        self, access: Access, settings: GuardSettings, monotonic: Callable[[], float] = time.monotonic
    ):
        self._access = access
        self._monotonic = monotonic
        self._proxied_seconds = settings.proxied_stream_seconds
        self._recheck_seconds = settings.recheck_seconds
        self._counter = AddressCounter(settings.max_streams, settings.max_streams_per_address)
        self._open: dict[OpenResponse, str] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, response: OpenResponse, address: str) -> None:
        """Count a stream. Raises TooManyStreams at a limit."""
        if not self._counter.add(address):
            raise TooManyStreams
        response.began = self._monotonic()
        self._open[response] = address
        self._recheck_later()

    def discard(self, response: OpenResponse) -> None:
        """Forget a response, if it was a stream."""
        if response in self._open:
            self._counter.remove(self._open.pop(response))

    def end_all(self) -> None:
        """End every stream, as if its client had disconnected."""
        for response in self._open:
            response.end()

    def _recheck_later(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._recheck_seconds, self.recheck)

    def recheck(self) -> None:
        """End the streams whose credential has ended. Called again and again while there are streams."""
        self._timer = None
        for response in self._open:
            if response.credential is not None and not self._is_valid(response, response.credential):
                response.end()
        if self._open:
            self._recheck_later()

    def _is_valid(self, response: OpenResponse, credential: Credential) -> bool:
        """Only the proxy knows whether its user may still read, and it is asked when the stream opens again."""
        if credential.kind == "proxy":
            return self._monotonic() - response.began < self._proxied_seconds
        return self._access.still_valid(credential)
