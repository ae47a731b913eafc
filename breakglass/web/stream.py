"""Attach: a session's log as a stream of server-sent events, first replayed, then live.

Turns the pieces and events of `store.follow` into bytes, and decides nothing. A stream ends when the client
disconnects, the log is deleted, the credential ends or the server stops.
"""

import math
import re
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import NamedTuple

from breakglass.errors import Malformed
from breakglass.store.follow import Followers, FollowSignal
from breakglass.store.pieces import Frame, Piece
from breakglass.store.sessions import Session
from breakglass.web import sse

Write = Callable[[bytes], bool]
"""Writes to a client without waiting. Returns False, and writes nothing, while earlier data waits for the client."""
_NUMBER = re.compile(r"[0-9]+", re.ASCII)
LONGEST_TICK = 5.0
"""Seconds at most between two checks of a log that is followed."""
BEYOND_ANY_LOG = 1 << 62
"""A line number that no log reaches. A client that sends it gets a reset."""


def last_seen(after: list[str], last_event_id: list[str]) -> int:
    """Return the last line that the client has, 0 for none. The `Last-Event-ID` header precedes the `after` parameter.

    Raises Malformed as `line_number` does.
    """
    parameter, header = line_number(after, "after"), line_number(last_event_id, "Last-Event-ID")
    return header if header is not None else parameter or 0


def line_number(values: list[str], name: str) -> int | None:
    """Return the line number in the values of a header or parameter, None without a value.

    A number with too many digits is `BEYOND_ANY_LOG`. Raises Malformed for two values, and for a value that is not a
    whole number.
    """
    if not values:
        return None
    if len(values) > 1 or not _NUMBER.fullmatch(values[0]):
        raise Malformed(f"{name}: expected one whole number, got {', '.join(values)[:80]!r}")
    digits = values[0].lstrip("0") or "0"
    return int(digits) if len(digits) < 19 else BEYOND_ANY_LOG


def tick(interval: float) -> float:
    """Return the seconds between two checks of a followed log. A whole number of them is the keepalive `interval`."""
    return interval / math.ceil(interval / LONGEST_TICK)


class Format(NamedTuple):
    """How a stream shows a session."""

    frame: Frame = sse.frame
    keepalive: bytes = sse.KEEPALIVE


JSON = Format()


class _Client:
    """What one client gets for the steps of its follower."""

    __slots__ = ("_keepalive", "_last_sent", "_number", "_quiet_seconds", "_write")

    def __init__(self, after: int, keepalive: bytes, quiet_seconds: float, write: Write | None):
        self._number = after
        self._keepalive = keepalive
        self._quiet_seconds = quiet_seconds
        self._write = write
        self._last_sent = time.monotonic()

    def chunk(self, step: Piece | FollowSignal) -> bytes:
        """Return what is to be sent for a step, nothing for a keepalive that is not due."""
        if isinstance(step, Piece):
            self._number, chunk = step.end.number, step.body
        elif step is FollowSignal.CAUGHT_UP:
            chunk = sse.caught_up(self._number)
        elif step is FollowSignal.QUIET:
            if time.monotonic() - self._last_sent < self._quiet_seconds:
                return b""
            chunk = self._keepalive
        else:  # RESET starts over, GONE ends the stream: in both cases the client must drop its copy
            self._number, chunk = 0, sse.RESET
        self._last_sent = time.monotonic()
        return chunk

    def take(self, step: Piece | FollowSignal) -> bool:
        """Send what is to be sent for a step. Return False if the client lags."""
        chunk = self.chunk(step)
        return not chunk or self._write is None or self._write(chunk)


async def attach(
    followers: Followers,
    session: Session,
    after: int,
    interval: float,
    write: Write | None = None,
    shown_as: Format = JSON,
) -> AsyncGenerator[bytes, None]:
    """Yield a replay of the lines after `after`, then `caught-up`, then live events.

    While no event arrives, yields the keepalive every `interval` seconds. With `write`, live events and keepalives are
    written by it, and yielded only if it returns False.

    Raises NotFound before the first chunk.
    """
    # A check may come slightly early, and the next one is too late.
    client = _Client(after, shown_as.keepalive, interval - tick(interval) / 2, write)
    take = client.take if write else None
    async with aclosing(followers.follow(session.directory, after, shown_as.frame, take)) as steps:
        async for step in steps:
            if chunk := client.chunk(step):
                yield chunk
