"""Clients: one name for each, how many connections or streams each has open, and who gives way when all are taken.

Knows nothing of HTTP: the server counts connections with it, the guard counts streams.
"""

import ipaddress
from collections import Counter, OrderedDict
from collections.abc import Callable
from itertools import chain

SHOW_CREDENTIAL = "breakglass.show_credential"
"""Key in the ASGI `state` of a request. Its value is to be called when a request has a valid credential."""
PROXY = "unix"
"""The address of every listed proxy. It has no limit of its own and never gives way, because it has many clients."""
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

    __slots__ = ("address", "drop", "queues")

    def __init__(self, address: str, drop: Callable[[], object], queues: "tuple[_Queue, ...]"):
        self.address = address
        self.drop = drop
        """Cuts the connection."""
        self.queues = queues
        """Those in which it waits until it gives way or shows a credential. Empty for a proxy."""
        for queue in queues:
            queue[self] = None

    def stay(self) -> None:
        """Do not give way any more."""
        for queue in self.queues:
            queue.pop(self, None)


_Queue = dict[Place, None]
"""Connections without a credential, the oldest first."""


class Places:
    """The places for connections, and who gets one when they are scarce.

    A flood of clients without a credential must not lock out the users. So the last eighth is reserved for this
    machine, for proxies and for clients that have shown a credential. When the others are taken, the oldest connection
    without a credential gives way to a new one, as with MaxStartups of sshd(8). Those of this machine give way last,
    because users come through an ssh tunnel. They do give way, because a program of an agent connects from this machine
    too. A client that has all of its own places loses its own oldest one.
    """

    def __init__(self, total: int, per_address: int):
        self._counter = AddressCounter(total, per_address)
        self._reserved = total // 8
        self._open: set[Place] = set()
        self._remote: _Queue = {}
        self._local: _Queue = {}
        self._by_client: dict[str, _Queue] = {}
        self._known: OrderedDict[str, None] = OrderedDict()
        """Clients that have shown a credential, the latest last."""

    def take(self, address: str, drop: Callable[[], object]) -> Place | None:
        """Return a place for a connection, None if there is none. May drop another connection."""
        if not self._make_space(address):
            return None
        self._counter.add(address)
        place = Place(address, drop, self._queues(address))
        self._open.add(place)
        return place

    def _make_space(self, address: str) -> bool:
        """Drop another connection if this client gets a place only so. Return whether there is a place."""
        client = network_of(address)
        has_priority = is_local(address) or client in self._known
        if self._counter.is_full_for(address):
            queues = [self._by_client.get(client, {})]
        elif self._counter.left > (0 if has_priority else self._reserved):
            return True
        elif has_priority or len(self._local) > self._reserved:
            queues = [self._remote, self._local]
        else:
            queues = [self._remote]
        oldest = next(chain(*queues), None)
        if oldest is not None:
            self.leave(oldest)
            oldest.drop()
        return oldest is not None

    def _queues(self, address: str) -> tuple[_Queue, ...]:
        if address == PROXY:
            return ()
        return self._local if is_local(address) else self._remote, self._by_client.setdefault(
            network_of(address), {}
        )

    def show_credential(self, place: Place) -> None:
        """Keep this connection, and give its client priority from now on."""
        place.stay()
        network = network_of(place.address)
        self._known[network] = None
        self._known.move_to_end(network)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)

    def leave(self, place: Place) -> None:
        """Give a place back. A dropped connection has done so already."""
        if place in self._open:
            self._open.remove(place)
            place.stay()
            self._counter.remove(place.address)
            client = network_of(place.address)
            if not self._by_client.get(client, True):
                del self._by_client[client]
