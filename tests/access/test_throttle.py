"""The limit on guessing tokens."""

from breakglass.access.throttle import MAX_ADDRESSES, Throttle
from tests.help.clock import Clock


def test_wrong_tokens_are_slowed_down_per_address_for_a_minute() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    assert [throttle.count_wrong_token("a") for _ in range(12)] == [0] * 10 + [61, 61]
    assert throttle.count_wrong_token("b") == 0
    clock.now += 59
    assert throttle.count_wrong_token("a") == 2
    clock.now += 1
    assert throttle.count_wrong_token("a") == 0


def test_a_flood_of_addresses_does_not_fill_the_memory() -> None:
    throttle = Throttle(Clock())
    for number in range(5000):
        throttle.count_wrong_token(str(number))
    assert len(throttle._wrong) == MAX_ADDRESSES
