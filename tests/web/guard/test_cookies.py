"""The login cookie: its name, its attributes, and how it is read."""

import pytest

from breakglass.web.guard.cookies import cookie_name, cookies_named, set_cookie


@pytest.mark.parametrize(
    ("origin", "name", "secure"),
    [
        ("https://ops.example.com", "__Host-breakglass", True),
        ("https://ops.example.com:8443", "__Host-breakglass-8443", True),
        ("http://127.0.0.1:8420", "breakglass-8420", False),
        ("http://[::1]:8420", "breakglass-8420", False),
        ("http://localhost", "breakglass", False),
    ],
)
def test_a_cookie_has_every_restriction_that_its_origin_allows(origin: str, name: str, secure: bool) -> None:
    attributes = set_cookie(origin, "v", seconds=60).split("; ")
    assert (cookie_name(origin), attributes[0]) == (name, f"{name}=v")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(attributes)
    assert ("Secure" in attributes) is secure
    assert not any(attribute.startswith("Domain") for attribute in attributes)
    assert "Max-Age=0" in set_cookie(origin, "", seconds=0)


@pytest.mark.parametrize(
    ("header", "values"),
    [
        (b"a=1", [b"1"]),
        (b"b=2; a=1;a=3", [b"1", b"3"]),
        (b"aa=1; xa=2; a =3; A=4", []),
        (b"", []),
        (b";;=;a", [b""]),
        (b"a=" + b"; a=".join(b"%d" % n for n in range(99)), [b"%d" % n for n in range(99)]),
        (b"a=1; a=1; a=2; a=1", [b"1", b"2"]),
    ],
)
def test_only_cookies_of_that_name_are_found(header: bytes, values: list[bytes]) -> None:
    assert cookies_named("a", header) == values
