"""The limit on guessing tokens: it slows down wrong tokens only. The right token is always compared first."""

import time
from collections import OrderedDict
from collections.abc import Callable

WRONG_PER_MINUTE = 10
"""Wrong tokens from one address in a minute that are refused at once. Later ones must wait."""
MINUTE = 60.0
MAX_ADDRESSES = 1024
"""The number of addresses that are kept. The oldest is dropped, so that a flood of addresses uses no more memory."""


class Throttle:
    """Counts wrong tokens for each client address."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic):
        self._monotonic = monotonic
        self._wrong: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def count_wrong_token(self, address: str) -> int:
        """Return the seconds that this address must wait (status 429), 0 if it need not wait (401)."""
        now = self._monotonic()
        began, count = self._wrong.pop(address, (now, 0))
        if now - began >= MINUTE:
            began, count = now, 0
        self._wrong[address] = (began, count + 1)
        if len(self._wrong) > MAX_ADDRESSES:
            self._wrong.popitem(last=False)
        return 0 if count < WRONG_PER_MINUTE else int(began + MINUTE - now) + 1
