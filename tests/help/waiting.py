"""How tests wait: for a condition, never for a time."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

DEADLINE = 120.0
"""Seconds until a wait fails. It only ends tests of a program that hangs, so a busy machine stays far below it."""
PAUSE = 0.01
"""Seconds between two checks of a condition."""

T = TypeVar("T")


def wait_until(condition: Callable[[], T | None], what: object, seconds: float = DEADLINE) -> T:
    """Return the first true value of `condition`. Raises AssertionError, which names `what`, after `seconds`."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, _failure(what, seconds)
        time.sleep(PAUSE)
    return value


async def wait_until_async(condition: Callable[[], T | None], what: object, seconds: float = DEADLINE) -> T:
    """Do as `wait_until` does, and let the event loop run meanwhile."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, _failure(what, seconds)
        await asyncio.sleep(PAUSE)
    return value


def _failure(what: object, seconds: float) -> str:
    return f"waited {seconds:g} s for {what}"
