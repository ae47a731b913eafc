"""Stalled clients: how long a client may take nothing, and how to wait for a slow one.

A slow client stays connected while it takes something. A stalled client takes nothing: it would hold a
connection, and the data that waits for it, forever.
"""

import asyncio
from collections.abc import Awaitable, Callable

STALL_SECONDS = 30
"""How long a client may take nothing, or be unreachable, while data waits for it."""


async def wait_while_progressing(
    wait: Callable[[], Awaitable[object]], remaining: Callable[[], int], seconds: float
) -> None:
    """Await `wait()` as long as `remaining()` decreases, however slowly.

    Raises TimeoutError once it has not decreased for `seconds`, after 4/3 of `seconds` at the latest.
    `wait` is cancelled and called again several times.
    """
    before, quiet_checks = remaining(), 0
    while True:
        try:
            async with asyncio.timeout(seconds / 3):
                await wait()
                return
        except TimeoutError:
            now = remaining()
            quiet_checks = quiet_checks + 1 if now >= before else 0
            before = now
            if quiet_checks == 3:
                raise
