"""The values that the guard works with: a request as the rules see it, a refusal, and the caller.

Pure. Must not know any I/O; of ASGI it knows the scope only.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from breakglass.access.credentials import Credential
from breakglass.store import hosts
from breakglass.web.guard.settings import GuardSettings
from breakglass.web.http.asgi import Scope
from breakglass.web.http.clients import plain_address

SAFE_METHODS = frozenset({"GET", "HEAD"})
"""Methods that change nothing."""

HEALTH = "/health"
"""Public under any host name, also with a wrong token: a monitor with an old token is not guessing."""

METRICS = "/metrics"
"""Needs a credential, which the refusal of an anonymous request says as for the API."""

PUBLIC_PATHS: Mapping[str, frozenset[str]] = {
    HEALTH: SAFE_METHODS,
    "/login": SAFE_METHODS | {"POST"},
    "/favicon.ico": SAFE_METHODS,
    "/manifest.webmanifest": SAFE_METHODS,
    "/sw.js": SAFE_METHODS,
}
"""Path to methods: everything that is public (needs no credential), except the files below `STATIC_PREFIX`."""

STATIC_PREFIX = "/static/"
"""Files below it are the same for everyone: they need no credential, and browsers may keep them."""

FILES = "/files"
"""The end of the path of the only operation of the API that takes a form."""

HOSTS = "/hosts/"
"""Below it are the copies of other hosts' sessions: `/hosts/db1/sessions/ID` is `/sessions/ID` of db1."""

_OF_A_HOST = re.compile(
    rf"{HOSTS}({hosts.NAME.pattern})(/|/search|/stats|/(?:api/)?sessions(?:/.*)?|/api/search)"
)
"""The paths below the name of a host. The rest of this server, such as its login and its vitals, is not of a host."""

CALLER = "breakglass.caller"
"""The key of the `Caller` in an ASGI scope."""

_MULTIPART = re.compile(
    rb"multipart/form-data[ \t]*;[ \t]*boundary=(?:[\w'()+,./:=?-]{1,70}|\"[ -!#-~]{1,70}\")", re.IGNORECASE
)
"""RFC 7578, with a boundary as in RFC 2046, section 5.1.1."""
_JOINED_FIELDS = {b"cookie": b"; ", b"x-forwarded-for": b", "}


class Refusal(NamedTuple):
    """A response that the guard sends instead of the application's."""

    status: int
    detail: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Caller(NamedTuple):
    """Who sent a request. The application finds it in `scope[CALLER]`."""

    origin: str
    """This server's origin, as this client sees it. With `https:`, cookies are Secure."""
    address: str
    """The client's address, also behind a proxy."""
    credential: Credential | None
    """None for an anonymous caller, which reaches public paths only."""
    host: str = ""
    """The host whose copy is read, as `Request.host`. Perhaps there is none of that name."""


class Request(NamedTuple):
    """A request without its body and its query: all that the rules see."""

    method: str
    path: str
    """Decoded, below the prefix and the host: the same string that the application routes by. Empty outside the prefix.
    """
    host: str
    """The host whose copy the request reads: the name below `HOSTS`. "" for the sessions of this machine."""
    raw_path: bytes
    version: str
    scheme: str
    fields: Mapping[bytes, bytes]
    """Header fields by lower-case name; the last one of a repeated field."""
    repeated: frozenset[bytes]
    """Names of fields that were sent more than once."""
    peer: str
    """The other end of the connection: an address, `unix:UID`, or `turn` (`http.peers`)."""
    local_host: bytes
    """The address and port that the client connected to, as a Host header names them."""

    @property
    def is_api(self) -> bool:
        """Whether a program sends the request, which cannot log in at a page."""
        return self.path in ("/api", METRICS) or self.path.startswith("/api/")

    @property
    def wants_html(self) -> bool:
        """Whether a user will read the response: a browser that opens a page, or sends a plain form."""
        return not self.is_api and b"text/html" in self.fields.get(b"accept", b"")

    @property
    def has_files(self) -> bool:
        """Whether the body is a form that may carry files, sent to a route that takes them."""
        takes_files = self.path == "/sessions" or self.path.startswith(("/sessions/", "/api/sessions/"))
        media_type = self.fields.get(b"content-type", b"")
        return takes_files and self.method == "POST" and _MULTIPART.fullmatch(media_type) is not None

    @property
    def is_public(self) -> bool:
        """Whether the request needs no credential."""
        if self.host:  # an anonymous caller must not learn which hosts there are
            return False
        if self.path.startswith(STATIC_PREFIX):
            return self.method in SAFE_METHODS
        return self.method in PUBLIC_PATHS.get(self.path, ())

    @property
    def bearer(self) -> bytes | None:
        """The token in the header, right or wrong. Other schemes are for a proxy in front."""
        scheme, _, secret = self.fields.get(b"authorization", b"").partition(b" ")
        return secret.strip() if scheme.lower() == b"bearer" else None


def read_request(settings: GuardSettings, scope: Scope) -> Request:
    """Return the request in an ASGI scope."""
    fields: dict[bytes, bytes] = {}
    repeated: list[bytes] = []
    for name, value in scope["headers"]:
        if name in fields and name in _JOINED_FIELDS:  # HTTP/2 may split a cookie (RFC 9113, section 8.2.3)
            fields[name] += _JOINED_FIELDS[name] + value
            continue
        if name in fields:
            repeated.append(name)
        fields[name] = value
    local, port = scope.get("server") or ("", None)
    local = plain_address(local)
    host, path = _split_host(_path_below(settings.prefix, scope["path"]))
    return Request(
        method=scope["method"],
        path=path,
        host=host,
        raw_path=scope["raw_path"],
        version=scope["http_version"],
        scheme=scope["scheme"],
        fields=fields,
        repeated=frozenset(repeated),
        peer=plain_address(scope["client"][0]) if scope.get("client") else "unix",
        local_host=(f"[{local}]:{port}" if ":" in local else f"{local}:{port}").encode(),
    )


def _path_below(prefix: str, path: str) -> str:
    # Quart removes the first occurrence of the prefix, anywhere in the path. So /static/PREFIX/api would be
    # public here and be routed as /api.
    if not prefix:
        return path
    return path.removeprefix(prefix) if path.startswith(f"{prefix}/") else ""


def _split_host(path: str) -> tuple[str, str]:
    """Return the host that a path names, "" for none, and the path below it."""
    match = _OF_A_HOST.fullmatch(path)
    return (match[1], match[2]) if match else ("", path)
