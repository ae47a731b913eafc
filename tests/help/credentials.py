"""Tokens that are strong enough, and a login for tests of access/ that must succeed."""

import hashlib

from breakglass.access.credentials import Access


def make_token(name: str) -> str:
    """Return the same token for the same name."""
    return hashlib.sha256(name.encode()).hexdigest()


def log_in(access: Access, token: str, user_agent: str = "a phone") -> bytes:
    """Log in and return the cookie's value."""
    cookie = access.log_in(token, address="192.0.2.1", user_agent=user_agent)
    assert cookie is not None
    return cookie.encode()
