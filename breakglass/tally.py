"""Numbers about turns: those that a session's state keeps, so that no log is read again for them, and tokens. Pure."""

from bisect import bisect_left
from typing import Any, NamedTuple

END_STATUSES = ("ok", "error", "cancelled", "timeout", "lost")
"""The statuses with which a turn ends (docs/contract.md, section 2)."""
DURATIONS = (1, 5, 15, 60, 300, 900, 3600, 14400)
"""Limits in seconds by which the durations of turns are counted."""


class Tokens(NamedTuple):
    """The tokens of a turn. The names are the keys of `usage` in a `result` event."""

    input_tokens: int = 0
    """Without those that the cache had."""
    output_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0

    @property
    def given(self) -> int:
        """How many the model read."""
        return self.input_tokens + self.cache_creation_input_tokens + self.cache_read_input_tokens


def tokens_of(usage: Any) -> Tokens:
    """Return the tokens in a `usage`, whose keys may also be `inputTokens` and so on.

    What is missing or malformed counts as 0.
    """
    if not isinstance(usage, dict):
        return Tokens()
    valid: dict[str, int] = {
        key: each for key, each in usage.items() if type(each) is int and 0 <= each < 1 << 53
    }
    other = {_spelled(key): each for key, each in valid.items()}
    return Tokens(*(valid.get(each, other.get(_spelled(each), 0)) for each in Tokens._fields))


def _spelled(key: str) -> str:
    return key.lower().replace("_", "")


class EndedTurns(NamedTuple):
    """The ended turns of a session that had the same status."""

    is_action: bool
    """Whether they were actions, which use no agent."""
    status: str
    """One of `END_STATUSES`, or `other`."""
    within: tuple[int, ...] = (0,) * (len(DURATIONS) + 1)
    """How many took at most each of `DURATIONS` and more than the one before. The last is of all longer ones."""
    milliseconds: int = 0
    """The sum of their durations."""

    @property
    def number(self) -> int:
        """How many they are."""
        return sum(self.within)


def count_turn(
    ended: tuple[EndedTurns, ...], is_action: bool, status: str, milliseconds: object
) -> tuple[EndedTurns, ...]:
    """Return the ended turns with one more. A duration that is no number counts as none."""
    duration = milliseconds if type(milliseconds) is int and 0 <= milliseconds < 1 << 53 else 0
    key = is_action, status if status in END_STATUSES else "other"
    same = next((each for each in ended if each[:2] == key), EndedTurns(*key))
    place = bisect_left(DURATIONS, duration / 1000)
    within = tuple(count + (index == place) for index, count in enumerate(same.within))
    counted = same._replace(within=within, milliseconds=same.milliseconds + duration)
    return (*(each for each in ended if each[:2] != key), counted)
