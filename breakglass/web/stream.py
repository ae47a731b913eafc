"""ATTACH: a session's log as a stream of server-sent events, replayed and then live.

The marks and pieces of `store.follow` become bytes here, one table, and nothing is decided. A stream ends
when the client leaves, the log is gone, the credential ends or the server shuts down.
"""

import math
import re
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from breakglass.errors import Malformed
from breakglass.store.follow import Followers, FollowEvent
from breakglass.store.pieces import Frame, Piece
from breakglass.store.sessions import Session
from breakglass.web import sse

_NUMBER = re.compile(r"[0-9]+", re.ASCII)
LONGEST_TICK = 5.0
BEYOND = 1 << 62
"""More lines than any log has: whoever says to know so many starts afresh."""


def position(values: list[str], name: str) -> int | None:
    """Return the line number that a header or parameter gives, None where there is none.

    Raises Malformed for what is no whole number, and for two. One with too many digits lies beyond any log.
    """
    if not values:
        return None
    if len(values) > 1 or not _NUMBER.fullmatch(values[0]):
        raise Malformed(f"{name}: expected one whole number, got {', '.join(values)[:80]!r}")
    digits = values[0].lstrip("0") or "0"
    return int(digits) if len(digits) < 19 else BEYOND


def tick(keepalive: float) -> float:
    """Return the seconds between two looks at what is followed: so many of them make exactly one silence."""
    return keepalive / math.ceil(keepalive / LONGEST_TICK)


async def attach(
    hub: Followers,
    session: Session,
    after: int,
    *,
    frame: Frame = sse.frame,
    keepalive: float,
    beat: bytes = sse.KEEPALIVE,
) -> AsyncGenerator[bytes, None]:
    """Yield the stream: a replay of what follows line `after`, `caught-up`, then live events; `beat` in silence.

    Raises NotFound before the first chunk.
    """
    number, spoke = after, time.monotonic()
    silence = keepalive - tick(keepalive) / 2  # a look is never quite on time, and the next would be too late
    async with aclosing(hub.follow(session.directory, after, frame)) as steps:
        async for step in steps:
            if isinstance(step, Piece):
                number, chunk = step.end.number, step.body
            elif step is FollowEvent.CAUGHT_UP:
                chunk = sse.caught_up(number)
            elif step is FollowEvent.QUIET:
                if time.monotonic() - spoke < silence:
                    continue
                chunk = beat
            else:  # RESET starts over, GONE ends: the client's copy is worth nothing in both
                number, chunk = 0, sse.RESET
            yield chunk
            spoke = time.monotonic()
