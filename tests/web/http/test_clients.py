"""The count of open connections for each client address."""

from breakglass.web.http.clients import AddressCounter


def test_a_counter_enforces_both_limits() -> None:
    counter = AddressCounter(3, 2)
    taken = [counter.add(address) for address in ("a", "a", "a", "b", "b")]
    assert taken == [True, True, False, True, False]
    counter.remove("a")
    assert counter.add("b")


def test_the_unix_socket_has_no_limit_of_its_own() -> None:
    counter = AddressCounter(3, 1)
    assert [counter.add("unix") for _ in range(4)] == [True, True, True, False]
