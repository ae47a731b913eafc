"""The login cookie: its name, its attributes, and how it is read from a request."""

import re


def cookie_name(origin: str) -> str:
    """Return the cookie's name at an origin. The port is part of it, because cookies ignore ports."""
    scheme, _, host = origin.partition("://")
    port = re.search(r":(\d+)$", host)
    return ("__Host-" if scheme == "https" else "") + "breakglass" + (f"-{port[1]}" if port else "")


def set_cookie(origin: str, value: str, *, seconds: int) -> str:
    """Return the Set-Cookie header that logs in. An empty `value` with 0 `seconds` logs out."""
    secure = "; Secure" if origin.startswith("https:") else ""
    name = cookie_name(origin)
    return f"{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"


def cookies_named(name: str, header: bytes) -> list[bytes]:
    """Return the values of all cookies of that name, each once.

    Another program on the host may plant any number of them, and the right one may be the last. The size of a request's
    head limits their number.
    """
    pairs = (pair.strip().partition(b"=") for pair in header.split(b";"))
    return list(dict.fromkeys(value for key, _, value in pairs if key == name.encode()))
