"""Logins for tests of access/: a clock that the test sets, and a login that must succeed."""

from breakglass.access.credentials import Access


class Clock:
    """A clock that stands still until the test changes `now`."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def log_in(access: Access, token: str, agent: str = "a phone") -> bytes:
    """Log in and return the cookie's value."""
    cookie = access.log_in(token, address="192.0.2.1", agent=agent)
    assert cookie is not None
    return cookie.encode()
