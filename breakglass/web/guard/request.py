"""The values at the door: its settings, a request as the rules see it, a refusal, a visit.

Pure. Knows ASGI's scope and nothing else of the outside.
"""

import re
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from breakglass.access.credentials import Credential
from breakglass.errors import BadConfig

SAFE = frozenset({"GET", "HEAD"})
"""Methods that change nothing."""

HEALTH = "/health"
"""Answers everybody alike: a monitor that has an old token is told nothing by it, and is no guesser."""

OPEN: Mapping[str, frozenset[str]] = {
    HEALTH: SAFE,
    "/login": SAFE | {"POST"},
    "/favicon.ico": SAFE,
    "/manifest.webmanifest": SAFE,
    "/sw.js": SAFE,
}
"""All that is answered without a credential, beside `STATIC`: path to methods."""

STATIC = "/static/"
"""The folder whose files are the same for everybody: open, and the one thing a browser may keep."""

MAX_BODY = 256 << 10
MAX_TURN_BODY = 2 << 20
"""Bytes of a body that is sent to `/turns`: a prompt of 256 KiB, with every character escaped."""

_JOINED = {b"cookie": b"; ", b"x-forwarded-for": b", "}
_ORIGIN = re.compile(r"(https?)://([a-z0-9.-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?")
_PORTS = {"http": 80, "https": 443}
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_ON_LOOPBACK = frozenset({"", "localhost", "127.0.0.1", "::1", "0.0.0.0", "::"})  # nosec B104 - compared with, never bound to


@dataclass(frozen=True, slots=True)
class Door:
    """The settings of the guard. `sites_of` makes `sites` from where the server listens."""

    sites: Mapping[bytes, bytes]
    """Every Host there is, in lower case, to the one Origin whose pages may act on it."""
    any_address: bool = False
    """Bound to all addresses: the address that was connected to is a Host too. Being no name, it cannot
    be made to point elsewhere."""
    scheme: str = "http"
    """Of the listening socket itself."""
    prefix: str = ""
    """The path below which a proxy shows us, as `/breakglass`. The proxy leaves it on."""
    proxies: frozenset[str] = frozenset()
    """Addresses whose word counts for the two headers below; `unix` for the Unix socket."""
    user_header: bytes | None = None
    """In lower case."""
    address_header: bytes | None = None
    """In lower case; of several addresses the last counts, which is the one that our proxy saw."""
    streams: int = 8192
    streams_per_address: int = 1024
    body_seconds: float = 10
    """From the head of a request to the end of its body."""
    linger_seconds: float = 2
    """How long what is still being sent is thrown away after a refusal. Closing at once resets the
    connection, and the client never reads why it was refused."""
    sweep_seconds: float = 5
    """How often open streams are asked whether their credential still holds."""


class Refusal(NamedTuple):
    """An answer instead of the application's."""

    status: int
    detail: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Visit(NamedTuple):
    """What the application finds in `scope["breakglass"]`."""

    origin: str
    """Ours, as this browser sees it. Where it begins with `https:`, cookies are Secure."""
    address: str
    """The client's, also behind a proxy."""
    credential: Credential | None
    """None on an open path only."""


class Request(NamedTuple):
    """What the rules see: a request without its body and its query."""

    method: str
    path: str
    """Decoded, below the prefix: the very string that the application routes by. Empty outside the prefix."""
    raw_path: bytes
    version: str
    scheme: str
    fields: Mapping[bytes, bytes]
    """Header fields by lower-case name; of a repeated one the last."""
    twice: frozenset[bytes]
    """The names that were repeated."""
    peer: str
    """The other end of the connection: an address, or `unix`."""
    local: bytes
    """The address and port that were connected to, as a Host would name them."""

    @property
    def is_api(self) -> bool:
        return self.path == "/api" or self.path.startswith("/api/")

    @property
    def is_open(self) -> bool:
        if self.path.startswith(STATIC):
            return self.method in SAFE
        return self.method in OPEN.get(self.path, ())

    @property
    def bearer(self) -> bytes | None:
        """The token in the header, right or wrong. Other schemes are a proxy's own business."""
        scheme, _, secret = self.fields.get(b"authorization", b"").partition(b" ")
        return secret.strip() if scheme.lower() == b"bearer" else None

    @property
    def max_body(self) -> int:
        """Bytes."""
        return MAX_TURN_BODY if self.path.endswith("/turns") else MAX_BODY


def sites_of(host: str, port: int, scheme: str = "http", origins: Iterable[str] = ()) -> dict[bytes, bytes]:
    """Return `Door.sites` for a bind address and the public addresses, such as `https://ops.example.com`.

    The names of loopback go together. An empty `host` stands for a Unix socket: then `port` is 80, as curl
    has it. Raises BadConfig for an origin that is none.
    """
    names = _LOOPBACK if host in _ON_LOOPBACK else (f"[{host}]" if ":" in host else host,)
    sites: dict[bytes, bytes] = {}
    for origin in (*(f"{scheme}://{name.lower()}:{port}" for name in names), *origins):
        match = _ORIGIN.fullmatch(origin)
        if match is None:
            raise BadConfig(f"origin {origin!r}: expected https://NAME or https://NAME:PORT, in lower case")
        at = f"{match[2]}:{match[3] or _PORTS[match[1]]}"
        name = at.removesuffix(f":{_PORTS[match[1]]}")  # browsers leave the standard port out
        sites[at.encode()] = sites[name.encode()] = f"{match[1]}://{name}".encode()
    return sites


def read(door: Door, scope: MutableMapping[str, Any]) -> Request:
    """Return the request in an ASGI scope."""
    fields: dict[bytes, bytes] = {}
    twice: list[bytes] = []
    for name, value in scope["headers"]:
        if name in fields and name in _JOINED:  # HTTP/2 may send a cookie in pieces (RFC 9113, 8.2.3)
            fields[name] += _JOINED[name] + value
            continue
        if name in fields:
            twice.append(name)
        fields[name] = value
    host, port = scope.get("server") or ("", None)
    host = plain_address(host)
    return Request(
        method=scope["method"],
        path=_below(door.prefix, scope["path"]),
        raw_path=scope["raw_path"],
        version=scope["http_version"],
        scheme=scope["scheme"],
        fields=fields,
        twice=frozenset(twice),
        peer=plain_address(scope["client"][0]) if scope.get("client") else "unix",
        local=(f"[{host}]:{port}" if ":" in host else f"{host}:{port}").encode(),
    )


def _below(prefix: str, path: str) -> str:
    # Quart takes the prefix off wherever it first stands: /static/PREFIX/api would be open, and be /api.
    if not prefix:
        return path
    return path.removeprefix(prefix) if path.startswith(f"{prefix}/") else ""


def plain_address(address: str) -> str:
    """Return an address without the form in which a socket for both families shows IPv4."""
    return address.removeprefix("::ffff:")
