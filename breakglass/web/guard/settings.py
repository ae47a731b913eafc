"""The guard's settings, and which Host headers and origins belong to this server."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from breakglass.config import Config
from breakglass.errors import BadConfig
from breakglass.settings import ORIGIN
from breakglass.uploads import MAX_BYTES
from breakglass.web.http import addresses

_DEFAULT_PORTS = {"http": 80, "https": 443}
LOGIN = "/login"
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
_REACHED_AT_LOOPBACK = {"", "localhost", "127.0.0.1", "::1"} | addresses.ALL_ADDRESSES


@dataclass(frozen=True, slots=True)
class GuardSettings:
    """The settings of the rules and the guard. `map_hosts` makes `origin_by_host`."""

    origin_by_host: Mapping[bytes, bytes]
    """Each Host of this server, in lower case, to the one Origin whose pages may act on it."""
    is_bound_to_all: bool = False
    """Bound to all addresses: the address that a client connected to is a valid Host too. DNS rebinding
    needs a host name, so it cannot use an address."""
    scheme: str = "http"
    """The scheme of the listening socket itself."""
    prefix: str = ""
    """The path below which a proxy serves this server, as `/breakglass`. The proxy leaves it in the path."""
    proxies: frozenset[str] = frozenset()
    """The peers whose two headers below are trusted, as `is_proxy` explains."""
    user_header: bytes | None = None
    """In lower case."""
    address_header: bytes | None = None
    """In lower case. Of several addresses the last one counts: our own proxy added it."""
    max_streams: int = 8192
    max_streams_per_address: int = 1024
    max_body_bytes: int = 256 << 10
    max_login_body_bytes: int = 8 << 10
    """For a body sent to `/login`, which anonymous callers can send."""
    max_turn_body_bytes: int = 2 << 20
    """For a body sent to `/turns`: a prompt of 256 KiB with every character escaped."""
    max_upload_bytes: int = MAX_BYTES + (512 << 10)
    """For a form with files: one file of the largest size, with a prompt and the form's own lines."""
    body_seconds: float = 10
    """From the head of a request to the end of its body."""
    upload_seconds: float = 900
    """As `body_seconds`, for a form with files: a photo of a megabyte takes minutes on a weak link."""
    drain_seconds: float = 2
    """How long after a refusal incoming data is read and dropped. Closing at once would reset the
    connection, and the client would never read why it was refused."""
    proxied_stream_seconds: float = 12 * 3600
    """How long a stream of a proxy's user lasts. Then its client attaches again, through the proxy's own check."""
    recheck_seconds: float = 5
    """How often the credentials of open streams are checked again."""

    def is_proxy(self, peer: str) -> bool:
        """Return whether the headers of a peer count. `unix` stands for every peer whose name begins with it."""
        return peer in self.proxies or ("unix" in self.proxies and peer.partition(":")[0] == "unix")

    def max_body(self, path: str, *, has_files: bool = False) -> int:
        """Return the most bytes that a body sent to `path` may have."""
        if path == LOGIN:
            return self.max_login_body_bytes
        if has_files:
            return self.max_upload_bytes
        return self.max_turn_body_bytes if path.endswith("/turns") else self.max_body_bytes


def guard_settings(config: Config, port: int) -> GuardSettings:
    """Return the guard's settings for a server that listens on `port`. Raises BadConfig for a malformed origin."""
    user, address = config.proxy_user_header, config.proxy_address_header
    scheme = addresses.scheme(config)
    return GuardSettings(
        origin_by_host=map_hosts("" if config.socket else config.host, port, scheme, config.origins),
        is_bound_to_all=not config.socket and config.host in addresses.ALL_ADDRESSES,
        scheme=scheme,
        prefix=config.prefix,
        proxies=config.proxies,
        user_header=user.lower().encode() if user else None,
        address_header=address.lower().encode() if address else None,
    )


def map_hosts(host: str, port: int, scheme: str = "http", origins: Iterable[str] = ()) -> dict[bytes, bytes]:
    """Return each valid Host header with its origin, for a bind address and public origins (https://ops.example.com).

    A bind to one name of loopback includes the others. An empty `host` stands for a Unix socket: its `port` is
    80, as curl sends it. Raises BadConfig for a malformed origin.
    """
    names = LOOPBACK_NAMES if host in _REACHED_AT_LOOPBACK else (f"[{host}]" if ":" in host else host,)
    origin_by_host: dict[bytes, bytes] = {}
    for origin in (*(f"{scheme}://{name.lower()}:{port}" for name in names), *origins):
        match = ORIGIN.fullmatch(origin)
        if match is None:
            raise BadConfig(f"origin {origin!r}: expected https://NAME or https://NAME:PORT, in lower case")
        default_port = _DEFAULT_PORTS[match[1]]
        with_port = f"{match[2]}:{match[3] or default_port}"
        as_sent = with_port.removesuffix(f":{default_port}")  # browsers leave the default port out
        origin_by_host[with_port.encode()] = f"{match[1]}://{as_sent}".encode()
        origin_by_host[as_sent.encode()] = f"{match[1]}://{as_sent}".encode()
    return origin_by_host
