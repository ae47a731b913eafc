"""Client addresses: one spelling for each, and how many connections or streams each client has open.

Knows nothing of HTTP: the server counts connections with it, the guard counts streams.
"""

from collections import Counter


def plain_address(address: str) -> str:
    """Return an IPv4 address without the `::ffff:` that a socket for both families puts before it."""
    return address.removeprefix("::ffff:")


class AddressCounter:
    """Counts open connections or streams, in total and for each client address, against two limits."""

    def __init__(self, total: int, per_address: int):
        self._total = total
        self._per_address = per_address
        self._by_address: Counter[str] = Counter()
        self._all = 0

    def add(self, address: str) -> bool:
        """Count one more and return True. Return False, and count nothing, if a limit is reached.

        `unix` has no limit of its own, nor has `unix:UID`: a proxy at the Unix socket stands for many clients.
        """
        is_full = address.partition(":")[0] != "unix" and self._by_address[address] >= self._per_address
        if is_full or self._all >= self._total:
            return False
        self._by_address[address] += 1
        self._all += 1
        return True

    def remove(self, address: str) -> None:
        """Undo one `add` that returned True."""
        self._all -= 1
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]
