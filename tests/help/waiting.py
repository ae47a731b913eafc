"""How tests wait: for a condition, never for a time."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

DEADLINE = 120.0
"""Seconds until a wait fails. It only ends tests of a program that hangs, so a busy machine stays far below it."""
SHORTEST, LONGEST = 0.005, 0.1
"""Seconds between two checks of a condition: a tenth of the time waited so far, within these limits.

A check may read a whole log or ask a server. A hundred checks a second would take CPU time from the process that the
test waits for.
"""

T = TypeVar("T")


def wait_until(condition: Callable[[], T | None], what: object, seconds: float = DEADLINE) -> T:
    """Return the first true value of `condition`. Raises AssertionError, which names `what`, after `seconds`."""
    began = time.monotonic()
    while not (value := condition()):
        time.sleep(_pause(began, what, seconds))
    return value


async def wait_until_async(condition: Callable[[], T | None], what: object, seconds: float = DEADLINE) -> T:
    """Do as `wait_until` does, and let the event loop run meanwhile."""
    began = time.monotonic()
    while not (value := condition()):
        pause = _pause(began, what, seconds)
        await asyncio.sleep(pause)
    return value


def _pause(began: float, what: object, seconds: float) -> float:
    waited = time.monotonic() - began
    assert waited < seconds, f"waited {seconds:g} s for {what}"
    return min(max(waited / 10, SHORTEST), LONGEST)
