"""The count of open connections for each client address, and which connection gives way when all places are taken."""

import pytest

from breakglass.web.http.clients import AddressCounter, Place, Places, network_of


def test_a_counter_enforces_both_limits() -> None:
    counter = AddressCounter(3, 2)
    taken = [counter.add(address) for address in ("a", "a", "a", "b", "b")]
    assert taken == [True, True, False, True, False]
    counter.remove("a")
    assert counter.add("b")


def test_the_unix_socket_has_no_limit_of_its_own() -> None:
    counter = AddressCounter(3, 1)
    assert [counter.add("unix") for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::1"),
        ("192.0.2.7", "192.0.2.7"),
        ("unix", "unix"),
        ("not:an:address", "not:an:address"),
    ],
)
def test_an_ipv6_network_of_64_bits_counts_as_one_client(address: str, network: str) -> None:
    assert network_of(address) == network


def test_addresses_of_one_ipv6_network_share_a_limit() -> None:
    counter = AddressCounter(9, 2)
    taken = [counter.add(f"2001:db8::{n}") for n in range(1, 4)]
    assert taken == [True, True, False]
    assert counter.add("2001:db8:0:1::1")
    counter.remove("2001:db8::1")
    assert counter.add("2001:db8::ffff")


class Connections:
    """Connections by name, and which of them were dropped."""

    def __init__(self, total: int, per_address: int = 1000) -> None:
        self.places = Places(total, per_address)
        self.dropped: list[str] = []
        self.held: dict[str, Place] = {}

    def connect(self, name: str, address: str, *, credential: bool = False) -> bool:
        place = self.places.take(address, lambda: self.dropped.append(name))
        if place is None:
            return False
        self.held[name] = place
        if credential:
            self.places.show_credential(place)
        return True


def test_the_oldest_connection_without_a_credential_gives_way() -> None:
    server = Connections(16)
    assert server.connect("user", "192.0.2.1", credential=True)
    assert all(server.connect(f"a{n}", f"198.51.100.{n}") for n in range(13))
    assert server.dropped == []
    assert all(server.connect(f"b{n}", f"203.0.113.{n}") for n in range(3))
    assert server.dropped == ["a0", "a1", "a2"]
    server.places.leave(server.held["a0"])  # its task ends later
    server.places.leave(server.held["a3"])
    assert server.connect("b3", "203.0.113.9")
    assert server.dropped == ["a0", "a1", "a2"], "the place of a3 was free"


def test_the_last_places_are_for_this_machine_for_proxies_and_for_clients_with_a_credential() -> None:
    server = Connections(16)
    assert server.connect("user", "192.0.2.1", credential=True)
    assert all(server.connect(f"t{n}", f"198.51.100.{n}", credential=True) for n in range(13))
    assert not server.connect("anonymous", "203.0.113.1"), "14 are taken, and 2 are reserved"
    assert server.connect("again", "192.0.2.1")
    assert server.connect("local", "127.0.0.1")
    assert server.connect("proxy", "unix"), "the anonymous connection of a known client gives way"
    assert server.dropped == ["again"]
    assert server.connect("local 2", "::1", credential=True), "the local one without a credential gives way"
    assert server.dropped == ["again", "local"]
    assert not server.connect("local 3", "::1"), "only clients with a credential and proxies are left"


def test_a_flood_of_this_machine_drops_its_own_oldest_connections() -> None:
    server = Connections(16)
    assert server.connect("user", "192.0.2.1", credential=True)
    assert all(server.connect(f"a{n}", f"127.0.0.{n}") for n in range(1, 16))
    assert server.dropped == []
    assert server.connect("the user at an ssh tunnel", "127.0.0.1", credential=True)
    assert server.connect("the user again", "192.0.2.1", credential=True)
    assert server.connect("a new user", "198.51.100.1", credential=True)
    assert server.dropped == ["a1", "a2", "a3"]


def test_clients_of_this_machine_keep_the_reserved_places_in_a_flood_from_elsewhere() -> None:
    server = Connections(16)
    assert all(server.connect(f"user {n}", "192.0.2.1", credential=True) for n in range(14))
    assert server.connect("local", "127.0.0.1")
    assert server.connect("local 2", "unix:1000")
    assert not server.connect("anonymous", "203.0.113.1")
    assert server.dropped == []


def test_a_client_with_all_of_its_places_loses_its_own_oldest_connection_without_a_credential() -> None:
    server = Connections(16, per_address=3)
    assert server.connect("other", "192.0.2.1")
    assert all(server.connect(f"a{n}", "127.0.0.1", credential=n == 0) for n in range(4))
    assert server.dropped == ["a1"], "a0 has shown a credential"
    assert all(server.connect(f"b{n}", f"2001:db8::{n}", credential=n < 3) for n in range(3))
    assert not server.connect("b3", "2001:db8::ffff"), "the others of its network have shown a credential"
    assert server.dropped == ["a1"]
