"""Clients: one name for each, how many connections or streams each has open, and who gives way when all are taken.

Knows nothing of HTTP: the server counts connections with it, the guard counts streams.
"""

import ipaddress
from collections import Counter, OrderedDict
from collections.abc import Callable

SHOW_CREDENTIAL = "breakglass.show_credential"
"""Key in the ASGI `state` of a request. Its value is to be called when a request has a valid credential."""
MAX_KNOWN = 1024
"""Clients with a credential that are remembered."""


def plain_address(address: str) -> str:
    """Return an IPv4 address without the `::ffff:` that a socket for both families puts before it."""
    return address.removeprefix("::ffff:")


def network_of(address: str) -> str:
    """Return what counts as one client: an IPv4 address, or an IPv6 network of 64 bits, which one host can have alone.

    Any other text is returned as it is.
    """
    if ":" not in address:
        return address
    try:
        whole = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    return address if whole.is_loopback else f"{ipaddress.IPv6Network((whole, 64), strict=False)}"


def is_local(address: str) -> bool:
    """Return whether an address is of this machine, or stands for a proxy."""
    return _is_unix(address) or address == "::1" or address.startswith("127.")


def _is_unix(address: str) -> bool:
    """Return whether an address is `unix` or `unix:UID`."""
    return address.partition(":")[0] == "unix"


class AddressCounter:
    """Counts open connections or streams, in total and for each client, against two limits."""

    def __init__(self, total: int, per_address: int):
        self._total = total
        self._per_address = per_address
        self._by_address: Counter[str] = Counter()
        self._all = 0

    def add(self, address: str) -> bool:
        """Count one more and return True. Return False, and count nothing, if a limit is reached.

        `unix` has no limit of its own, nor has `unix:UID`: a proxy at the Unix socket stands for many clients.
        """
        if self.is_full_for(address) or self._all >= self._total:
            return False
        self._by_address[network_of(address)] += 1
        self._all += 1
        return True

    def is_full_for(self, address: str) -> bool:
        """Return whether this client has reached its own limit."""
        return not _is_unix(address) and self._by_address[network_of(address)] >= self._per_address

    @property
    def left(self) -> int:
        """How many more there may be in total."""
        return self._total - self._all

    def remove(self, address: str) -> None:
        """Undo one `add` that returned True."""
        network = network_of(address)
        self._all -= 1
        self._by_address[network] -= 1
        if not self._by_address[network]:
            del self._by_address[network]


class Place:
    """The place of one open connection."""

    __slots__ = ("address", "drop")

    def __init__(self, address: str, drop: Callable[[], object]):
        self.address = address
        self.drop = drop
        """Cuts the connection."""


class Places:
    """The places for connections, and who gets one when they are scarce.

    A flood of clients without a credential must not lock out the users. So the last eighth is reserved for this
    machine, for proxies and for clients that have shown a credential. When the others are taken, the oldest connection
    without a credential gives way to a new one, as with MaxStartups of sshd(8).
    """

    def __init__(self, total: int, per_address: int):
        self._counter = AddressCounter(total, per_address)
        self._reserved = total // 8
        self._open: set[Place] = set()
        self._anonymous: dict[Place, None] = {}
        """Those that give way, the oldest first."""
        self._known: OrderedDict[str, None] = OrderedDict()
        """Clients that have shown a credential, the latest last."""

    def take(self, address: str, drop: Callable[[], object]) -> Place | None:
        """Return a place for a connection, None if there is none. May drop another connection."""
        if self._counter.is_full_for(address):
            return None
        has_priority = is_local(address) or network_of(address) in self._known
        if self._counter.left <= (0 if has_priority else self._reserved):
            oldest = next(iter(self._anonymous), None)
            if oldest is None:
                return None
            self.leave(oldest)
            oldest.drop()
        self._counter.add(address)
        place = Place(address, drop)
        self._open.add(place)
        if not is_local(address):
            self._anonymous[place] = None
        return place

    def show_credential(self, place: Place) -> None:
        """Keep this connection, and give its client priority from now on."""
        self._anonymous.pop(place, None)
        network = network_of(place.address)
        self._known[network] = None
        self._known.move_to_end(network)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)

    def leave(self, place: Place) -> None:
        """Give a place back. A dropped connection has done so already."""
        if place in self._open:
            self._open.remove(place)
            self._anonymous.pop(place, None)
            self._counter.remove(place.address)
