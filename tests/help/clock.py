"""A clock for tests."""


class Clock:
    """A clock that stands still until the test changes `now`."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now
